//! How an agent replaces itself, as a state machine: what is wanted, tried, kept and never again.
//!
//! The binary that was installed with the machine is always what is started first, and always able
//! to do everything. What a release brings lies beside it and runs in its place, as long as it is
//! whole and has not failed. Whether a release counts is decided in [`crate::trust`], before any of
//! this: signatures of the release role (rule 9), its counter (rule 5), its expiry (rule 10).
//!
//! 1. Only what was fetched, checked against the signed digest, and has passed its own self-check
//!    is tried.
//! 2. A start is counted on the disk before it happens. After [`STARTS`] of them without proof the
//!    binary is bad: taken back, and never tried again, whichever release names it.
//! 3. Proof is [`crate::limits::TRIAL`] seconds of healthy work *and* a head that was verified by it.
//!    What works but cannot reach its hub is set aside, and tried again when the hub is back.
//! 4. A release older than the committed one is never tried; what runs is the newest binary that has
//!    proved itself, or one under trial, or the installed one.
//! 5. An installed binary of at least the same version wins: the machine's owner has updated it.
//! 6. Nothing is replaced while a session runs.
//!
//! Whoever carries this out saves the state that [`step`] returns before its actions. Stage 0 (the
//! installed binary) may be older than what has written the state, so fields that it does not know
//! are passed over here, unlike in documents.

mod state;
mod step;
mod trouble;

pub use state::{Action, Bad, Candidate, Event, Image, News, Stage, State, is_later};
pub use step::{STARTS, step};
pub use trouble::Trouble;
