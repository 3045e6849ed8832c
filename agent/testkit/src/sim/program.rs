//! Simulated programs: what their agents and the other programs see of them.

use std::collections::BTreeSet;

use e3_core::digest::Digest;
use e3_core::document::{Comparison, Exit, OutputHash, Ready};
use e3_core::session::{Ended, Event, Reach, Reason, State, barrier};

use super::fixture;
use super::plan::Fault;
use super::simulation::{Happening, Simulation};

/// How long programs compute, in milliseconds.
const COMPUTING_MS: std::ops::RangeInclusive<u64> = 50..=400;
/// How long until an agent hears what its program's MPyC has connected, in milliseconds.
const CONNECTING_MS: u64 = 20;
/// How long until an agent notices the end of its own program, or a program the end of another one.
/// The two overlap: an agent may hear of the consequences before it sees the cause.
const NOTICE_MS: std::ops::RangeInclusive<u64> = 0..=40;

/// A program's process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) status: Status,
    /// Which process it is; what is said of an earlier one is void.
    pub(super) generation: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Status {
    /// There is none, or it has ended.
    #[default]
    Gone,
    /// It imports, or waits at the gate.
    AtGate,
    /// It runs, and is not connected to the others.
    Alone,
    /// It runs, connected to the others.
    Connected,
}

impl Program {
    /// Whether there is a process.
    pub(super) fn lives(self) -> bool {
        self.status != Status::Gone
    }
}

/// The end of a program that did its work.
pub(super) fn success(output: &[u8]) -> Ended {
    let hmac = Digest::of(output);
    let equal = vec![OutputHash {
        name: "stdout".to_owned(),
        comparison: Comparison::Equal,
        hmac,
    }];
    Ended {
        exit: Exit::Code(0),
        exception: None,
        equal,
        killed_by_agent: false,
    }
}

/// The end of a program that raised an exception.
pub(super) fn exception(code: i32, name: &str) -> Ended {
    let exception = Some(name.to_owned());
    Ended {
        exit: Exit::Code(code),
        exception,
        equal: Vec::new(),
        killed_by_agent: false,
    }
}

/// The end of a program that was killed.
pub(super) const fn killed(by_agent: bool) -> Ended {
    Ended {
        exit: Exit::Signal(9),
        exception: None,
        equal: Vec::new(),
        killed_by_agent: by_agent,
    }
}

/// The lives of programs.
impl Simulation {
    pub(super) fn start_gate(&mut self, party: usize, work: u64) {
        let agent = &mut self.agents[party];
        if agent.program.lives() {
            self.report.violations.push(format!(
                "party {party} starts a second program beside the first"
            ));
        }
        let agent = &mut self.agents[party];
        agent.program.generation += 1;
        agent.program.status = Status::AtGate;
        let generation = agent.program.generation;
        if self.plan.faults.contains(&Fault::CannotStartGate { party }) {
            let detail = "python3: not found".to_owned();
            self.process(
                party,
                work,
                Event::AtGate(Err(Reason::PythonMissing { detail })),
            );
            return;
        }
        let agent = &mut self.agents[party];
        let ready = fixture::ready(&agent.context, &agent.machine, agent.life);
        agent.ready = Some(ready.clone());
        self.process(party, work, Event::AtGate(Ok(Box::new(ready))));
        if self.plan.faults.contains(&Fault::EndsAtGate { party }) {
            self.after(
                work + 1,
                Happening::Dies {
                    party,
                    generation,
                    how: killed(false),
                },
            );
        }
    }

    pub(super) fn open(&mut self, party: usize, readies: &[Ready]) {
        self.watch_opening(party, readies);
        if !self.agents[party].program.lives() {
            // The daemon finds nobody at the gate.
            let detail = "the program is gone".to_owned();
            self.event(party, 1, Event::Broken(Reason::Supervisor { detail }));
            return;
        }
        self.agents[party].program.status = Status::Alone;
        if !self.plan.programs_connect {
            self.compute(party);
            return;
        }
        self.process(
            party,
            5,
            Event::ConnectError("ConnectionRefusedError".to_owned()),
        );
        self.dial();
    }

    /// All programs dial upwards, each until it gets no further, and tell what has changed.
    fn dial(&mut self) {
        let parties = self.plan.parties;
        let has = |fault: Fault| self.plan.faults.contains(&fault);
        let starts = |party: usize| {
            let runs = self.agents[party].program.status == Status::Alone;
            runs && !has(Fault::NeverStartsMpyc { party })
        };
        let reaches = |from: usize, to: usize| {
            let blocked =
                has(Fault::Unreachable { party: to }) || has(Fault::CannotDial { from, to });
            starts(to) && !blocked
        };
        let begun = |party: usize| starts(party).then(BTreeSet::new);
        let mut reach: Vec<Reach> = (0..parties).map(begun).collect();
        for from in (0..parties).filter(|from| starts(*from)) {
            for to in (from + 1..parties).take_while(|to| reaches(from, *to)) {
                reach[from].get_or_insert_default().insert(to);
                reach[to].get_or_insert_default().insert(from);
            }
        }
        let whole = |reach: &Reach| reach.as_ref().is_some_and(|r| r.len() + 1 == parties);
        let all = reach.iter().all(whole);
        for (party, reach) in reach.into_iter().enumerate() {
            let changed = self.agents[party].reach != reach;
            self.agents[party].reach.clone_from(&reach);
            if let Some(reach) = reach.filter(|_| changed) {
                let whole = reach.len() + 1 == parties;
                let event = if whole {
                    Event::Connected
                } else {
                    Event::Reached(reach)
                };
                self.process(party, CONNECTING_MS, event);
            }
            if all {
                self.agents[party].program.status = Status::Connected;
                self.compute(party);
            }
        }
    }

    /// What no history may do: open twice, again after a commitment, or without everybody's equal
    /// `Ready`.
    pub(super) fn watch_opening(&mut self, party: usize, readies: &[Ready]) {
        let agent = &mut self.agents[party];
        agent.opened += 1;
        let mut wrong = Vec::new();
        if agent.committed_before {
            wrong.push("opens its gate after a restart although it had committed itself before");
        }
        if agent.opened > 1 {
            wrong.push("opens its gate twice");
        }
        let Some(State::Running { barrier, .. }) = agent.state else {
            self.report
                .violations
                .push(format!("party {party} opens without running"));
            return;
        };
        let all_armed = (0..self.plan.parties).all(|other| self.armed.contains(&(other, barrier)));
        if !all_armed {
            wrong.push("opens before everybody is armed for the same barrier");
        }
        let truth = fixture::context(self.plan.parties, party);
        let fits = |(place, ready): (usize, &Ready)| barrier::check(&truth, place, ready).is_ok();
        if readies.len() != self.plan.parties || !readies.iter().enumerate().all(fits) {
            wrong.push("opens although a party differs");
        }
        let same = self
            .opened
            .entry(barrier)
            .or_insert_with(|| readies.to_vec());
        if same != readies {
            wrong.push("opens with other proofs of readiness than another party");
        }
        self.report
            .violations
            .extend(wrong.iter().map(|wrong| format!("party {party} {wrong}")));
    }

    /// Lets a program compute, and end as its faults want.
    pub(super) fn compute(&mut self, party: usize) {
        let ms = self.chance.draw(&COMPUTING_MS);
        let mut how = Some(success(b"42\n"));
        for fault in &self.plan.faults {
            match fault {
                Fault::Exits { party: at, code } if *at == party => {
                    how = Some(exception(*code, "ValueError"));
                }
                Fault::Killed { party: at } if *at == party => how = Some(killed(false)),
                Fault::Hangs { party: at } if *at == party => how = None,
                Fault::OutputDiffers { party: at } if *at == party => how = Some(success(b"41\n")),
                _ => {}
            }
        }
        // A program that waits for one that died in the middle or hangs does not get to its end.
        let breaks = |fault: &Fault| {
            matches!(
                fault,
                Fault::Exits { .. } | Fault::Killed { .. } | Fault::Hangs { .. }
            )
        };
        let good_end = how.as_ref().is_some_and(|how| how.exit.is_success());
        if good_end && self.plan.programs_connect && self.plan.has(breaks) {
            return;
        }
        if let Some(how) = how {
            // Programs of MPyC end together.
            let ms = if self.plan.programs_connect && good_end {
                400
            } else {
                ms
            };
            let generation = self.agents[party].program.generation;
            self.after(
                ms,
                Happening::Dies {
                    party,
                    generation,
                    how,
                },
            );
        }
    }

    /// A program ends; the agent and the other programs notice, in any order.
    pub(super) fn end(&mut self, party: usize, how: Ended) {
        let was = self.agents[party].program.status;
        if was == Status::Gone {
            return;
        }
        self.agents[party].program.status = Status::Gone;
        let broken = was == Status::Connected && !how.exit.is_success();
        let ms = self.chance.draw(&NOTICE_MS);
        self.process(party, ms, Event::Ended(how));
        for other in 0..self.plan.parties {
            if broken && self.agents[other].program.status == Status::Connected {
                let ms = self.chance.draw(&NOTICE_MS);
                let generation = self.agents[other].program.generation;
                let how = exception(1, "ConnectionResetError");
                self.after(
                    ms,
                    Happening::Dies {
                        party: other,
                        generation,
                        how,
                    },
                );
            }
        }
    }

    pub(super) fn kill(&mut self, party: usize) {
        self.end(party, killed(true));
    }
}
