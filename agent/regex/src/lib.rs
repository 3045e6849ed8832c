//! `regex-lite` under the name of `regex`.
//!
//! `self_update` compiles three patterns to fill in names in a path. The whole of `regex` for that,
//! with its tables of Unicode and its several engines, takes 0.9 MiB of the agent; this takes 0.1.
//! The two have the same interface, so nothing else is needed. Should another dependency come to need
//! more than this offers, it does not compile, and the patch has to go.

pub use regex_lite::*;
