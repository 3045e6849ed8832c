//! `e3 fleet pending` and `e3 fleet deny`: the machines at the door.
//!
//! A machine shows its key in words on its console and in `e3-agent status`; whoever has both in view
//! knows that the machine at the door is the one at hand.

use std::fmt::Write as _;

use serde_json::json;

use super::revoke::withdraw;
use super::{Enrolled, OpenFleet, Stale, Standing, enrolled};
use crate::args::{FleetDeny, Global};
use crate::commands::key;
use crate::error::Error;
use crate::output::Answer;
use crate::output::table::seconds;

const fn waits(party: &Enrolled) -> bool {
    matches!(party.standing, Standing::New | Standing::OtherKey)
}

pub(super) async fn run(global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    fleet.sync(Stale::Allow).await?;
    let (parties, refused) = enrolled(&fleet).await?;
    let now = fleet.now();
    let mut text = String::new();
    let mut waiting = Vec::new();
    for party in parties.iter().filter(|party| waits(party)) {
        let member = &party.member;
        let words = member.key.words();
        let since = party.enrolled.map(|(time, _)| time);
        let ago = since.map_or(String::new(), |time| {
            format!(", enrolled {} ago", seconds(now.since(time)))
        });
        let replaces = party.standing == Standing::OtherKey;
        let note = if replaces {
            "\n  fleet.toml has another machine of this name, which it would replace"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "{}{ago}\n  {words}\n  {}{note}",
            member.name, member.key
        );
        waiting.push(json!({
            "name": member.name, "key": member.key, "words": words, "owner": member.owner,
            "enrolled": since, "replaces": replaces,
        }));
    }
    if waiting.is_empty() {
        text.push_str("Nobody waits.\n");
    } else {
        text.push_str(
            "\nA machine shows the same words on its console, and in `e3-agent status`.\n\
             Then:  e3 fleet accept NAME   or  e3 fleet deny NAME\n",
        );
    }
    for warning in &refused {
        let _ = writeln!(text, "\nwarning: {warning}");
    }
    Ok(Answer::new(
        text,
        json!({"pending": waiting, "warnings": refused}),
    ))
}

pub(super) async fn deny(args: &FleetDeny, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    fleet.sync(Stale::Allow).await?;
    let (parties, _) = enrolled(&fleet).await?;
    let mut denied = Vec::new();
    for name in &args.names {
        let found: Vec<_> = parties
            .iter()
            .filter(|party| waits(party) && party.member.name == *name)
            .collect();
        if found.is_empty() {
            let names = parties.iter().filter(|party| waits(party));
            let names = names.map(|party| party.member.name.to_string()).collect();
            return Err(Error::NoSuchParty(name.to_string(), names));
        }
        denied.extend(found);
    }
    let mut text = String::new();
    for party in &denied {
        if let Some((_, invite)) = party.enrolled {
            withdraw(&fleet, &invite, &key).await?;
        }
        let _ = writeln!(
            text,
            "{} is turned away ({}); its token is void.",
            party.member.name,
            party.member.key.words()
        );
    }
    let denied: Vec<_> = denied
        .iter()
        .map(|party| json!({"name": party.member.name, "key": party.member.key}))
        .collect();
    Ok(Answer::new(text, json!({"denied": denied})))
}
