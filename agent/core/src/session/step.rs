//! The transitions: a total function, so an event that comes too late or too early is harmless.
//!
//! - [`fail`]: the end for a reason, and the moment in which explanations are collected.
//! - [`preflight`]: up to the open barrier.
//! - [`running`]: from the open barrier to the end.
//! - [`resume`]: what a restart makes of a checkpoint.

mod fail;
mod preflight;
mod resume;
mod running;

use self::fail::{fail, fail_because, failing, hear, reason_of};
use self::preflight::{arm, arm_over, peer_armed, peer_ready, preflight_over, rejoin_over};
use self::running::{not_connected, note_finished, running};
use super::barrier;
use super::state::{Action, Context, Event, Peer, State, Tell, Timer};
use super::{Failure, Reason};

pub use self::resume::{resume, resume_refused};

/// One step. `state` is consumed; the returned state must be on disk before the actions are carried out.
pub fn step(context: &Context, state: State, event: Event) -> (State, Vec<Action>) {
    if !event_makes_sense(context, &event) {
        return (state, Vec::new());
    }
    match (state, event) {
        // Nothing happens after the end.
        (state @ (State::Done { .. } | State::Failed { .. }), _) => (state, Vec::new()),

        (State::Failing { candidates }, event) => failing(context, candidates, event),

        // Who dials in vain knows more of it than whoever says so first.
        (
            State::Running {
                peers,
                connected: false,
                complaint,
                ..
            },
            Event::PeerFailed(by, failure),
        ) if failure.reason.is_of_connecting() => {
            let seconds = context.session.deadlines.connect;
            let own = not_connected(context, &peers, seconds, &complaint);
            let (state, actions) = fail(context, &own);
            (hear(state, by, &failure), actions)
        }

        // What fails, fails from every state.
        (_, Event::PeerFailed(by, failure)) => fail_because(context, by, &failure),
        (_, Event::Impostor(party)) => fail(context, &Failure::at(party, Reason::Impostor)),
        (_, Event::Broken(reason)) => fail(context, &Failure::at(context.me, reason)),
        (_, Event::Stop) => fail(context, &Failure::at(context.me, Reason::Stopped)),

        (State::Fetched(peers), Event::Judged(Ok(()))) => (
            State::Verified(peers),
            vec![Action::StartTimer(Timer::Preflight), Action::Stage],
        ),
        (State::Fetched(_), Event::Judged(Err(refusal))) => fail(
            context,
            &Failure::at(context.me, Reason::Refused { refusal }),
        ),

        (State::Verified(peers), Event::Staged(Ok(()))) => {
            (State::Staged(peers), vec![Action::StartGate])
        }
        (State::Staged(mut peers), Event::AtGate(Ok(ready))) => {
            // The own one is held to the same as everybody's.
            if let Err(failure) = barrier::check(context, context.me, &ready.document) {
                return fail(context, &failure);
            }
            peers[context.me].ready = Some((ready.digest, ready.document));
            let (state, mut actions) = arm(context, State::Preflight { peers, armed: None });
            actions.insert(0, Action::Tell(Tell::Ready));
            (state, actions)
        }
        (State::Verified(_), Event::Staged(Err(reason)))
        | (State::Staged(_), Event::AtGate(Err(reason))) => {
            fail(context, &Failure::at(context.me, reason))
        }

        // The program must wait at the gate; one that ends there cannot be let through any more.
        (State::Staged(_) | State::Preflight { .. }, Event::Ended(ended))
            if !ended.killed_by_agent =>
        {
            fail(context, &Failure::at(context.me, reason_of(&ended)))
        }

        (state, Event::Timer(Timer::Preflight)) => preflight_over(context, state),
        (state, Event::Timer(Timer::Arm)) => arm_over(context, state),
        (state, Event::Timer(Timer::Rejoin)) => rejoin_over(context, state),
        (state, Event::PeerReady(party, ready)) => {
            peer_ready(context, state, party, ready.digest, ready.document)
        }
        (state, Event::PeerArmed(party, digest)) => peer_armed(context, state, party, digest),
        (state, Event::PeerLost(party)) => peer_lost(context, state, party),
        // The others may all be armed, and one of them done, while an armed message is still under way.
        (
            State::Preflight {
                mut peers,
                armed: Some(armed),
            },
            Event::PeerFinished(party, outputs),
        ) => {
            note_finished(&mut peers, party, outputs);
            (
                State::Preflight {
                    peers,
                    armed: Some(armed),
                },
                Vec::new(),
            )
        }
        (State::Preflight { mut peers, armed }, Event::PeerReached(party, parties)) => {
            peers[party].reach = Some(parties);
            (State::Preflight { peers, armed }, Vec::new())
        }
        (state, event) => running(context, state, event),
    }
}

/// Whether an event about a party names another one of this session, and a failure one at all.
fn event_makes_sense(context: &Context, event: &Event) -> bool {
    let parties = context.session.parties.len();
    let other = |party: usize| party < parties && party != context.me;
    match event {
        Event::PeerFailed(by, failure) => other(*by) && failure.party < parties,
        Event::PeerReady(party, _)
        | Event::PeerArmed(party, _)
        | Event::PeerReached(party, _)
        | Event::PeerFinished(party, _)
        | Event::PeerLost(party)
        | Event::Impostor(party) => other(*party),
        _ => true,
    }
}

fn peer_lost(context: &Context, mut state: State, party: usize) -> (State, Vec<Action>) {
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
        State::Preflight { peers, armed: None } => (
            State::Preflight {
                peers: forget(peers),
                armed: None,
            },
            Vec::new(),
        ),
        // From now on others may start, but their programs are not at work for long, and a connection
        // that had broken before this party was armed may be noticed only now.
        State::Preflight {
            ref mut peers,
            armed: Some(_),
        } => {
            peers[party].gone = true;
            (state, vec![Action::StartTimer(Timer::Rejoin)])
        }
        // Whoever has finished may go.
        State::Running { ref peers, .. }
            if peers.get(party).is_none_or(|peer| peer.finished.is_some()) =>
        {
            (state, Vec::new())
        }
        // The programs end together, so the other one's has most likely ended well, too, and its last
        // word got lost. It has a receipt then, and says it again when it is back.
        State::Running { ref mut peers, .. } if peers[context.me].finished.is_some() => {
            let waits = peers.iter().any(|peer| peer.gone);
            peers[party].gone = true;
            let timer = (!waits).then_some(Action::StartTimer(Timer::Return));
            (state, timer.into_iter().collect())
        }
        _ => fail(context, &Failure::at(party, Reason::Lost)),
    }
}
