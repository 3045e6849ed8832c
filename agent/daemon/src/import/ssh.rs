//! Who may log in: the ssh keys of the join file, where sshd of the image looks for them.
//!
//! What counts is what the join file says that is followed. One without keys lets nobody in any more.

use std::path::Path;

use e3_client::files::{self, FileError};
use e3_client::join::SshKey;

/// Named after the user whose keys they are: `AuthorizedKeysFile /var/lib/e3-import/ssh/%u`.
const USER: &str = "root";

/// Writes the keys into `folder`, or takes away what is there if there are none.
pub fn write(keys: &[SshKey], folder: &Path) -> Result<(), FileError> {
    let path = folder.join(USER);
    if keys.is_empty() {
        return files::remove(&path);
    }
    files::private_folder(folder)?;
    let mut text = String::new();
    for key in keys {
        text.push_str(key.as_str());
        text.push('\n');
    }
    files::write_private(&path, text.as_bytes())
}
