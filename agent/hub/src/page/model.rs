//! What the page shows, read from the store: one reading serves everybody for a second, and what has not changed is not parsed again.
//!
//! Documents were verified when they came in; receipts are judged here by the rules of `e3_core`, as `e3 receipts verify` does it.
//! Nothing is decided by what stands here.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use e3_core::digest::Digest;
use e3_core::document::{
    Document, Enrolment, Head, Invite, Mesh, Outcome, Presence, Progress, Receipt, Root, Session,
    SessionRef,
};
use e3_core::envelope::Envelope;
use e3_core::key::PublicKey;
use e3_core::limits;
use e3_core::mesh::{NotJoined, Roster};
use e3_core::session::{Reason, verdict};
use e3_core::time::Time;
use tokio::time::Instant;

use crate::api::{Hub, Listed, Pair};
use crate::names;
use crate::roots::{Roots, open_head};
use crate::store::StoreError;

/// Sessions shown, latest first.
const SESSIONS: usize = 8;
/// Entries of the journal.
const JOURNAL: usize = 100;
/// Parties in the picture of round trips.
const ROUND_TRIPS: usize = 16;
/// Seconds after which a party that says nothing is shown as silent; `e3 fleet status` has the same.
const SILENT: i64 = 15 * 60;
/// For how long one reading serves everybody; longer where it takes long, so that a crowd cannot keep the hub reading.
const FRESH: Duration = Duration::from_secs(1);
const SHARE: u32 = 10;
/// Parties that are parsed in one go: fewer are not worth another thread.
const AT_ONCE: usize = 50;

/// The fleet as it was read last.
pub(crate) struct Model {
    pub(crate) now: Time,
    pub(crate) root: Root,
    pub(crate) head: Option<Head>,
    /// Who listens to this hub.
    pub(crate) connected: usize,
    /// Trouble first, then by name.
    pub(crate) parties: Vec<Arc<Party>>,
    pub(crate) sessions: Vec<Run>,
    /// Sessions in the head that are not shown.
    pub(crate) older: usize,
    /// Newest first.
    pub(crate) journal: Vec<Entry>,
    pub(crate) round_trips: Option<RoundTrips>,
}

/// A party.
pub(crate) struct Party {
    pub(crate) name: String,
    pub(crate) key: PublicKey,
    pub(crate) owner: PublicKey,
    pub(crate) enrolled: Time,
    pub(crate) state: Standing,
    pub(crate) presence: Option<Arc<Presence>>,
}

/// How a party stands, the worst first: so the page sorts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    Waiting,
    Degraded,
    NotJoined,
    Silent,
    NeverSeen,
    Running,
    Ready,
}

impl Standing {
    pub(crate) const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Degraded,
        Self::NotJoined,
        Self::Silent,
        Self::NeverSeen,
        Self::Running,
        Self::Ready,
    ];

    /// In the page's address.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Degraded => "degraded",
            Self::NotJoined => "not-joined",
            Self::Silent => "silent",
            Self::NeverSeen => "never-seen",
            Self::Running => "running",
            Self::Ready => "ready",
        }
    }

    /// For people.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Waiting => "at the door",
            Self::Degraded => "takes nothing new",
            Self::NotJoined => "not in the mesh",
            Self::Silent => "silent",
            Self::NeverSeen => "never heard of",
            Self::Running => "at work",
            Self::Ready => "ready",
        }
    }

    /// Which colour it has.
    pub(crate) const fn tone(self) -> &'static str {
        match self {
            Self::Waiting | Self::Running => "blue",
            Self::Degraded | Self::NotJoined => "red",
            Self::Silent | Self::NeverSeen => "amber",
            Self::Ready => "green",
        }
    }
}

/// A session, as far as documents tell.
pub(crate) struct Run {
    pub(crate) name: String,
    pub(crate) counter: u64,
    pub(crate) manifest: Digest,
    /// Nothing if its envelope is not here, or not signed by the fleet's keys.
    pub(crate) session: Option<Session>,
    pub(crate) end: End,
    pub(crate) seats: Vec<Seat>,
}

/// How a session ended, or that it has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Good: all receipts are here and agree.
    Good,
    /// What speaks against it: party and problem.
    Bad(Vec<(usize, String)>),
    /// So many receipts are missing.
    Open(usize),
    /// Its time is over, and receipts are missing.
    Expired(usize),
    Revoked,
    /// Nobody can tell.
    Unreadable,
}

/// A party of a session.
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) progress: Option<Progress>,
    pub(crate) receipt: Option<Receipt>,
}

/// A refusal or a failure that somebody has told.
pub(crate) struct Entry {
    pub(crate) at: Time,
    /// Who says so.
    pub(crate) by: String,
    /// Of which session, if of one.
    pub(crate) about: Option<String>,
    /// A rule or a policy said no; otherwise something failed.
    pub(crate) is_refusal: bool,
    /// Whose fault that is, if somebody else's.
    pub(crate) culprit: Option<String>,
    pub(crate) text: String,
    pub(crate) remedy: &'static str,
}

/// Round trips between the parties of a session, in microseconds: `times[of][to]`.
pub(crate) struct RoundTrips {
    pub(crate) session: String,
    pub(crate) names: Vec<String>,
    pub(crate) times: Vec<Vec<Option<u64>>>,
}

/// The model that was made last, and what was parsed for it.
#[derive(Default)]
pub(crate) struct Cache(tokio::sync::Mutex<Kept>);

#[derive(Default)]
struct Kept {
    model: Option<(Instant, Arc<Model>)>,
    parsed: HashMap<PublicKey, Parsed>,
}

/// A party's documents, as they lay in the store and as they are.
struct Parsed {
    pair: Arc<Pair>,
    presence_bytes: Option<Bytes>,
    enrolment: Enrolment,
    invite: Invite,
    presence: Option<Arc<Presence>>,
}

/// Reads a document of the store for showing it.
fn open<T: Document>(bytes: &[u8]) -> Option<T> {
    Envelope::parse(bytes, limits::ENVELOPE)
        .ok()?
        .unverified()
        .ok()
}

impl Parsed {
    /// What is in a party's documents, of which those that are as they were `before` are not parsed again.
    fn new(listed: &Listed, before: Option<Self>) -> Option<Self> {
        let same = |before: &Self| {
            before.pair.enrolment.get() == listed.pair.enrolment.get()
                && before.pair.invite.get() == listed.pair.invite.get()
        };
        let mut parsed = if let Some(before) = before.filter(same) {
            if before.presence_bytes == listed.presence {
                return Some(before);
            }
            before
        } else {
            let (enrolment, invite) = listed.pair.envelopes().ok()?;
            Self {
                pair: Arc::clone(&listed.pair),
                presence_bytes: None,
                enrolment: enrolment.unverified().ok()?,
                invite: invite.unverified().ok()?,
                presence: None,
            }
        };
        parsed.presence_bytes.clone_from(&listed.presence);
        parsed.presence = listed.presence.as_deref().and_then(open).map(Arc::new);
        Some(parsed)
    }
}

/// Parses what is new, on all processors: most of it is reading keys, each of which has to be a point on a curve.
async fn parse(
    listed: Vec<Listed>,
    mut before: HashMap<PublicKey, Parsed>,
) -> HashMap<PublicKey, Parsed> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let many = listed.len().div_ceil(threads).max(AT_ONCE);
    let mut listed = { listed.into_iter() }.map(|one| (before.remove(&one.key), one));
    let mut running = Vec::new();
    loop {
        let some: Vec<_> = listed.by_ref().take(many).collect();
        if some.is_empty() {
            break;
        }
        running.push(tokio::task::spawn_blocking(move || {
            let parsed = { some.into_iter() }
                .filter_map(|(before, one)| Some((one.key, Parsed::new(&one, before)?)));
            parsed.collect::<Vec<_>>()
        }));
    }
    let mut parsed = HashMap::new();
    for some in running {
        // One that panicked has none: they are parsed again the next time.
        parsed.extend(some.await.unwrap_or_default());
    }
    parsed
}

impl Hub {
    /// The fleet as it is, or was a second ago.
    pub(crate) async fn model(&self) -> Result<Arc<Model>, StoreError> {
        let mut kept = self.page.model.0.lock().await;
        if let Some((until, model)) = &kept.model
            && Instant::now() < *until
        {
            return Ok(Arc::clone(model));
        }
        let began = Instant::now();
        let model = Arc::new(self.read_model(&mut kept.parsed).await?);
        let until = Instant::now() + FRESH.max(began.elapsed() * SHARE);
        kept.model = Some((until, Arc::clone(&model)));
        Ok(model)
    }

    async fn read_model(
        &self,
        parsed: &mut HashMap<PublicKey, Parsed>,
    ) -> Result<Model, StoreError> {
        let now = (self.clock)();
        let roots = self.chain.refresh(&self.store).await?;
        let head = self.store.get(&names::head(), limits::HEAD).await?;
        let head = head.and_then(|object| open_head(&object.bytes));
        let head = head.map(|(head, _)| head);
        *parsed = parse(self.list_parties().await?, std::mem::take(parsed)).await;
        let rosters: Vec<&Roster> = head
            .iter()
            .flat_map(|head| &head.meshes)
            .filter_map(|plan| plan.backend.roster())
            .collect();
        let direct = head
            .iter()
            .flat_map(|head| &head.meshes)
            .any(|plan| plan.direct);
        let mut parties: Vec<_> = parsed
            .iter()
            .map(|(key, parsed)| Arc::new(party(*key, parsed, &rosters, direct, now)))
            .collect();
        parties.sort_by(|one, other| (one.state, &one.name).cmp(&(other.state, &other.name)));
        let named = head.as_ref().map_or(&[][..], |head| &head.sessions);
        let mut sessions = Vec::new();
        for session in named.iter().rev().take(SESSIONS) {
            let revoked = head.iter().flat_map(|head| &head.revoked);
            let is_revoked = revoked.into_iter().any(|other| *other == session.manifest);
            let run = self.run(&roots, session, is_revoked, parsed, now).await?;
            sessions.push(run);
        }
        Ok(Model {
            now,
            root: roots.newest().clone(),
            connected: self.subscribers.count(),
            journal: journal(&parties, &sessions, now),
            round_trips: sessions.iter().find_map(round_trips),
            older: named.len().saturating_sub(sessions.len()),
            parties,
            sessions,
            head,
        })
    }

    async fn run(
        &self,
        roots: &Roots,
        named: &SessionRef,
        is_revoked: bool,
        parsed: &HashMap<PublicKey, Parsed>,
        now: Time,
    ) -> Result<Run, StoreError> {
        let path = names::blob(&named.envelope.digest);
        let envelope = self.store.get(&path, limits::ENVELOPE).await?;
        let verified = envelope
            .and_then(|envelope| roots.open_old_session(&envelope.bytes).ok())
            .filter(|session| session.digest == named.manifest);
        let mut run = Run {
            name: named.name.to_string(),
            counter: named.counter,
            manifest: named.manifest,
            session: None,
            end: End::Unreadable,
            seats: Vec::new(),
        };
        let Some(verified) = verified else {
            return Ok(run);
        };
        let files = self.list_receipts(&named.manifest).await?;
        let receipts: Vec<Option<Receipt>> = (0..verified.document.parties.len())
            .map(|place| verdict::open(&verified, place, files.get(place)?.as_ref()?).ok())
            .collect();
        let session = verified.document;
        run.end = end(&session, &receipts, is_revoked, now);
        run.seats = session
            .parties
            .iter()
            .zip(receipts)
            .map(|(party, receipt)| Seat {
                name: party.name.to_string(),
                progress: progress(parsed.get(&party.key), &named.manifest),
                receipt,
            })
            .collect();
        run.session = Some(session);
        Ok(run)
    }
}

fn progress(party: Option<&Parsed>, manifest: &Digest) -> Option<Progress> {
    let sessions = &party?.presence.as_ref()?.sessions;
    let of_it = sessions.iter().rfind(|one| one.manifest == *manifest);
    of_it.map(|one| one.progress)
}

fn end(session: &Session, receipts: &[Option<Receipt>], is_revoked: bool, now: Time) -> End {
    let missing = receipts.iter().filter(|receipt| receipt.is_none()).count();
    let failed = |receipt: &Receipt| matches!(receipt.outcome, Outcome::Failed { .. });
    let told = receipts.iter().flatten();
    // One that says it failed is enough: it will not be good any more.
    if missing == 0 || told.clone().any(failed) {
        let judged = verdict::judge(session, receipts);
        let problems = judged.problems.into_iter();
        let problems: Vec<_> = problems
            .map(|problem| (problem.party, problem.problem))
            .collect();
        return if judged.good {
            End::Good
        } else {
            End::Bad(problems)
        };
    }
    if is_revoked {
        End::Revoked
    } else if session.expires <= now && told.count() == 0 {
        End::Expired(missing)
    } else {
        End::Open(missing)
    }
}

fn party(key: PublicKey, parsed: &Parsed, rosters: &[&Roster], direct: bool, now: Time) -> Party {
    let presence = parsed.presence.as_deref();
    let meshes = presence.map(|presence| &presence.meshes);
    let lacks = |mesh: &Mesh| {
        matches!(
            mesh,
            Mesh::NotJoined {
                reason: NotJoined::NeedsApproval
            }
        )
    };
    let is_listed = |roster: &&Roster| roster.members.iter().any(|member| member.party == key);
    let waits =
        meshes.is_some_and(|meshes| meshes.values().any(lacks)) || !rosters.iter().all(is_listed);
    let is_out = |presence: &Presence| {
        !direct && !presence.meshes.is_empty() && !presence.meshes.values().any(Mesh::is_joined)
    };
    let works = |presence: &Presence| {
        let of_work = |progress| !matches!(progress, Progress::Done | Progress::Failed);
        presence.sessions.iter().any(|one| of_work(one.progress))
    };
    let state = match presence {
        _ if waits => Standing::Waiting,
        None => Standing::NeverSeen,
        Some(presence) if now.since(presence.signed) >= SILENT => Standing::Silent,
        Some(presence) if presence.degraded.is_some() => Standing::Degraded,
        Some(presence) if is_out(presence) => Standing::NotJoined,
        Some(presence) if works(presence) => Standing::Running,
        Some(_) => Standing::Ready,
    };
    Party {
        // The owner's word for it, and not what the machine says of itself.
        name: parsed.invite.name.to_string(),
        key,
        owner: parsed.invite.owner,
        enrolled: parsed.enrolment.signed,
        state,
        presence: parsed.presence.clone(),
    }
}

/// What parties have refused, what failed, and what keeps them from taking part: as their presences and receipts say it.
fn journal(parties: &[Arc<Party>], sessions: &[Run], now: Time) -> Vec<Entry> {
    let mut entries = Vec::new();
    for run in sessions {
        for (place, seat) in run.seats.iter().enumerate() {
            let Some(receipt) = &seat.receipt else {
                continue;
            };
            let Outcome::Failed { failure } = &receipt.outcome else {
                continue;
            };
            let other = run.seats.get(failure.party);
            let culprit = other.filter(|_| failure.party != place);
            entries.push(Entry {
                at: receipt.finished,
                by: seat.name.clone(),
                about: Some(format!("{} #{}", run.name, run.counter)),
                is_refusal: matches!(failure.reason, Reason::Refused { .. }),
                culprit: culprit.map(|seat| seat.name.clone()),
                text: failure.reason.to_string(),
                remedy: "",
            });
        }
    }
    for party in parties {
        let Some(presence) = &party.presence else {
            continue;
        };
        let entry = |text: String, remedy| Entry {
            at: presence.signed.min(now),
            by: party.name.clone(),
            about: None,
            is_refusal: false,
            culprit: None,
            text,
            remedy,
        };
        if let Some(degraded) = &presence.degraded {
            entries.push(entry(degraded.to_string(), degraded.remedy()));
        }
        if let Some(trouble) = &presence.update {
            entries.push(entry(format!("update: {trouble}"), ""));
        }
        for (backend, mesh) in &presence.meshes {
            if let Mesh::NotJoined { reason } = mesh
                && !matches!(reason, NotJoined::Joining | NotJoined::NeedsApproval)
            {
                entries.push(entry(format!("{backend}: {reason}"), reason.remedy()));
            }
        }
    }
    entries.sort_by_key(|entry| Reverse(entry.at));
    entries.truncate(JOURNAL);
    entries
}

fn round_trips(run: &Run) -> Option<RoundTrips> {
    let count = run.seats.len().min(ROUND_TRIPS);
    let seats = &run.seats[..count];
    let times: Vec<Vec<Option<u64>>> = seats
        .iter()
        .map(|seat| {
            let told = seat.receipt.as_ref().map(|receipt| &receipt.rtt_us);
            (0..count).map(|to| told?.get(&to).copied()).collect()
        })
        .collect();
    times
        .iter()
        .flatten()
        .any(Option::is_some)
        .then(|| RoundTrips {
            session: format!("{} #{}", run.name, run.counter),
            names: seats.iter().map(|seat| seat.name.clone()).collect(),
            times,
        })
}
