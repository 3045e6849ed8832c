//! The transitions: a total function, so an event that comes too late or too early is harmless.

use super::barrier;
use super::blame::best;
use super::state::{Action, Checkpoint, Context, Ended, Event, Peer, State, Tell, Timer};
use super::{Failure, Reason};
use crate::digest::Digest;
use crate::document::{Exit, Outcome, OutputHash, Ready};

/// One step. `state` is consumed; the returned state must be on disk before the actions are carried out.
pub fn step(context: &Context, state: State, event: Event) -> (State, Vec<Action>) {
    match (state, event) {
        // Nothing happens after the end.
        (state @ (State::Done { .. } | State::Failed { .. }), _) => (state, Vec::new()),

        (State::Failing { candidates }, event) => failing(candidates, event),

        // What fails, fails from every state.
        (state, Event::PeerFailed(_, failure)) if failure.party < context.session.parties.len() => {
            fail(context, &state, failure)
        }
        (state, Event::Broken(reason)) => fail(context, &state, Failure::at(context.me, reason)),
        (state, Event::Stop) => fail(context, &state, Failure::at(context.me, Reason::Stopped)),

        (State::Fetched(peers), Event::Judged(Ok(()))) => {
            (State::Verified(peers), vec![Action::StartTimer(Timer::Preflight), Action::Stage])
        }
        (state @ State::Fetched(_), Event::Judged(Err(refusal))) => {
            fail(context, &state, Failure::at(context.me, Reason::Refused { refusal }))
        }

        (State::Verified(peers), Event::Staged(Ok(()))) => (State::Staged(peers), vec![Action::StartGate]),
        (state @ State::Verified(_), Event::Staged(Err(reason))) => {
            fail(context, &state, Failure::at(context.me, reason))
        }

        (State::Staged(mut peers), Event::AtGate(Ok(ready))) => {
            peers[context.me].ready = Some((ready.digest, ready.document));
            let (state, mut actions) = arm(context, State::Preflight { peers, armed: None });
            actions.insert(0, Action::Tell(Tell::Ready));
            (state, actions)
        }
        (state @ State::Staged(_), Event::AtGate(Err(reason))) => {
            fail(context, &state, Failure::at(context.me, reason))
        }

        (state, Event::Timer(Timer::Preflight)) => preflight_over(context, state),
        (state, Event::PeerReady(party, ready)) => peer_ready(context, state, party, ready.digest, ready.document),
        (state, Event::PeerArmed(party, digest)) => peer_armed(context, state, party, digest),
        (state, Event::PeerLost(party)) => peer_lost(context, state, party),
        (state, event) => running(context, state, event),
    }
}

/// What to do with a checkpoint after a restart: rule "a session is never run twice by accident".
pub fn resume(context: &Context, checkpoint: Checkpoint) -> (State, Vec<Action>) {
    let peers = vec![Peer::default(); context.session.parties.len()];
    match checkpoint {
        Checkpoint::Fetched => (State::Fetched(peers), vec![Action::Judge]),
        // Nothing has run yet. Staging again is cheap, and it looks at everything once more.
        Checkpoint::Verified | Checkpoint::Staged => {
            (State::Verified(peers), vec![Action::Kill, Action::StartTimer(Timer::Preflight), Action::Stage])
        }
        Checkpoint::Committed => {
            let failure = Failure::at(context.me, Reason::AgentRestarted);
            fail(context, &State::Verified(peers), failure)
        }
        Checkpoint::Failing { failure } => fail(context, &State::Verified(peers), failure),
        // The receipt may not have been written.
        Checkpoint::Done { barrier } => (State::Done { barrier }, vec![Action::Kill, Action::Conclude(Outcome::Done)]),
        Checkpoint::Failed { failure } => {
            let conclude = Action::Conclude(Outcome::Failed { failure: failure.clone() });
            (State::Failed { failure }, vec![Action::Kill, conclude])
        }
    }
}

/// Stops the own program, tells the others, and collects explanations for a moment.
fn fail(context: &Context, state: &State, failure: Failure) -> (State, Vec<Action>) {
    // After the barrier everything that went wrong elsewhere, too, comes in within the grace; alone
    // there is nobody to wait for.
    let mut actions = vec![Action::Kill];
    if context.session.parties.len() == 1 && !state.is_final() {
        actions.push(Action::Conclude(Outcome::Failed { failure: failure.clone() }));
        return (State::Failed { failure }, actions);
    }
    actions.push(Action::Tell(Tell::Failed(failure.clone())));
    actions.push(Action::StartTimer(Timer::Grace));
    (State::Failing { candidates: vec![failure] }, actions)
}

fn failing(mut candidates: Vec<Failure>, event: Event) -> (State, Vec<Action>) {
    match event {
        Event::PeerFailed(_, failure) => {
            // Bounded: each party can add one explanation per party and no more.
            if !candidates.contains(&failure) && candidates.len() < crate::limits::PARTIES {
                candidates.push(failure);
            }
            (State::Failing { candidates }, Vec::new())
        }
        Event::Timer(Timer::Grace) => {
            let failure = best(&candidates).clone();
            let conclude = Action::Conclude(Outcome::Failed { failure: failure.clone() });
            // Whoever connects from now on hears the conclusion, not the first guess.
            let tell = Action::Tell(Tell::Failed(failure.clone()));
            (State::Failed { failure }, vec![tell, conclude])
        }
        _ => (State::Failing { candidates }, Vec::new()),
    }
}

fn preflight_over(context: &Context, state: State) -> (State, Vec<Action>) {
    let seconds = context.session.deadlines.preflight;
    let peers = match &state {
        State::Fetched(peers) | State::Verified(peers) | State::Staged(peers) | State::Preflight { peers, .. } => peers,
        _ => return (state, Vec::new()),
    };
    // The first party that has said nothing; if all have, the first that is not armed.
    let silent = peers.iter().position(|peer| peer.ready.is_none());
    let party = silent.or_else(|| peers.iter().position(|peer| peer.armed.is_none())).unwrap_or(context.me);
    fail(context, &state, Failure::at(party, Reason::Missing { seconds }))
}

fn peer_ready(context: &Context, state: State, party: usize, digest: Digest, ready: Ready) -> (State, Vec<Action>) {
    let known = |peers: &[Peer]| peers.get(party).is_some_and(|p| p.ready.as_ref().is_some_and(|r| r.0 == digest));
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
        State::Preflight { mut peers, armed: None } => {
            note_ready(&mut peers, party, digest, ready);
            arm(context, State::Preflight { peers, armed: None })
        }
        // Said again over a new connection: no news.
        State::Preflight { ref peers, .. } | State::Running { ref peers, .. } if known(peers) => (state, Vec::new()),
        // A new `Ready` after this party was armed: the other one has started over, this one cannot.
        state => fail(context, &state, Failure::at(party, Reason::AgentRestarted)),
    }
}

fn note_ready(peers: &mut [Peer], party: usize, digest: Digest, ready: Ready) {
    if let Some(peer) = peers.get_mut(party) {
        *peer = Peer { ready: Some((digest, ready)), ..Peer::default() };
    }
}

fn peer_armed(context: &Context, state: State, party: usize, digest: Digest) -> (State, Vec<Action>) {
    match state {
        State::Staged(mut peers) => {
            note_armed(&mut peers, party, digest);
            (State::Staged(peers), Vec::new())
        }
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
fn arm(context: &Context, state: State) -> (State, Vec<Action>) {
    let State::Preflight { mut peers, armed: None } = state else { return (state, Vec::new()) };
    let readies: Vec<&(Digest, Ready)> = peers.iter().filter_map(|peer| peer.ready.as_ref()).collect();
    if readies.len() < peers.len() {
        return (State::Preflight { peers, armed: None }, Vec::new());
    }
    let documents: Vec<&Ready> = readies.iter().map(|ready| &ready.1).collect();
    if let Err(failure) = barrier::compare(context, &documents) {
        return fail(context, &State::Preflight { peers, armed: None }, failure);
    }
    let digest = barrier::digest(&context.manifest, readies.iter().map(|ready| ready.0));
    peers[context.me].armed = Some(digest);
    let (state, mut actions) = open(context, peers, Some(digest));
    actions.insert(0, Action::Tell(Tell::Armed(digest)));
    (state, actions)
}

/// Opens the barrier if everybody is armed for the same one.
fn open(context: &Context, peers: Vec<Peer>, armed: Option<Digest>) -> (State, Vec<Action>) {
    let Some(barrier) = armed else { return (State::Preflight { peers, armed }, Vec::new()) };
    if let Some(party) = peers.iter().position(|peer| peer.armed.is_some_and(|other| other != barrier)) {
        let failure = Failure::at(party, Reason::BarrierMismatch);
        return fail(context, &State::Preflight { peers, armed }, failure);
    }
    if peers.iter().any(|peer| peer.armed.is_none()) {
        return (State::Preflight { peers, armed }, Vec::new());
    }
    let readies = peers.iter().filter_map(|peer| peer.ready.as_ref()).map(|ready| ready.1.clone()).collect();
    let actions =
        vec![Action::Open(readies), Action::StartTimer(Timer::Connect), Action::StartTimer(Timer::Run)];
    (State::Running { peers, barrier, connected: false }, actions)
}

fn peer_lost(context: &Context, state: State, party: usize) -> (State, Vec<Action>) {
    let forget = |mut peers: Vec<Peer>| {
        if let Some(peer) = peers.get_mut(party) {
            *peer = Peer::default();
        }
        peers
    };
    match state {
        // Before this party is armed nobody can have started: the other one may come back.
        State::Fetched(peers) => (State::Fetched(forget(peers)), Vec::new()),
        State::Verified(peers) => (State::Verified(forget(peers)), Vec::new()),
        State::Staged(peers) => (State::Staged(forget(peers)), Vec::new()),
        State::Preflight { peers, armed: None } => (State::Preflight { peers: forget(peers), armed: None }, Vec::new()),
        // Whoever has finished may go.
        State::Running { ref peers, .. } if peers.get(party).is_none_or(|peer| peer.finished.is_some()) => {
            (state, Vec::new())
        }
        state => fail(context, &state, Failure::at(party, Reason::Lost)),
    }
}

fn running(context: &Context, state: State, event: Event) -> (State, Vec<Action>) {
    let State::Running { mut peers, barrier, connected } = state else { return (state, Vec::new()) };
    let me = context.me;
    let seconds = &context.session.deadlines;
    let mine_ended = peers[me].finished.is_some();
    let keep = |peers, connected| (State::Running { peers, barrier, connected }, Vec::new());
    let failed = |peers, party, reason| {
        fail(context, &State::Running { peers, barrier, connected }, Failure::at(party, reason))
    };
    match event {
        Event::Connected => keep(peers, true),
        Event::Ended(ended) => match reason_of(&ended) {
            Some(reason) => failed(peers, me, reason),
            None => {
                peers[me].finished = Some(ended.equal.clone());
                let (state, mut actions) = finish(context, peers, barrier, connected);
                actions.insert(0, Action::Tell(Tell::Finished(ended.equal)));
                (state, actions)
            }
        },
        Event::PeerFinished(party, outputs) if party < peers.len() => {
            peers[party].finished = Some(outputs);
            finish(context, peers, barrier, connected)
        }
        Event::Timer(Timer::Connect) if !connected && !mine_ended && peers.len() > 1 => {
            let reason = Reason::NotConnected { seconds: seconds.connect, detail: String::new() };
            failed(peers, me, reason)
        }
        Event::Timer(Timer::Run) => {
            // Whoever has not finished is named; this party first, as it knows itself best.
            let late = if mine_ended { peers.iter().position(|peer| peer.finished.is_none()) } else { Some(me) };
            failed(peers, late.unwrap_or(me), Reason::TimedOut { seconds: seconds.run })
        }
        _ => keep(peers, connected),
    }
}

fn reason_of(ended: &Ended) -> Option<Reason> {
    match ended.exit {
        Exit::Code(0) => None,
        Exit::Code(code) => Some(Reason::Exited { code, exception: ended.exception.clone() }),
        Exit::Signal(signal) => Some(Reason::Killed { signal }),
    }
}

/// Concludes if every party has finished.
fn finish(context: &Context, peers: Vec<Peer>, barrier: Digest, connected: bool) -> (State, Vec<Action>) {
    let outputs: Vec<&Vec<OutputHash>> = peers.iter().filter_map(|peer| peer.finished.as_ref()).collect();
    if outputs.len() < peers.len() {
        return (State::Running { peers, barrier, connected }, Vec::new());
    }
    match super::verdict::differing(&outputs) {
        Some((party, output)) => {
            let failure = Failure::at(party, Reason::OutputDiffers { output });
            fail(context, &State::Running { peers, barrier, connected }, failure)
        }
        None => (State::Done { barrier }, vec![Action::Conclude(Outcome::Done)]),
    }
}
