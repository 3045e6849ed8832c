//! Drives one session: waits for events, takes a step, writes the checkpoint, carries out actions.
//!
//! One task per session owns everything of it. What takes long (staging, starting Python) runs
//! beside it and reports back as an event.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use e3_core::document::{Outcome, Ready, SessionRef};
use e3_core::envelope::Verified;
use e3_core::session::{
    Action, Checkpoint, Context, Ended, Event, Failure, Reason, State, Tell, Timer, resume, step,
};
use e3_core::trust::Refusal;
use e3_core::trust::policy::Judgement;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::conclude::Facts;
use super::folder::Folder;
use super::gate::{self, Signed};
use super::stage::{self, Staging};
use super::talk::{self, Talk};
use crate::board::SessionNote;
use crate::book::Book;
use crate::ledger::LedgerError;
use crate::party::{Party, PartyEvent};
use crate::peer::frame::Frame;
use crate::peer::link::{self, LinkEvent};
use crate::shared::Shared;

/// How long a failed party stays reachable to tell late ones why, at most.
const LINGER: Duration = Duration::from_mins(1);
/// How long a finished party waits for its last word to be sent.
const FLUSH: Duration = Duration::from_millis(500);
/// A manifest that starts later is looked at again at least this often: clocks jump.
const RECHECK: Duration = Duration::from_mins(1);

/// What the agent asks of a running session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// It was revoked, or the owner stopped it.
    Stop,
}

/// What long work reports back.
enum Report {
    Staged(Result<Box<Staging>, Reason>),
    Launched(Result<(Party, mpsc::Receiver<PartyEvent>), Reason>),
}

/// One session while it is driven.
struct Driver {
    shared: Shared,
    context: Context,
    verified: Verified<e3_core::document::Session>,
    folder: Folder,
    state: State,
    talk: Talk,
    facts: Facts,
    timers: BTreeMap<Timer, Instant>,
    /// When to ask the policy again because the manifest starts later.
    postponed: Option<Instant>,
    staging: Option<Staging>,
    signed: Option<Signed>,
    party: Option<Party>,
    party_events: Option<mpsc::Receiver<PartyEvent>>,
    /// What the program said just before it was killed.
    late: Vec<PartyEvent>,
    reports: mpsc::Sender<Report>,
}

/// Drives a session whose folder exists until nothing more is to be done for it.
pub async fn drive(
    shared: Shared,
    verified: Verified<e3_core::document::Session>,
    me: usize,
    named: SessionRef,
    mut commands: mpsc::Receiver<Command>,
) {
    let folder = Folder::of(&shared.ledger, &named.manifest);
    let context = Context {
        session: verified.document.clone(),
        manifest: verified.digest,
        me,
    };
    let checkpoint = match folder.checkpoint() {
        Ok(Some(checkpoint)) => checkpoint,
        other => {
            tracing::error!(session = %context.session.name, ?other, "the session's state cannot be read");
            return;
        }
    };
    let (reports, mut reported) = mpsc::channel(4);
    let (links, mut linked) = mpsc::channel(64);
    let (state, actions) = resume(&context, checkpoint.clone());
    // Of a session that ended well all is known but the receipt, if the agent was killed just then.
    let kept = matches!(state, State::Done { .. })
        .then(|| Facts::kept(&folder))
        .flatten();
    let facts = kept.unwrap_or_else(|| Facts::new(shared.keeper().now()));
    let mut driver = Driver {
        talk: Talk::new(context.session.parties.len()),
        facts,
        timers: BTreeMap::new(),
        postponed: None,
        staging: None,
        signed: None,
        party: None,
        party_events: None,
        late: Vec::new(),
        shared,
        context,
        verified,
        folder,
        state,
        reports,
    };
    let dialling = driver.connect(&links);
    drop(links);
    driver.announce();
    if driver.state.checkpoint() != checkpoint
        && let Err(error) = driver.folder.save(&driver.state.checkpoint())
    {
        tracing::error!(error = %crate::text::chain(&error), "cannot write state");
    }
    driver.carry_out(actions).await;
    while !driver.is_over() {
        for event in std::mem::take(&mut driver.late) {
            let event = driver.take_party_event(event);
            driver.advance(event).await;
        }
        let waiting = Instant::now();
        let mut until = driver.next_timer();
        if driver.is_committed() {
            until = until.min(waiting + link::BEAT);
        }
        let party_events = &mut driver.party_events;
        let event = tokio::select! {
            Some(Command::Stop) = commands.recv() => Some(Event::Stop),
            Some((party, event)) = linked.recv() => driver.talk.hear(&driver.context, party, event),
            Some(report) = reported.recv() => driver.take_report(report),
            Some(event) = next(party_events) => Some(driver.take_party_event(event)),
            () = tokio::time::sleep_until(until) => driver.take_timer().await,
        };
        // Whoever was stopped for so long has been given up by the others, and must not take their
        // going for the cause.
        if driver.is_committed() && waiting.elapsed() >= link::SILENCE {
            driver.advance(Event::Broken(Reason::AgentRestarted)).await;
        }
        if let Some(event) = event {
            driver.advance(event).await;
        }
    }
    driver.linger(&mut linked).await;
    driver.shared.sessions.close(&driver.context.manifest);
    drop(linked);
    drop(dialling);
    // Staging may have gone on after the session had failed, and have laid out inputs.
    reported.close();
    driver.folder.clear_run();
}

/// The next event of the program, if there is one; for ever otherwise.
async fn next(events: &mut Option<mpsc::Receiver<PartyEvent>>) -> Option<PartyEvent> {
    match events {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}

/// Tasks that end with the session.
struct Dialling(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Driver {
    /// Takes connections of the parties before this one, and dials those after it, as MPyC does.
    fn connect(&self, links: &mpsc::Sender<(usize, LinkEvent)>) -> Dialling {
        let parties = &self.context.session.parties;
        let me = self.context.me;
        let diallers: HashMap<_, _> = parties[..me]
            .iter()
            .enumerate()
            .map(|(place, p)| (p.key, place))
            .collect();
        self.shared
            .sessions
            .open(self.context.manifest, diallers, links.clone());
        let book = Book::new(&self.shared);
        let dial = |(place, party): (usize, &e3_core::document::Party)| {
            let identity = self.shared.identity.clone();
            let (manifest, key) = (self.context.manifest, party.key);
            tokio::spawn(link::dial(
                identity,
                manifest,
                place,
                key,
                book.clone(),
                links.clone(),
            ))
        };
        Dialling(parties.iter().enumerate().skip(me + 1).map(dial).collect())
    }

    /// One step, and what follows from it.
    async fn advance(&mut self, event: Event) {
        let before = (self.state.progress(), self.state.checkpoint());
        let state = std::mem::replace(&mut self.state, State::Fetched(Vec::new()));
        let (state, mut actions) = step(&self.context, state, event);
        self.state = state;
        let checkpoint = self.state.checkpoint();
        if checkpoint != before.1
            && let Err(error) = self.save(&checkpoint)
        {
            // What cannot be written must not be acted on: the session ends here, by its name.
            tracing::error!(session = %self.context.session.name, error = %crate::text::chain(&error), "cannot write state");
            let detail = crate::text::chain(&error);
            let failure = Failure::at(self.context.me, Reason::Disk { detail });
            self.state = State::Failed {
                failure: failure.clone(),
            };
            let tell = Action::Tell(Tell::Failed(failure.clone()));
            actions = vec![
                Action::Kill,
                tell,
                Action::Conclude(Outcome::Failed { failure }),
            ];
        }
        if self.state.progress() != before.0 {
            self.announce();
        }
        // Boxed: an action may lead to another step.
        Box::pin(self.carry_out(actions)).await;
    }

    /// Writes the state; with a good end also what its receipt will say.
    fn save(&self, checkpoint: &Checkpoint) -> Result<(), LedgerError> {
        if matches!(checkpoint, Checkpoint::Done { .. }) {
            self.facts.keep(&self.folder)?;
        }
        self.folder.save(checkpoint)
    }

    /// Shows where the session stands.
    fn announce(&self) {
        let failure = match &self.state {
            State::Failed { failure } => Some(failure.clone()),
            State::Failing { candidates } => Some(candidates.best().clone()),
            _ => None,
        };
        let session = &self.context.session;
        let progress = self.state.progress();
        match &failure {
            Some(failure) => {
                tracing::info!(session = %session.name, manifest = %self.context.manifest, progress = progress.as_str(), reason = %failure, "session");
            }
            None => {
                tracing::info!(session = %session.name, manifest = %self.context.manifest, progress = progress.as_str(), "session");
            }
        }
        self.shared.board.session(SessionNote {
            name: session.name.clone(),
            manifest: self.context.manifest,
            progress,
            failure,
            parties: session
                .parties
                .iter()
                .map(|party| party.name.clone())
                .collect(),
        });
    }

    async fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Judge => self.judge().await,
                Action::Stage => self.stage(),
                Action::StartGate => self.launch(),
                Action::Tell(tell) => self.tell(tell),
                Action::Open(readies) => self.open(&readies).await,
                Action::Kill => self.kill().await,
                Action::StartTimer(timer) => {
                    let after = Duration::from_millis(timer.milliseconds(&self.context.session));
                    self.timers.insert(timer, Instant::now() + after);
                }
                Action::Conclude(outcome) => self.conclude(outcome),
            }
        }
    }

    async fn judge(&mut self) {
        let refused = |detail: String| Reason::Refused {
            refusal: Refusal::Unreadable { detail },
        };
        let policy = match self.shared.policy() {
            Ok(policy) => policy,
            Err(error) => {
                tracing::error!(error = %crate::text::chain(&error), "the policy cannot be read");
                let reason = refused("the owner's policy is broken".to_owned());
                return self.advance(Event::Broken(reason)).await;
            }
        };
        let judged = {
            let mut keeper = self.shared.keeper();
            // Rule 11: an expired head starts nothing new.
            if keeper.trust().head_is_fresh(e3_client::clock::now()) {
                Some(keeper.judge(&self.verified, &policy, &self.shared.me()))
            } else {
                None
            }
        };
        let event = match judged {
            None => Event::Broken(Reason::HeadExpired),
            Some(Err(error)) => Event::Broken(Reason::Disk {
                detail: crate::text::chain(&error),
            }),
            Some(Ok(Ok(Judgement::NotBefore(time)))) => {
                let wait = time.since(self.shared.keeper().now()).max(1).unsigned_abs();
                self.postponed = Some(Instant::now() + Duration::from_secs(wait).min(RECHECK));
                return;
            }
            Some(Ok(Ok(Judgement::Accepted))) => {
                self.facts.timings.verified_ms = Some(self.facts.elapsed());
                Event::Judged(Ok(()))
            }
            Some(Ok(Err(refusal))) => Event::Judged(Err(refusal)),
        };
        self.advance(event).await;
    }

    fn stage(&self) {
        let (shared, context) = (self.shared.clone(), self.context.clone());
        let (folder, reports) = (self.folder.clone(), self.reports.clone());
        tokio::spawn(async move {
            let staged = stage::stage(&shared, &context, &folder).await;
            // The session is over, and nobody else cleans up any more.
            if reports
                .send(Report::Staged(staged.map(Box::new)))
                .await
                .is_err()
            {
                folder.clear_run();
            }
        });
    }

    fn launch(&self) {
        let Some(staging) = &self.staging else { return };
        let spec = gate::spec(&self.shared, &self.context, &self.folder, staging);
        let (shared, reports) = (self.shared.clone(), self.reports.clone());
        tokio::spawn(async move {
            let launched = Party::launch(&shared.launcher, spec).await;
            let _ = reports.send(Report::Launched(launched)).await;
        });
    }

    fn take_report(&mut self, report: Report) -> Option<Event> {
        match report {
            Report::Staged(Ok(staging)) => {
                self.facts.timings.staged_ms = Some(self.facts.elapsed());
                self.staging = Some(*staging);
                Some(Event::Staged(Ok(())))
            }
            Report::Staged(Err(reason)) => Some(Event::Staged(Err(reason))),
            // The session may have failed while Python was starting.
            Report::Launched(Ok((party, events))) if matches!(self.state, State::Staged(_)) => {
                self.party = Some(party);
                self.party_events = Some(events);
                None
            }
            Report::Launched(Ok(_)) => None,
            Report::Launched(Err(reason)) => Some(Event::AtGate(Err(reason))),
        }
    }

    fn take_party_event(&mut self, event: PartyEvent) -> Event {
        match event {
            PartyEvent::AtGate { machine, port } => self.at_gate(machine, port),
            PartyEvent::Refused(reason) => Event::AtGate(Err(reason)),
            PartyEvent::Connected => Event::Connected,
            PartyEvent::ConnectError(error) => Event::ConnectError(error),
            PartyEvent::Impostor(party) => Event::Impostor(party),
            PartyEvent::Broken(reason) => Event::Broken(reason),
            PartyEvent::Ended {
                exit,
                exception,
                stdout,
            } => {
                self.facts.timings.exited_ms = Some(self.facts.elapsed());
                self.party = None;
                self.party_events = None;
                self.facts.exit = Some(exit);
                let key = self
                    .facts
                    .barrier
                    .and_then(|barrier| talk::output_key(&self.talk, &barrier));
                if let Err(error) =
                    self.facts
                        .take_output(&self.context, &self.folder, &stdout, key)
                {
                    return Event::Broken(Reason::Disk {
                        detail: crate::text::chain(&error),
                    });
                }
                let equal = self.facts.equal();
                Event::Ended(Ended {
                    exit,
                    exception,
                    killed_by_agent: false,
                    equal,
                })
            }
        }
    }

    fn at_gate(&mut self, machine: e3_core::document::Machine, port: Option<u16>) -> Event {
        self.facts.timings.gate_ms = Some(self.facts.elapsed());
        let Some(staging) = &self.staging else {
            return Event::AtGate(Err(Reason::AgentRestarted));
        };
        match gate::ready(
            &self.shared,
            &self.context,
            &staging.work,
            machine,
            port,
            self.talk.round_trips(),
        ) {
            Ok(signed) => {
                let document = &signed.ready.document;
                self.facts.machine = Some(document.machine.clone());
                self.facts.program = Some(document.program);
                self.facts.mpyc = Some(document.mpyc);
                let ready = signed.ready.clone();
                self.signed = Some(signed);
                Event::AtGate(Ok(Box::new(ready)))
            }
            Err(reason) => Event::AtGate(Err(reason)),
        }
    }

    fn tell(&mut self, tell: Tell) {
        let frame = match tell {
            Tell::Ready => {
                let Some(signed) = &self.signed else { return };
                Frame::Ready {
                    envelope: signed.envelope.clone(),
                }
            }
            Tell::Armed(barrier) => {
                let share = *e3_client::random::bytes32();
                self.talk.set_share(self.context.me, share);
                Frame::Armed { barrier, share }
            }
            Tell::Finished(outputs) => Frame::Finished { outputs },
            Tell::Failed(failure) => Frame::Failed { failure },
        };
        self.talk.say(frame);
    }

    async fn open(&mut self, readies: &[Ready]) {
        self.facts.timings.barrier_ms = Some(self.facts.elapsed());
        if let State::Running { barrier, .. } = &self.state {
            self.facts.barrier = Some(*barrier);
        }
        let endpoints = readies.iter().map(|ready| ready.endpoint.clone()).collect();
        let tls = self.context.session.mpyc.tls && readies.len() > 1;
        let written = match &self.staging {
            Some(staging) => gate::write_authorities(&staging.work, readies),
            None => Ok(()),
        };
        let opened = match (&self.party, written) {
            (Some(party), Ok(())) => party.open(self.context.me, endpoints, tls).await,
            (None, Ok(())) => Err(Reason::AgentRestarted),
            (_, Err(reason)) => Err(reason),
        };
        if let Err(reason) = opened {
            self.advance(Event::Broken(reason)).await;
        }
    }

    async fn kill(&mut self) {
        // What the program said before it was killed still explains something.
        if let Some(mut events) = self.party_events.take() {
            while let Ok(event) = events.try_recv() {
                self.late.push(event);
            }
        }
        match self.party.take() {
            Some(party) => party.kill().await,
            // A killed agent may have left one behind.
            None => {
                self.shared
                    .launcher
                    .kill_leftovers(&self.context.manifest)
                    .await;
            }
        }
    }

    fn conclude(&mut self, outcome: Outcome) {
        let done = outcome == Outcome::Done;
        if done && let Some(staging) = &self.staging {
            self.shared.runtimes.good(&staging.runtime.wheel);
        }
        let (verdict, detail) = match &outcome {
            Outcome::Done => ("done", String::new()),
            Outcome::Failed { failure } => ("failed", failure.to_string()),
        };
        if let Err(error) =
            self.facts
                .write_receipt(&self.shared, &self.context, &self.folder, outcome)
        {
            tracing::error!(error = %crate::text::chain(&error), "cannot write the receipt");
        }
        self.shared.outbox.push(self.context.manifest);
        if let Err(error) =
            self.shared
                .keeper()
                .note("session", verdict, Some(self.context.manifest), &detail)
        {
            tracing::error!(error = %crate::text::chain(&error), "cannot write the journal");
        }
        self.folder.clear_run();
    }

    fn next_timer(&self) -> Instant {
        let timers = self.timers.values().chain(&self.postponed).min().copied();
        timers.unwrap_or_else(|| Instant::now() + RECHECK)
    }

    async fn take_timer(&mut self) -> Option<Event> {
        let now = Instant::now();
        if self.postponed.is_some_and(|at| at <= now) {
            self.postponed = None;
            self.judge().await;
            return None;
        }
        let due = self
            .timers
            .iter()
            .find(|(_, at)| **at <= now)
            .map(|(timer, _)| *timer)?;
        self.timers.remove(&due);
        Some(Event::Timer(due))
    }

    /// Whether the others may have started: from here on silence is the end of the session.
    fn is_committed(&self) -> bool {
        self.state.checkpoint() == Checkpoint::Committed
    }

    fn is_over(&self) -> bool {
        self.state.is_final() && self.party.is_none()
    }

    /// After the end: whoever comes late still hears why.
    async fn linger(&mut self, linked: &mut mpsc::Receiver<(usize, LinkEvent)>) {
        let done = matches!(self.state, State::Done { .. });
        let preflight = Duration::from_secs(self.context.session.deadlines.preflight);
        let time = if done { FLUSH } else { preflight.min(LINGER) };
        let until = Instant::now() + time;
        while !self.talk.everybody_knows(self.context.me) {
            tokio::select! {
                event = linked.recv() => match event {
                    Some((party, event)) => drop(self.talk.hear(&self.context, party, event)),
                    None => return,
                },
                () = tokio::time::sleep_until(until) => return,
            }
        }
        // Sent is not received: a moment for the last frames.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
