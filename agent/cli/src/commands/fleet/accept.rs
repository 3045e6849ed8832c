//! `e3 fleet accept`: machines that have enrolled become parties of fleet.toml, so that manifests
//! can call them by name.

use std::fmt::Write as _;

use e3_core::name::Name;
use serde_json::json;

use super::{Enrolled, OpenFleet, Stale, Standing, enrolled};
use crate::args::{FleetAccept, Global};
use crate::error::Error;
use crate::fleet_file::Member;
use crate::output::Answer;

/// Adds the parties of these names, or with `None` every new one, and returns those that were added.
///
/// A machine that takes the place of another one of its name must be named: `--all` never does that.
pub async fn accept(fleet: &mut OpenFleet, names: Option<&[Name]>) -> Result<Vec<Member>, Error> {
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
    for member in &added {
        fleet.file.set_party(member.clone());
    }
    if !added.is_empty() {
        fleet.file.save()?;
    }
    Ok(added)
}

fn newest<'a>(parties: &'a [Enrolled], name: &Name) -> Result<&'a Enrolled, Error> {
    let known = || parties.iter().filter(|p| p.enrolled.is_some());
    known().find(|p| p.member.name == *name).ok_or_else(|| {
        let names = known().map(|p| p.member.name.to_string()).collect();
        Error::NoSuchParty(name.to_string(), names)
    })
}

pub(super) async fn run(args: &FleetAccept, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    fleet.sync(Stale::Allow).await?;
    let names = (!args.all).then_some(args.names.as_slice());
    let added = accept(&mut fleet, names).await?;
    let mut text = String::new();
    for member in &added {
        let _ = writeln!(text, "{} is a party now: {}", member.name, member.key);
    }
    if added.is_empty() {
        text.push_str("Nobody new: fleet.toml has them all.\n");
    }
    let parties: Vec<_> = added
        .iter()
        .map(|m| json!({"name": m.name, "key": m.key, "owner": m.owner}))
        .collect();
    Ok(Answer::new(text, json!({"accepted": parties})))
}
