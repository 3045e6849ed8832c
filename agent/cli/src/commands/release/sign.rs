//! `e3 release sign`: from built agents to a signed release, or one more signature on one.
//!
//! One folder at a time and without a network, so that release keys can stay offline; copies are
//! signed in any order, and merging them gives the same envelope.

use std::path::PathBuf;

use e3_client::clock;
use e3_client::files::{read_bounded, read_key};
use e3_core::digest::Blob;
use e3_core::document::{Binary, Release, Root};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::limits;

use super::bundle::ReleaseBundle;
use super::{elf, json_of, rows, signers};
use crate::args::ReleaseSign;
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::manifest::summary::text;
use crate::manifest::text::{count, word};
use crate::output::Answer;

pub(super) fn run(args: &ReleaseSign, fleet: &Fleet) -> Result<Answer, Error> {
    let root = fleet.newest_root()?.document;
    let is_new = !args.binaries.is_empty();
    let key = (!args.no_sign).then(|| key(args, fleet)).transpose()?;
    if let Some(key) = key.as_ref().map(SecretKey::public)
        && !root.release.keys.contains(&key)
    {
        return Err(Error::NotAllowed {
            key: key.to_string(),
            role: "releases",
        });
    }
    let (bundle, merged) = match (is_new, key.as_ref()) {
        (true, Some(key)) => (create(args, &root, key)?, 0),
        _ => add(args, &root, key.as_ref())?,
    };
    let now = clock::now();
    let role = &root.release;
    let path = word(&bundle.path);
    let next = if signers(&bundle.envelope, role).len() >= role.threshold {
        format!("Publish it with `e3 release push {path}`.")
    } else {
        format!(
            "Hand it to the other holders of release keys; each runs `e3 release show {path}`, then `e3 release sign {path}`."
        )
    };
    let took = if merged > 0 {
        format!(" Took over {}.", count(merged, "signature"))
    } else {
        String::new()
    };
    let what = if key.is_some() { "Signed" } else { "Merged" };
    let text = format!(
        "{what} {}.{took}\n{}{next}\n",
        bundle.path.display(),
        text(&rows(&bundle.release, &bundle.envelope, role, now))
    );
    let mut json = json_of(&bundle.release, &bundle.envelope, role, now);
    json["path"] = bundle.path.display().to_string().into();
    json["merged"] = merged.into();
    Ok(Answer::new(text, json))
}

fn key(args: &ReleaseSign, fleet: &Fleet) -> Result<SecretKey, Error> {
    let path: PathBuf = match &args.key {
        Some(path) => path.clone(),
        None => fleet.folder.join("keys/release.pem"),
    };
    match read_key(&path) {
        Err(error) if error.is_not_found() => Err(Error::NoKey { path }),
        other => Ok(other?),
    }
}

fn create(args: &ReleaseSign, root: &Root, key: &SecretKey) -> Result<ReleaseBundle, Error> {
    let now = clock::now();
    let limit = usize::try_from(limits::AGENT).unwrap_or(usize::MAX);
    let mut files = Vec::new();
    for path in &args.binaries {
        let bytes = read_bounded(path, limit)?;
        let target = elf::target(&bytes).map_err(|error| Error::Usage {
            message: format!("{} cannot be released: {error}", path.display()),
            remedy: "Build the agent for x86_64-unknown-linux-musl or aarch64-unknown-linux-musl.",
        })?;
        files.push((target.to_owned(), bytes));
    }
    let binary = |(target, bytes): &(String, Vec<u8>)| Binary {
        target: target.clone(),
        file: Blob::of(bytes),
    };
    let release = Release {
        fleet: root.fleet.clone(),
        epoch: root.epoch,
        counter: args
            .counter
            .unwrap_or_else(|| u64::try_from(now.unix()).unwrap_or(1).max(1)),
        version: args.version.clone().unwrap_or_default(),
        signed: now,
        expires: now.plus(u64::from(args.days) * 86_400),
        binaries: files.iter().map(binary).collect(),
    };
    let envelope = Envelope::sign(&release, &[key]).map_err(|source| Error::Document {
        what: "release",
        source,
    })?;
    ReleaseBundle::create(&args.release, release, envelope, &files)
}

fn add(
    args: &ReleaseSign,
    root: &Root,
    key: Option<&SecretKey>,
) -> Result<(ReleaseBundle, usize), Error> {
    if args.release.symlink_metadata().is_err() {
        return Err(Error::Usage {
            message: format!("there is no release at {}", args.release.display()),
            remedy: "Make one with --binary FILE and --version VERSION.",
        });
    }
    let mut bundle = ReleaseBundle::open(&args.release)?;
    let release = &bundle.release;
    if (&release.fleet, release.epoch) != (&root.fleet, root.epoch) {
        return Err(Error::Usage {
            message: format!(
                "the release is for the fleet {}, epoch {}; this is {}, epoch {}",
                release.fleet, release.epoch, root.fleet, root.epoch
            ),
            remedy: "Give the folder of its fleet with --fleet, or make the release again.",
        });
    }
    // Whoever signs what lies in a folder believes that this is what the release names.
    if bundle.is_folder() {
        for binary in &bundle.release.binaries {
            bundle.binary(binary)?;
        }
    }
    let mut merged = 0;
    for other in &args.merge {
        merged += bundle.merge(&ReleaseBundle::open(other)?)?;
    }
    if let Some(key) = key {
        bundle.envelope.add_signature(key);
    }
    bundle.save()?;
    Ok((bundle, merged))
}
