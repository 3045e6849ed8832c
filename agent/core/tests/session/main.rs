//! Each transition of a session, as an example that can be read. What holds for all histories of a
//! whole fleet is tested in `agent/testkit/src/sim`.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod barrier;
mod failing;
#[path = "../fixture/mod.rs"]
mod fixture;
mod party;
mod restart;
mod running;
