//! E3's formats, signatures, trust rules and session state machine.
//!
//! No I/O, no clock, no async: the crate takes bytes, state and the time, and returns values. The
//! daemon, the hub and the owner's command carry them out.
//!
//! | where | what |
//! |---|---|
//! | [`digest`], [`key`], [`name`], [`time`] | the small words: what documents are made of |
//! | [`limits`] | every size bound (rule 3) |
//! | [`envelope`] | the one way in: DSSE, verified before it is read (rules 1 to 3) |
//! | [`document`] | what is signed |
//! | [`trust`] | what counts, what is current, what may run here (rules 4 to 12) |
//! | [`session`] | the life of a session as a state machine, preflight, blame, verdict |
//! | [`pack`] | programs as bytes |
//! | [`journal`] | the hash chain of accepts and refusals (rule 13) |

pub mod digest;
pub mod document;
pub mod envelope;
pub mod journal;
pub mod key;
pub mod limits;
pub mod name;
pub mod pack;
pub mod session;
pub mod time;
pub mod trust;

/// Gives a type that is written as a text its JSON schema.
macro_rules! text_schema {
    ($type:ty, $name:literal, $pattern:expr, $description:literal) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    };
}
pub(crate) use text_schema;
