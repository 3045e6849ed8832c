//! Whom a machine answers, and that it does so once.
//!
//! An owner's request comes by way of the hub, which may withhold, repeat and exchange what it carries. A machine takes a request
//! that an owner of its fleet has signed for it, that is fresh by its clock (rule 10), and later than the last one of that owner;
//! that mark is on the disk before anything is done (as the floor, rule 5). Whether it does what was asked depends on its own
//! owner's settings (rule 7): somebody else of the fleet gets a refusal, and a stranger nothing at all.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bucket::{Bucket, Rate};
use crate::document::{AskRefusal, PartyRequest, Root};
use crate::envelope::{EnvelopeError, Verified};
use crate::key::PublicKey;
use crate::time::Time;

/// Answers in a row for one asker, and until there may be another one.
const RATE: Rate = Rate {
    burst: 5,
    more: 1,
    seconds: 10,
};

/// Who may ask a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answers {
    /// Its owner.
    #[default]
    Owner,
    /// Everybody whose signature counts in its owner's policy, too.
    Signers,
    /// Nobody. Requests are not even read.
    Nobody,
}

/// The latest request of each owner that was taken: what no other one goes behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    last: BTreeMap<PublicKey, u64>,
}

/// Why a request is not answered at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// It is no request of an owner to this machine.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// It was taken before, or a later one was.
    #[error("this request, or a later one of the same owner, was answered before")]
    Replayed,
    /// There were too many.
    #[error("this owner asks too often")]
    TooMany,
}

/// How often each owner may still ask. Forgotten with the process.
#[derive(Debug, Default)]
pub struct Pace(BTreeMap<PublicKey, Bucket>);

impl Pace {
    /// Takes one of the owner's answers, if there is one left.
    fn take(&mut self, by: PublicKey, now: Time) -> bool {
        let bucket = self.0.entry(by).or_insert(Bucket::new(RATE, now));
        bucket.take(RATE, now)
    }
}

impl Asked {
    /// Judges a request to `me`. What it returns is to be answered: by what was asked for, or by the refusal. If it is done, `self`
    /// has changed, and must be on the disk first.
    ///
    /// `allowed` are those whom the machine's owner lets ask.
    pub fn judge(
        &mut self,
        bytes: &[u8],
        root: &Root,
        me: &PublicKey,
        allowed: &[PublicKey],
        now: Time,
        pace: &mut Pace,
    ) -> Result<(Verified<PartyRequest>, Option<AskRefusal>), Unanswered> {
        let envelope = PartyRequest::parse(bytes)?;
        let request = PartyRequest::open(&envelope, root, me)?;
        let PartyRequest { by, millis, .. } = request.document;
        if self.last.get(&by).is_some_and(|last| millis <= *last) {
            return Err(Unanswered::Replayed);
        }
        if !pace.take(by, now) {
            return Err(Unanswered::TooMany);
        }
        if !request.document.is_fresh(now) {
            // Not remembered: a date that is wrong must not silence its asker.
            return Ok((request, Some(AskRefusal::Stale)));
        }
        // Keys that the root has dropped cannot ask, so their marks may go.
        self.last.retain(|key, _| root.session.keys.contains(key));
        self.last.insert(by, millis);
        let refusal = (!allowed.contains(&by)).then_some(AskRefusal::NotAllowed);
        Ok((request, refusal))
    }
}
