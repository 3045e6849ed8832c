//! The invites that were written in this folder and that no machine has used yet: `.e3/invites`, by the
//! digest of each, without its secret.

use std::path::{Path, PathBuf};

use e3_client::files;
use e3_core::digest::Digest;
use e3_core::document::Invite;
use e3_core::envelope::{Envelope, Verified};
use e3_core::limits;

use super::trust_state::FOLDER;
use super::{Enrolled, OpenFleet};
use crate::error::Error;

fn folder(fleet: &Path) -> PathBuf {
    fleet.join(FOLDER).join("invites")
}

fn file(fleet: &Path, invite: &Digest) -> PathBuf {
    folder(fleet).join(format!("{}.json", invite.hex()))
}

/// Remembers an invite until its machine has enrolled.
pub(super) fn remember(fleet: &Path, invite: &Envelope) -> Result<(), Error> {
    files::private_folder(&folder(fleet))?;
    let file = file(fleet, &invite.digest());
    Ok(files::write_private(&file, &invite.to_bytes())?)
}

/// Forgets an invite that was taken back.
pub(super) fn forget(fleet: &Path, invite: &Digest) {
    // If it stays, it is shown as open until it expires, and can be taken back again.
    let _ = std::fs::remove_file(file(fleet, invite));
}

/// Those that no machine has used. Expired ones are shown, too: people look for them.
pub(super) fn open(fleet: &OpenFleet, parties: &[Enrolled]) -> Vec<Verified<Invite>> {
    let Ok(entries) = std::fs::read_dir(folder(&fleet.file.folder)) else {
        return Vec::new();
    };
    let used = |digest| {
        parties
            .iter()
            .any(|party| party.enrolled.is_some_and(|(_, invite)| invite == digest))
    };
    let read = |path: &Path| {
        let bytes = files::read_bounded(path, limits::ENVELOPE).ok()?;
        let envelope = Envelope::parse(&bytes, limits::ENVELOPE).ok()?;
        let owners = &fleet.trust.root.session.keys;
        envelope.verify::<Invite>(owners, 1).ok()
    };
    let entries = entries.flatten();
    let mut invites: Vec<_> = entries
        .filter_map(|entry| read(&entry.path()))
        .filter(|invite| !used(invite.digest))
        .collect();
    invites.sort_by(|a, b| {
        let key =
            |invite: &Verified<Invite>| (invite.document.name.clone(), invite.document.expires);
        key(a).cmp(&key(b))
    });
    invites
}
