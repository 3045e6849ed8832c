//! Who is reached straight, and by which anchor everybody else.
//!
//! Each pair of members keeps one connection between its agents, to addresses that lead nowhere but straight
//! (`e3_core::mesh::wireguard`). While it is up both know that packets get there, and let them go straight; as soon as it is
//! silent both let them go by an anchor again. It is made and watched like the connections of sessions ([`crate::peer`]), and
//! carries nothing.
//!
//! This goes on when the plan changes: who joins interrupts nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use e3_client::files::read_bounded;
use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::mesh::wireguard::{DIRECT, endpoint};
use e3_core::mesh::{Backend, Plan, Prefix, Roster};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::{NAME, peers, tell_endpoints};
use crate::address;
use crate::config::{PORT, Supervisor};
use crate::mesh::files::{Change, Files};
use crate::mesh::{others, service};
use crate::peer::frame::Frame;
use crate::peer::link::{self, Addresses, LinkEvent, LinkEvents, Pace};
use crate::shared::Shared;

/// Both must notice silence at about the same time; a machine that is idle is woken no more often than this.
const PACE: Pace = Pace {
    beat: Duration::from_secs(3),
    silence: Duration::from_secs(7),
    handshake: Duration::from_secs(5),
};
/// Changes that come together are told together.
const GATHER: Duration = Duration::from_millis(50);
/// Between attempts, at first, and at most to an anchor and to anybody else.
const RETRY: Duration = Duration::from_millis(250);
const RETRY_ANCHOR: Duration = Duration::from_secs(2);
const RETRY_OTHER: Duration = Duration::from_mins(1);
/// For how long an endpoint is tried that nobody answers at: routers that let nothing through do so for ever.
const TRY: Duration = Duration::from_mins(2);
/// Between two looks at where the others say that they are, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(5));
/// Where the unit's script writes whom the device hears from where.
const SEEN: &str = "/run/e3-mesh-wireguard/endpoints";
/// A line for each member.
const SEEN_LIMIT: usize = 32 * 1024;
/// For the hub.
const HUB: Duration = Duration::from_secs(5);

/// What is known of straight ways.
#[derive(Debug, Default)]
pub struct Direct {
    known: Mutex<Known>,
    /// Whether the device was made anew, and has met nobody yet.
    is_anew: AtomicBool,
    /// The device runs, with what stood in its files before.
    runs: Notify,
}

/// See [`Direct`].
#[derive(Debug, Clone, Default)]
pub(in crate::mesh) struct Known {
    /// Where others may be reached.
    pub(in crate::mesh) endpoints: BTreeMap<PublicKey, SocketAddr>,
    /// Who is.
    pub(in crate::mesh) heard: BTreeSet<PublicKey>,
    /// Where an anchor hears this machine from.
    pub(in crate::mesh) seen: Option<SocketAddr>,
}

impl Direct {
    /// What is known now.
    pub(in crate::mesh) fn known(&self) -> Known {
        self.lock().clone()
    }

    /// Where an anchor hears this machine from.
    pub(super) fn seen(&self) -> Option<SocketAddr> {
        self.lock().seen
    }

    /// The device runs with what was written for it, which may be older than what is known by now.
    pub(in crate::mesh) fn runs(&self, is_anew: bool) {
        self.is_anew.fetch_or(is_anew, Ordering::Relaxed);
        self.runs.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the ways of this machine's device, for ever.
pub(in crate::mesh) async fn run(shared: Shared) {
    if shared.settings.supervisor != Supervisor::Systemd {
        return;
    }
    let mut plans = shared.plans.subscribe();
    let (events, mut coming) = mpsc::channel(64);
    let mut keeper = Keeper::new(shared, events);
    loop {
        let plan = plans.borrow_and_update().clone().into_iter();
        let plan = { plan }.find(|plan| matches!(plan.backend, Backend::Wireguard(_)));
        keeper.takes(plan.as_ref());
        let work = async {
            match plan {
                Some(plan) => keeper.keep(&plan, &mut coming).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = work => {}
            changed = plans.changed() => if changed.is_err() { return },
        }
    }
}

/// The connections to the other members.
struct Keeper {
    shared: Shared,
    /// What the others know these connections by.
    id: Digest,
    events: LinkEvents,
    /// Everybody who has been a member; places never change.
    parties: Vec<PublicKey>,
    /// As the device knows them.
    roster: Roster,
    dialled: HashMap<PublicKey, Dialled>,
    /// The connections that are up.
    up: HashMap<PublicKey, mpsc::Sender<Frame>>,
    /// What has been tried, since when.
    tried: HashMap<PublicKey, (SocketAddr, Instant)>,
    /// Whether the device has to be told what is known.
    is_new: bool,
}

/// Somebody whom this party dials.
struct Dialled {
    task: JoinHandle<()>,
    straight: Straight,
}

impl Keeper {
    fn new(shared: Shared, events: LinkEvents) -> Self {
        let root = shared.join.root;
        Self {
            id: Digest::of(&[b"e3 wireguard direct\0".as_slice(), root.as_bytes()].concat()),
            shared,
            events,
            parties: Vec::new(),
            roster: Roster::default(),
            dialled: HashMap::new(),
            up: HashMap::new(),
            tried: HashMap::new(),
            is_new: false,
        }
    }

    /// Begins with whoever has become a member, and lets go who is none any more.
    fn takes(&mut self, plan: Option<&Plan>) {
        let me = self.shared.me();
        let roster = plan.and_then(|plan| plan.backend.roster());
        let members: BTreeSet<PublicKey> = { roster.iter() }
            .flat_map(|roster| roster.members.iter().map(|member| member.party))
            .filter(|party| *party != me)
            .collect();
        let before = std::mem::replace(&mut self.roster, roster.cloned().unwrap_or_default());
        for member in before.members {
            // The device meets whoever has another key for the first time, whatever still seems to be up.
            if self.roster.key(&member.party) != Some(&member.key) {
                self.lose(member.party);
            }
        }
        let gone = |party: &PublicKey| !members.contains(party);
        self.up.retain(|party, _| !gone(party));
        self.dialled.retain(|party, dialled| {
            if gone(party) {
                dialled.task.abort();
            }
            !gone(party)
        });
        let mut known = self.shared.direct.lock();
        known.heard.retain(|party| !gone(party));
        known.endpoints.retain(|party, _| !gone(party));
        drop(known);
        let Some(plan) = plan else {
            self.shared.sessions.close(&self.id);
            self.shared.board.mesh_endpoints(NAME, Vec::new());
            return;
        };
        for party in &members {
            if !self.parties.contains(party) {
                self.parties.push(*party);
            }
        }
        let places = self.parties.iter().enumerate();
        let places = places.filter(|(_, party)| members.contains(party));
        let (dialled, diallers): (Vec<_>, Vec<_>) = places.partition(|(_, party)| me < **party);
        let diallers = diallers.into_iter().map(|(place, party)| (*party, place));
        let diallers = diallers.collect();
        { &self.shared.sessions }.open(self.id, diallers, PACE, self.events.clone());
        for (place, party) in dialled {
            if self.dialled.contains_key(party) {
                continue;
            }
            let is_anchor = plan.anchor(party).is_some();
            let at = self.address(party);
            let straight = Straight(Arc::new(Attempts {
                at: SocketAddr::new(at.into(), PORT).to_string(),
                most: if is_anchor { RETRY_ANCHOR } else { RETRY_OTHER },
                failed: AtomicU32::new(0),
                again: Notify::new(),
            }));
            let identity = self.shared.identity.clone();
            let task = self.shared.links.spawn(link::dial(
                identity,
                self.id,
                place,
                *party,
                straight.clone(),
                PACE,
                self.events.clone(),
            ));
            self.dialled.insert(*party, Dialled { task, straight });
        }
    }

    /// The address at which a party is only reached straight.
    fn address(&self, party: &PublicKey) -> std::net::Ipv6Addr {
        Prefix::of(&self.shared.join.root, DIRECT).party(party)
    }

    /// Tells the device whatever comes to be known, for as long as the plan is this one.
    async fn keep(&mut self, plan: &Plan, coming: &mut mpsc::Receiver<(usize, LinkEvent)>) {
        let mut moves = self.shared.moves.subscribe();
        let mut pause = LOOK.0;
        self.look().await;
        loop {
            if self.is_new {
                tokio::time::sleep(GATHER).await;
                while let Ok((place, event)) = coming.try_recv() {
                    self.hear(plan, place, event);
                }
                self.tell(plan).await;
            }
            let next = Instant::now() + crate::sync::jitter(pause);
            tokio::select! {
                Some((place, event)) = coming.recv() => if self.hear(plan, place, event) {
                    // Whoever is not heard any more may be elsewhere.
                    pause = LOOK.0;
                },
                () = tokio::time::sleep_until(next) => {
                    pause = (pause * 2).min(LOOK.1);
                    self.look().await;
                }
                () = self.shared.direct.runs.notified() => {
                    if self.shared.direct.is_anew.swap(false, Ordering::Relaxed) {
                        pause = LOOK.0;
                        self.begin_anew();
                    }
                    self.is_new = true;
                }
                Ok(()) = moves.changed() => {
                    pause = LOOK.0;
                    self.moved(plan);
                    self.tell(plan).await;
                    tell_endpoints(&self.shared, plan);
                    self.look().await;
                }
            }
        }
    }

    /// Takes in what has become of a connection; returns whether somebody was lost.
    fn hear(&mut self, plan: &Plan, place: usize, event: LinkEvent) -> bool {
        let Some(party) = self.parties.get(place).copied() else {
            return false;
        };
        match event {
            LinkEvent::Up(way, peer) => {
                // Whoever comes from elsewhere says nothing of the straight way.
                if peer.address != Some(self.address(&party).into()) {
                    return false;
                }
                self.up.insert(party, way);
                if let Some(dialled) = self.dialled.get(&party) {
                    dialled.straight.0.failed.store(0, Ordering::Relaxed);
                }
                self.is_new |= self.shared.direct.lock().heard.insert(party);
                // An anchor tells whoever comes where they come from.
                self.is_new |= plan.anchor(&self.shared.me()).is_some();
                false
            }
            LinkEvent::Frame(Frame::Seen { endpoint }) if plan.anchor(&party).is_some() => {
                let last = self.shared.direct.lock().seen.replace(endpoint);
                if last != Some(endpoint) {
                    tell_endpoints(&self.shared, plan);
                }
                false
            }
            LinkEvent::Frame(Frame::Moved { party: moved }) => {
                if plan.anchor(&self.shared.me()).is_some() {
                    // The way to an anchor stays. It passes on what somebody says of themselves, and tells them where they are now.
                    if moved == party {
                        self.pass_on(party);
                        self.is_new = true;
                    }
                    return false;
                }
                if plan.anchor(&party).is_none() || plan.anchor(&moved).is_some() {
                    return false;
                }
                self.lose(moved);
                true
            }
            LinkEvent::Frame(_) => false,
            LinkEvent::Down(way) => {
                let is_this = { self.up.get(&party) }
                    .zip(way.upgrade())
                    .is_some_and(|(up, down)| up.same_channel(&down));
                if !is_this {
                    return false;
                }
                self.lose(party);
                true
            }
        }
    }

    /// This machine has got another address. The ways to the anchors stay: each packet tells them where it comes from now. The others
    /// might not be let through, and are told by the anchors, so that nothing gets lost until they notice it.
    fn moved(&mut self, plan: &Plan) {
        let me = self.shared.me();
        if plan.anchor(&me).is_some() {
            return;
        }
        for party in self.up.keys().copied().collect::<Vec<_>>() {
            match plan.anchor(&party).and(self.up.get(&party)) {
                Some(anchor) => drop(anchor.try_send(Frame::Moved { party: me })),
                None => self.lose(party),
            }
        }
        self.tried.clear();
    }

    /// Nobody is heard by a device that was just made, and it is heard by nobody: with the connections that still wait the others
    /// would let packets go where it does not take them.
    fn begin_anew(&mut self) {
        for party in self.up.keys().copied().collect::<Vec<_>>() {
            self.lose(party);
        }
    }

    /// Tells everybody else that a party has moved.
    fn pass_on(&self, party: PublicKey) {
        for (_, other) in self.up.iter().filter(|(other, _)| **other != party) {
            let _ = other.try_send(Frame::Moved { party });
        }
    }

    /// Lets packets to a party go by an anchor, until it is heard straight again.
    fn lose(&mut self, party: PublicKey) {
        self.up.remove(&party);
        self.tried.remove(&party);
        self.is_new |= self.shared.direct.lock().heard.remove(&party);
    }

    /// Looks where the others say that they are.
    async fn look(&mut self) {
        let asked = timeout(HUB, others::presences(&self.shared)).await;
        let Ok(Ok(presences)) = asked else {
            return;
        };
        let networks = address::networks();
        let mut found: BTreeMap<PublicKey, SocketAddr> = presences
            .filter_map(|presence| {
                let told = presence.mesh_endpoints.get(NAME)?;
                let told: Vec<SocketAddr> =
                    told.iter().filter_map(|text| text.parse().ok()).collect();
                Some((presence.party, endpoint(&told, &networks)?))
            })
            .filter(|(party, _)| self.parties.contains(party))
            .collect();
        let heard = self.shared.direct.known().heard;
        found.retain(|party, at| {
            let (last, since) = self
                .tried
                .entry(*party)
                .or_insert_with(|| (*at, Instant::now()));
            if last != at {
                (*last, *since) = (*at, Instant::now());
            }
            heard.contains(party) || since.elapsed() < TRY
        });
        let mut known = self.shared.direct.lock();
        for (party, at) in &found {
            if known.endpoints.get(party) != Some(at)
                && let Some(dialled) = self.dialled.get(party)
            {
                dialled.straight.again();
            }
        }
        self.is_new |= known.endpoints != found;
        known.endpoints = found;
    }

    /// Has the device take what is known. One that does not run is told as soon as it does ([`Direct::runs`]).
    async fn tell(&mut self, plan: &Plan) {
        let Some(roster) = plan.backend.roster() else {
            return;
        };
        let service = service(NAME);
        let files = Files::of(NAME);
        if !files.are_there() || !service.is_active().await.unwrap_or(false) {
            self.is_new = false;
            return;
        }
        let files = files.with_open("peers.conf", peers(&self.shared, plan, roster));
        let told = match files.write() {
            // An anchor is asked where the others are.
            Ok(Change::None) if plan.anchor(&self.shared.me()).is_none() => Ok(()),
            Ok(_) => service
                .reload()
                .await
                .map_err(|error| crate::text::chain(&error)),
            Err(error) => Err(crate::text::chain(&error)),
        };
        match told {
            Ok(()) => self.is_new = false,
            Err(error) => tracing::warn!(%error, "WireGuard is not told which ways are straight"),
        }
        if plan.anchor(&self.shared.me()).is_some() {
            self.tell_seen(roster);
        }
    }

    /// Tells those who are heard where they are heard from. The device's script says so whenever it is told something.
    fn tell_seen(&self, roster: &Roster) {
        let Ok(text) = read_bounded(Path::new(SEEN), SEEN_LIMIT) else {
            return;
        };
        for line in String::from_utf8_lossy(&text).lines() {
            let Some((key, at)) = line.split_once('\t') else {
                continue;
            };
            let member = roster.members.iter().find(|member| member.key == key);
            let up = member.and_then(|member| self.up.get(&member.party));
            if let (Some(up), Ok(endpoint)) = (up, at.parse()) {
                // If it is busy it is told another time.
                let _ = up.try_send(Frame::Seen { endpoint });
            }
        }
    }
}

/// Attempts to reach a party straight: fewer and fewer, since most of them are in vain for ever.
#[derive(Clone)]
struct Straight(Arc<Attempts>);

struct Attempts {
    at: String,
    most: Duration,
    failed: AtomicU32,
    again: Notify,
}

impl Straight {
    /// There is a reason to try again now.
    fn again(&self) {
        self.0.failed.store(0, Ordering::Relaxed);
        self.0.again.notify_one();
    }
}

impl Addresses for Straight {
    async fn of(&self, _: PublicKey, _: bool) -> Vec<String> {
        let failed = self.0.failed.fetch_add(1, Ordering::Relaxed);
        if failed > 0 {
            let pause = RETRY * 2_u32.saturating_pow(failed.min(8));
            let pause = crate::sync::jitter(pause.min(self.0.most));
            let _ = timeout(pause, self.0.again.notified()).await;
        }
        vec![self.0.at.clone()]
    }
}
