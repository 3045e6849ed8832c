//! Programs and agents that are killed, or stopped without being killed, while the program runs.

use std::fs;
use std::time::{Duration, Instant};

use e3_core::session::{Failure, Reason};
use nix::sys::signal::Signal;

use crate::common::{Rig, failure, pid, send, slow, starts};

/// Silence that makes a party lost is 4 s, and a stopped program is noticed after 3 looks of 1 s; both
/// with the moment in which explanations are collected, the 2 s that a program has to end, and a
/// busy machine.
const NOTICED: Duration = Duration::from_secs(15);

#[tokio::test]
async fn a_program_that_is_killed_or_stopped_is_named_by_every_party_within_seconds() {
    let mut rig = Rig::new().await;
    for (victim, signal) in [
        (0, Signal::SIGKILL),
        (2, Signal::SIGKILL),
        (1, Signal::SIGSTOP),
    ] {
        let run = rig.push(&slow()).await;
        rig.runs_at(&run, &[0, 1, 2]).await;
        let begin = Instant::now();
        send(pid(starts(&run, victim)[0]), signal);
        let named = rig.fails(&run).await;
        assert!(
            begin.elapsed() < NOTICED,
            "only after {:?}",
            begin.elapsed()
        );
        let expected = Failure::at(
            victim,
            Reason::Killed {
                signal: signal as i32,
            },
        );
        assert_eq!(named, expected, "{}", rig.logs());
    }
    rig.still_works().await;
    rig.stop().await;
}

#[tokio::test]
async fn an_agent_that_is_stopped_is_lost_to_every_party_and_knows_it_when_it_goes_on() {
    let mut rig = Rig::new().await;
    for victim in [2, 0] {
        let run = rig.push(&slow()).await;
        rig.runs_at(&run, &[0, 1, 2]).await;
        let begin = Instant::now();
        send(rig.agent_pid(victim), Signal::SIGSTOP);
        for place in (0..3).filter(|place| *place != victim) {
            rig.reaches(place, &run, "failed").await;
        }
        assert!(
            begin.elapsed() < NOTICED,
            "only after {:?}",
            begin.elapsed()
        );
        send(rig.agent_pid(victim), Signal::SIGCONT);
        let receipts = rig.receipts(&run).await;
        for receipt in receipts {
            let named = failure(&receipt).expect("the session has failed");
            // It knows best itself; the others cannot tell a stopped agent from a dead one.
            let reason = if receipt.party == victim {
                Reason::AgentRestarted
            } else {
                Reason::Lost
            };
            let expected = Failure::at(victim, reason);
            assert_eq!(named, expected, "party {}; {}", receipt.party, rig.logs());
        }
        rig.is_clean(&run).await;
        rig.still_works().await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_program_that_is_stopped_for_a_moment_goes_on() {
    let mut rig = Rig::new().await;
    let run = rig.push(&slow()).await;
    rig.runs_at(&run, &[0, 1, 2]).await;
    let program = pid(starts(&run, 1)[0]);
    send(program, Signal::SIGSTOP);
    let stat = format!("/proc/{program}/stat");
    let stopped = || fs::read_to_string(&stat).unwrap().contains(") T ");
    crate::common::until("the program is stopped", async || stopped().then_some(())).await;
    send(program, Signal::SIGCONT);
    run.finish();
    rig.ends_well(&run).await;
    rig.stop().await;
}
