//! `e3 mesh sign`: lets in each party of fleet.toml whose presence names a key that has no place in the mesh yet: by a
//! certificate, again before that ends, or by the head's own list of members.
//!
//! `e3 fleet accept` does the same for whoever is accepted. What is left are machines that had no key then, certificates that
//! end, meshes that are chosen later, and one more signature on certificates where one is not enough.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use e3_core::key::SecretKey;

use super::admit::{self, Admitted};
use super::grants;
use super::waiting::Waiting;
use crate::args::{Global, MeshSign};
use crate::commands::fleet::{OpenFleet, Stale, enrolled};
use crate::commands::key;
use crate::error::Error;
use crate::output::{Answer, Output};

/// Between two looks of `--watch`.
const LOOK: Duration = Duration::from_secs(2);

pub(super) async fn run(
    args: &MeshSign,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    if !args.files.is_empty() {
        return one_more(&mut fleet, &key, &args.files).await;
    }
    let mut all = Admitted::default();
    loop {
        match round(&mut fleet, &key, args.seconds).await {
            Ok(admitted) => {
                for name in &admitted.names {
                    say(output, &format!("{name} is let in"));
                }
                for why in admitted.refused.difference(&all.refused) {
                    say(output, &format!("not let in: {why}"));
                }
                if let Some(waits) = admitted
                    .waits
                    .as_ref()
                    .filter(|it| all.waits.as_ref() != Some(*it))
                {
                    say(output, waits.text().trim_end());
                }
                all.add(admitted);
            }
            Err(Error::Hub(error)) if args.watch && error.is_passing() => {
                say(output, &format!("the hub does not answer: {error}"));
            }
            Err(error) => return Err(error),
        }
        if !args.watch {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    let mut text = String::new();
    if all.names.is_empty() && all.refused.is_empty() && all.waits.is_none() {
        text.push_str("Nobody waits to be let in.\n");
    }
    text += &all.text();
    Ok(Answer::new(text, all.json()))
}

/// One more signature on certificates that another signer has made.
async fn one_more(
    fleet: &mut OpenFleet,
    key: &SecretKey,
    files: &[PathBuf],
) -> Result<Answer, Error> {
    let mut all: Option<Waiting> = None;
    for file in files {
        let more = Waiting::read(file)?;
        match &mut all {
            Some(all) => all.merge(more),
            None => all = Some(more),
        }
    }
    fleet.sync(Stale::Allow).await?;
    let (parties, _) = enrolled(fleet).await?;
    let admitted = match all {
        Some(all) => grants::join(fleet, key, &parties, all).await?,
        None => Admitted::default(),
    };
    Ok(Answer::new(admitted.text(), admitted.json()))
}

/// A line of progress.
fn say(output: &Output, line: &str) {
    if !output.is_quiet() && !output.is_json() {
        let _ = writeln!(std::io::stderr(), "{line}");
    }
}

/// Lets in everybody who waits now.
async fn round(fleet: &mut OpenFleet, key: &SecretKey, seconds: u64) -> Result<Admitted, Error> {
    fleet.sync(Stale::Allow).await?;
    if fleet.head()?.meshes.is_empty() {
        return Err(Error::Usage {
            message: "the fleet has no mesh".to_owned(),
            remedy: "Choose one: `e3 mesh link`, or see `e3 mesh --help`.",
        });
    }
    let (parties, _) = enrolled(fleet).await?;
    admit::everybody(fleet, key, &parties, &[], Some(seconds)).await
}
