//! The channel between agents: TLS 1.3 in which both sides prove their identity key, and small
//! framed messages over it.
//!
//! Each pair of parties of a session has one connection; the party with the lower place dials. What
//! the messages mean is the session's business. The connections live on a [`thread`] of their own.

pub mod frame;
pub mod link;
pub mod listen;
pub mod thread;
pub mod tls;
