//! The transitions: a total function, so an event that comes too late or too early is harmless.

use super::blame::Candidates;
use super::state::{Action, Checkpoint, Context, Ended, Event, Peer, State, Tell, Timer};
use super::{Failure, Reach, Reason};
use super::{barrier, reach};
use crate::digest::Digest;
use crate::document::{Exit, Outcome, OutputHash, Ready};
use crate::text;
use crate::trust::Refusal;

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

/// What to do with a checkpoint after a restart: rule "a session is never run twice by accident".
pub fn resume(context: &Context, checkpoint: Checkpoint) -> (State, Vec<Action>) {
    let peers = vec![Peer::default(); context.session.parties.len()];
    match checkpoint {
        Checkpoint::Fetched => (State::Fetched(peers), vec![Action::Judge]),
        // Nothing has run yet. Staging again is cheap, and it looks at everything once more.
        Checkpoint::Verified | Checkpoint::Staged => (
            State::Verified(peers),
            vec![
                Action::Kill,
                Action::StartTimer(Timer::Preflight),
                Action::Stage,
            ],
        ),
        Checkpoint::Committed => {
            let failure = Failure::at(context.me, Reason::AgentRestarted);
            fail(context, &failure)
        }
        Checkpoint::Failing { failure } => fail(context, &failure),
        // Neither the receipt may have been written, nor the last word have reached the others.
        Checkpoint::Done { barrier, equal } => {
            let tell = Action::Tell(Tell::Finished(equal.clone()));
            (
                State::Done { barrier, equal },
                vec![Action::Kill, tell, Action::Conclude(Outcome::Done)],
            )
        }
        // Neither the receipt nor the last word to the others may have gone out.
        Checkpoint::Failed { failure } => {
            let tell = Action::Tell(Tell::Failed(failure.clone()));
            let conclude = Action::Conclude(Outcome::Failed {
                failure: failure.clone(),
            });
            (
                State::Failed { failure },
                vec![Action::Kill, tell, conclude],
            )
        }
    }
}

/// The same for a session that the fleet's rules accepted when it came, and do not any more: its keys
/// or its epoch were replaced while it was under way. It does not go on, and everybody hears why; what
/// has ended stays as it ended.
pub fn resume_refused(
    context: &Context,
    checkpoint: Checkpoint,
    refusal: Refusal,
) -> (State, Vec<Action>) {
    match checkpoint {
        Checkpoint::Fetched | Checkpoint::Verified | Checkpoint::Staged | Checkpoint::Committed => {
            let failure = Failure::at(context.me, Reason::Refused { refusal });
            fail(context, &failure)
        }
        ended => resume(context, ended),
    }
}

/// Fails because of what this party itself has found.
fn fail(context: &Context, failure: &Failure) -> (State, Vec<Action>) {
    fail_because(context, context.me, failure)
}

/// Stops the own program, tells the others, and collects explanations for a moment.
///
/// `by` is who gave this explanation. What went wrong elsewhere comes in within the grace.
fn fail_because(context: &Context, by: usize, failure: &Failure) -> (State, Vec<Action>) {
    // Texts in it may be the operating system's or another party's.
    let failure = failure.cleaned();
    // Alone there is nobody to wait for.
    if context.session.parties.len() == 1 {
        let conclude = Action::Conclude(Outcome::Failed {
            failure: failure.clone(),
        });
        return (State::Failed { failure }, vec![Action::Kill, conclude]);
    }
    let tell = Action::Tell(Tell::Failed(failure.clone()));
    let actions = vec![Action::Kill, tell, Action::StartTimer(Timer::Grace)];
    (
        State::Failing {
            candidates: Candidates::new(by, failure),
        },
        actions,
    )
}

/// One more explanation of what is failing.
fn hear(mut state: State, by: usize, failure: &Failure) -> State {
    if let State::Failing { candidates } = &mut state {
        candidates.add(by, failure.cleaned());
    }
    state
}

fn failing(context: &Context, mut candidates: Candidates, event: Event) -> (State, Vec<Action>) {
    let own = match event {
        Event::PeerFailed(by, failure) => {
            candidates.add(by, failure.cleaned());
            None
        }
        Event::Timer(Timer::Grace) => {
            let failure = candidates.best().clone();
            let conclude = Action::Conclude(Outcome::Failed {
                failure: failure.clone(),
            });
            // Whoever connects from now on hears the conclusion, not the first guess.
            let tell = Action::Tell(Tell::Failed(failure.clone()));
            return (State::Failed { failure }, vec![tell, conclude]);
        }
        // The others can feel the end of a program, or of a party, before it is noticed here. Their
        // word for it came first; this is nearer to the cause, so it is said, too.
        Event::Ended(ended) if !ended.killed_by_agent && !ended.exit.is_success() => {
            Some(Failure::at(context.me, reason_of(&ended)))
        }
        Event::Broken(reason) => Some(Failure::at(context.me, reason)),
        Event::Impostor(party) => Some(Failure::at(party, Reason::Impostor)),
        // Whoever has said why the session fails may go.
        Event::PeerLost(party) if !candidates.has(party) => Some(Failure::at(party, Reason::Lost)),
        _ => None,
    };
    let news = own
        .map(|failure| failure.cleaned())
        .filter(|failure| candidates.add(context.me, failure.clone()));
    let actions = news
        .map(|failure| Action::Tell(Tell::Failed(failure)))
        .into_iter()
        .collect();
    (State::Failing { candidates }, actions)
}

fn preflight_over(context: &Context, state: State) -> (State, Vec<Action>) {
    let seconds = context.session.deadlines.preflight;
    let (State::Fetched(peers)
    | State::Verified(peers)
    | State::Staged(peers)
    | State::Preflight { peers, .. }) = &state
    else {
        return (state, Vec::new());
    };
    // The first party that has said nothing; if all have, the first that is not armed.
    let silent = peers.iter().position(|peer| peer.ready.is_none());
    let party = silent
        .or_else(|| peers.iter().position(|peer| peer.armed.is_none()))
        .unwrap_or(context.me);
    fail(context, &Failure::at(party, Reason::Missing { seconds }))
}

fn peer_ready(
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
        State::Preflight { ref peers, .. } if known(peers) => (state, Vec::new()),
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

fn peer_armed(
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

/// The first word counts: nobody can take back an output.
fn note_finished(peers: &mut [Peer], party: usize, outputs: Vec<OutputHash>) {
    if let Some(peer) = peers.get_mut(party) {
        peer.finished.get_or_insert(outputs);
    }
}

/// Arms this party if everybody's `Ready` is here.
fn arm(context: &Context, state: State) -> (State, Vec<Action>) {
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
    if peers.iter().any(|peer| peer.armed.is_none()) {
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

fn running(context: &Context, state: State, event: Event) -> (State, Vec<Action>) {
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
fn gone(peers: &[Peer]) -> Option<Failure> {
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
    if !connected || !asked || peers[me].reach == all {
        return None;
    }
    peers[me].reach.clone_from(&all);
    all.map(|parties| Action::Tell(Tell::Reached(parties)))
}

/// Why MPyC has not connected everybody.
fn not_connected(context: &Context, peers: &[Peer], seconds: u64, complaint: &str) -> Failure {
    let mut reach: Vec<Reach> = peers.iter().map(|peer| peer.reach.clone()).collect();
    // Whoever has finished was connected, and has hung up.
    for party in (0..peers.len()).filter(|party| peers[*party].finished.is_some()) {
        reach[party] = reach::everybody(party, peers.len());
        reach.iter_mut().flatten().for_each(|reach| {
            reach.insert(party);
        });
    }
    reach::blame(&reach, seconds, context.me, complaint)
}

/// Why a program that ended like this has failed. Ending with 0 is wrong only at the gate.
fn reason_of(ended: &Ended) -> Reason {
    match ended.exit {
        Exit::Code(code) => Reason::Exited {
            code,
            exception: ended.exception.clone(),
        },
        Exit::Signal(signal) => Reason::Killed { signal },
    }
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
    match super::verdict::differing(&outputs) {
        Some(party) => {
            let output = super::verdict::output_name(&context.session);
            fail(
                context,
                &Failure::at(party, Reason::OutputDiffers { output }),
            )
        }
        None => {
            let equal = peers[context.me].finished.clone().unwrap_or_default();
            (
                State::Done {
                    barrier: *barrier,
                    equal,
                },
                vec![Action::Conclude(Outcome::Done)],
            )
        }
    }
}
