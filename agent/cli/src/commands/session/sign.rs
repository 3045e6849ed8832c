//! `e3 session sign`: from a manifest to a signed bundle, or one more signature on a bundle.
//!
//! One file at a time, and without a network if MPyC's wheel is local or was fetched before. Owners
//! sign copies in any order; merging them gives the same envelope.

use std::path::{Path, PathBuf};

use e3_client::files::read_key;
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::time::Time;
use serde_json::json;

use crate::fleet_file::View;
use crate::index::{Sources, Wheel, resolve};
use crate::manifest::bundle::{Bundle, BundleError};
use crate::manifest::consent::Signed;
use crate::manifest::summary::{labelled, text};
use crate::manifest::text::{count, list, word};
use crate::manifest::{Checked, ManifestError, check};
use crate::output::Answer;

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// A manifest, a bundle, or an envelope.
    pub file: PathBuf,
    /// The bundle to write for a manifest; `NAME.session` beside it if nothing is said.
    pub output: Option<PathBuf>,
    /// The file of the key to sign with. Only merging needs none.
    pub key: Option<PathBuf>,
    /// Other copies of the same bundle, whose signatures are taken over.
    pub merge: Vec<PathBuf>,
}

/// Signs.
pub async fn run(
    options: &Options,
    fleet: &View,
    sources: &Sources,
    now: Time,
) -> Result<Answer, ManifestError> {
    let key = options.key.as_deref().map(read_key).transpose()?;
    if Bundle::is_at(&options.file) {
        return add(&options.file, key.as_ref(), &options.merge, fleet, now);
    }
    let key = key.ok_or(ManifestError::NothingToDo)?;
    is_signer(&key, fleet)?;
    let checked = check(&options.file, fleet, now)?;
    let path = options
        .output
        .clone()
        .unwrap_or_else(|| beside(&options.file, &checked));
    // Said before anything is fetched.
    if path.symlink_metadata().is_ok() {
        return Err(BundleError::Exists { path }.into());
    }
    let wheel = resolve(&checked.draft.mpyc, sources).await?;
    let mut bundle = create(&checked, &wheel, &key, &path, now)?;
    let merged = merge(&mut bundle, &options.merge)?;
    if merged > 0 {
        bundle.save()?;
    }
    Ok(answer(&bundle, fleet, "Signed", merged, &checked.notes()))
}

/// Signs a checked manifest and writes its bundle into the folder `path`, which must not exist.
pub fn create(
    checked: &Checked,
    wheel: &Wheel,
    key: &SecretKey,
    path: &Path,
    now: Time,
) -> Result<Bundle, ManifestError> {
    let session = checked.session(wheel, now)?;
    let envelope = Envelope::sign(&session, &[key])?;
    Ok(Bundle::create(
        path,
        session,
        envelope,
        &checked.program.bytes,
        wheel,
    )?)
}

/// Adds signatures to the bundle or envelope at `path`: the key's own, and those of other copies.
pub fn add(
    path: &Path,
    key: Option<&SecretKey>,
    others: &[PathBuf],
    fleet: &View,
    now: Time,
) -> Result<Answer, ManifestError> {
    if key.is_none() && others.is_empty() {
        return Err(ManifestError::NothingToDo);
    }
    let mut bundle = Bundle::open(path)?;
    let session = &bundle.session;
    if session.fleet != fleet.name {
        return Err(ManifestError::OtherFleet {
            expected: fleet.name.clone(),
            found: session.fleet.clone(),
        });
    }
    if session.epoch != fleet.epoch {
        return Err(ManifestError::OtherEpoch {
            current: fleet.epoch,
            found: session.epoch,
        });
    }
    if session.expires <= now {
        return Err(ManifestError::Expired {
            expired: session.expires,
        });
    }
    // Whoever signs what lies in a folder believes that this is what the manifest names.
    if bundle.is_folder() {
        bundle.files()?;
        bundle.wheel()?;
    }
    if let Some(key) = key {
        is_signer(key, fleet)?;
    }
    let merged = merge(&mut bundle, others)?;
    let signed = key.map(|key| bundle.add_signature(key)).transpose()?;
    if merged > 0 || signed == Some(true) {
        bundle.save()?;
    }
    let what = match signed {
        Some(true) => "Signed",
        Some(false) => "This key had signed already:",
        None => "Merged the signatures of",
    };
    Ok(answer(&bundle, fleet, what, merged, &[]))
}

/// Rule 9: a key that is not in the session role signs for nothing.
fn is_signer(key: &SecretKey, fleet: &View) -> Result<(), ManifestError> {
    let key = key.public();
    if fleet.session.keys.contains(&key) {
        Ok(())
    } else {
        Err(ManifestError::NotASigner {
            key,
            fleet: fleet.name.clone(),
        })
    }
}

/// How many signatures came in. The bundle is saved by whoever changes it last.
fn merge(bundle: &mut Bundle, others: &[PathBuf]) -> Result<usize, ManifestError> {
    let mut merged = 0;
    for other in others {
        merged += bundle.merge(&Bundle::open(other)?)?;
    }
    Ok(merged)
}

fn beside(manifest: &Path, checked: &Checked) -> PathBuf {
    manifest.with_file_name(format!("{}.session", checked.draft.name))
}

fn answer(bundle: &Bundle, fleet: &View, what: &str, merged: usize, notes: &[String]) -> Answer {
    let signed = Signed::of(&bundle.envelope, &bundle.session, &fleet.session);
    let path = word(&bundle.path);
    let mut rows = vec![
        ("bundle", bundle.path.display().to_string()),
        ("manifest", bundle.manifest().to_string()),
    ];
    rows.extend(labelled("signatures", signed.lines()));
    rows.extend(labelled("note", notes.iter().cloned()));
    let next = if signed.is_complete() {
        format!("Publish it with `e3 session push {path}`.")
    } else if signed.missing.is_empty() {
        format!(
            "Hand it to the other signers; each runs `e3 session show {path}`, then `e3 session sign {path}`."
        )
    } else {
        let owners = list(signed.missing.iter().flat_map(|(_, parties)| parties));
        format!(
            "Hand it to whoever owns {owners}; each runs `e3 session show {path}`, then `e3 session sign {path}`."
        )
    };
    let took = if merged > 0 {
        format!(" Took over {}.", count(merged, "signature"))
    } else {
        String::new()
    };
    let text = format!(
        "{what} {}.{took}\n{}{next}\n",
        bundle.session.name,
        text(&rows)
    );
    let json = json!({
        "bundle": crate::output::named(&bundle.path),
        "name": bundle.session.name,
        "counter": bundle.session.counter,
        "manifest": bundle.manifest(),
        "merged": merged,
        "signatures": signed.json(),
        "notes": notes,
    });
    Answer::new(text, json)
}
