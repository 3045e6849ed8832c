//! The join file for an image, and the password of its wireless network, which never stands on a command line.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use e3_client::join::{SshKey, Wifi};
use e3_client::{clock, files};
use e3_image::ImageError;
use e3_image::join::{self, JoinFile};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::args::JoinArgs;
use crate::error::Error;

/// A password has 63 characters; a line may end in two more.
const PASSWORD: u64 = 4096;

/// Reads and judges the join file, and adds the network and the keys.
pub(super) fn read(path: &Path, args: &JoinArgs) -> Result<JoinFile, Error> {
    let mut join = JoinFile::read(path, clock::now())?;
    if !args.ssh_keys.is_empty() {
        let mut keys = Vec::new();
        for file in &args.ssh_keys {
            keys.extend(join::ssh_keys(file)?);
        }
        join = join.with_ssh_keys(keys)?;
    }
    let Some(ssid) = &args.wifi else {
        return Ok(join);
    };
    let password = match &args.wifi_password {
        Some(file) => files::read_secret(file)?,
        None => ask(ssid)?,
    };
    let password = password.trim_end_matches(['\n', '\r']);
    let password = (!password.is_empty()).then(|| password.to_owned());
    let wifi = Wifi::new(ssid.clone(), password, args.wifi_country.clone());
    Ok(join.with_wifi(&wifi.map_err(|what| ImageError::Wifi { what })?)?)
}

/// Who may log in by a join file, for people.
pub(super) fn logins(keys: &[SshKey]) -> String {
    let shown = keys.iter().map(|key| format!("  {key}\n"));
    match keys {
        [] => String::new(),
        _ => format!(
            "Who has one of these keys may log in as root over ssh:\n{}",
            shown.collect::<String>()
        ),
    }
}

/// From standard input; a terminal does not show what is typed.
fn ask(ssid: &str) -> Result<Zeroizing<String>, Error> {
    let stdin = io::stdin();
    let mut text = Zeroizing::new(String::new());
    if !stdin.is_terminal() {
        stdin
            .lock()
            .take(PASSWORD)
            .read_to_string(&mut text)
            .map_err(Error::Runtime)?;
        return Ok(text);
    }
    let _ = write!(
        io::stderr(),
        "Password of `{ssid}` (nothing for an open network): "
    );
    let before = tcgetattr(&stdin).map_err(|error| Error::Runtime(error.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &silent)
        .map_err(|error| Error::Runtime(error.into()))?;
    let read = stdin.read_line(&mut text);
    let _ = tcsetattr(&stdin, OptionalActions::Now, &before);
    let _ = writeln!(io::stderr());
    read.map_err(Error::Runtime)?;
    Ok(text)
}
