//! The appliance's daemon: `e3-core` carried out on a real machine.
//!
//! | where | what |
//! |---|---|
//! | [`boot`], [`agent`] | comes up; takes heads, starts sessions |
//! | [`config`], [`import`] | settings; how what finds the fleet ([`e3_client::join`]) gets here |
//! | [`ledger`], [`keeper`], [`journal`], [`refusals`], [`store`] | what is on the disk |
//! | [`enrol`], [`sync`], [`presence`], [`outbox`], [`book`] | what goes to and comes from the hub |
//! | [`address`], [`moves`] | where this machine is, and when that changes |
//! | [`peer`] | the channel between agents |
//! | [`session`] | one session, carried out |
//! | [`runtime`], [`party`], [`supervisor`] | Python, MPyC, and who starts and stops them |
//! | [`fitness`] | whether they could be started, told before a session needs it |
//! | [`update`] | the agent replaces itself |
//! | [`board`], [`phase`], [`status`], [`issue`], [`dbus`], [`metrics`] | what is told to people and programs |
//! | [`notify`], [`pulse`] | what is told to systemd |
//! | [`doctor`], [`asked`] | what is wrong with this machine, for who sits before it and for its owner from afar |
//! | [`support`] | a bundle for whoever helps |
//! | [`reset`] | the owner's way out of lost trust state |

#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod address;
pub mod agent;
pub mod args;
pub mod asked;
pub mod board;
pub mod book;
pub mod boot;
pub mod commands;
pub mod config;
pub mod dbus;
pub mod doctor;
pub mod enrol;
pub mod error;
pub mod fitness;
pub mod gate;
pub mod housekeeping;
pub mod import;
pub mod issue;
pub mod journal;
pub mod keeper;
pub mod ledger;
pub mod lock;
pub mod logging;
pub mod mesh;
pub mod metrics;
pub mod moves;
pub mod notify;
pub mod outbox;
pub mod party;
pub mod peer;
pub mod phase;
pub mod presence;
pub mod pulse;
pub mod refusals;
pub mod reset;
pub mod runtime;
pub mod session;
pub mod shared;
pub mod status;
pub mod store;
pub mod supervisor;
pub mod support;
pub mod sync;
pub mod text;
pub mod update;
