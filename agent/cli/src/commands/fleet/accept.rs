//! `e3 fleet accept`: machines that have enrolled become parties of fleet.toml, so that manifests
//! can call them by name, and are let in where the fleet meets.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use e3_core::key::PublicKey;
use e3_core::name::Name;
use serde_json::json;

use super::{Enrolled, OpenFleet, Stale, Standing, enrolled, folder};
use crate::args::{FleetAccept, Global};
use crate::commands::key;
use crate::commands::mesh::admit::{self, Admitted};
use crate::error::Error;
use crate::fleet_file::Member;
use crate::output::{Answer, Output};

/// For how long a certificate is good that is signed here, in seconds.
const CERTIFICATE: u64 = 90 * 86_400;
/// A machine that has just enrolled is given this time to say which keys it has.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at what it says.
const LOOK: Duration = Duration::from_millis(200);

/// Adds the parties of these names, or with `None` every new one, and returns those that were added.
///
/// A machine that takes the place of another one of its name must be named: `--all` never does that.
pub async fn accept(fleet: &mut OpenFleet, names: Option<&[Name]>) -> Result<Vec<Member>, Error> {
    let added = chosen(fleet, names).await?;
    for member in &added {
        fleet.file.set_party(member.clone());
    }
    if !added.is_empty() {
        fleet.file.save()?;
    }
    Ok(added)
}

/// Whom that would add.
async fn chosen(fleet: &OpenFleet, names: Option<&[Name]>) -> Result<Vec<Member>, Error> {
    let (parties, _) = enrolled(fleet).await?;
    let mut added = Vec::new();
    match names {
        None => added.extend(
            parties
                .iter()
                .filter(|p| p.standing == Standing::New)
                .map(|p| p.member.clone()),
        ),
        Some(names) => {
            for name in names {
                let party = newest(&parties, name)?;
                match party.standing {
                    Standing::New | Standing::OtherKey => added.push(party.member.clone()),
                    Standing::Accepted => {}
                    Standing::OtherName | Standing::NotEnrolled => {
                        return Err(Error::Usage {
                            message: format!(
                                "the machine `{name}` is in fleet.toml under another name"
                            ),
                            remedy: "Rename it there, or remove it and accept it again.",
                        });
                    }
                }
            }
        }
    }
    // Two machines of one name have enrolled: `--all` takes the one that came last.
    let mut seen = std::collections::BTreeSet::new();
    added.retain(|member: &Member| seen.insert(member.name.clone()));
    Ok(added)
}

/// What the person compares with the machines' own screens before anything is changed.
fn question(fleet: &OpenFleet, members: &[Member]) -> String {
    let mut text = String::new();
    for member in members {
        let mut known = fleet.file.parties.iter();
        let replaces = known.any(|other| other.name == member.name);
        let note = if replaces {
            "\n  in place of another machine of this name"
        } else {
            ""
        };
        let (words, key) = (member.key.words(), &member.key);
        let _ = writeln!(text, "{}\n  {words}\n  {key}{note}", member.name);
    }
    let shows = match members {
        [member] => format!("{} shows", member.name),
        _ => "each machine shows".to_owned(),
    };
    text + &format!(
        "The words stand on a machine's console, and in `e3-agent status`; `e3 party identify` has it show that it is the one.\n\
         Does it hold that {shows} the same words?"
    )
}

/// Asks before the file is locked: other commands do not wait for a person. Returns whom the person has agreed to.
async fn agreed(
    names: Option<&[Name]>,
    global: &Global,
    output: &Output,
) -> Result<Vec<PublicKey>, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    fleet.sync(Stale::Allow).await?;
    let members = chosen(&fleet, names).await?;
    if members.is_empty() {
        return Ok(Vec::new());
    }
    let instead =
        "Compare the words of `e3 fleet pending` with those on the machines, then say --yes.";
    if output.agree(&question(&fleet, &members), instead).await? {
        Ok(members.iter().map(|member| member.key).collect())
    } else {
        Err(Error::Usage {
            message: "nobody is accepted".to_owned(),
            remedy: "A machine that is not yours is turned away with `e3 fleet deny NAME`.",
        })
    }
}

fn newest<'a>(parties: &'a [Enrolled], name: &Name) -> Result<&'a Enrolled, Error> {
    let known = || parties.iter().filter(|p| p.enrolled.is_some());
    known().find(|p| p.member.name == *name).ok_or_else(|| {
        let names = known().map(|p| p.member.name.to_string()).collect();
        Error::NoSuchParty(name.to_string(), names)
    })
}

pub(super) async fn run(
    args: &FleetAccept,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    let names = (!args.all).then_some(args.names.as_slice());
    let agreed = if args.yes {
        None
    } else {
        Some(agreed(names, global, output).await?)
    };
    let lock = folder(global.fleet.as_deref())?.lock()?;
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    fleet.sync(Stale::Allow).await?;
    if let Some(agreed) = agreed {
        let members = chosen(&fleet, names).await?;
        if members.iter().any(|member| !agreed.contains(&member.key)) {
            return Err(Error::Usage {
                message: "another machine has come to the door meanwhile".to_owned(),
                remedy: "Look at `e3 fleet pending`, and accept again.",
            });
        }
    }
    let before = fleet.file.parties.clone();
    let added = accept(&mut fleet, names).await?;
    // What follows only reads the file, and may wait for machines.
    drop(lock);
    let mut text = String::new();
    for member in &added {
        let words = member.key.words();
        let _ = writeln!(
            text,
            "{} is a party now: {}\n  {words}",
            member.name, member.key
        );
    }
    if added.is_empty() {
        text.push_str("Nobody new: fleet.toml has them all.\n");
    }
    let parties: Vec<_> = added
        .iter()
        .map(|m| json!({"name": m.name, "key": m.key, "words": m.key.words(), "owner": m.owner}))
        .collect();
    let mut json = json!({"accepted": parties});
    let now = &fleet.file.parties;
    let is_gone = |member: &&Member| !now.iter().any(|other| other.key == member.key);
    let gone: Vec<PublicKey> = before
        .iter()
        .filter(is_gone)
        .map(|member| member.key)
        .collect();
    match meet(&mut fleet, args, &gone).await {
        Ok(admitted) => {
            json["let_in"] = json!(admitted.names);
            json["refused"] = json!(admitted.refused);
            for why in &admitted.refused {
                let _ = writeln!(text, "\nwarning: {why}");
            }
            if let Some(waits) = &admitted.waits {
                json["waiting"] = waits.json();
                text += &waits.text();
            }
        }
        // They are in fleet.toml all the same, and whoever can may do the rest.
        Err(error) if !added.is_empty() && is_for_others(&error) => {
            let _ = writeln!(text, "\nwarning: they do not meet the others yet: {error}");
            if let Some(remedy) = error.remedy() {
                let _ = writeln!(text, "  remedy: {remedy} Then: `e3 mesh sign`.");
            }
            json["let_in"] = json!([]);
            json["error"] = json!({"kind": error.kind(), "message": error.to_string()});
        }
        Err(error) => return Err(error),
    }
    Ok(Answer::new(text, json))
}

/// Lets everybody of fleet.toml in where the fleet meets, with one head, and puts out whom another machine has replaced.
async fn meet(
    fleet: &mut OpenFleet,
    args: &FleetAccept,
    gone: &[PublicKey],
) -> Result<Admitted, Error> {
    let parties = heard(fleet).await?;
    let seconds = admit::signs_certificates(fleet)?.then_some(CERTIFICATE);
    let (is_needed, outlook) = admit::outlook(fleet, &parties, gone)?;
    if !is_needed && seconds.is_none() {
        return Ok(outlook);
    }
    let key = key::read(args.key.as_deref())?;
    admit::everybody(fleet, &key, &parties, gone, seconds).await
}

/// Everybody, once those who have just come have said what they have to say, or a few seconds are over.
async fn heard(fleet: &OpenFleet) -> Result<Vec<Enrolled>, Error> {
    let lists = fleet.head()?.meshes.iter();
    let lists = lists.filter(|plan| plan.backend.roster().is_some());
    let lists: Vec<_> = lists.map(|plan| plan.backend.name()).collect();
    let end = Instant::now() + PATIENCE;
    loop {
        let (parties, _) = enrolled(fleet).await?;
        let mut accepted = parties
            .iter()
            .filter(|party| party.standing == Standing::Accepted);
        let waits = accepted.any(|party| lists.iter().any(|mesh| admit::is_expected(party, mesh)));
        if !waits || Instant::now() > end {
            return Ok(parties);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether what is left to do is others' business: the owner's key is not here, or does not suffice.
const fn is_for_others(error: &Error) -> bool {
    matches!(
        error,
        Error::NoKey { .. } | Error::NotAllowed { .. } | Error::MoreSignatures { .. }
    )
}
