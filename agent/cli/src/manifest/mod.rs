//! The manifest that a person writes, in TOML, and the way from it to a signed session.
//!
//! | where | what |
//! |---|---|
//! | [`read`] | the text → a [`draft::Draft`], or every problem at once |
//! | [`section`], [`problem`], [`units`], [`text`] | what reading is made of |
//! | [`parties`], [`runtime`], [`bounds`] | the parts of the file |
//! | [`template`] | a commented manifest to start from |
//! | [`draft`] | a session before signing, from TOML or from code |
//! | [`bundle`] | a signed session with its program and MPyC, as a folder |
//! | [`consent`] | who has signed, and whose signature is missing |
//! | [`summary`] | a session for people, before and after signing |
//!
//! Packing programs is left to [`crate::program`], finding MPyC to [`crate::index`].

pub mod bounds;
pub mod bundle;
pub mod consent;
pub mod draft;
pub mod error;
pub mod parties;
pub mod problem;
pub mod read;
pub mod runtime;
pub mod section;
pub mod summary;
pub mod template;
pub mod text;
pub mod units;

#[cfg(test)]
mod tests;

use std::path::Path;

use e3_client::files::read_bounded;
use e3_core::digest::Blob;
use e3_core::document::{DocumentError, Session};
use e3_core::limits;
use e3_core::name::Name;
use e3_core::time::Time;

use crate::fleet_file::View;
use crate::index::{self, Wheel};
use crate::program::{self, Packed, Part};
use draft::Draft;
pub use error::ManifestError;
use problem::Problems;

/// Bytes in a manifest: far more than 64 parties with all arguments need.
pub const MANIFEST: usize = 256 * 1024;

/// A manifest without problems, with its program packed. Only MPyC is not resolved yet.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The session before signing.
    pub draft: Draft,
    /// The program.
    pub program: Packed,
    /// The fleet.
    pub fleet: Name,
    /// The epoch of its newest root.
    pub epoch: u64,
}

/// Reads and checks the manifest in `path`, and packs its program.
pub fn check(path: &Path, fleet: &View, now: Time) -> Result<Checked, ManifestError> {
    let bytes = read_bounded(path, MANIFEST).map_err(|error| match error {
        error if error.is_not_found() => ManifestError::NotFound {
            path: path.to_owned(),
        },
        _ if bundle::Bundle::is_at(path) => ManifestError::Signed {
            path: path.to_owned(),
        },
        error => error.into(),
    })?;
    let file = path.display().to_string();
    let folder = path.parent().unwrap_or(Path::new(""));
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
            let mut problems = Problems::new(&file, &text);
            problems.add(
                &(at..at + 1),
                "this is not a text in UTF-8",
                "",
                "save the file as UTF-8",
            );
            return Err(problems.into());
        }
    };
    Ok(check_text(&file, &text, folder, fleet, now)?)
}

/// The same for a text; `file` is what messages call it, and relative paths start at `folder`.
pub fn check_text(
    file: &str,
    text: &str,
    folder: &Path,
    fleet: &View,
    now: Time,
) -> Result<Checked, Problems> {
    let (mut problems, places, draft) = read::read(file, text, folder, fleet, now);
    let program = places.program.as_ref().and_then(|program| {
        let data = places
            .data
            .iter()
            .map(|data| (data.value.clone(), folder.join(&data.value)))
            .collect::<Vec<_>>();
        let entry = places.entry.as_ref().map(|entry| entry.value.as_str());
        match program::pack(&folder.join(&program.value), entry, &data) {
            Ok(packed) => Some(packed),
            Err(errors) => {
                for error in errors {
                    let at = match error.part {
                        Part::Program => &program.at,
                        Part::Entry => places.entry.as_ref().map_or(&program.at, |entry| &entry.at),
                        Part::Data(index) => {
                            places.data.get(index).map_or(&program.at, |data| &data.at)
                        }
                    };
                    problems.add(at, error.message, error.expected, error.remedy);
                }
                None
            }
        }
    });
    if let (Some(wheel), Some(draft)) = (&places.wheel, &draft)
        && let Err(error) = index::local(&folder.join(&wheel.value), &draft.mpyc)
    {
        problems.add(&wheel.at, error.message(), "", error.remedy());
    }
    match (draft, program) {
        (Some(draft), Some(program)) if problems.is_empty() => {
            let checked = Checked {
                draft,
                program,
                fleet: fleet.name.clone(),
                epoch: fleet.epoch,
            };
            checked.fits(&mut problems, now);
            problems.finish().map(|()| checked)
        }
        _ => {
            problems.finish()?;
            // Every way here has been reported above; should one be forgotten, nothing gets signed.
            let mut problems = Problems::new(file, text);
            problems.missing(
                "this manifest cannot be used",
                "compare it with what `e3 session new` writes",
            );
            Err(problems)
        }
    }
}

impl Checked {
    /// The document to sign, on the MPyC that was found.
    pub fn session(&self, wheel: &Wheel, now: Time) -> Result<Session, DocumentError> {
        self.session_on((&wheel.file, wheel.blob()), now)
    }

    fn session_on(&self, mpyc: (&str, Blob), now: Time) -> Result<Session, DocumentError> {
        let program = (Blob::of(&self.program.bytes), self.program.entry.as_str());
        self.draft
            .session((&self.fleet, self.epoch), program, mpyc, now)
    }

    /// What is unusual enough to be said, though nothing is wrong.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let parties = self.draft.parties.len();
        let threshold = self
            .draft
            .mpyc
            .threshold
            .unwrap_or((parties.max(1) - 1) / 2);
        if threshold == 0 {
            notes.push(if parties < 3 {
                "With fewer than three parties MPyC hides nothing: each party can find the others' inputs.".to_owned()
            } else {
                "With threshold 0 MPyC hides nothing: each party can find the others' inputs.".to_owned()
            });
        }
        if !self.draft.mpyc.tls && parties > 1 {
            notes.push(
                "Without TLS the programs' messages are as safe as the mesh they run over."
                    .to_owned(),
            );
        }
        if !self.program.skipped.is_empty() {
            notes.push(format!(
                "Not packed: {}.",
                text::list(self.program.skipped.iter().map(|path| text::shown(path)))
            ));
        }
        notes
    }

    /// The checks of the document itself, and that its envelope will not be too large to be read.
    fn fits(&self, problems: &mut Problems, now: Time) {
        let file = format!("mpyc-{}-py3-none-any.whl", self.draft.mpyc.version);
        match self.session_on((&file, Blob::of(b"")), now) {
            Err(error) => problems.missing(
                error.to_string(),
                "compare it with what `e3 session new` writes",
            ),
            Ok(session) => {
                let size = serde_json::to_vec(&session).map_or(usize::MAX, |bytes| bytes.len());
                // Base64 takes a third more; a signature with its hint about 200 bytes.
                if size.saturating_mul(4) / 3 + limits::SIGNATURES * 200 + 1024 > limits::ENVELOPE {
                    let remedy = "put long arguments into a file, and the file into `data`";
                    problems.missing("the manifest is too large to be signed", remedy);
                }
            }
        }
    }
}
