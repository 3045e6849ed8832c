//! How one party's packets get to another one's machine, as far as it can be told there.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::key::PublicKey;
use crate::name::Name;

/// The way to another party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// The party.
    pub party: PublicKey,
    /// Its name, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// Where it leads by.
    pub path: Path,
    /// Microseconds there and back, if something has come back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
}

/// What carries the packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// Nothing does: the party's agent does not answer.
    None,
    /// An anchor, or a relay.
    Relayed,
    /// Nobody but the networks between the two machines.
    Direct,
    /// The party answers, and the mesh's daemon does not tell how.
    Unknown,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.path {
            Path::None => return f.write_str("none"),
            Path::Relayed => "relayed",
            Path::Direct => "direct",
            Path::Unknown => "reached",
        })?;
        match self.rtt_us {
            Some(us @ ..10_000) => write!(f, " {}.{} ms", us / 1000, us % 1000 / 100),
            Some(us) => write!(f, " {} ms", us / 1000),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    #[test]
    fn a_way_is_a_word_and_milliseconds() {
        let say = |path, rtt_us| {
            let party = SecretKey::from_seed(&[1; 32]).public();
            let way = Way {
                party,
                name: None,
                path,
                rtt_us,
            };
            way.to_string()
        };
        assert_eq!(say(Path::Direct, Some(12_345)), "direct 12 ms");
        assert_eq!(say(Path::Direct, Some(280)), "direct 0.2 ms");
        assert_eq!(say(Path::Relayed, Some(48_000)), "relayed 48 ms");
        assert_eq!(say(Path::Relayed, None), "relayed");
        assert_eq!(say(Path::Unknown, Some(1_000)), "reached 1.0 ms");
        assert_eq!(say(Path::None, Some(1)), "none");
    }
}
