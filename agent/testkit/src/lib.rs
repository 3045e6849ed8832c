//! What tests and the demo share.

pub mod documents;
pub mod pages;
pub mod sim;
