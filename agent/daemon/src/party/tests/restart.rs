//! An agent that is killed, and what the next one finds.

use std::process::Stdio;

use super::*;

/// Set for [`an_agent_that_will_be_killed`]: its state folder.
const VICTIM: &str = "E3_TEST_VICTIM";
const DAEMON: &str = "
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open('ready', 'w').write('\\n')
        time.sleep(1000)
    os._exit(0)
time.sleep(1000)
";

#[tokio::test]
#[ignore = "an agent in a process of its own, for the next test to kill"]
async fn an_agent_that_will_be_killed() {
    let Some(state) = std::env::var_os(VICTIM).map(PathBuf::from) else {
        return;
    };
    let launcher = Launcher::new(Supervisor::Process, &state, &state.join("run")).unwrap();
    let (party, mut events) = Party::launch(&launcher, spec(&state, &runtime().await, DAEMON))
        .await
        .unwrap();
    while let Some(event) = events.recv().await {
        if matches!(event, PartyEvent::AtGate { .. }) {
            party
                .open(
                    0,
                    vec!["127.0.0.1:7000".to_owned()],
                    None,
                    Around::default(),
                )
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn of_a_killed_agents_program_nothing_is_left_after_the_restart() {
    let agent = Agent::new().await;
    let state = agent.folder.path();
    let mut victim = Process::new(std::env::current_exe().unwrap());
    victim.args([
        "--exact",
        "party::tests::restart::an_agent_that_will_be_killed",
        "--ignored",
        "--test-threads=1",
    ]);
    victim
        .env(VICTIM, state)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut victim = victim.spawn().unwrap();
    let spec = spec(state, &agent.runtime, DAEMON);
    written(&spec.work.join("ready")).await;
    assert_eq!(agent.left(&spec).len(), 2);
    victim.kill().unwrap();
    victim.wait().unwrap();
    agent.launcher.kill_leftovers(&spec.session).await;
    assert_eq!(agent.left(&spec), [""; 0]);
    // And the session can be run again, by the same ids.
    let mut run = agent.launch(&agent.spec(DAEMON)).await;
    run.at_gate().await;
    run.party.kill().await;
}
