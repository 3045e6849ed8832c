//! The fleet's page at `/`: parties, their mesh, the current sessions and their receipts.
//!
//! One file without scripts or anything from elsewhere, readable without colour, refreshed by the
//! browser. Whatever comes from a document is escaped; names come from the owner's invite and
//! manifest, not from what a party says of itself.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use e3_core::document::{
    Enrolment, Head, Invite, Mesh, Outcome, Presence, Receipt, Session, SessionRef,
};
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::time::Time;
use tokio::time::Instant;

use super::listing::Listed;
use super::{Hub, MUTABLE, Refusal};
use crate::names;
use crate::roots::open_head;
use crate::store::StoreError;

/// Sessions shown, latest first.
const SESSIONS: usize = 20;
/// For how long one page serves everybody.
const FRESH: Duration = Duration::from_secs(1);
/// Nothing is loaded and nothing runs.
const POLICY: (HeaderName, &str) = (
    CONTENT_SECURITY_POLICY,
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
);

/// The page as it was made last.
#[derive(Default)]
pub(super) struct Cache(tokio::sync::Mutex<Option<(Instant, Bytes)>>);

/// Text from a document: everything that HTML could take for its own is written as a reference, and
/// what could turn the line around or hide in it is left out.
struct Text<T>(T);

impl<T: fmt::Display> fmt::Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars().take(300) {
            match c {
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => {}
                c if c.is_control() => f.write_char(' ')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Seconds as people say them.
struct Ago(i64);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ..1 => f.write_str("now"),
            s @ 1..120 => write!(f, "{s} s ago"),
            s @ 120..7200 => write!(f, "{} min ago", s / 60),
            s @ 7200..172_800 => write!(f, "{} h ago", s / 3600),
            s => write!(f, "{} days ago", s / 86_400),
        }
    }
}

pub(super) async fn show(State(hub): State<Arc<Hub>>) -> Result<Response, Refusal> {
    let mut made = hub.page.0.lock().await;
    let page = match &*made {
        Some((when, page)) if when.elapsed() < FRESH => page.clone(),
        _ => {
            let page = Bytes::from(hub.render().await?);
            *made = Some((Instant::now(), page.clone()));
            page
        }
    };
    Ok((
        [(CONTENT_TYPE, "text/html; charset=utf-8"), MUTABLE, POLICY],
        page,
    )
        .into_response())
}

impl Hub {
    async fn render(&self) -> Result<String, StoreError> {
        let now = (self.clock)();
        let root = self.chain.refresh(&self.store).await?;
        let root = root.newest();
        let head = self.store.get(&names::head(), limits::HEAD).await?;
        let head = head
            .and_then(|object| open_head(&object.bytes))
            .map(|(head, _)| head);
        let mut page = String::with_capacity(16 * 1024);
        let _ = write!(
            page,
            "{}<h1>Fleet {}</h1>\n<p>Root {}, ",
            START,
            Text(&root.fleet),
            root.version
        );
        let _ = match &head {
            None => write!(page, "no head yet."),
            Some(Head {
                counter, expires, ..
            }) if *expires <= now => {
                write!(
                    page,
                    "head {counter}, <strong>expired</strong> at {expires}: parties start nothing new."
                )
            }
            Some(Head {
                counter, expires, ..
            }) => write!(page, "head {counter}, good until {expires}."),
        };
        let _ = writeln!(
            page,
            " {} connected to this hub. As of {now}.</p>",
            self.subscribers.count()
        );
        parties(&mut page, &self.list_parties().await?, now);
        self.sessions(
            &mut page,
            head.map(|head| head.sessions).unwrap_or_default(),
        )
        .await?;
        page.push_str("</body></html>\n");
        Ok(page)
    }

    async fn sessions(
        &self,
        page: &mut String,
        sessions: Vec<SessionRef>,
    ) -> Result<(), StoreError> {
        page.push_str("<h2>Sessions</h2>\n");
        if sessions.is_empty() {
            page.push_str("<p>None yet. Push one with <code>e3 session push</code>.</p>\n");
            return Ok(());
        }
        page.push_str("<table><thead><tr><th>Session<th>Party<th>Receipt<th>Outcome</thead>\n");
        for named in sessions.iter().rev().take(SESSIONS) {
            let envelope = self
                .store
                .get(&names::blob(&named.envelope.digest), limits::ENVELOPE)
                .await?;
            let session: Option<Session> = envelope.and_then(|object| open(&object.bytes));
            let receipts = self.list_receipts(&named.manifest).await?;
            let parties = session
                .as_ref()
                .map_or(receipts.len(), |session| session.parties.len());
            for place in 0..parties {
                let (name, counter, digest) =
                    (Text(&named.name), named.counter, named.manifest.short());
                let title = if place == 0 {
                    format!("{name} #{counter} <code>{digest}</code>")
                } else {
                    String::new()
                };
                let party = session.as_ref().map_or_else(String::new, |session| {
                    session.parties[place].name.to_string()
                });
                let receipt: Option<Receipt> = receipts
                    .get(place)
                    .and_then(|receipt| open(receipt.as_ref()?));
                let (there, outcome) =
                    match receipt.map(|receipt| (receipt.outcome, receipt.finished)) {
                        None => ("not yet", String::new()),
                        Some((Outcome::Done, at)) => ("signed", format!("done at {at}")),
                        Some((Outcome::Failed { failure }, _)) => {
                            ("signed", format!("failed: {}", Text(failure)))
                        }
                    };
                let _ = writeln!(
                    page,
                    "<tr><td>{title}<td>{place} {}<td>{there}<td>{outcome}",
                    Text(party)
                );
            }
        }
        page.push_str("</table>\n");
        Ok(())
    }
}

/// Reads a document of the store for showing it; nothing is decided by it.
fn open<T: e3_core::document::Document>(bytes: &[u8]) -> Option<T> {
    Envelope::parse(bytes, limits::ENVELOPE)
        .ok()?
        .unverified()
        .ok()
}

fn parties(page: &mut String, listed: &[Listed], now: Time) {
    page.push_str("<h2>Parties</h2>\n");
    if listed.is_empty() {
        page.push_str("<p>None yet. Invite one with <code>e3 fleet invite</code>.</p>\n");
        return;
    }
    page.push_str("<table><thead><tr><th>Party<th>Key<th>Owner<th>Mesh<th>State<th>Seen</thead>\n");
    for party in listed {
        let Ok((enrolment, invite)) = party.pair.envelopes() else {
            continue;
        };
        let (Ok(enrolment), Ok(invite)) = (
            enrolment.unverified::<Enrolment>(),
            invite.unverified::<Invite>(),
        ) else {
            continue;
        };
        let (key, owner) = (enrolment.party.short(), invite.owner.short());
        let _ = write!(
            page,
            "<tr><td>{}<td><code>…{key}</code><td><code>…{owner}</code>",
            Text(&invite.name)
        );
        match party
            .presence
            .as_ref()
            .and_then(|presence| open::<Presence>(presence))
        {
            None => page.push_str("<td>unknown<td>enrolled, not heard of<td>never"),
            Some(presence) => presence_cells(page, &presence, now),
        }
        page.push('\n');
    }
    page.push_str("</table>\n");
}

fn presence_cells(page: &mut String, presence: &Presence, now: Time) {
    page.push_str("<td>");
    if presence.meshes.is_empty() {
        page.push_str("none");
    }
    for (place, (backend, mesh)) in presence.meshes.iter().enumerate() {
        let line = if place == 0 { "" } else { "<br>" };
        let _ = match mesh {
            Mesh::Joined { addresses, .. } => {
                write!(page, "{line}{backend} {}", Text(addresses.join(" ")))
            }
            Mesh::NotJoined { reason } => write!(
                page,
                "{line}{backend} <strong>not joined</strong>: {}",
                Text(reason)
            ),
        };
    }
    let state = match (&presence.degraded, presence.sessions.last()) {
        (Some(reason), _) => format!("<strong>takes nothing new</strong>: {}", Text(reason)),
        (None, Some(session)) => {
            format!("{} {}", session.progress.as_str(), session.manifest.short())
        }
        (None, None) => "ready".to_owned(),
    };
    let _ = write!(page, "<td>{state}<td>{}", Ago(now.since(presence.signed)));
}

const START: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"5\">
<meta name=\"viewport\" content=\"width=device-width\"><title>E3 fleet</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #999;overflow-wrap:anywhere}
</style></head><body>
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_documents_cannot_become_html() {
        let text = Text("<script>alert('x')</script>&\"\u{202e}\n").to_string();
        assert_eq!(
            text,
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot; "
        );
        assert_eq!(Text("x".repeat(1000)).to_string().len(), 300);
    }

    #[test]
    fn times_are_told_as_people_do() {
        let told = [-5, 0, 1, 119, 120, 7200, 172_800].map(|s| Ago(s).to_string());
        assert_eq!(
            told,
            [
                "now",
                "now",
                "1 s ago",
                "119 s ago",
                "2 min ago",
                "2 h ago",
                "2 days ago"
            ]
        );
    }
}
