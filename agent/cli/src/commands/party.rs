//! `e3 party`: an owner asks a machine from afar, by way of the hub.
//!
//! The question is signed by the owner's key for one machine; the answer is signed by the machine and sealed to a key that exists
//! only while this command runs. What comes back is as true as the machine is whole: it is shown, and decides nothing.

use std::fmt::Write as _;
use std::time::Duration;

use e3_client::clock;
use e3_client::hub::HubError;
use e3_client::seal;
use e3_core::checkup::{self, State};
use e3_core::digest::Digest;
use e3_core::document::{Ask, PartyAnswer, PartyRequest, Report};
use e3_core::envelope::Envelope;
use e3_core::key::{PublicKey, SecretKey};
use e3_core::limits;
use e3_core::text::clean;
use serde_json::json;
use tokio::time::Instant;

use crate::args::{Global, PartyCommand, PartyDoctor, PartyIdentify, PartyLogs, Question};
use crate::commands::fleet::{Enrolled, OpenFleet, Stale, Standing, enrolled};
use crate::commands::key;
use crate::error::{Error, Exit};
use crate::output::Answer;

/// Between two looks for the answer, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Characters of a line of a log.
const LINE: usize = 2048;

pub(super) async fn run(command: &PartyCommand, global: &Global) -> Result<Answer, Error> {
    let (question, what) = match command {
        PartyCommand::Identify(PartyIdentify { question }) => (question, Ask::Identify),
        PartyCommand::Doctor(PartyDoctor { question }) => (question, Ask::Doctor),
        PartyCommand::Logs(PartyLogs { question, lines }) => {
            (question, Ask::Logs { lines: *lines })
        }
    };
    let key = key::read(question.key.as_deref())?;
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    fleet.sync(Stale::Allow).await?;
    let party = find(&fleet, question).await?;
    let patience = Duration::from_secs(question.timeout);
    let report = ask(&fleet, &key, &party, what, patience).await?;
    Ok(shown(&party, report))
}

/// The party that is meant: by key, or by name one that is in fleet.toml before one that waits at the door.
async fn find(fleet: &OpenFleet, question: &Question) -> Result<Enrolled, Error> {
    let (parties, _) = enrolled(fleet).await?;
    let names = parties.iter().map(|party| party.member.name.to_string());
    let unknown = Error::NoSuchParty(clean(&question.party, 80), names.collect());
    let key: Option<PublicKey> = question.party.parse().ok();
    let mut meant: Vec<Enrolled> = parties
        .into_iter()
        .filter(|party| match key {
            Some(key) => party.member.key == key,
            None => party.member.name.as_str() == question.party,
        })
        .collect();
    meant.sort_by_key(|party| match party.standing {
        Standing::Accepted | Standing::OtherName => 0,
        Standing::New | Standing::OtherKey => 1,
        Standing::NotEnrolled => 2,
    });
    meant.into_iter().next().ok_or(unknown)
}

/// Asks a machine, and waits for its answer.
pub async fn ask(
    fleet: &OpenFleet,
    key: &SecretKey,
    party: &Enrolled,
    ask: Ask,
    patience: Duration,
) -> Result<Report, Error> {
    let (name, to) = (party.member.name.to_string(), party.member.key);
    if !fleet.trust.root.session.keys.contains(&key.public()) {
        return Err(Error::NotAllowed {
            key: key.public().to_string(),
            role: "questions to machines",
        });
    }
    let question = seal::Question::new();
    let request = PartyRequest {
        fleet: fleet.file.name.clone(),
        party: to,
        by: key.public(),
        ask,
        seal: question.public(),
        millis: clock::millis(),
    };
    let envelope = Envelope::sign(&request, &[key]).map_err(|source| Error::Document {
        what: "question",
        source,
    })?;
    let digest = envelope.digest();
    match fleet.hub.put_request(&to, envelope.to_bytes()).await {
        Err(HubError::NotFound { .. }) => {
            return Err(Error::Usage {
                message: "this hub carries no questions to machines".to_owned(),
                remedy: "Update it: `e3 hub serve` of this version does.",
            });
        }
        other => other?,
    }
    let end = Instant::now() + patience;
    let mut pause = LOOK.0;
    let sealed = loop {
        match fleet.hub.answer(&to).await {
            Ok(Some(bytes)) => {
                if let Some(sealed) = open(&bytes, &to, &digest, &name)? {
                    break sealed;
                }
            }
            Ok(None) => {}
            Err(error) if error.is_passing() => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= end {
            let presence = party.presence.as_ref();
            return Err(Error::NoAnswer {
                name,
                seconds: patience.as_secs(),
                seen: presence.map(|presence| fleet.now().since(presence.signed)),
            });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LOOK.1);
    };
    let bad = |detail: String| Error::BadAnswer {
        name: name.clone(),
        detail,
    };
    let text = question.open(&sealed, &PartyRequest::about(&digest));
    let text = text.map_err(|error| bad(error.to_string()))?;
    // Rule 3: bounded before it is parsed.
    if text.len() > limits::REPORT {
        return Err(bad(format!("it has more than {} bytes", limits::REPORT)));
    }
    let report = serde_json::from_str(&text);
    let report = report.map_err(|error| bad(clean(&error.to_string(), 200)))?;
    match report {
        Report::Refused { reason, now } => Err(Error::Declined {
            name,
            reason,
            times: (now, clock::now()),
        }),
        report => Ok(report),
    }
}

/// What the machine has sealed, if it is an answer to this question. The hub may still show another one.
fn open(
    bytes: &[u8],
    party: &PublicKey,
    request: &Digest,
    name: &str,
) -> Result<Option<String>, Error> {
    let refused = |source| Error::Envelope {
        what: format!("the answer of {name}"),
        source,
    };
    let envelope = Envelope::parse(bytes, limits::ENVELOPE).map_err(refused)?;
    let answer = envelope
        .verify::<PartyAnswer>(&[*party], 1)
        .map_err(refused)?;
    let answer = answer.document;
    let is_ours = answer.request == *request && answer.party == *party;
    Ok(is_ours.then_some(answer.sealed))
}

/// The screen. Texts of a machine that was taken over must not act on a terminal.
fn shown(party: &Enrolled, report: Report) -> Answer {
    let member = &party.member;
    let (name, words) = (&member.name, member.key.words());
    let whose = json!({"party": name, "key": member.key, "words": words});
    let with = |more: serde_json::Value| {
        let mut json = whose.clone();
        if let (Some(all), serde_json::Value::Object(more)) = (json.as_object_mut(), more) {
            all.extend(more);
        }
        json
    };
    match report {
        Report::Identified { shown, seconds } => {
            let shown: Vec<String> = shown.iter().take(8).map(|one| clean(one, 40)).collect();
            let text = format!(
                "{name} shows for {seconds} s that it is the one: look at its {}.\nIts words are: {words}\n",
                shown.join(" and its ")
            );
            Answer::new(text, with(json!({"shown": shown, "seconds": seconds})))
        }
        Report::Doctor { agent, checks } => {
            let agent = clean(&agent, 64);
            let text = format!("{name}, agent {agent}\n\n{}", checkup::screen(&checks));
            let failures = checkup::count(&checks, State::Fail);
            let warnings = checkup::count(&checks, State::Warn);
            let exit = if failures == 0 {
                Exit::Ok
            } else {
                Exit::Failed
            };
            let json = json!({
                "agent": agent, "checks": checks, "ok": failures == 0,
                "warnings": warnings, "failures": failures,
            });
            Answer::new(text, with(json)).exit(exit)
        }
        Report::Logs { lines } => {
            let lines: Vec<String> = lines.iter().map(|line| clean(line, LINE)).collect();
            let mut text = String::new();
            for line in &lines {
                let _ = writeln!(text, "{line}");
            }
            if lines.is_empty() {
                text.push_str("It has logged nothing since its agent was started.\n");
            }
            Answer::new(text, with(json!({"lines": lines})))
        }
        // It has become an error already.
        Report::Refused { reason, .. } => Answer::new(format!("{reason}\n"), whose),
    }
}
