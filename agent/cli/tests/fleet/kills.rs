//! The agent is killed in every state of the session, as by a power cut, and started again.

use std::fs;

use e3_core::document::Outcome;
use e3_core::session::Failure;
use nix::sys::signal::Signal;

use crate::common::{Plan, QUICK, Rig, Run, failure, judge, pid, send, slow, starts, until};

/// One row of the table: what happened, and what every party says of it.
struct Row {
    state: &'static str,
    fault: &'static str,
    verdict: String,
}

/// What every party says.
async fn said(rig: &Rig, run: &Run) -> String {
    let receipts = rig.receipts(run).await;
    let failures: Vec<Failure> = receipts.iter().filter_map(failure).collect();
    match failures.as_slice() {
        [] => format!(
            "done, {}",
            if judge(run, &receipts).good {
                "good"
            } else {
                "NOT GOOD"
            }
        ),
        _ => receipts
            .iter()
            .map(|receipt| match &receipt.outcome {
                Outcome::Done => "done".to_owned(),
                Outcome::Failed { failure } => {
                    format!("{} at {}", failure.reason.kind(), failure.party)
                }
            })
            .collect::<Vec<_>>()
            .join(", "),
    }
}

/// However it ended: nothing ran twice, nothing is left, and the fleet goes on.
async fn recovers(rig: &mut Rig, run: &Run) {
    for place in 0..3 {
        let starts = starts(run, place);
        assert!(
            starts.len() <= 1,
            "party {place} started its program {} times",
            starts.len()
        );
    }
    rig.is_clean(run).await;
    rig.still_works().await;
}

/// Before anybody can have started, the session goes on where it was and ends well.
async fn goes_on(rig: &mut Rig, run: &Run) -> String {
    run.finish();
    rig.ends_well(run).await;
    for place in 0..3 {
        assert_eq!(starts(run, place).len(), 1, "party {place}");
    }
    recovers(rig, run).await;
    said(rig, run).await
}

/// After that, every party names the victim.
async fn names(rig: &mut Rig, run: &Run, victim: usize) -> String {
    let receipts = rig.receipts(run).await;
    for receipt in &receipts {
        let named = failure(receipt).unwrap_or_else(|| panic!("party {} says done", receipt.party));
        let kind = named.reason.kind();
        assert!(
            named.party == victim && matches!(&*kind, "lost" | "agent-restarted"),
            "party {} says {named}; {}",
            receipt.party,
            rig.logs()
        );
    }
    recovers(rig, run).await;
    said(rig, run).await
}

/// The manifest starts in a few seconds; until then every party only has it.
async fn fetched(rig: &mut Rig, victim: usize) -> String {
    for seconds in [3, 6, 12] {
        let start = e3_client::clock::now().plus(seconds);
        let keys = format!("not_before = {start}\nequal = [\"stdout\"]");
        let run = rig
            .push(&Plan {
                keys: &keys,
                ..slow()
            })
            .await;
        rig.reaches(victim, &run, "fetched").await;
        rig.fleet.kill_agent(victim).await;
        let state = rig.checkpoint(victim, &run);
        rig.fleet.start_agent(victim).unwrap();
        let verdict = goes_on(rig, &run).await;
        // A machine may be too busy to be asked in time; the session has ended well all the same.
        if state == "fetched" {
            return verdict;
        }
    }
    panic!("the agent could not be killed before the session's time");
}

/// The agent asks Python for its version, and has no answer yet.
async fn verified(rig: &mut Rig, victim: usize) -> String {
    rig.hold_question();
    let run = rig.push(&slow()).await;
    rig.reaches(victim, &run, "verified").await;
    rig.fleet.kill_agent(victim).await;
    assert_eq!(rig.checkpoint(victim, &run), "verified");
    rig.release();
    rig.fleet.start_agent(victim).unwrap();
    goes_on(rig, &run).await
}

/// The victim's Python has been started and is not at the gate yet.
async fn staged(rig: &mut Rig, victim: usize) -> String {
    rig.hold_gate(victim);
    let run = rig.push(&slow()).await;
    rig.reaches(victim, &run, "staged").await;
    let what = format!("Python is started; {}", rig.logs());
    let of_victim = format!("/{}/state/", rig.fleet.parties[victim].name);
    let started = || {
        let environment = |pid: &u32| fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let is_victims =
            |pid: &u32| String::from_utf8_lossy(&environment(pid)).contains(&of_victim);
        rig.processes(&run).into_iter().find(is_victims)
    };
    let held = until(&what, async || started()).await;
    rig.fleet.kill_agent(victim).await;
    assert_eq!(rig.checkpoint(victim, &run), "staged");
    rig.release();
    rig.fleet.start_agent(victim).unwrap();
    let verdict = goes_on(rig, &run).await;
    assert!(!rig.processes(&run).contains(&held));
    verdict
}

/// The victim stands at the gate and waits for a party that is not there.
async fn preflight(rig: &mut Rig, victim: usize) -> String {
    let other = (victim + 1) % 3;
    rig.fleet.kill_agent(other).await;
    let run = rig.push(&slow()).await;
    rig.reaches(victim, &run, "staged").await;
    let what = format!("party {victim} stands at the gate; {}", rig.logs());
    let at_gate = async || {
        let progress = rig.progress(victim, &run).await?;
        (progress == e3_core::document::Progress::Preflight).then_some(())
    };
    until(&what, at_gate).await;
    rig.restart(victim).await;
    rig.fleet.start_agent(other).unwrap();
    goes_on(rig, &run).await
}

/// The program runs.
async fn running(rig: &mut Rig, victim: usize) -> String {
    let run = rig.push(&slow()).await;
    rig.runs_at(&run, &[0, 1, 2]).await;
    rig.fleet.kill_agent(victim).await;
    assert_eq!(rig.checkpoint(victim, &run), "committed");
    rig.fleet.start_agent(victim).unwrap();
    names(rig, &run, victim).await
}

/// Another party's program was killed, and the victim is still hearing explanations.
async fn failing(rig: &mut Rig, victim: usize) -> String {
    let culprit = (victim + 1) % 3;
    for _ in 0..5 {
        let run = rig.push(&slow()).await;
        rig.runs_at(&run, &[0, 1, 2]).await;
        send(pid(starts(&run, culprit)[0]), Signal::SIGKILL);
        let what = format!("party {victim} hears of the failure; {}", rig.logs());
        let heard = || rig.checkpoint(victim, &run) != "committed";
        until(&what, async || heard().then_some(())).await;
        rig.fleet.kill_agent(victim).await;
        let state = rig.checkpoint(victim, &run);
        rig.fleet.start_agent(victim).unwrap();
        // The grace may be over before the signal comes. Then this was another state.
        let receipts = rig.receipts(&run).await;
        for receipt in &receipts {
            let named = failure(receipt).expect("the session has failed");
            let expected = named.party == culprit && named.reason.kind() == "killed";
            assert!(
                expected,
                "party {} says {named}; {}",
                receipt.party,
                rig.logs()
            );
        }
        recovers(rig, &run).await;
        if state == "failing" {
            return said(rig, &run).await;
        }
    }
    panic!("the agent could not be killed while it heard explanations");
}

/// The session has ended well and the receipt is signed. The last word may still be on its way to the
/// others: then they wait for it, and the victim says it again.
async fn done(rig: &mut Rig, victim: usize) -> String {
    let run = rig.push(&slow()).await;
    run.finish();
    let receipt = rig.file(victim, &run, "receipt.json");
    until("the receipt is signed", async || {
        receipt.exists().then_some(())
    })
    .await;
    rig.fleet.kill_agent(victim).await;
    let before = fs::read(&receipt).unwrap();
    rig.fleet.start_agent(victim).unwrap();
    let verdict = goes_on(rig, &run).await;
    assert_eq!(
        fs::read(&receipt).unwrap(),
        before,
        "the receipt is not signed again"
    );
    verdict
}

/// The session has ended well, and the receipt is not signed yet: a folder lies in its place.
async fn unsigned(rig: &mut Rig, victim: usize) -> String {
    let run = rig.push(&slow()).await;
    rig.runs_at(&run, &[0, 1, 2]).await;
    let receipt = rig.file(victim, &run, "receipt.json");
    fs::create_dir(&receipt).unwrap();
    run.finish();
    rig.reaches(victim, &run, "done").await;
    rig.fleet.kill_agent(victim).await;
    fs::remove_dir(&receipt).unwrap();
    rig.fleet.start_agent(victim).unwrap();
    goes_on(rig, &run).await
}

#[tokio::test]
async fn an_agent_that_is_killed_in_any_state_resumes_or_fails_cleanly_and_never_runs_twice() {
    let mut rig = Rig::new().await;
    let mut table = Vec::new();
    let mut row = |state, verdict| {
        table.push(Row {
            state,
            fault: "agent killed and restarted",
            verdict,
        });
    };
    row("fetched", fetched(&mut rig, 1).await);
    row("verified", verified(&mut rig, 2).await);
    row("staged", staged(&mut rig, 0).await);
    row("preflight", preflight(&mut rig, 1).await);
    row("running", running(&mut rig, 0).await);
    row("running", running(&mut rig, 2).await);
    row("failing", failing(&mut rig, 1).await);
    row("done", done(&mut rig, 0).await);
    row("unsigned", unsigned(&mut rig, 1).await);
    println!("{:<10} {:<28} VERDICT", "STATE", "FAULT");
    for Row {
        state,
        fault,
        verdict,
    } in table
    {
        println!("{state:<10} {fault:<28} {verdict}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn all_agents_can_be_killed_at_once_and_the_session_still_has_its_receipts() {
    let mut rig = Rig::new().await;
    // Before the barrier: everything goes on.
    for place in 0..3 {
        rig.hold_gate(place);
    }
    let run = rig
        .push(&Plan {
            program: QUICK,
            ..Plan::default()
        })
        .await;
    for place in 0..3 {
        rig.reaches(place, &run, "staged").await;
    }
    for place in 0..3 {
        rig.fleet.kill_agent(place).await;
    }
    rig.release();
    for place in 0..3 {
        rig.fleet.start_agent(place).unwrap();
    }
    rig.ends_well(&run).await;
    // After it: nobody starts again, and everybody says so.
    let run = rig.push(&slow()).await;
    rig.runs_at(&run, &[0, 1, 2]).await;
    for place in 0..3 {
        rig.fleet.kill_agent(place).await;
    }
    for place in 0..3 {
        rig.fleet.start_agent(place).unwrap();
    }
    let failure = rig.fails(&run).await;
    assert_eq!(failure.reason.kind(), "agent-restarted");
    for place in 0..3 {
        assert_eq!(starts(&run, place).len(), 1);
    }
    rig.still_works().await;
    rig.stop().await;
}
