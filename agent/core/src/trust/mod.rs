//! The trust rules: what counts, what is current, and what may run here.
//!
//! - [`chain`]: the root chain (rule 4).
//! - [`floor`]: what this party will never go back behind (rules 5, 10, 12).
//! - [`state`]: head, sessions and releases against root and floor (rules 1, 5, 6, 8, 9).
//! - [`policy`]: the owner's own rules (rule 7).
//! - [`asked`]: whom a machine answers that is asked from afar.
//! - [`presence`]: how a party numbers what it says of itself.
//!
//! Everything takes bytes, state and `now`, and returns new state or a typed refusal. Saving that
//! state *before* acting on it is the daemon's part of rule 5.

pub mod asked;
pub mod chain;
pub mod floor;
pub mod policy;
pub mod presence;
mod refusal;
pub mod state;

pub use asked::{Answers, Asked, Unanswered};
pub use floor::Floor;
pub use policy::Policy;
pub use presence::PresenceCounter;
pub use refusal::{Refusal, TrustError};
pub use state::{Trust, open_release, session_counter};
