//! The life of one session at one party, as a state machine without I/O, clock or async.
//!
//! [`step`] takes a [`State`] and an [`Event`] and returns the next state and the [`Action`]s that
//! the daemon must carry out, after it has written the state's [`Checkpoint`] to disk. What the
//! parties compare before they start is in [`barrier`]; what their receipts say together is in
//! [`verdict`].

pub mod barrier;
mod blame;
mod reach;
mod reason;
mod state;
mod step;
pub mod verdict;

pub use blame::Candidates;
pub use reach::Reach;
pub use reason::{Failure, Reason};
pub use state::{Action, Checkpoint, Context, Ended, Event, Peer, State, Tell, Timer};
pub use step::{resume, resume_refused, step};
