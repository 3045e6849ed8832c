//! `e3 fleet status`: the parties, their state, and what will expire.

use std::fmt::Write as _;

use e3_core::document::{Invite, Mesh, Presence, Progress};
use e3_core::mesh::NotJoined;
use e3_core::time::Time;
use serde_json::{Value, json};

use super::heard::Heard;
use super::invites;
use super::{Enrolled, OpenFleet, Stale, Standing, enrolled};
use crate::args::Global;
use crate::commands::mesh::admit;
use crate::error::Error;
use crate::output::Answer;
use crate::output::table::{seconds, table};

/// Seconds ahead that somebody must hear of an expiry: 30 days ...
const AHEAD: i64 = 30 * 86_400;

/// ... or, for what lives shorter than that, the last third of its life.
pub(crate) fn expires_soon(now: Time, signed: Time, expires: Time) -> bool {
    expires.since(now) < AHEAD.min(expires.since(signed) / 3)
}

pub(super) async fn run(global: &Global) -> Result<Answer, Error> {
    look(&mut OpenFleet::open(global.fleet.as_deref()).await?).await
}

/// How the fleet is now.
pub(super) async fn look(fleet: &mut OpenFleet) -> Result<Answer, Error> {
    fleet.sync(Stale::Allow).await?;
    let fleet = &*fleet;
    let (parties, refused) = enrolled(fleet).await?;
    let now = fleet.now();
    let invites = invites::open(fleet, &parties);
    let mut warnings = refused;
    warnings.extend(head_warning(fleet, now)?);
    warnings.extend(ca_warning(fleet, now)?);
    let new = parties
        .iter()
        .filter(|p| matches!(p.standing, Standing::New | Standing::OtherKey))
        .count();
    // The note says what is wrong with a party; what its owner can do would not fit there.
    warnings.extend(parties.iter().filter_map(|party| {
        let degraded = party.presence.as_ref()?.degraded.as_ref()?;
        Some(format!("{}: {}", party.member.name, degraded.remedy()))
    }));
    warnings.extend(admit::warnings(fleet, &parties)?);
    if new > 0 {
        warnings.push(format!("{new} machine(s) have enrolled and are not in fleet.toml; run `e3 fleet accept NAME` or --all"));
    }
    let next = fleet.next_trust().await?.root.version;
    if next > fleet.trust.root.version {
        warnings.push(format!(
            "root {next} is published, but no head stands on it yet; whoever signs heads runs `e3 hub renew`"
        ));
    }
    let head = fleet.head()?;
    // Who is not in the mesh is reached as without one.
    let direct = head.meshes.iter().any(|plan| plan.direct);
    let mut text = format!("fleet {}  {}\n", fleet.file.name, fleet.file.hub);
    let left = head.expires.since(now);
    let fresh = if left > 0 {
        format!("expires in {}", seconds(left))
    } else {
        "EXPIRED".to_owned()
    };
    let sessions = head.sessions.len();
    let _ = writeln!(
        text,
        "root {}  head {}  {fresh}  {sessions} session(s)\n",
        fleet.trust.root.version, head.counter
    );
    if parties.is_empty() && invites.is_empty() {
        text.push_str("No machine has enrolled. `e3 fleet invite NAME` writes a join file.\n");
    } else {
        let mut rows: Vec<_> = parties
            .iter()
            .map(|party| row(party, now, direct))
            .collect();
        rows.extend(
            invites
                .iter()
                .map(|invite| invited_row(&invite.document, now)),
        );
        text.push_str(&table(
            ["NAME", "STATE", "SEEN", "SESSION", "KEY", "NOTE"],
            &rows,
        ));
    }
    for warning in &warnings {
        let _ = writeln!(text, "\nwarning: {warning}");
    }
    let json = json!({
        "fleet": fleet.file.name, "hub": fleet.file.hub, "root": fleet.trust.root.version,
        "roles": {"root": fleet.trust.root.root, "head": fleet.trust.root.head,
                  "session": fleet.trust.root.session, "release": fleet.trust.root.release},
        "head": {"counter": head.counter, "signed": head.signed, "expires": head.expires, "fresh": left > 0,
                 "sessions": head.sessions.len(), "revoked": head.revoked},
        "parties": parties.iter().map(|party| party_json(party, now, direct)).collect::<Vec<_>>(),
        "invites": invites.iter().map(|i| json!({"name": i.document.name, "expires": i.document.expires})).collect::<Vec<_>>(),
        "warnings": warnings,
    });
    Ok(Answer::new(text, json))
}

/// One word for how a party is.
fn state(party: &Enrolled, heard: Option<Heard>, direct: bool) -> &'static str {
    match &party.presence {
        None if party.standing == Standing::NotEnrolled => "not enrolled",
        None => "never seen",
        Some(_) if heard.is_some_and(Heard::is_silent) => "silent",
        Some(presence) if presence.degraded.is_some() => "degraded",
        Some(presence) if !direct && is_out(presence) => "not joined",
        Some(_) => "ready",
    }
}

/// Whether it should be in a mesh, and is in none.
fn is_out(presence: &Presence) -> bool {
    !presence.meshes.is_empty() && !presence.meshes.values().any(Mesh::is_joined)
}

/// Why it is so, and what else somebody should know.
fn note(party: &Enrolled, heard: Option<Heard>) -> String {
    let mut notes = Vec::new();
    match party.standing {
        Standing::New => notes.push("new: not in fleet.toml".to_owned()),
        Standing::OtherKey => {
            notes.push("new: fleet.toml has another machine of this name".to_owned());
        }
        Standing::OtherName => notes.push("fleet.toml calls it by another name".to_owned()),
        Standing::Accepted | Standing::NotEnrolled => {}
    }
    notes.extend(heard.and_then(Heard::note));
    if let Some(presence) = &party.presence {
        notes.extend(presence.degraded.as_ref().map(ToString::to_string));
        notes.extend(
            presence
                .update
                .as_ref()
                .map(|trouble| format!("update: {trouble}")),
        );
        for (backend, mesh) in &presence.meshes {
            let waits = matches!(
                mesh,
                Mesh::NotJoined {
                    reason: NotJoined::NeedsApproval
                }
            );
            // Being accepted is what lets it in.
            let is_told = waits && party.standing != Standing::Accepted;
            if let Mesh::NotJoined { reason } = mesh
                && !is_told
            {
                notes.push(format!("{backend}: {reason}"));
            }
        }
        if presence.owner != party.member.owner {
            notes.push(format!("it follows another owner: {}", presence.owner));
        }
    }
    notes.join("; ")
}

fn row(party: &Enrolled, now: Time, direct: bool) -> [String; 6] {
    let presence = party.presence.as_ref();
    let heard = presence.map(|presence| Heard::of(presence, now));
    let seen = heard.map_or("-".to_owned(), Heard::brief);
    let last = presence.and_then(|p| p.sessions.last());
    let session = last.map_or("-".to_owned(), |s| s.progress.as_str().to_owned());
    [
        party.member.name.to_string(),
        state(party, heard, direct).to_owned(),
        seen,
        session,
        party.member.key.short(),
        note(party, heard),
    ]
}

fn invited_row(invite: &Invite, now: Time) -> [String; 6] {
    let left = invite.expires.since(now);
    let note = if left > 0 {
        format!("the invite ends in {}", seconds(left))
    } else {
        "the invite has expired".to_owned()
    };
    let dash = || "-".to_owned();
    [
        invite.name.to_string(),
        "invited".to_owned(),
        dash(),
        dash(),
        dash(),
        note,
    ]
}

fn party_json(party: &Enrolled, now: Time, direct: bool) -> Value {
    let presence = party.presence.as_ref();
    let heard = presence.map(|presence| Heard::of(presence, now));
    let running =
        |p: &e3_core::document::Presence| p.sessions.iter().any(|s| s.progress < Progress::Done);
    json!({
        "name": party.member.name, "key": party.member.key, "owner": party.member.owner,
        "standing": party.standing, "new": matches!(party.standing, Standing::New | Standing::OtherKey),
        "state": state(party, heard, direct), "enrolled": party.enrolled.map(|(time, _)| time),
        "seen": presence.map(|p| p.signed), "clock_ahead": heard.and_then(Heard::ahead),
        "busy": presence.is_some_and(running), "note": note(party, heard), "presence": presence,
    })
}

fn head_warning(fleet: &OpenFleet, now: Time) -> Result<Option<String>, Error> {
    let head = fleet.head()?;
    let left = head.expires.since(now);
    Ok(if left <= 0 {
        Some(format!(
            "the head expired at {}; no party starts anything until you run `e3 hub renew`",
            head.expires
        ))
    } else if expires_soon(now, head.signed, head.expires) {
        Some(format!(
            "the head expires in {}; run `e3 hub renew`",
            seconds(left)
        ))
    } else {
        None
    })
}

/// The hub's own certificate authority, which every join file carries.
fn ca_warning(fleet: &OpenFleet, now: Time) -> Result<Option<String>, Error> {
    let Some(pem) = fleet.file.hub_ca_pem()? else {
        return Ok(None);
    };
    let Ok((_, pem)) = x509_parser::pem::parse_x509_pem(&pem) else {
        return Ok(None);
    };
    let Ok(certificate) = pem.parse_x509() else {
        return Ok(None);
    };
    let validity = certificate.validity();
    let [from, to] =
        [validity.not_before, validity.not_after].map(|time| Time::from_unix(time.timestamp()));
    Ok(if to <= now {
        Some(format!(
            "the hub's certificate authority expired at {to}; no machine reaches the hub"
        ))
    } else if expires_soon(now, from, to) {
        let left = seconds(to.since(now));
        Some(format!(
            "the hub's certificate authority expires in {left}; machines need a new one in their join files before"
        ))
    } else {
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_lives_warn_in_their_last_third_and_long_ones_30_days_ahead() {
        let day = |n: i64| Time::from_unix(n * 86_400);
        assert!(!expires_soon(day(9), day(0), day(14)));
        assert!(expires_soon(day(10), day(0), day(14)));
        assert!(!expires_soon(day(334), day(0), day(365)));
        assert!(expires_soon(day(336), day(0), day(365)));
    }
}
