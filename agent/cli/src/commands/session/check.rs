//! `e3 session check`: everything that is wrong with a manifest, or a short summary of it. Needs no
//! network; whether MPyC is there is found out when it is signed.

use std::path::Path;

use e3_client::human;
use e3_core::digest::Digest;
use e3_core::time::Time;
use serde_json::json;

use crate::fleet_file::View;
use crate::manifest::draft::Ends;
use crate::manifest::summary::{labelled, text};
use crate::manifest::text::{count, duration, list, shown, word};
use crate::manifest::{Checked, ManifestError, check};
use crate::output::Answer;

/// Checks the manifest in `path`.
pub fn run(path: &Path, fleet: &View, now: Time) -> Result<Answer, ManifestError> {
    let checked = check(path, fleet, now)?;
    let Checked { draft, program, .. } = &checked;
    let pack = Digest::of(&program.bytes);
    let packed = format!(
        "{}, {} in {}, {}",
        shown(&program.entry),
        count(program.files.len(), "file"),
        human::binary(program.bytes.len() as u64),
        pack
    );
    let ends = match draft.ends {
        Ends::After(seconds) => format!(
            "{} from {}",
            duration(seconds),
            draft
                .not_before
                .map_or("its signing".to_owned(), |time| time.to_string())
        ),
        Ends::At(time) => format!("until {time}"),
    };
    let mut rows = vec![
        (
            "session",
            format!("{} of the fleet {}", draft.name, checked.fleet),
        ),
        (
            "parties",
            list(draft.parties.iter().map(|party| &party.name)),
        ),
        ("program", packed),
        ("MPyC", draft.mpyc.version.clone()),
        ("may start", ends),
    ];
    let notes = checked.notes();
    rows.extend(labelled("note", notes.iter().cloned()));
    let file = word(path);
    let text = format!(
        "{}No problems. Sign it with `e3 session sign {file}`.\n",
        text(&rows)
    );
    let json = json!({
        "file": crate::output::named(path),
        "problems": [],
        "name": draft.name,
        "fleet": checked.fleet,
        "parties": draft.parties,
        "program": { "digest": pack, "size": program.bytes.len(), "entry": program.entry, "skipped": program.skipped },
        "mpyc": draft.mpyc.version,
        "notes": notes,
    });
    Ok(Answer::new(text, json))
}
