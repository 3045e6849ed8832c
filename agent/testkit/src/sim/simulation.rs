//! The simulation itself: a queue of things that happen, and what the agents do about them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use e3_core::digest::Digest;
use e3_core::document::{Outcome, Ready};
use e3_core::session::{Action, Checkpoint, Ended, Event, Reason, State, resume, step};
use e3_core::trust::Refusal;

use super::agent::Agent;
use super::links::{Chance, Links};
use super::plan::{Fault, Plan};
use super::program;
use super::report;
use super::report::{Moment, PartyReport, Report};

/// How long until silence is taken for the end of a connection, in milliseconds.
const SILENCE_MS: u64 = 3000;
/// How long an agent that has concluded stays connected, in milliseconds.
const LINGER_MS: std::ops::RangeInclusive<u64> = 0..=1000;
/// More than any history of a sensible plan has; beyond it something goes round in circles.
const MOMENTS: usize = 100_000;

/// Something that happens at a time.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// An agent starts, or starts again.
    Start(usize),
    /// Something for the state machine of a party in one of its lives.
    Event {
        party: usize,
        life: u32,
        event: Box<Event>,
    },
    /// The own process, by its generation, says something.
    Process {
        party: usize,
        generation: u32,
        event: Box<Event>,
    },
    /// A program ends by itself.
    Dies {
        party: usize,
        generation: u32,
        how: Ended,
    },
    /// Two agents connect, if they can.
    Connect(usize, usize),
    /// An agent that has concluded closes its connections.
    Leave { party: usize, life: u32 },
    /// A link breaks, or works again.
    Cut(usize, usize, bool),
}

impl Happening {
    /// Whether it is a message of that party that is still under way.
    fn is_said_by(&self, party: usize) -> bool {
        let Self::Event { event, .. } = self else {
            return false;
        };
        match **event {
            Event::PeerReady(from, _)
            | Event::PeerArmed(from, _)
            | Event::PeerReached(from, _)
            | Event::PeerFinished(from, _)
            | Event::PeerFailed(from, _) => from == party,
            _ => false,
        }
    }
}

/// A simulation under way: an iterator of its [`Moment`]s.
#[derive(Debug)]
pub struct Simulation {
    pub(super) plan: Plan,
    pub(super) chance: Chance,
    pub(super) now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Happening>,
    pub(super) agents: Vec<Agent>,
    pub(super) links: Links,
    /// Who has said that it is armed, and for what.
    pub(super) armed: BTreeSet<(usize, Digest)>,
    /// With what each barrier was opened.
    pub(super) opened: BTreeMap<Digest, Vec<Ready>>,
    fresh: VecDeque<Moment>,
    pub(super) report: Report,
}

impl Simulation {
    /// A simulation at its beginning.
    pub fn new(plan: &Plan) -> Self {
        let mut simulation = Self {
            agents: (0..plan.parties).map(|me| Agent::new(plan, me)).collect(),
            chance: Chance(plan.seed),
            plan: plan.clone(),
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            links: Links::default(),
            armed: BTreeSet::new(),
            opened: BTreeMap::new(),
            fresh: VecDeque::new(),
            report: Report {
                parties: Vec::new(),
                violations: Vec::new(),
                moments: Vec::new(),
            },
        };
        for party in 0..plan.parties {
            let start = simulation.chance.draw(&plan.fetched_ms);
            simulation.after(start, Happening::Start(party));
        }
        for fault in &plan.faults {
            if let Fault::LinkCut {
                a,
                b,
                at_ms,
                for_ms,
            } = *fault
            {
                simulation.after(at_ms, Happening::Cut(a, b, true));
                if let Some(ms) = for_ms {
                    simulation.after(at_ms + ms, Happening::Cut(a, b, false));
                }
            }
        }
        simulation
    }

    /// What has come of it so far.
    pub fn report(self) -> Report {
        let mut report = self.report;
        report.parties = self.agents.into_iter().map(party_report).collect();
        for (party, it) in report.parties.iter().enumerate() {
            if it.alive && it.outcome.is_none() {
                report
                    .violations
                    .push(format!("party {party} hangs: {:?}", it.checkpoint));
            }
        }
        let barriers: BTreeSet<_> = report
            .parties
            .iter()
            .filter_map(|party| party.barrier)
            .collect();
        if barriers.len() > 1 {
            report
                .violations
                .push("parties are done with different barriers".to_owned());
        }
        report
    }

    pub(super) fn after(&mut self, ms: u64, happening: Happening) {
        self.at(self.now + ms, happening);
    }

    pub(super) fn at(&mut self, ms: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((ms, self.sequence), happening);
    }

    /// An event for a party after `ms`, unless its agent dies before.
    pub(super) fn event(&mut self, party: usize, ms: u64, event: Event) {
        let life = self.agents[party].life;
        self.after(
            ms,
            Happening::Event {
                party,
                life,
                event: Box::new(event),
            },
        );
    }

    /// Something that the own process says after `ms`, unless it or the agent is gone by then.
    pub(super) fn process(&mut self, party: usize, ms: u64, event: Event) {
        let generation = self.agents[party].program.generation;
        self.after(
            ms,
            Happening::Process {
                party,
                generation,
                event: Box::new(event),
            },
        );
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start(party) => self.start(party),
            Happening::Event { party, life, event } => {
                if self.agents[party].life == life && self.agents[party].state.is_some() {
                    self.step(party, *event);
                }
            }
            Happening::Process {
                party,
                generation,
                event,
            } => {
                let agent = &self.agents[party];
                let speaks = agent.program.lives() || matches!(*event, Event::Ended(_));
                if agent.program.generation == generation && speaks && agent.state.is_some() {
                    self.step(party, *event);
                }
            }
            Happening::Dies {
                party,
                generation,
                how,
            } => {
                if self.agents[party].program.generation == generation {
                    self.end(party, how);
                }
            }
            Happening::Connect(a, b) => self.connect(a, b),
            Happening::Leave { party, life } => {
                if self.agents[party].life == life {
                    self.disconnect(party);
                }
            }
            Happening::Cut(a, b, cut) => {
                self.links.set_cut(a, b, cut);
                if cut && self.links.disconnect(a, b) {
                    self.lose(a, b, SILENCE_MS);
                    self.lose(b, a, SILENCE_MS);
                } else if !cut {
                    self.connect(a, b);
                }
            }
        }
    }

    fn start(&mut self, party: usize) {
        let agent = &mut self.agents[party];
        let checkpoint = agent.disk.clone().unwrap_or(Checkpoint::Fetched);
        agent.committed_before = agent.is_committed();
        let (state, actions) = resume(&agent.context, checkpoint);
        self.note(party, "the agent starts", &state);
        if self.agents[party].life == 0 {
            for fault in self.plan.faults.clone() {
                if let Fault::Stopped { party: at, at_ms } = fault
                    && at == party
                {
                    self.event(party, at_ms, Event::Stop);
                }
            }
        }
        self.enter(party, state, actions);
        for other in 0..self.plan.parties {
            if other != party {
                let ms = self.chance.draw(&self.plan.latency_ms.clone());
                self.after(ms, Happening::Connect(party, other));
            }
        }
    }

    fn step(&mut self, party: usize, event: Event) {
        let agent = &mut self.agents[party];
        let Some(state) = agent.state.take() else {
            return;
        };
        let before = state.clone();
        let words = report::words(&event);
        let (state, actions) = step(&agent.context, state, event);
        if state != before || !actions.is_empty() {
            self.note(party, &words, &state);
        }
        self.enter(party, state, actions);
    }

    /// Takes a new state: first to disk, then its actions, as the daemon does; or dies in between.
    fn enter(&mut self, party: usize, state: State, actions: Vec<Action>) {
        let agent = &mut self.agents[party];
        agent.disk = Some(state.checkpoint());
        if let State::Done { barrier, .. } = &state {
            agent.barrier = Some(*barrier);
        }
        agent.state = Some(state);
        agent.steps += 1;
        let step = agent.steps;
        let death = self.plan.faults.iter().find_map(|fault| match *fault {
            Fault::AgentDies {
                party: at,
                step: when,
                actions,
                back_ms,
            } if (at, when) == (party, step) => Some((actions, back_ms)),
            _ => None,
        });
        let alive = death.map_or(usize::MAX, |death| death.0);
        for action in actions.into_iter().take(alive) {
            self.carry_out(party, action);
        }
        if let Some((_, back_ms)) = death {
            self.die(party, back_ms);
        }
    }

    fn carry_out(&mut self, party: usize, action: Action) {
        let work = self.chance.draw(&self.plan.work_ms.clone());
        let has = |fault: Fault| self.plan.faults.contains(&fault);
        match action {
            Action::Judge => {
                let refuses = has(Fault::Refuses { party });
                let verdict = if refuses {
                    Err(Refusal::ConsentRequired)
                } else {
                    Ok(())
                };
                self.event(party, work, Event::Judged(verdict));
            }
            Action::Stage => {
                let fails = has(Fault::CannotStage { party });
                let hangs = has(Fault::StagesForEver { party });
                let unavailable = || Reason::Unavailable {
                    what: "it".to_owned(),
                    detail: "404".to_owned(),
                };
                if !hangs {
                    let staged = if fails { Err(unavailable()) } else { Ok(()) };
                    self.event(party, work, Event::Staged(staged));
                }
            }
            Action::StartGate => self.start_gate(party, work),
            Action::Tell(tell) => self.tell(party, &tell),
            Action::Open(readies) => self.open(party, &readies),
            Action::Kill => self.kill(party),
            Action::StartTimer(timer) => {
                let ms = timer.milliseconds(&self.agents[party].context.session);
                self.event(party, ms, Event::Timer(timer));
            }
            Action::Conclude(outcome) => {
                self.agents[party].outcome = Some(outcome);
                let life = self.agents[party].life;
                let linger = self.chance.draw(&LINGER_MS);
                self.after(linger, Happening::Leave { party, life });
            }
        }
    }

    fn die(&mut self, party: usize, back_ms: Option<u64>) {
        let state = self.agents[party].state.clone();
        if let Some(state) = state {
            self.note(party, "the agent dies", &state);
        }
        if !self.plan.programs_outlive_agents && self.agents[party].program.lives() {
            self.end(party, program::killed(false));
        }
        self.agents[party].die();
        if self.plan.deaths_lose_messages {
            self.queue
                .retain(|_, happening| !happening.is_said_by(party));
        }
        self.disconnect(party);
        if let Some(ms) = back_ms {
            self.after(ms, Happening::Start(party));
        }
    }

    fn note(&mut self, party: usize, event: &str, state: &State) {
        let moment = Moment {
            ms: self.now,
            party,
            event: event.to_owned(),
            progress: state.progress(),
        };
        self.report.moments.push(moment.clone());
        self.fresh.push_back(moment);
    }
}

impl Iterator for Simulation {
    type Item = Moment;

    fn next(&mut self) -> Option<Moment> {
        while self.fresh.is_empty() {
            if self.report.moments.len() > MOMENTS {
                self.report.violations.push("it never ends".to_owned());
                self.queue.clear();
            }
            let ((ms, _), happening) = self.queue.pop_first()?;
            self.now = ms;
            self.happen(happening);
        }
        self.fresh.pop_front()
    }
}

fn party_report(agent: Agent) -> PartyReport {
    PartyReport {
        opened: agent.opened,
        outcome: agent.outcome.clone(),
        barrier: agent
            .barrier
            .filter(|_| agent.outcome == Some(Outcome::Done)),
        alive: agent.state.is_some(),
        checkpoint: agent.disk,
    }
}
