//! One session at this party: the state machine of `e3_core::session`, carried out.
//!
//! - [`folder`]: what lies on the disk.
//! - [`driver`]: events in, actions out.
//! - [`stage`]: program, runtime and inputs.
//! - [`gate`]: the sandboxed Python up to the gate, and the signed `Ready`.
//! - [`talk`]: what is said to, and heard from, the other parties.
//! - [`conclude`]: outputs and the receipt.

pub mod certificate;
pub mod conclude;
pub mod driver;
pub mod folder;
pub mod gate;
pub mod stage;
pub mod talk;
