//! A simulated fleet: the real state machines of N parties on a virtual clock.
//!
//! What is real: the manifest and every `Ready` (signed and verified), [`e3_core::session::step`]
//! and [`e3_core::session::resume`]. What is simulated is everything a daemon does for them: the
//! links between agents (first in, first out on each link, any order between links), timers, disks,
//! programs that need each other, and all that can go wrong with them ([`Fault`]). One [`Plan`] gives
//! one history, always the same one, in a few milliseconds whatever its deadlines are.
//!
//! ```
//! use e3_testkit::sim::{Fault, Plan, run};
//!
//! let report = run(&Plan::new(3).with(Fault::Exits { party: 1, code: 7 }));
//! assert_eq!(report.violations, Vec::<String>::new());
//! assert!(report.failures().all(|failure| failure.is_some_and(|failure| failure.party == 1)));
//! ```
//!
//! Whoever wants to show the history while it happens takes the [`Simulation`] itself, which is an
//! iterator of [`Moment`]s. Invariants that no history may break are watched on the way; what broke
//! one is in [`Report::violations`].

mod agent;
mod fixture;
mod links;
mod plan;
mod program;
#[cfg(test)]
mod properties;
mod report;
mod simulation;

pub use fixture::{manifest, party_key};
pub use plan::{Difference, Fault, Plan};
pub use report::{Moment, PartyReport, Report};
pub use simulation::Simulation;

/// Plays a plan to its end.
pub fn run(plan: &Plan) -> Report {
    let mut simulation = Simulation::new(plan);
    while simulation.next().is_some() {}
    simulation.report()
}
