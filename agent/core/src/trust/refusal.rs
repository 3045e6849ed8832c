//! Why trust rules and policies say no. Each variant names its rule; the texts say what to do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::envelope::EnvelopeError;
use crate::key::PublicKey;
use crate::name::Name;
use crate::time::Time;

/// Why root, head or release are refused. The party keeps its last good state (rule 11).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Rules 1 to 3.
    #[error("the {document} is refused: {source}")]
    Envelope {
        /// `root`, `head` or `release`.
        document: &'static str,
        /// Why.
        #[source]
        source: EnvelopeError,
    },
    /// A document of another fleet.
    #[error("the {document} is of fleet {found}, this party belongs to {expected}")]
    OtherFleet {
        /// Which document.
        document: &'static str,
        /// This party's fleet.
        expected: Name,
        /// The document's.
        found: Name,
    },
    /// Rule 4: the chain has a gap, runs backwards or is endless.
    #[error("root version {found} does not follow version {current}")]
    RootVersion {
        /// The version held.
        current: u64,
        /// The version offered.
        found: u64,
    },
    /// Rule 4: the epoch went back or jumped.
    #[error("root epoch {found} does not follow epoch {current}")]
    RootEpoch {
        /// The epoch held.
        current: u64,
        /// The epoch offered.
        found: u64,
    },
    /// The first root is not the one that the join file pins.
    #[error("the first root is {found}, the join file pins {pinned}")]
    RootPin {
        /// What the join file says.
        pinned: Digest,
        /// What the hub gave.
        found: Digest,
    },
    /// Rule 5: a head that names another root than the newest one.
    #[error(
        "the head stands on root {found}, this party holds root {current}; fetch the root chain first"
    )]
    OtherRoot {
        /// The version held.
        current: u64,
        /// The version named.
        found: u64,
    },
    /// Rule 5: rollback.
    #[error("{document} {found} is older than {floor}, which was accepted before (rollback)")]
    Rollback {
        /// `head` or `release`.
        document: &'static str,
        /// What is held.
        floor: u64,
        /// What was offered.
        found: u64,
    },
    /// Rule 5: equivocation. Two documents with one counter: somebody with a key, or the hub, shows
    /// different things to different parties.
    #[error("two different {document}s have counter {counter} (equivocation)")]
    Equivocation {
        /// `head` or `release`.
        document: &'static str,
        /// The counter of both.
        counter: u64,
    },
    /// Rule 5: freeze.
    #[error("the {document} expired at {expired}; the hub shows nothing newer (freeze)")]
    Expired {
        /// `head` or `release`.
        document: &'static str,
        /// When.
        expired: Time,
    },
    /// Rule 10: a time far ahead would expire everything else.
    #[error("the head is signed at {signed}, which is {ahead} s ahead of this clock")]
    FromTheFuture {
        /// The time in the document.
        signed: Time,
        /// How far ahead of now.
        ahead: i64,
    },
    /// Rule 12.
    #[error(
        "this machine has an identity but its trust state is gone; restore it, or enrol the machine again"
    )]
    StateMissing,
}

/// Why a session does not run here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[serde(tag = "rule", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Refusal {
    /// Rules 2 and 3, or a manifest that contradicts itself.
    #[error("the manifest cannot be read: {detail}")]
    Unreadable {
        /// Why.
        detail: String,
    },
    /// Rule 6: the bytes are not the ones that the head names.
    #[error("the hub gave other bytes than the head names (mix-and-match)")]
    NotAsNamed,
    /// Rule 1 with the fleet's session role, or rule 9: a key of another role does not count.
    #[error("{valid} of the fleet's session keys signed it, {threshold} must")]
    FleetThreshold {
        /// Keys that count.
        valid: usize,
        /// Keys needed.
        threshold: usize,
    },
    /// Rule 7.
    #[error("{valid} of the signers that its owner trusts signed it, {threshold} must")]
    PolicyThreshold {
        /// Keys that count.
        valid: usize,
        /// Keys needed.
        threshold: usize,
    },
    /// Rule 7 with `consent = "all"`.
    #[error(
        "the owner {owner} of party {party} has not signed it, and it asks for everybody's consent"
    )]
    ConsentMissing {
        /// Whose signature is not there.
        owner: PublicKey,
        /// One of the owner's parties.
        party: Name,
    },
    /// The manifest names another owner for this party.
    #[error("it names {named} as the owner of this party, who is not")]
    WrongOwner {
        /// The key in the manifest.
        named: PublicKey,
    },
    /// Another fleet's session.
    #[error("it is of another fleet ({fleet})")]
    OtherFleet {
        /// The fleet it names.
        fleet: Name,
    },
    /// The fleet has started a new epoch since it was signed.
    #[error("it was signed under epoch {found}, the fleet is at {current}; sign it again")]
    OtherEpoch {
        /// The fleet's epoch.
        current: u64,
        /// The manifest's.
        found: u64,
    },
    /// This party is not in it. Not an error: the session is somebody else's.
    #[error("this party does not take part")]
    NotAParty,
    /// Rule 8.
    #[error(
        "a session {name} with counter {floor} was accepted before, this one has {found} (replay)"
    )]
    Replayed {
        /// The session's name.
        name: Name,
        /// The highest counter accepted.
        floor: u64,
        /// The manifest's counter.
        found: u64,
    },
    /// Rule 8.
    #[error("it has been revoked")]
    Revoked,
    /// Rule 8.
    #[error("it expired at {expired}")]
    Expired {
        /// When.
        expired: Time,
    },
    /// Rule 7.
    #[error("the program {program} is not on the owner's list")]
    ProgramNotAllowed {
        /// The program.
        program: Digest,
    },
    /// Rule 7.
    #[error("MPyC {version} is not on the owner's list")]
    MpycNotAllowed {
        /// The version.
        version: String,
    },
    /// Rule 7.
    #[error("the owner does not give the input `{input}` to this session")]
    InputNotAllowed {
        /// The input.
        input: Name,
    },
    /// The owner allows the input, but it is not there.
    #[error("the input `{input}` cannot be read: {detail}")]
    InputMissing {
        /// The input.
        input: Name,
        /// Why.
        detail: String,
    },
    /// Rule 7: publishing takes the owner's word.
    #[error("it publishes the output, and the owner does not allow that")]
    PublishNotAllowed,
    /// Rule 7: the owner asks for every owner's consent, always.
    #[error("the owner only takes sessions with `consent = \"all\"`")]
    ConsentRequired,
    /// The owner's caps.
    #[error("it asks for {asked} of {what}, the owner allows {allowed}")]
    LimitTooHigh {
        /// `memory`, `cpu`, `tasks` or `run`.
        what: String,
        /// What the manifest asks for.
        asked: u64,
        /// What the owner allows.
        allowed: u64,
    },
}
