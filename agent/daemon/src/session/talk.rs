//! What is said to the other parties, and what they say.
//!
//! Everything said is kept, so that a party whose connection breaks, or who comes late, hears it
//! again. What is heard is checked here (signature, place, share) before the state machine sees it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use e3_core::digest::Digest;
use e3_core::document::{OutputHash, Ready};
use e3_core::envelope::{Envelope, Verified};
use e3_core::limits;
use e3_core::session::{Context, Event, Failure, Reason, barrier};
use e3_core::time::Time;
use tokio::sync::mpsc;

use crate::peer::frame::Frame;
use crate::peer::link::LinkEvent;

/// The connections of one session.
pub struct Talk {
    /// Where frames for each party go, while it is connected.
    links: Vec<Option<mpsc::Sender<Frame>>>,
    /// What this party has said, in order.
    said: Vec<Frame>,
    /// Each party's share of the output key.
    shares: Vec<Option<[u8; 32]>>,
    /// Round trips to the parties that this one has dialled, in microseconds.
    round_trips: BTreeMap<usize, u64>,
    /// Addresses at which parties have proved who they are.
    addresses: BTreeSet<IpAddr>,
    /// Whether each party has heard everything at least once.
    told: Vec<bool>,
}

impl Talk {
    /// Nobody is connected yet.
    pub fn new(parties: usize) -> Self {
        Self {
            links: vec![None; parties],
            said: Vec::new(),
            shares: vec![None; parties],
            round_trips: BTreeMap::new(),
            addresses: BTreeSet::new(),
            told: vec![false; parties],
        }
    }

    /// Says something to everybody, now and to whoever connects later.
    ///
    /// A new `Ready` or a conclusion replaces what it corrects: nobody shall hear both.
    pub fn say(&mut self, frame: Frame) {
        let same_kind =
            |other: &Frame| std::mem::discriminant(other) == std::mem::discriminant(&frame);
        self.said.retain(|other| !same_kind(other));
        for party in 0..self.links.len() {
            self.told[party] = self.send(party, &frame);
        }
        self.said.push(frame);
    }

    /// Round trips in microseconds, as far as they are known.
    pub const fn round_trips(&self) -> &BTreeMap<usize, u64> {
        &self.round_trips
    }

    /// Addresses at which parties have proved who they are.
    pub const fn addresses(&self) -> &BTreeSet<IpAddr> {
        &self.addresses
    }

    /// Whether everybody else has heard the last word.
    pub fn everybody_knows(&self, me: usize) -> bool {
        self.told
            .iter()
            .enumerate()
            .all(|(party, told)| *told || party == me)
    }

    /// The own share of the output key.
    pub fn set_share(&mut self, me: usize, share: [u8; 32]) {
        self.shares[me] = Some(share);
    }

    /// All shares in order, once everybody is armed.
    pub fn shares(&self) -> Option<Vec<[u8; 32]>> {
        self.shares.iter().copied().collect()
    }

    /// Takes in what happened on a connection.
    ///
    /// `now` is what time it is here by rule 10.
    pub fn hear(
        &mut self,
        context: &Context,
        party: usize,
        event: LinkEvent,
        now: Time,
    ) -> Option<Event> {
        match event {
            LinkEvent::Up(sender, peer) => {
                self.addresses.extend(peer.address);
                if let Some(micros) = peer
                    .round_trip
                    .and_then(|time| u64::try_from(time.as_micros()).ok())
                {
                    self.round_trips.insert(party, micros);
                }
                self.links[party] = Some(sender);
                let said = self.said.clone();
                self.told[party] =
                    said.iter().all(|frame| self.send(party, frame)) && !said.is_empty();
                None
            }
            // Whoever dials notices a break first now and then, and is here again already.
            LinkEvent::Down(way) => way.upgrade().map(|_| {
                self.links[party] = None;
                Event::PeerLost(party)
            }),
            LinkEvent::Frame(frame) => self.understand(context, party, frame, now),
        }
    }

    fn understand(
        &mut self,
        context: &Context,
        party: usize,
        frame: Frame,
        now: Time,
    ) -> Option<Event> {
        match frame {
            Frame::Ready { envelope } => Some(match open(context, party, &envelope, now) {
                Ok(ready) => Event::PeerReady(party, Box::new(ready)),
                Err(failure) => Event::PeerFailed(party, failure),
            }),
            Frame::Armed { barrier, share } => {
                self.shares[party] = Some(share);
                Some(Event::PeerArmed(party, barrier))
            }
            Frame::Reached { mut parties } => {
                parties.retain(|place| *place < self.links.len());
                Some(Event::PeerReached(party, parties))
            }
            Frame::Finished { outputs } => Some(Event::PeerFinished(party, bounded(outputs))),
            Frame::Failed { failure } => Some(Event::PeerFailed(party, failure)),
            // The first frame of a connection was taken off before; said again it means nothing.
            Frame::Hello { .. } | Frame::Seen { .. } | Frame::Moved { .. } | Frame::Beat => None,
        }
    }

    fn send(&self, party: usize, frame: &Frame) -> bool {
        // A full queue means that the other side has stopped reading; the silence will be noticed.
        self.links[party]
            .as_ref()
            .is_some_and(|link| link.try_send(frame.clone()).is_ok())
    }
}

/// Opens another party's `Ready`: signed by its key, and fitting the manifest.
fn open(
    context: &Context,
    party: usize,
    envelope: &str,
    now: Time,
) -> Result<Verified<Ready>, Failure> {
    let bad = |detail: String| Failure::at(party, Reason::BadReady { detail });
    let envelope = Envelope::parse(envelope.as_bytes(), limits::FRAME)
        .map_err(|error| bad(error.to_string()))?;
    let ready: Verified<Ready> = envelope
        .verify(&[context.session.parties[party].key], 1)
        .map_err(|error| bad(error.to_string()))?;
    // What else must fit is checked by the state machine, which has no clock.
    barrier::check_clock(party, &ready.document, now)?;
    Ok(ready)
}

/// A session declares one output equal at most; more would only fill memory.
fn bounded(mut outputs: Vec<OutputHash>) -> Vec<OutputHash> {
    outputs.truncate(4);
    outputs
}

/// The key under which equal outputs are hashed, once the barrier is open.
pub fn output_key(talk: &Talk, barrier: &Digest) -> Option<[u8; 32]> {
    talk.shares()
        .map(|shares| barrier::output_key(barrier, &shares))
}

#[cfg(test)]
mod tests {
    use e3_testkit::sim::manifest;

    use super::*;
    use crate::peer::link::Peer;

    fn peer() -> Peer {
        Peer {
            party: 1,
            address: None,
            round_trip: None,
        }
    }

    #[tokio::test]
    async fn a_connection_that_another_has_replaced_is_no_loss_when_it_breaks() {
        let context = Context {
            session: manifest(3),
            manifest: Digest::of(b"manifest"),
            me: 2,
        };
        let mut talk = Talk::new(3);
        let (old, mut old_frames) = mpsc::channel(4);
        let (new, mut new_frames) = mpsc::channel(4);
        let (old_way, new_way) = (old.downgrade(), new.downgrade());
        let hear = |talk: &mut Talk, event| talk.hear(&context, 1, event, Time::MIN);
        // The party dials again before this one has noticed that the first connection is broken.
        hear(&mut talk, LinkEvent::Up(old, peer()));
        hear(&mut talk, LinkEvent::Up(new, peer()));
        assert!(hear(&mut talk, LinkEvent::Down(old_way)).is_none());
        talk.say(Frame::Finished {
            outputs: Vec::new(),
        });
        assert!(new_frames.try_recv().is_ok());
        assert!(old_frames.try_recv().is_err());
        let lost = hear(&mut talk, LinkEvent::Down(new_way));
        assert!(matches!(lost, Some(Event::PeerLost(1))));
        talk.say(Frame::Beat);
        assert!(new_frames.try_recv().is_err());
    }
}
