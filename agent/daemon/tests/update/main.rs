//! Updates of real agents, as processes: releases that are good, bad, bent, old and foreign, and
//! deaths at every step. Whoever starts the agent is played by [`init`]; real systemd comes in the lab.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

mod bad;
mod fleet;
mod foreign;
mod good;
mod init;
mod killed;
mod programs;
