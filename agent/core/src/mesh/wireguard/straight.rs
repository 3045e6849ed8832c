//! Which members a machine reaches straight, and when its device has to be told.
//!
//! Each pair of members keeps one connection between its agents, which leads nowhere but straight; who is connected is heard.
//! Whoever keeps the connections says here what becomes of them, drops those of parties that are not in [`Known::heard`] any
//! more, and carries out the [`Action`]s.
//!
//! 1. The device is told of every plan, of every change of what is known, and whenever it starts: until then it has what stood
//!    in its files, which may be older.
//! 2. A device meets whoever has another key for the first time, and everybody if it was made anew: they are not heard until
//!    they are heard again, whatever still seems to be up.
//! 3. A machine that moves says so to its anchors, and they to the others, who let packets to it go by an anchor at once.
//!    Nobody else is believed, and the way to an anchor stays: each packet tells it where it comes from.
//! 4. An endpoint at which nobody answers is given up after [`TRY`], until there is another one or the machine moves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::key::PublicKey;
use crate::mesh::{Plan, Roster};

/// For how long an endpoint is tried that nobody answers at: routers that let nothing through do so for ever.
pub const TRY: Duration = Duration::from_mins(2);

/// What a device is told beside its plan, and what its machine tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Where others may be reached.
    pub endpoints: BTreeMap<PublicKey, SocketAddr>,
    /// Who is.
    pub heard: BTreeSet<PublicKey>,
    /// Where an anchor hears this machine from.
    pub seen: Option<SocketAddr>,
}

/// The straight ways of one machine.
#[derive(Debug, Clone)]
pub struct Straight {
    me: PublicKey,
    plan: Option<Plan>,
    known: Known,
    /// What has been tried, since when.
    tried: BTreeMap<PublicKey, (SocketAddr, Duration)>,
}

/// What has happened.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// The fleet's head has this plan now, or none for WireGuard.
    Plan(Option<&'a Plan>),
    /// A connection to this party is up, and leads straight.
    Up(PublicKey),
    /// It is not any more.
    Down(PublicKey),
    /// `by` hears this machine from there.
    Seen {
        /// Who says so.
        by: PublicKey,
        /// Where.
        endpoint: SocketAddr,
    },
    /// `party` has moved.
    Moved {
        /// Who says so.
        by: PublicKey,
        /// Who has.
        party: PublicKey,
    },
    /// This machine has got another address.
    OwnMove,
    /// The device runs, with what was written for it before.
    Started {
        /// It was made anew, and has met nobody yet.
        is_anew: bool,
    },
    /// Where the others say that they are.
    Found {
        /// The best endpoint of each.
        endpoints: BTreeMap<PublicKey, SocketAddr>,
        /// Since any moment that stays the same.
        now: Duration,
    },
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Tell the device what is known.
    Tell,
    /// Tell the fleet where this machine is.
    Publish,
    /// Look soon where the others are.
    Look,
    /// Dial this party now: there is something new to try.
    Dial(PublicKey),
    /// Say to `to` that `party` has moved.
    Say {
        /// Whom to tell.
        to: PublicKey,
        /// Who has moved.
        party: PublicKey,
    },
}

impl Straight {
    /// Nothing is known yet.
    pub fn new(me: PublicKey) -> Self {
        Self {
            me,
            plan: None,
            known: Known::default(),
            tried: BTreeMap::new(),
        }
    }

    /// What is known now.
    pub const fn known(&self) -> &Known {
        &self.known
    }

    /// One step. Any event may come at any time; what is too late, or from somebody who may not say it, changes nothing.
    pub fn step(&mut self, event: Event<'_>) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Plan(plan) => self.takes(plan, &mut actions),
            Event::Up(party) => {
                // An anchor tells whoever comes where they come from, and its device says where that is.
                let is_new = self.is_member(&party)
                    && (self.known.heard.insert(party) || self.is_anchor(&self.me));
                if is_new {
                    actions.push(Action::Tell);
                }
            }
            Event::Down(party) => {
                self.lose(party, &mut actions);
                // Whoever is not heard any more may be elsewhere.
                actions.push(Action::Look);
            }
            Event::Seen { by, endpoint } => {
                if self.is_anchor(&by) && self.known.seen.replace(endpoint) != Some(endpoint) {
                    actions.push(Action::Publish);
                }
            }
            Event::Moved { by, party } => self.moved(by, party, &mut actions),
            Event::OwnMove => self.moves(&mut actions),
            Event::Started { is_anew } => {
                if is_anew {
                    // With connections that still wait the others would let packets go where the device does not take them.
                    for party in self.known.heard.clone() {
                        self.lose(party, &mut actions);
                    }
                    actions.push(Action::Look);
                }
                actions.push(Action::Tell);
            }
            Event::Found { endpoints, now } => self.found(endpoints, now, &mut actions),
        }
        actions
    }

    fn takes(&mut self, plan: Option<&Plan>, actions: &mut Vec<Action>) {
        let before = std::mem::replace(&mut self.plan, plan.cloned());
        let members = before.as_ref().and_then(|plan| plan.backend.roster());
        for member in members.iter().flat_map(|roster| &roster.members) {
            let key = self.roster().and_then(|roster| roster.key(&member.party));
            if key != Some(&member.key) {
                self.lose(member.party, actions);
            }
        }
        let mut endpoints = std::mem::take(&mut self.known.endpoints);
        endpoints.retain(|party, _| self.is_member(party));
        self.known.endpoints = endpoints;
        // Also if nothing else has changed: what stands in the files may be of the plan before.
        actions.push(Action::Tell);
    }

    fn moved(&mut self, by: PublicKey, party: PublicKey, actions: &mut Vec<Action>) {
        if self.is_anchor(&self.me) {
            // It passes on what somebody says of themselves, and tells them where they are now.
            if by == party && self.known.heard.contains(&by) {
                let others = self.known.heard.iter().filter(|other| **other != party);
                actions.extend(others.map(|to| Action::Say { to: *to, party }));
                actions.push(Action::Tell);
            }
        } else if self.is_anchor(&by) && !self.is_anchor(&party) {
            self.lose(party, actions);
            actions.push(Action::Look);
        }
    }

    /// The others might not be let through to where this machine is now.
    fn moves(&mut self, actions: &mut Vec<Action>) {
        if !self.is_anchor(&self.me) {
            for to in self.known.heard.clone() {
                if self.is_anchor(&to) {
                    let party = self.me;
                    actions.push(Action::Say { to, party });
                } else {
                    self.lose(to, actions);
                }
            }
            self.tried.clear();
        }
        actions.extend([Action::Publish, Action::Look]);
    }

    fn found(
        &mut self,
        mut endpoints: BTreeMap<PublicKey, SocketAddr>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        endpoints.retain(|party, at| {
            if !self.is_member(party) {
                return false;
            }
            let (last, since) = self.tried.entry(*party).or_insert((*at, now));
            if last != at {
                (*last, *since) = (*at, now);
            }
            self.known.heard.contains(party) || now.saturating_sub(*since) < TRY
        });
        if self.known.endpoints == endpoints {
            return;
        }
        let is_new =
            |(party, at): &(&PublicKey, &SocketAddr)| self.known.endpoints.get(party) != Some(at);
        let new = endpoints.iter().filter(is_new);
        actions.extend(new.map(|(party, _)| Action::Dial(*party)));
        actions.push(Action::Tell);
        self.known.endpoints = endpoints;
    }

    /// Lets packets to a party go by an anchor, until it is heard straight again.
    fn lose(&mut self, party: PublicKey, actions: &mut Vec<Action>) {
        self.tried.remove(&party);
        if self.known.heard.remove(&party) {
            actions.push(Action::Tell);
        }
    }

    fn roster(&self) -> Option<&Roster> {
        self.plan.as_ref()?.backend.roster()
    }

    /// Whether it is one, and another machine than this one.
    fn is_member(&self, party: &PublicKey) -> bool {
        let roster = self.roster();
        *party != self.me && roster.is_some_and(|roster| roster.key(party).is_some())
    }

    fn is_anchor(&self, party: &PublicKey) -> bool {
        self.plan
            .as_ref()
            .is_some_and(|plan| plan.anchor(party).is_some())
    }
}
