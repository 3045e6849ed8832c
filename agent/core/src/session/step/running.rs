//! From the open barrier to the end: who has connected, who has finished, who is late.

use super::fail::{fail, reason_of};
use crate::document::{Outcome, OutputHash};
use crate::session::state::{Action, Context, Event, Peer, State, Tell, Timer};
use crate::session::{Failure, Reach, Reason, reach, verdict};
use crate::text;

/// The first word counts: nobody can take back an output.
pub(super) fn note_finished(peers: &mut [Peer], party: usize, outputs: Vec<OutputHash>) {
    if let Some(peer) = peers.get_mut(party) {
        peer.finished.get_or_insert(outputs);
    }
}

pub(super) fn running(context: &Context, state: State, event: Event) -> (State, Vec<Action>) {
    let State::Running {
        mut peers,
        barrier,
        mut connected,
        mut complaint,
    } = state
    else {
        return (state, Vec::new());
    };
    let me = context.me;
    let deadlines = &context.session.deadlines;
    let mine_ended = peers[me].finished.is_some();
    let mut actions = Vec::new();
    let mut failure = None;
    match event {
        Event::Ended(ended) if !mine_ended && ended.exit.is_success() => {
            note_finished(&mut peers, me, ended.equal.clone());
            actions.push(Action::Tell(Tell::Finished(ended.equal)));
        }
        Event::Ended(ended) if !mine_ended => failure = Some(Failure::at(me, reason_of(&ended))),
        Event::PeerFinished(party, outputs) => note_finished(&mut peers, party, outputs),
        Event::Reached(parties) if !connected => {
            peers[me].reach = Some(parties.clone());
            actions.push(Action::Tell(Tell::Reached(parties)));
        }
        Event::PeerReached(party, parties) => {
            peers[party].reach = Some(parties);
            actions.extend(tell_connected(&mut peers, me, connected));
        }
        Event::Connected => {
            connected = true;
            actions.extend(tell_connected(&mut peers, me, connected));
        }
        Event::ConnectError(error) => complaint = text::clean(&error, text::DETAIL),
        Event::Timer(timer @ (Timer::Connect | Timer::Run))
            if !connected && !mine_ended && peers.len() > 1 =>
        {
            let seconds = match timer {
                Timer::Run => deadlines.run,
                _ => deadlines.connect,
            };
            failure = Some(not_connected(context, &peers, seconds, &complaint));
        }
        Event::Timer(Timer::Run) => {
            let mut late = (0..peers.len()).filter(|party| peers[*party].finished.is_none());
            let first = late.next().unwrap_or(me);
            let reason = Reason::TimedOut {
                seconds: deadlines.run,
                others: late.collect(),
            };
            failure = gone(&peers).or(Some(Failure::at(first, reason)));
        }
        Event::Timer(Timer::Return) => failure = gone(&peers),
        _ => {}
    }
    if let Some(failure) = failure {
        return fail(context, &failure);
    }
    let state = State::Running {
        peers,
        barrier,
        connected,
        complaint,
    };
    let (state, last) = finish(context, state);
    actions.extend(last);
    (state, actions)
}

/// The first party that was lost before it said that it has finished, and has not come back.
pub(super) fn gone(peers: &[Peer]) -> Option<Failure> {
    let party = peers
        .iter()
        .position(|peer| peer.gone && peer.finished.is_none())?;
    Some(Failure::at(party, Reason::Lost))
}

/// Says that MPyC has connected everybody here, once, and only if it is of use: if somebody has said
/// that it is not so there.
fn tell_connected(peers: &mut [Peer], me: usize, connected: bool) -> Option<Action> {
    let all = reach::everybody(me, peers.len());
    let asked = peers.iter().any(|peer| peer.reach.is_some());
    if !connected || !asked || peers[me].reach.as_ref() == Some(&all) {
        return None;
    }
    peers[me].reach = Some(all.clone());
    Some(Action::Tell(Tell::Reached(all)))
}

/// Why MPyC has not connected everybody.
pub(super) fn not_connected(
    context: &Context,
    peers: &[Peer],
    seconds: u64,
    complaint: &str,
) -> Failure {
    let mut reach: Vec<Reach> = peers.iter().map(|peer| peer.reach.clone()).collect();
    // Whoever has finished was connected, and has hung up.
    for party in (0..peers.len()).filter(|party| peers[*party].finished.is_some()) {
        reach[party] = Some(reach::everybody(party, peers.len()));
        reach.iter_mut().flatten().for_each(|reach| {
            reach.insert(party);
        });
    }
    reach::blame(&reach, seconds, context.me, complaint)
}

/// Concludes if every party has finished.
fn finish(context: &Context, state: State) -> (State, Vec<Action>) {
    let State::Running { peers, barrier, .. } = &state else {
        return (state, Vec::new());
    };
    let outputs: Vec<&Vec<OutputHash>> = peers
        .iter()
        .filter_map(|peer| peer.finished.as_ref())
        .collect();
    if outputs.len() < peers.len() {
        return (state, Vec::new());
    }
    if let Some(party) = verdict::differing(&outputs) {
        let output = verdict::output_name(&context.session);
        return fail(
            context,
            &Failure::at(party, Reason::OutputDiffers { output }),
        );
    }
    let done = State::Done {
        barrier: *barrier,
        equal: peers[context.me].finished.clone().unwrap_or_default(),
    };
    (done, vec![Action::Conclude(Outcome::Done)])
}
