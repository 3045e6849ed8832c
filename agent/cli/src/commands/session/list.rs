//! `e3 session list`: the sessions that the fleet's head names, and how they stand.

use e3_core::document::{Outcome, Receipt, Session, SessionRef};
use e3_core::envelope::Verified;
use e3_core::session::verdict;
use e3_core::time::Time;
use serde_json::json;

use crate::args::Global;
use crate::commands::fleet::{OpenFleet, Stale};
use crate::error::Error;
use crate::output::Answer;
use crate::output::table::{seconds, table};

/// The receipts of a session that hold, in the order of its parties, and why others do not.
pub async fn receipts(
    fleet: &OpenFleet,
    session: &Verified<Session>,
) -> Result<(Vec<Option<Receipt>>, Vec<String>), Error> {
    let parties = &session.document.parties;
    let found = fleet.hub.receipts(&session.digest, parties.len()).await?;
    let (mut receipts, mut refused) = (Vec::new(), Vec::new());
    for (party, bytes) in found.iter().enumerate() {
        let opened = bytes
            .as_ref()
            .map(|bytes| verdict::open(session, party, bytes));
        receipts.push(match opened {
            Some(Err(reason)) => {
                refused.push(format!(
                    "the receipt of {} is refused: {reason}",
                    parties[party].name
                ));
                None
            }
            other => other.and_then(Result::ok),
        });
    }
    Ok((receipts, refused))
}

/// One word for how a session stands.
fn state(
    session: &Verified<Session>,
    receipts: &[Option<Receipt>],
    revoked: bool,
    now: Time,
) -> &'static str {
    let failed = |r: &Receipt| matches!(r.outcome, Outcome::Failed { .. });
    if receipts.iter().all(Option::is_some) {
        if verdict::judge(&session.document, receipts).good {
            "good"
        } else {
            "failed"
        }
    } else if receipts.iter().flatten().any(failed) {
        "failed"
    } else if revoked {
        "revoked"
    } else if now < session.document.not_before {
        "waiting"
    } else if now >= session.document.expires {
        "over"
    } else {
        "current"
    }
}

pub(super) async fn run(global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    fleet.sync(Stale::Allow).await?;
    let now = fleet.now();
    let mut named: Vec<SessionRef> = fleet.head()?.sessions.clone();
    named.sort_by(|a, b| (&a.name, b.counter).cmp(&(&b.name, a.counter)));
    let (mut rows, mut listed) = (Vec::new(), Vec::new());
    for named in &named {
        // One session that cannot be opened must not hide the others.
        let session = match fleet.session(named).await {
            Ok(session) => session,
            Err(Error::Hub(error)) if error.is_passing() => return Err(error.into()),
            Err(error) => {
                let reason = [vec![error.to_string()], error.causes()]
                    .concat()
                    .join(": ");
                rows.push([
                    named.name.to_string(),
                    "refused".to_owned(),
                    "-".to_owned(),
                    "-".to_owned(),
                    named.manifest.short(),
                    reason.clone(),
                ]);
                listed.push(json!({"name": named.name, "counter": named.counter, "manifest": named.manifest, "state": "refused", "reason": reason}));
                continue;
            }
        };
        let (receipts, refused) = receipts(&fleet, &session).await?;
        let state = state(
            &session,
            &receipts,
            fleet.trust.revokes(&session.digest),
            now,
        );
        let (signed, parties) = (
            receipts.iter().flatten().count(),
            session.document.parties.len(),
        );
        let left = session.document.expires.since(now);
        let expires = if left > 0 {
            format!("in {}", seconds(left))
        } else {
            "expired".to_owned()
        };
        rows.push([
            named.name.to_string(),
            state.to_owned(),
            format!("{signed} of {parties}"),
            expires,
            named.manifest.short(),
            refused.join("; "),
        ]);
        listed.push(json!({
            "name": named.name, "counter": named.counter, "manifest": named.manifest, "state": state,
            "receipts": signed, "parties": session.document.parties.iter().map(|p| &p.name).collect::<Vec<_>>(),
            "not_before": session.document.not_before, "expires": session.document.expires, "refused": refused,
        }));
    }
    let text = if rows.is_empty() {
        "The head names no session. `e3 session push BUNDLE` publishes one.\n".to_owned()
    } else {
        table(
            ["NAME", "STATE", "RECEIPTS", "EXPIRES", "MANIFEST", "NOTE"],
            &rows,
        )
    };
    Ok(Answer::new(
        text,
        json!({"head": fleet.head()?.counter, "sessions": listed}),
    ))
}
