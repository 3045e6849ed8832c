//! `e3 session show`: what a bundle would run and who has signed it, before you sign it yourself.

use std::path::Path;

use e3_core::document::Session;
use e3_core::time::Time;
use serde_json::json;

use crate::fleet_file::View;
use crate::manifest::ManifestError;
use crate::manifest::bundle::Bundle;
use crate::manifest::consent::Signed;
use crate::manifest::summary::{labelled, rows, text};
use crate::manifest::text::count;
use crate::output::Answer;

/// Shows the bundle or envelope at `path`. Without the fleet nobody can tell which signatures count.
pub fn run(path: &Path, fleet: Option<&View>, now: Time) -> Result<Answer, ManifestError> {
    let bundle = Bundle::open(path)?;
    // What lies in the folder is shown only if it is what would be signed.
    let files = if bundle.is_folder() {
        bundle.wheel()?;
        let sizes = bundle
            .files()?
            .into_iter()
            .map(|(name, contents)| (name, contents.len() as u64));
        Some(sizes.collect::<Vec<_>>())
    } else {
        None
    };
    let session = &bundle.session;
    let manifest = bundle.manifest();
    let mut rows = rows(session, Some(&manifest), files.as_deref(), now);
    let fleet = fleet.filter(|fleet| fleet.name == session.fleet);
    let signed = fleet.map(|fleet| Signed::of(&bundle.envelope, session, &fleet.session));
    if let (Some(signed), Some(fleet)) = (&signed, fleet) {
        rows.extend(labelled("signatures", signed.lines()));
        rows.extend(labelled("note", notes(session, fleet)));
    } else {
        let signatures = count(bundle.envelope.signature_count(), "signature");
        rows.push((
            "signatures",
            format!(
                "{signatures}; only the fleet's folder tells which of them count (--fleet DIR)"
            ),
        ));
    }
    let json = json!({
        "bundle": crate::output::named(&bundle.path),
        "manifest": manifest,
        "session": session,
        "files": files.map(|files| files.into_iter().map(|(name, size)| json!({ "name": name, "size": size })).collect::<Vec<_>>()),
        "signatures": signed.map(|signed| signed.json()),
        "expired": session.expires <= now,
    });
    Ok(Answer::new(text(&rows), json))
}

/// What does not fit the fleet: above all names that mean somebody else than in the fleet file.
fn notes(session: &Session, fleet: &View) -> Vec<String> {
    let mut notes = Vec::new();
    for party in &session.parties {
        let name = &party.name;
        match fleet.party(name.as_str()) {
            None => notes.push(format!("{name} is no party of your fleet.toml")),
            Some(known) if known.key != party.key => {
                notes.push(format!(
                    "{name} has another key here than in your fleet.toml"
                ));
            }
            Some(known) if known.owner != party.owner => {
                notes.push(format!(
                    "{name} has another owner here than in your fleet.toml"
                ));
            }
            Some(_) => {}
        }
    }
    let (found, current) = (session.epoch, fleet.epoch);
    if found != current {
        notes.push(format!(
            "signed under epoch {found}, the fleet is at {current}: no party will run it"
        ));
    }
    notes
}
