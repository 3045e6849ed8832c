//! Errors as one line.

pub use e3_core::text::chain;
