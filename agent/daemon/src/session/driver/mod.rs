//! Drives one session: waits for events, takes a step, writes the checkpoint, carries out actions.
//!
//! One task per session owns everything of it. What takes long (staging, starting Python) runs
//! beside it and reports back as an event.
//!
//! - [`actions`]: carries out what the state machine asks for.
//! - [`events`]: turns what happens into its events.
//! - [`linger`]: what is left to do after the end.

mod actions;
mod events;
mod linger;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use e3_core::document::{Outcome, Session, SessionRef};
use e3_core::envelope::Verified;
use e3_core::session::{
    Action, Checkpoint, Context, Event, Failure, Reason, State, Tell, Timer, resume,
    resume_refused, step,
};
use e3_core::time::Time;
use e3_core::trust::Refusal;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::conclude::Facts;
use super::folder::Folder;
use super::gate::Signed;
use super::stage::Staging;
use super::talk::Talk;
use crate::board::SessionNote;
use crate::book::Book;
use crate::ledger::LedgerError;
use crate::mesh::place;
use crate::party::{Party, PartyEvent};
use crate::peer::link::{self, LinkEvent, Pace};
use crate::shared::Shared;

/// A manifest that starts later is looked at again at least this often: clocks jump.
const RECHECK: Duration = Duration::from_mins(1);

/// What the agent asks of a running session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// It was revoked, or the owner stopped it.
    Stop,
}

/// What the session needs, laid out.
type Staged = Result<Box<Staging>, Reason>;
/// The program, started, and what will be told of it.
type Launched = Result<(Party, mpsc::Receiver<PartyEvent>), Reason>;

/// What the fleet's rules say of a session.
pub enum Standing {
    /// They accept it.
    Accepted(Verified<Session>),
    /// They accepted it when it came and was kept here, and do not any more: it can only be ended.
    Refused(Box<Session>, Refusal),
}

/// One session while it is driven.
struct Driver {
    shared: Shared,
    context: Context,
    standing: Standing,
    folder: Folder,
    state: State,
    /// The state's, as it lies on the disk.
    checkpoint: Checkpoint,
    talk: Talk,
    pace: Pace,
    facts: Facts,
    timers: BTreeMap<Timer, Instant>,
    /// When to ask the policy again because the manifest starts later.
    postponed: Option<Instant>,
    staging: Option<Staging>,
    signed: Option<Signed>,
    /// The program's start, while it is under way.
    launching: Option<JoinHandle<Launched>>,
    party: Option<Party>,
    party_events: Option<mpsc::Receiver<PartyEvent>>,
    /// What the program said just before it was killed.
    late: Vec<PartyEvent>,
    /// How the session has ended, until the receipt that says so is on the disk.
    unsigned: Option<Outcome>,
    reports: mpsc::Sender<Staged>,
}

/// Drives a session whose folder exists until nothing more is to be done for it.
pub async fn drive(
    shared: Shared,
    standing: Standing,
    me: usize,
    named: SessionRef,
    mut commands: mpsc::Receiver<Command>,
) {
    let folder = Folder::of(&shared.ledger, &named.manifest);
    let context = Context {
        session: match &standing {
            Standing::Accepted(verified) => verified.document.clone(),
            Standing::Refused(session, _) => (**session).clone(),
        },
        manifest: named.manifest,
        me,
    };
    let checkpoint = match folder.checkpoint() {
        Ok(Some(checkpoint)) => checkpoint,
        other => {
            tracing::error!(?other, "the session's state cannot be read");
            return;
        }
    };
    let (reports, mut reported) = mpsc::channel(4);
    let (links, mut linked) = mpsc::channel(64);
    let (state, actions) = match &standing {
        Standing::Accepted(_) => resume(&context, checkpoint.clone()),
        Standing::Refused(_, refusal) => {
            resume_refused(&context, checkpoint.clone(), refusal.clone())
        }
    };
    // Of a session that ended well all is known but the receipt, if the agent was killed just then.
    let kept = matches!(state, State::Done { .. })
        .then(|| Facts::kept(&folder))
        .flatten();
    let facts = kept.unwrap_or_else(|| Facts::new(shared.keeper().now()));
    let pace = place::pace(&shared.plans.borrow(), &context.session);
    let mut driver = Driver {
        talk: Talk::new(context.session.parties.len()),
        pace,
        facts,
        timers: BTreeMap::new(),
        postponed: None,
        staging: None,
        signed: None,
        launching: None,
        party: None,
        party_events: None,
        late: Vec::new(),
        unsigned: None,
        shared,
        context,
        standing,
        folder,
        state,
        checkpoint,
        reports,
    };
    let dialling = driver.connect(&links);
    drop(links);
    driver.announce();
    if let Err(error) = driver.save() {
        tracing::error!(error = %crate::text::chain(&error), "cannot write state");
    }
    driver.carry_out(actions).await;
    let mut watch = None;
    while !driver.is_over() {
        for event in std::mem::take(&mut driver.late) {
            let event = driver.take_party_event(event);
            driver.advance(event).await;
        }
        let mut until = driver.next_timer();
        if driver.is_committed() {
            watch.get_or_insert_with(|| driver.shared.links.watch(driver.pace.silence));
            until = until.min(Instant::now() + link::BEAT);
        }
        let (launching, party_events) = (&mut driver.launching, &mut driver.party_events);
        let event = tokio::select! {
            Some(Command::Stop) = commands.recv() => Some(Event::Stop),
            Some((party, event)) = linked.recv() => {
                let now = driver.now();
                driver.talk.hear(&driver.context, party, event, now)
            }
            Some(staged) = reported.recv() => Some(driver.take_staged(staged)),
            launched = end(launching) => driver.take_launched(launched),
            Some(event) = next(party_events) => Some(driver.take_party_event(event)),
            () = tokio::time::sleep_until(until) => driver.take_timer().await,
        };
        // Whoever was stopped for so long has been given up by the others, and must not take their
        // going for the cause.
        let stood_still = watch.take_if(|watch| watch.has_stood_still()).is_some();
        if driver.is_committed() && stood_still {
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

/// How the start of the program ends, if one is under way; for ever otherwise.
async fn end(launching: &mut Option<JoinHandle<Launched>>) -> Launched {
    match launching {
        Some(launching) => launching.await.unwrap_or_else(|error| {
            Err(Reason::Supervisor {
                detail: format!("starting the program ended early: {error}"),
            })
        }),
        None => std::future::pending().await,
    }
}

/// Tasks that end with the session.
struct Dialling(Vec<JoinHandle<()>>);

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
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
            .open(self.context.manifest, diallers, self.pace, links.clone());
        let book = Book::new(&self.shared);
        let dial = |(place, party): (usize, &e3_core::document::Party)| {
            let identity = self.shared.identity.clone();
            let (manifest, key) = (self.context.manifest, party.key);
            self.shared.links.spawn(link::dial(
                identity,
                manifest,
                place,
                key,
                book.clone(),
                self.pace,
                links.clone(),
            ))
        };
        Dialling(parties.iter().enumerate().skip(me + 1).map(dial).collect())
    }

    /// One step, and what follows from it.
    async fn advance(&mut self, event: Event) {
        // Nothing happens after the end. What the disk has not taken of it is written with the receipt.
        if self.state.is_final() {
            return;
        }
        let before = self.state.progress();
        let state = std::mem::replace(&mut self.state, State::Fetched(Vec::new()));
        let (state, mut actions) = step(&self.context, state, event);
        self.state = state;
        if let Err(error) = self.save() {
            // What cannot be written must not be acted on: the session ends here, by its name.
            tracing::error!(error = %crate::text::chain(&error), "cannot write state");
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
        if self.state.progress() != before {
            self.announce();
        }
        // Boxed: an action may lead to another step.
        Box::pin(self.carry_out(actions)).await;
    }

    /// Writes what of the state is news; with a good end also what its receipt will say.
    fn save(&mut self) -> Result<(), LedgerError> {
        let checkpoint = self.state.checkpoint();
        if checkpoint == self.checkpoint {
            return Ok(());
        }
        if matches!(checkpoint, Checkpoint::Done { .. }) {
            // Whoever came to the gate first had not measured many by then.
            self.facts.rtt_us.extend(self.talk.round_trips());
            self.facts.keep(&self.folder)?;
        }
        self.folder.save(&checkpoint)?;
        self.checkpoint = checkpoint;
        Ok(())
    }

    /// Shows where the session stands.
    fn announce(&self) {
        let failure = match &self.state {
            State::Failed { failure } => Some(failure.clone()),
            State::Failing { candidates } => Some(candidates.best().clone()),
            _ => None,
        };
        let session = &self.context.session;
        let note = SessionNote {
            name: session.name.clone(),
            manifest: self.context.manifest,
            progress: self.state.progress(),
            failure,
            parties: session
                .parties
                .iter()
                .map(|party| party.name.clone())
                .collect(),
        };
        let (progress, standing) = (note.progress.as_str(), note.standing());
        if let Some(failure) = &note.failure {
            let culprit = note.parties.get(failure.party);
            let culprit = culprit.map_or("?", |name| name.as_str());
            let reason = failure.reason.kind();
            tracing::info!(progress, reason, culprit, "{standing}");
        } else {
            tracing::info!(progress, "{standing}");
        }
        self.shared.board.session(note);
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
        self.checkpoint == Checkpoint::Committed
    }

    /// What time it is, to compare other parties' clocks with. They go by what this party has told them, so this party does,
    /// too: whose clock jumps after that must not take theirs for wrong.
    fn now(&self) -> Time {
        let told = self.signed.as_ref().map(Signed::now);
        told.unwrap_or_else(|| self.shared.keeper().now())
    }

    fn is_over(&self) -> bool {
        self.state.is_final() && self.party.is_none()
    }
}
