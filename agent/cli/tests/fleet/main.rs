//! What happens to sessions when something breaks: real agents, a real hub, real programs, real
//! signals, all on this machine.
//!
//! - [`common`]: a fleet to break, and programs that tell what happened to them.
//! - [`asked`]: machines that are asked from afar.
//! - [`clocks`]: a party whose clock was years ahead.
//! - [`kills`]: the agent is killed in every state of the session.
//! - [`stopped`]: programs and agents that are killed or stopped while the program runs.
//! - [`programs`]: programs that do wrong.
//! - [`hub`]: a hub that comes and goes.
//! - [`rules`]: sessions that must not run, or not any more.
//! - [`ports`]: ports that are taken, and strangers who connect.
//! - [`updates`]: agents that are replaced between sessions.
//! - [`upstream`]: MPyC programs that know nothing of E3.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_methods,
    reason = "what tests write need not survive a crash"
)]

mod asked;
mod clocks;
mod common;
mod hub;
mod kills;
mod ports;
mod programs;
mod rotation;
mod rules;
mod stopped;
mod updates;
mod upstream;
