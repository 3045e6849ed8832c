//! The connections to the other members, and what comes of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::mesh::Plan;
use e3_core::mesh::wireguard::{Action, Event, endpoint};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::super::{NAME, networks, tell_endpoints};
use super::attempts::Attempts;
use super::device;
use crate::address;
use crate::config::PORT;
use crate::mesh::others;
use crate::peer::frame::Frame;
use crate::peer::link::{self, LinkEvent, LinkEvents, Pace};
use crate::shared::Shared;
use crate::sync::jitter;

/// Both must notice silence at about the same time; a machine that is idle is woken no more often than this.
const PACE: Pace = Pace {
    beat: Duration::from_secs(3),
    silence: Duration::from_secs(7),
    handshake: Duration::from_secs(5),
};
/// Changes that come together are told together.
const GATHER: Duration = Duration::from_millis(50);
/// Between two looks at where the others say that they are, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
/// For the hub.
const HUB: Duration = Duration::from_secs(5);

/// See the top of the file.
pub(super) struct Keeper {
    shared: Shared,
    /// What the others know these connections by.
    id: Digest,
    events: LinkEvents,
    plan: Option<Plan>,
    /// Everybody who has been a member; places never change.
    peers: Vec<Peer>,
    /// Whether the device has to be told what is known.
    is_new: bool,
    /// Whether it has for certain taken what stands in its file: not if whoever told it was interrupted, and not if it was just
    /// started, since systemd takes a reload for done that comes while a start goes on.
    is_told: bool,
    /// When to look again, and how long after that.
    next: Instant,
    pause: Duration,
    begin: Instant,
}

/// Somebody else.
struct Peer {
    party: PublicKey,
    /// If this party dials.
    dialled: Option<Dialled>,
    /// Their connection, for as long as they are heard.
    up: Option<mpsc::Sender<Frame>>,
}

struct Dialled {
    task: JoinHandle<()>,
    attempts: Attempts,
}

impl Keeper {
    pub(super) fn new(shared: Shared, events: LinkEvents) -> Self {
        let root = shared.join.root;
        Self {
            id: Digest::of(&[b"e3 wireguard direct\0".as_slice(), root.as_bytes()].concat()),
            shared,
            events,
            plan: None,
            peers: Vec::new(),
            is_new: false,
            is_told: false,
            next: Instant::now(),
            pause: LOOK.0,
            begin: Instant::now(),
        }
    }

    /// Begins with whoever has become a member, and lets go who is none any more.
    pub(super) fn takes(&mut self, plan: Option<Plan>) {
        self.step(Event::Plan(plan.as_ref()));
        let me = self.shared.me();
        let roster = plan.as_ref().and_then(|plan| plan.backend.roster());
        let members: BTreeSet<PublicKey> = { roster.iter() }
            .flat_map(|roster| roster.members.iter().map(|member| member.party))
            .filter(|party| *party != me)
            .collect();
        for peer in &mut self.peers {
            if !members.contains(&peer.party)
                && let Some(dialled) = peer.dialled.take()
            {
                dialled.task.abort();
            }
        }
        self.plan = plan;
        let Some(plan) = &self.plan else {
            self.shared.sessions.close(&self.id);
            self.shared.board.mesh_endpoints(NAME, Vec::new());
            return;
        };
        for party in &members {
            if !self.peers.iter().any(|peer| peer.party == *party) {
                self.peers.push(Peer {
                    party: *party,
                    dialled: None,
                    up: None,
                });
            }
        }
        let straight = networks(&self.shared).straight;
        let places = self.peers.iter_mut().enumerate();
        let mut diallers = HashMap::new();
        for (place, peer) in places.filter(|(_, peer)| members.contains(&peer.party)) {
            let party = peer.party;
            if me > party {
                diallers.insert(party, place);
            } else if peer.dialled.is_none() {
                let at = SocketAddr::new(straight.party(&party).into(), PORT).to_string();
                let attempts = Attempts::new(at, plan.anchor(&party).is_some());
                let task = self.shared.links.spawn(link::dial(
                    self.shared.identity.clone(),
                    self.id,
                    place,
                    party,
                    attempts.clone(),
                    PACE,
                    self.events.clone(),
                ));
                peer.dialled = Some(Dialled { task, attempts });
            }
        }
        { &self.shared.sessions }.open(self.id, diallers, PACE, self.events.clone());
    }

    /// Tells the device whatever comes to be known, for as long as the plan is this one.
    pub(super) async fn keep(&mut self, coming: &mut mpsc::Receiver<(usize, LinkEvent)>) {
        if self.plan.is_none() {
            return std::future::pending().await;
        }
        let mut moves = self.shared.moves.subscribe();
        (self.next, self.pause) = (Instant::now(), LOOK.0);
        loop {
            if self.is_new {
                tokio::time::sleep(GATHER).await;
                while let Ok((place, event)) = coming.try_recv() {
                    self.hear(place, event);
                }
                self.tell().await;
            }
            tokio::select! {
                Some((place, event)) = coming.recv() => self.hear(place, event),
                () = tokio::time::sleep_until(self.next) => self.look().await,
                () = self.shared.direct.runs.notified() => {
                    let is_anew = self.shared.direct.is_anew.swap(false, Ordering::Relaxed);
                    self.step(Event::Started { is_anew });
                }
                Ok(()) = moves.changed() => {
                    self.step(Event::OwnMove);
                    self.tell().await;
                    self.next = Instant::now();
                }
            }
        }
    }

    /// Takes in what has become of a connection.
    fn hear(&mut self, place: usize, event: LinkEvent) {
        let Some(peer) = self.peers.get_mut(place) else {
            return;
        };
        let party = peer.party;
        let event = match event {
            LinkEvent::Up(way, from) => {
                let straight = networks(&self.shared).straight.party(&party);
                // Whoever comes from elsewhere says nothing of the straight way.
                if from.address != Some(straight.into()) {
                    return;
                }
                peer.up = Some(way);
                if let Some(dialled) = &peer.dialled {
                    dialled.attempts.succeeded();
                }
                Event::Up(party)
            }
            LinkEvent::Frame(Frame::Seen { endpoint }) => Event::Seen {
                by: party,
                endpoint,
            },
            LinkEvent::Frame(Frame::Moved { party: moved }) => Event::Moved {
                by: party,
                party: moved,
            },
            LinkEvent::Frame(_) => return,
            LinkEvent::Down(way) => {
                let ways = peer.up.as_ref().zip(way.upgrade());
                if !ways.is_some_and(|(up, down)| up.same_channel(&down)) {
                    return;
                }
                Event::Down(party)
            }
        };
        self.step(event);
    }

    /// Decides what follows, and does what can be done at once.
    fn step(&mut self, event: Event<'_>) {
        self.is_told &= !matches!(event, Event::Plan(_) | Event::Started { .. });
        let mut straight = self.shared.direct.lock();
        let actions = straight.step(event);
        let heard = &straight.known().heard;
        for peer in &mut self.peers {
            peer.up.take_if(|_| !heard.contains(&peer.party));
        }
        drop(straight);
        for action in actions {
            match action {
                Action::Tell => self.is_new = true,
                Action::Publish => {
                    if let Some(plan) = &self.plan {
                        tell_endpoints(&self.shared, plan);
                    }
                }
                Action::Look => {
                    self.next = self.next.min(Instant::now() + jitter(LOOK.0));
                    self.pause = LOOK.0;
                }
                Action::Dial(party) => {
                    if let Some(dialled) = self.peer(&party).and_then(|p| p.dialled.as_ref()) {
                        dialled.attempts.again();
                    }
                }
                Action::Say { to, party } => self.say(&to, Frame::Moved { party }),
            }
        }
    }

    /// Says it to whoever is heard. If they are busy they hear it another time, or miss it.
    fn say(&self, to: &PublicKey, frame: Frame) {
        if let Some(up) = self.peer(to).and_then(|peer| peer.up.as_ref()) {
            let _ = up.try_send(frame);
        }
    }

    fn peer(&self, party: &PublicKey) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.party == *party)
    }

    /// Looks where the others say that they are.
    async fn look(&mut self) {
        let asked = timeout(HUB, others::presences(&self.shared)).await;
        self.next = Instant::now() + jitter(self.pause);
        self.pause = (self.pause * 2).min(LOOK.1);
        let Ok(Ok(presences)) = asked else {
            return;
        };
        let networks = address::networks();
        let endpoints: BTreeMap<PublicKey, SocketAddr> = presences
            .filter_map(|presence| {
                let told = presence.mesh_endpoints.get(NAME)?;
                let told: Vec<SocketAddr> =
                    told.iter().filter_map(|text| text.parse().ok()).collect();
                Some((presence.party, endpoint(&told, &networks)?))
            })
            .collect();
        let now = self.begin.elapsed();
        self.step(Event::Found { endpoints, now });
    }

    /// Has the device take what is known, and tells those who are heard by an anchor where it hears them from.
    async fn tell(&mut self) {
        let Some(plan) = &self.plan else { return };
        let Some(roster) = plan.backend.roster() else {
            return;
        };
        if !device::runs().await {
            self.is_new = false;
            return;
        }
        let was_told = std::mem::take(&mut self.is_told);
        self.is_told = device::tell(&self.shared, plan, roster, was_told).await;
        self.is_new = !self.is_told;
        if plan.anchor(&self.shared.me()).is_none() {
            return;
        }
        for (party, endpoint) in device::seen(roster) {
            self.say(&party, Frame::Seen { endpoint });
        }
    }
}
