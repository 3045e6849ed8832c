//! `e3 session watch`: follows a session until every party has signed its receipt.
//!
//! The hub pushes what is new; it is also asked from time to time, so that a lost push only costs
//! seconds. What is shown is verified: presences and receipts are signed by their party, and the
//! verdict is the one that anybody gets from the receipts alone.

use std::time::Duration;

use e3_client::hub::HubEvent;
use e3_core::document::{Outcome as Ending, Presence, Progress as Stage, Receipt, Session};
use e3_core::envelope::Verified;
use e3_core::session::{Failure, verdict};
use tokio::time::Instant;

use super::find::find;
use super::stream::{Stream, jitter};
use super::verdict::{Conclusion, conclude};
use crate::args::{Global, SessionWatch};
use crate::commands::fleet::publish::over_at;
use crate::commands::fleet::{OpenFleet, Stale};
use crate::error::Error;
use crate::output::progress::{Progress, Renderer};
use crate::output::{Answer, Output};

/// Between two questions while the hub pushes, and while it does not.
const POLL_PUSHED: Duration = Duration::from_secs(15);
const POLL_ALONE: Duration = Duration::from_millis(1500);
/// How long a party that all others call absent may still send its receipt.
const GRACE: Duration = Duration::from_secs(2);

/// A session that is being followed.
struct Watch<'a> {
    fleet: &'a mut OpenFleet,
    session: &'a Verified<Session>,
    receipts: Vec<Option<Receipt>>,
    /// Refused receipts, each said once.
    refused: Vec<Option<String>>,
    tell: &'a mut dyn FnMut(Progress),
}

/// Follows a session until its outcome is known, or `timeout` has passed.
///
/// It is known when all receipts are there, or when those that are there agree that the others are
/// those of absent parties, and these stay absent.
pub async fn watch(
    fleet: &mut OpenFleet,
    session: &Verified<Session>,
    timeout: Option<Duration>,
    tell: &mut dyn FnMut(Progress),
) -> Result<Conclusion, Error> {
    let parties = session.document.parties.len();
    let (receipts, refused) = (vec![None; parties], vec![None; parties]);
    let mut watch = Watch {
        fleet,
        session,
        receipts,
        refused,
        tell,
    };
    for party in &session.document.parties {
        (watch.tell)(Progress::going(party.name.as_str(), "waiting"));
    }
    let started = Instant::now();
    let ends = watch.ends(started, timeout);
    let mut stream = Stream::default();
    let mut poll = Instant::now();
    let mut settled: Option<Instant> = None;
    loop {
        // What came while nobody listened has to be asked for.
        if stream.connect(watch.fleet).await {
            poll = Instant::now();
        }
        if Instant::now() >= poll {
            match watch.ask().await {
                // The hub may come back; whether it does in time is for the deadline to say.
                Err(Error::Hub(error)) if error.is_passing() => {
                    (watch.tell)(Progress::going("hub", error.to_string()));
                }
                other => other?,
            }
            poll = Instant::now()
                + if stream.is_open() {
                    POLL_PUSHED
                } else {
                    jitter(POLL_ALONE)
                };
        }
        if watch.is_complete() {
            return Ok(watch.conclude());
        }
        settled = if watch.is_settled() {
            settled.or(Some(Instant::now() + GRACE))
        } else {
            None
        };
        let until = [Some(poll), settled, ends, stream.retry]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(poll);
        tokio::select! {
            event = stream.next() => match event {
                Some(event) => watch.hear(event).await?,
                None => poll = Instant::now(),
            },
            () = tokio::time::sleep_until(until) => {}
        }
        let now = Instant::now();
        if settled.is_some_and(|at| now >= at) && !watch.is_complete() {
            watch.ask().await?;
            return Ok(watch.conclude());
        }
        if ends.is_some_and(|at| now >= at) {
            let missing = watch
                .receipts
                .iter()
                .filter(|receipt| receipt.is_none())
                .count();
            return Err(Error::NoVerdict {
                seconds: started.elapsed().as_secs(),
                missing,
                parties,
            });
        }
    }
}

impl Watch<'_> {
    /// When waiting makes no more sense: as the person says, or when nobody can be running it any more.
    fn ends(&self, started: Instant, timeout: Option<Duration>) -> Option<Instant> {
        let left = over_at(&self.session.document).since(self.fleet.now());
        let left = Duration::from_secs(u64::try_from(left).unwrap_or(0)) + GRACE;
        started.checked_add(timeout.map_or(left, |timeout| timeout.min(left)))
    }

    /// Asks the hub for everything.
    async fn ask(&mut self) -> Result<(), Error> {
        for party in 0..self.receipts.len() {
            self.fetch_receipt(party).await?;
        }
        let waiting = (0..self.receipts.len()).filter(|party| self.receipts[*party].is_none());
        for party in waiting.collect::<Vec<_>>() {
            let key = self.session.document.parties[party].key;
            if let Some(presence) = self.fleet.hub.presence(&key).await? {
                self.show_presence(party, &presence);
            }
        }
        Ok(())
    }

    async fn hear(&mut self, event: HubEvent) -> Result<(), Error> {
        match event {
            HubEvent::Receipt { manifest, party }
                if manifest == self.session.digest && party < self.receipts.len() =>
            {
                match self.fetch_receipt(party).await {
                    // The next question asks again.
                    Err(Error::Hub(error)) if error.is_passing() => Ok(()),
                    other => other,
                }
            }
            HubEvent::Presence(bytes) => {
                let parties = &self.session.document.parties;
                let fleet = &self.fleet.file.name;
                let from = parties
                    .iter()
                    .position(|party| Presence::open(&bytes, &party.key, fleet).is_some());
                if let Some(party) = from.filter(|party| self.receipts[*party].is_none()) {
                    self.show_presence(party, &bytes);
                }
                Ok(())
            }
            HubEvent::Head(bytes) => {
                // A head that is refused is not shown as news; whoever publishes next will say why.
                let taken = self.fleet.take_head(&bytes, Stale::Allow).await;
                if taken.is_ok() && self.fleet.trust.revokes(&self.session.digest) {
                    let name = self.session.document.name.as_str();
                    (self.tell)(Progress::going(name, "revoked: it is being stopped"));
                }
                Ok(())
            }
            HubEvent::Receipt { .. } | HubEvent::Asked(_) => Ok(()),
        }
    }

    async fn fetch_receipt(&mut self, party: usize) -> Result<(), Error> {
        if self.receipts[party].is_some() {
            return Ok(());
        }
        let Some(bytes) = self.fleet.hub.receipt(&self.session.digest, party).await? else {
            return Ok(());
        };
        let name = self.name(party);
        match verdict::open(self.session, party, &bytes) {
            Ok(receipt) => {
                let line = self.receipt_line(&receipt);
                (self.tell)(Progress::ended(name, line));
                self.receipts[party] = Some(receipt);
            }
            Err(reason) if self.refused[party].as_ref() != Some(&reason) => {
                (self.tell)(Progress::going(
                    name,
                    format!("its receipt is refused: {reason}"),
                ));
                self.refused[party] = Some(reason);
            }
            Err(_) => {}
        }
        Ok(())
    }

    fn show_presence(&mut self, party: usize, bytes: &[u8]) {
        let key = &self.session.document.parties[party].key;
        let Some(presence) = Presence::open(bytes, key, &self.fleet.file.name) else {
            return;
        };
        let mine = presence
            .sessions
            .iter()
            .rev()
            .find(|session| session.manifest == self.session.digest);
        let text = match (mine, &presence.degraded) {
            (Some(session), _) if session.progress == Stage::Failed => session
                .failure
                .as_ref()
                .map_or("failed".to_owned(), |failure| self.failure_line(failure)),
            (Some(session), _) => session.progress.as_str().to_owned(),
            (None, Some(reason)) => format!("takes no session: {reason}"),
            (None, None) => "waiting".to_owned(),
        };
        let name = self.name(party);
        (self.tell)(Progress::going(name, text));
    }

    fn receipt_line(&self, receipt: &Receipt) -> String {
        match &receipt.outcome {
            Ending::Done => "done, receipt signed".to_owned(),
            Ending::Failed { failure } => self.failure_line(failure),
        }
    }

    fn failure_line(&self, failure: &Failure) -> String {
        format!("failed at {}: {}", self.name(failure.party), failure.reason)
    }

    fn name(&self, party: usize) -> String {
        let party = self.session.document.parties.get(party);
        party.map_or("an unknown party".to_owned(), |party| {
            party.name.to_string()
        })
    }

    fn is_complete(&self) -> bool {
        self.receipts.iter().all(Option::is_some)
    }

    /// Whether the only receipts missing are those of parties that others name as the cause.
    fn is_settled(&self) -> bool {
        let blamed: Vec<usize> = self
            .receipts
            .iter()
            .flatten()
            .filter_map(|r| match &r.outcome {
                Ending::Failed { failure } => Some(failure.party),
                Ending::Done => None,
            })
            .collect();
        let missing = (0..self.receipts.len()).filter(|party| self.receipts[*party].is_none());
        !blamed.is_empty() && missing.into_iter().all(|party| blamed.contains(&party))
    }

    fn conclude(&self) -> Conclusion {
        conclude(&self.session.document, &self.receipts)
    }
}

/// Follows a session on the screen.
pub(super) async fn follow(
    fleet: &mut OpenFleet,
    session: &Verified<Session>,
    timeout: Option<u64>,
    output: &Output,
) -> Result<Answer, Error> {
    let mut renderer = Renderer::new(output);
    let timeout = timeout.map(Duration::from_secs);
    let conclusion = watch(fleet, session, timeout, &mut |event| renderer.show(&event)).await?;
    Ok(conclusion.answer(session))
}

pub(super) async fn run(
    args: &SessionWatch,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    fleet.sync(Stale::Allow).await?;
    let session = find(&fleet, &args.session).await?;
    follow(&mut fleet, &session, args.timeout, output).await
}
