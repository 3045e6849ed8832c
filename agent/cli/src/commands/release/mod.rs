//! `e3 release`: from built agents to a head that names them.
//!
//! - [`elf`]: which processor a binary is for, and whether it stands alone.
//! - [`bundle`]: a release as it goes from one release key to the next, and to the hub.
//! - [`sign`], [`show`], [`push`]: the commands. Signing and showing a file need no network.

pub mod bundle;
pub mod elf;
pub mod push;
pub mod show;
pub mod sign;

use std::collections::BTreeSet;

use e3_client::human;
use e3_core::document::{Release, Role};
use e3_core::envelope::Envelope;
use e3_core::key::PublicKey;
use e3_core::time::Time;
use serde_json::{Value, json};

use crate::args::{Global, ReleaseCommand};
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::manifest::summary::{Row, labelled};
use crate::manifest::text::count;
use crate::output::{Answer, Output};

pub(super) async fn run(
    command: &ReleaseCommand,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    match command {
        ReleaseCommand::Sign(args) => sign::run(args, &folder(global)?),
        ReleaseCommand::Show(args) => show::run(args, global).await,
        ReleaseCommand::Push(args) => push::run(args, global, output).await,
    }
}

/// The fleet's folder. Nothing is asked of its hub.
fn folder(global: &Global) -> Result<Fleet, Error> {
    let start = std::env::current_dir();
    let start = start.map_err(|source| Error::Folder {
        action: "find",
        path: ".".into(),
        source,
    })?;
    let folder = Fleet::find(global.fleet.as_deref(), &start)?;
    Ok(Fleet::open(&folder)?)
}

/// What a release would install and who has signed it, for the person who is about to sign it.
fn rows(release: &Release, envelope: &Envelope, role: &Role, now: Time) -> Vec<Row> {
    let Release {
        fleet,
        epoch,
        counter,
        version,
        expires,
        ..
    } = release;
    let until = if *expires <= now {
        format!("expired at {expires}: no machine installs it")
    } else {
        format!("until {expires}")
    };
    let mut rows = vec![
        (
            "release",
            format!("{version} for the fleet {fleet}, epoch {epoch}, counter {counter}"),
        ),
        ("document", envelope.digest().to_string()),
        ("valid", until),
    ];
    let binaries = release.binaries.iter().map(|binary| {
        let size = human::binary(binary.file.size);
        format!("{}, {size}, {}", binary.target, binary.file.digest)
    });
    rows.extend(labelled("agents", binaries));
    rows.extend(labelled("signatures", signatures(envelope, role)));
    rows
}

fn signers(envelope: &Envelope, role: &Role) -> BTreeSet<PublicKey> {
    envelope.signers(&role.keys)
}

fn signatures(envelope: &Envelope, role: &Role) -> Vec<String> {
    let signers = signers(envelope, role);
    let state = if signers.len() >= role.threshold {
        "enough"
    } else {
        "not enough"
    };
    let have = signers.len();
    let mut lines = vec![format!(
        "{have} of {} that the fleet asks for, {state}",
        role.threshold
    )];
    lines.extend(signers.iter().map(ToString::to_string));
    let worthless = envelope.signature_count().saturating_sub(have);
    if worthless > 0 {
        let signatures = count(worthless, "signature");
        lines.push(format!(
            "{signatures} of keys that are no release keys of the fleet, or broken"
        ));
    }
    lines
}

fn json_of(release: &Release, envelope: &Envelope, role: &Role, now: Time) -> Value {
    let signers = signers(envelope, role);
    json!({
        "release": release,
        "digest": envelope.digest(),
        "expired": release.expires <= now,
        "signatures": {
            "complete": signers.len() >= role.threshold,
            "signers": signers,
            "threshold": role.threshold,
        },
    })
}
