//! One test for each attack. The table that puts attack, rule, code and test side by side is in the
//! documentation of the crate; [`table`] holds the two together.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

#[path = "../fixture/mod.rs"]
mod fixture;

mod chain;
mod current;
mod documents;
mod mesh;
mod policy;
mod readiness;
mod requests;
mod sessions;
mod signatures;
mod sizes;
mod state;
mod table;
mod update;
