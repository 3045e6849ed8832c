//! The links between agents: first in, first out on each, whatever the others do.

use std::collections::{BTreeMap, BTreeSet};

use e3_core::session::{Event, Tell};

use super::simulation::{Happening, Simulation};

/// How long until a closed connection is noticed, in milliseconds.
const CLOSED_MS: std::ops::RangeInclusive<u64> = 0..=30;

/// A small generator of numbers (SplitMix64): the same seed, the same history, on every machine.
#[derive(Debug, Clone)]
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// A number from `range`.
    pub(super) fn draw(&mut self, range: &std::ops::RangeInclusive<u64>) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        range.start() + z % (range.end().saturating_sub(*range.start()) + 1)
    }
}

/// Which agents are connected, which cannot be, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Links {
    up: BTreeSet<(usize, usize)>,
    cut: BTreeSet<(usize, usize)>,
    /// When the last thing sent from one to the other arrives.
    last: BTreeMap<(usize, usize), u64>,
}

const fn pair(a: usize, b: usize) -> (usize, usize) {
    if a < b { (a, b) } else { (b, a) }
}

impl Links {
    /// Whether the two agents are connected.
    pub(super) fn is_up(&self, a: usize, b: usize) -> bool {
        self.up.contains(&pair(a, b))
    }

    /// Connects two agents; tells whether they were not, and can be.
    pub(super) fn connect(&mut self, a: usize, b: usize) -> bool {
        !self.cut.contains(&pair(a, b)) && self.up.insert(pair(a, b))
    }

    /// Takes a connection down; tells whether there was one.
    pub(super) fn disconnect(&mut self, a: usize, b: usize) -> bool {
        self.up.remove(&pair(a, b))
    }

    /// Makes a link impossible, or possible again.
    pub(super) fn set_cut(&mut self, a: usize, b: usize, cut: bool) {
        if cut {
            self.cut.insert(pair(a, b));
        } else {
            self.cut.remove(&pair(a, b));
        }
    }

    /// When something arrives that is sent now and takes `ms`: never before what was sent earlier.
    pub(super) fn arrival(&mut self, from: usize, to: usize, now: u64, ms: u64) -> u64 {
        let last = self.last.entry((from, to)).or_default();
        *last = (now + ms).max(*last);
        *last
    }
}

/// What agents say over the links.
impl Simulation {
    /// Tells everybody who is connected, and remembers it for those who will be.
    pub(super) fn tell(&mut self, party: usize, tell: &Tell) {
        if let Tell::Armed(digest) = tell {
            self.armed.insert((party, *digest));
        }
        self.agents[party].tells.push(tell.clone());
        for other in 0..self.plan.parties {
            if self.links.is_up(party, other) {
                self.send(party, other, tell);
            }
        }
    }

    pub(super) fn send(&mut self, from: usize, to: usize, tell: &Tell) {
        let ready = self.agents[from].ready.clone();
        let event = match (tell, ready) {
            (Tell::Ready, Some(ready)) => Event::PeerReady(from, Box::new(ready)),
            (Tell::Ready, None) => return,
            (Tell::Armed(digest), _) => Event::PeerArmed(from, *digest),
            (Tell::Reached(parties), _) => Event::PeerReached(from, parties.clone()),
            (Tell::Finished(outputs), _) => Event::PeerFinished(from, outputs.clone()),
            (Tell::Failed(failure), _) => Event::PeerFailed(from, failure.clone()),
        };
        let ms = self.chance.draw(&self.plan.latency_ms.clone());
        let at = self.links.arrival(from, to, self.now, ms);
        let life = self.agents[to].life;
        self.at(
            at,
            Happening::Event {
                party: to,
                life,
                event: Box::new(event),
            },
        );
    }

    pub(super) fn connect(&mut self, a: usize, b: usize) {
        let both_run = self.agents[a].state.is_some() && self.agents[b].state.is_some();
        if !both_run || !self.links.connect(a, b) {
            return;
        }
        for (from, to) in [(a, b), (b, a)] {
            for tell in self.agents[from].tells.clone() {
                self.send(from, to, &tell);
            }
        }
    }

    /// Closes all connections of a party.
    pub(super) fn disconnect(&mut self, party: usize) {
        for other in 0..self.plan.parties {
            if self.links.disconnect(party, other) {
                let ms = self.chance.draw(&CLOSED_MS);
                self.lose(other, party, ms);
            }
        }
    }

    /// `party` learns after everything else that `peer` is gone.
    pub(super) fn lose(&mut self, party: usize, peer: usize, ms: u64) {
        let at = self.links.arrival(peer, party, self.now, ms);
        let life = self.agents[party].life;
        self.at(
            at,
            Happening::Event {
                party,
                life,
                event: Box::new(Event::PeerLost(peer)),
            },
        );
    }
}
