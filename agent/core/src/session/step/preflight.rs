//! Up to the open barrier: everybody's `Ready` is here and equal, and everybody has said so.

use super::fail::fail;
use super::running::gone;
use crate::digest::Digest;
use crate::document::Ready;
use crate::session::state::{Action, Context, Peer, State, Tell, Timer};
use crate::session::{Failure, Reason, barrier};

pub(super) fn preflight_over(context: &Context, state: State) -> (State, Vec<Action>) {
    match &state {
        State::Fetched(peers) | State::Verified(peers) | State::Staged(peers) => {
            missing(context, peers)
        }
        // Everybody was ready in time: what is missing is a word that tells so. Whoever waits for it
        // would blame a party that has done nothing but wait, too.
        State::Preflight {
            peers,
            armed: Some(_),
        } if gone(peers).is_none() => (state, vec![Action::StartTimer(Timer::Arm)]),
        State::Preflight { peers, .. } => missing(context, peers),
        _ => (state, Vec::new()),
    }
}

/// The time is over in which everybody who was ready should have said that it is armed.
pub(super) fn arm_over(context: &Context, state: State) -> (State, Vec<Action>) {
    match &state {
        State::Preflight { peers, .. } => missing(context, peers),
        _ => (state, Vec::new()),
    }
}

/// Names the first party that has said nothing; if all have, the first that is gone, or that is not
/// armed.
fn missing(context: &Context, peers: &[Peer]) -> (State, Vec<Action>) {
    let seconds = context.session.deadlines.preflight;
    let silent = peers.iter().position(|peer| peer.ready.is_none());
    let party = silent
        .or_else(|| peers.iter().position(|peer| peer.armed.is_none()))
        .unwrap_or(context.me);
    let missing = || Failure::at(party, Reason::Missing { seconds });
    let failure = gone(peers).unwrap_or_else(missing);
    fail(context, &failure)
}

/// The time is over in which a party should have come back that was lost after this one was armed.
pub(super) fn rejoin_over(context: &Context, state: State) -> (State, Vec<Action>) {
    let failure = match &state {
        State::Preflight { peers, .. } => gone(peers),
        _ => None,
    };
    match failure {
        Some(failure) => fail(context, &failure),
        None => (state, Vec::new()),
    }
}

pub(super) fn peer_ready(
    context: &Context,
    mut state: State,
    party: usize,
    digest: Digest,
    ready: Ready,
) -> (State, Vec<Action>) {
    if let Err(failure) = barrier::check(context, party, &ready) {
        return fail(context, &failure);
    }
    let known = |peers: &[Peer]| {
        peers
            .get(party)
            .is_some_and(|p| p.ready.as_ref().is_some_and(|r| r.0 == digest))
    };
    match state {
        State::Fetched(mut peers) => {
            note_ready(&mut peers, party, digest, ready);
            (State::Fetched(peers), Vec::new())
        }
        State::Verified(mut peers) => {
            note_ready(&mut peers, party, digest, ready);
            (State::Verified(peers), Vec::new())
        }
        State::Staged(mut peers) => {
            note_ready(&mut peers, party, digest, ready);
            (State::Staged(peers), Vec::new())
        }
        State::Preflight {
            mut peers,
            armed: None,
        } => {
            note_ready(&mut peers, party, digest, ready);
            arm(context, State::Preflight { peers, armed: None })
        }
        // Said again over a new connection: no news, but it is there again.
        State::Preflight { mut peers, armed } if known(&peers) => {
            peers[party].gone = false;
            open(context, peers, armed)
        }
        State::Running { ref mut peers, .. } if known(peers) => {
            peers[party].gone = false;
            (state, Vec::new())
        }
        // A new `Ready` after this party was armed: the other one has started over, this one cannot.
        _ => fail(context, &Failure::at(party, Reason::AgentRestarted)),
    }
}

fn note_ready(peers: &mut [Peer], party: usize, digest: Digest, ready: Ready) {
    if let Some(peer) = peers.get_mut(party) {
        *peer = Peer {
            ready: Some((digest, ready)),
            ..Peer::default()
        };
    }
}

pub(super) fn peer_armed(
    context: &Context,
    state: State,
    party: usize,
    digest: Digest,
) -> (State, Vec<Action>) {
    match state {
        // Nobody can be armed for a barrier of which this party's `Ready` is not a part yet.
        State::Preflight { mut peers, armed } => {
            note_armed(&mut peers, party, digest);
            open(context, peers, armed)
        }
        state => (state, Vec::new()),
    }
}

fn note_armed(peers: &mut [Peer], party: usize, digest: Digest) {
    if let Some(peer) = peers.get_mut(party).filter(|peer| peer.ready.is_some()) {
        peer.armed = Some(digest);
    }
}

/// Arms this party if everybody's `Ready` is here.
pub(super) fn arm(context: &Context, state: State) -> (State, Vec<Action>) {
    let State::Preflight {
        mut peers,
        armed: None,
    } = state
    else {
        return (state, Vec::new());
    };
    let readies: Vec<&(Digest, Ready)> = peers
        .iter()
        .filter_map(|peer| peer.ready.as_ref())
        .collect();
    if readies.len() < peers.len() {
        return (State::Preflight { peers, armed: None }, Vec::new());
    }
    let documents: Vec<&Ready> = readies.iter().map(|ready| &ready.1).collect();
    if let Err(failure) = barrier::compare(context, &documents) {
        return fail(context, &failure);
    }
    let digest = barrier::digest(&context.manifest, readies.iter().map(|ready| ready.0));
    peers[context.me].armed = Some(digest);
    let (state, mut actions) = open(context, peers, Some(digest));
    actions.insert(0, Action::Tell(Tell::Armed(digest)));
    (state, actions)
}

/// Opens the barrier if everybody is armed for the same one.
fn open(context: &Context, peers: Vec<Peer>, armed: Option<Digest>) -> (State, Vec<Action>) {
    let Some(barrier) = armed else {
        return (State::Preflight { peers, armed }, Vec::new());
    };
    if let Some(party) = peers
        .iter()
        .position(|peer| peer.armed.is_some_and(|other| other != barrier))
    {
        let failure = Failure::at(party, Reason::BarrierMismatch);
        return fail(context, &failure);
    }
    if peers.iter().any(|peer| peer.armed.is_none() || peer.gone) {
        return (State::Preflight { peers, armed }, Vec::new());
    }
    let readies = peers
        .iter()
        .filter_map(|peer| peer.ready.as_ref())
        .map(|ready| ready.1.clone())
        .collect();
    let actions = vec![
        Action::Open(readies),
        Action::StartTimer(Timer::Connect),
        Action::StartTimer(Timer::Run),
    ];
    (
        State::Running {
            peers,
            barrier,
            connected: false,
            complaint: String::new(),
        },
        actions,
    )
}
