//! What tests and the demo share.

pub mod pages;
pub mod sim;
