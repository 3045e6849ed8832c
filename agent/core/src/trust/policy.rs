//! Rule 7: a session runs on a party only if that party's own policy accepts it.
//!
//! The policy is the owner's, lies on the party's machine as TOML, and is signed by nobody: whoever
//! can write it owns the machine. What every party of a fleet agrees on is in [`super::state`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::digest::Digest;
use crate::document::{Consent, OutputRule, Session};
use crate::envelope::Verified;
use crate::key::PublicKey;
use crate::name::Name;
use crate::time::Time;

/// What an owner allows on a party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The party's owner.
    pub owner: PublicKey,
    /// Whose signatures count here; the owner alone if nothing is said.
    #[serde(default)]
    pub signers: Vec<PublicKey>,
    /// How many different signers must have signed.
    #[serde(default = "one")]
    pub threshold: usize,
    /// Accept only sessions that ask for the consent of every owner.
    #[serde(default)]
    pub require_consent: bool,
    /// Programs, by the digest of their pack; any signed program if nothing is said.
    #[serde(default)]
    pub programs: Option<Vec<Digest>>,
    /// MPyC versions; any pinned version if nothing is said.
    #[serde(default)]
    pub mpyc: Option<Vec<String>>,
    /// Local inputs and who gets them. What is not listed here is given to nobody.
    #[serde(default)]
    pub inputs: BTreeMap<Name, InputRule>,
    /// Whether a manifest may publish the output.
    #[serde(default)]
    pub publish: bool,
    /// The most that a session may use.
    #[serde(default)]
    pub caps: Caps,
}

const fn one() -> usize {
    1
}

/// Which sessions get an input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputRule {
    /// The file on this machine.
    pub file: String,
    /// Session names; a trailing `*` stands for any rest. All sessions if nothing is said.
    #[serde(default)]
    pub sessions: Option<Vec<String>>,
    /// Programs, by digest. All allowed programs if nothing is said.
    #[serde(default)]
    pub programs: Option<Vec<Digest>>,
}

/// The machine's caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Bytes of memory.
    pub memory: u64,
    /// Percent of one core.
    pub cpu: u32,
    /// Processes and threads.
    pub tasks: u32,
    /// Seconds from barrier to end.
    pub run: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            memory: 4 << 30,
            cpu: 10_000,
            tasks: 1024,
            run: 7 * 86_400,
        }
    }
}

/// The answer of a policy that has nothing against a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It may run now.
    Accepted,
    /// It may run, but not before this time.
    NotBefore(Time),
}

impl Policy {
    /// A policy that trusts its owner alone.
    pub fn of_owner(owner: PublicKey) -> Self {
        Self {
            owner,
            signers: Vec::new(),
            threshold: 1,
            require_consent: false,
            programs: None,
            mpyc: None,
            inputs: BTreeMap::new(),
            publish: false,
            caps: Caps::default(),
        }
    }

    /// Judges a session that the fleet's rules have let through ([`super::Trust::open_session`]).
    ///
    /// `me` is this party's identity; `now` comes from [`super::Trust::now`].
    pub fn judge(
        &self,
        me: &PublicKey,
        session: &Verified<Session>,
        now: Time,
    ) -> Result<Judgement, Refusal> {
        let manifest = &session.document;
        let index = manifest.party_index(me).ok_or(Refusal::NotAParty)?;
        let party = &manifest.parties[index];
        if party.owner != self.owner {
            return Err(Refusal::WrongOwner { named: party.owner });
        }
        if manifest.expires <= now {
            return Err(Refusal::Expired {
                expired: manifest.expires,
            });
        }
        self.signatures_suffice(session)?;
        self.consent_is_complete(session)?;
        self.contents_are_allowed(manifest, index)?;
        self.limits_fit(manifest)?;
        Ok(if now < manifest.not_before {
            Judgement::NotBefore(manifest.not_before)
        } else {
            Judgement::Accepted
        })
    }

    /// Only keys that the fleet's session role accepted count here, too: `session.signers` holds no
    /// others (rule 9), so a key that the root has dropped is worth nothing in any policy.
    fn signatures_suffice(&self, session: &Verified<Session>) -> Result<(), Refusal> {
        let alone = [self.owner];
        let trusted: &[PublicKey] = if self.signers.is_empty() {
            &alone
        } else {
            &self.signers
        };
        let valid = session
            .signers
            .iter()
            .filter(|key| trusted.contains(key))
            .count();
        let threshold = self.threshold.max(1);
        if valid >= threshold {
            Ok(())
        } else {
            Err(Refusal::PolicyThreshold { valid, threshold })
        }
    }

    /// An owner consents with a key of the session role, like everybody who starts sessions (rule 9).
    fn consent_is_complete(&self, session: &Verified<Session>) -> Result<(), Refusal> {
        let manifest = &session.document;
        if manifest.consent != Consent::All {
            return if self.require_consent {
                Err(Refusal::ConsentRequired)
            } else {
                Ok(())
            };
        }
        match manifest
            .parties
            .iter()
            .find(|party| !session.signers.contains(&party.owner))
        {
            Some(party) => Err(Refusal::ConsentMissing {
                owner: party.owner,
                party: party.name.clone(),
            }),
            None => Ok(()),
        }
    }

    fn contents_are_allowed(&self, manifest: &Session, index: usize) -> Result<(), Refusal> {
        let program = manifest.program.pack.digest;
        if self
            .programs
            .as_ref()
            .is_some_and(|allowed| !allowed.contains(&program))
        {
            return Err(Refusal::ProgramNotAllowed { program });
        }
        let version = &manifest.mpyc.version;
        if self
            .mpyc
            .as_ref()
            .is_some_and(|allowed| !allowed.contains(version))
        {
            return Err(Refusal::MpycNotAllowed {
                version: version.clone(),
            });
        }
        let given = |input: &Name| {
            self.inputs
                .get(input)
                .is_some_and(|rule| rule.gives(&manifest.name, &program))
        };
        if let Some(input) = manifest.parties[index]
            .inputs
            .iter()
            .find(|input| !given(input))
        {
            return Err(Refusal::InputNotAllowed {
                input: input.clone(),
            });
        }
        if manifest.output == OutputRule::Publish && !self.publish {
            return Err(Refusal::PublishNotAllowed);
        }
        Ok(())
    }

    fn limits_fit(&self, manifest: &Session) -> Result<(), Refusal> {
        let asked = &manifest.limits;
        let pairs = [
            ("memory", asked.memory, self.caps.memory),
            ("cpu", u64::from(asked.cpu), u64::from(self.caps.cpu)),
            ("tasks", u64::from(asked.tasks), u64::from(self.caps.tasks)),
            ("run", manifest.deadlines.run, self.caps.run),
        ];
        match pairs
            .into_iter()
            .find(|(_, asked, allowed)| asked > allowed)
        {
            Some((what, asked, allowed)) => Err(Refusal::LimitTooHigh {
                what: what.to_owned(),
                asked,
                allowed,
            }),
            None => Ok(()),
        }
    }
}

impl InputRule {
    fn gives(&self, session: &Name, program: &Digest) -> bool {
        let named = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => session.as_str().starts_with(start),
            None => session.as_str() == pattern,
        };
        self.sessions
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(named))
            && self
                .programs
                .as_ref()
                .is_none_or(|programs| programs.contains(program))
    }
}
