//! How a program ends, by itself or not, and that nothing of it is left.

use super::*;

#[tokio::test]
async fn how_a_program_ends_is_told_without_its_words() {
    let agent = Agent::new().await;
    for (program, expected) in [
        ("import sys; print('a'); sys.exit(7)", ended(7, None, "a\n")),
        (
            "raise ValueError('my secret is 42')",
            ended(1, Some("ValueError"), ""),
        ),
        (
            "import os; os.execv('/bin/sh', ['sh', '-c', 'echo from a shell; exit 5'])",
            ended(5, None, "from a shell\n"),
        ),
    ] {
        let (mut run, spec) = agent.run(program).await;
        assert_eq!(run.last().await, expected);
        assert_eq!(agent.left(&spec), [""; 0]);
    }
    let (mut run, _) = agent.run("import os; os.kill(os.getpid(), 11)").await;
    assert!(matches!(
        run.last().await,
        PartyEvent::Ended {
            exit: Exit::Signal(11),
            ..
        }
    ));
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_gone_before_its_end_is_told() {
    let agent = Agent::new().await;
    let (mut run, spec) = agent
        .run(
            "
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open('child.new', 'w') as f: print(os.getpid(), file=f)
        os.rename('child.new', 'child')
        time.sleep(1000)
    os._exit(0)
while not os.path.exists('child'): time.sleep(0.002)
while not os.path.exists('go'): time.sleep(0.002)
",
        )
        .await;
    let child = written(&spec.work.join("child")).await;
    let child = Path::new("/proc").join(child.trim());
    assert!(child.exists() && agent.left(&spec).len() == 2);
    files::write_private(&spec.work.join("go"), b"").unwrap();
    assert_eq!(run.last().await, ended(0, None, ""));
    assert!(!child.exists());
    assert_eq!(agent.left(&spec), [""; 0]);
}

#[tokio::test]
async fn a_program_that_prints_a_gibibyte_is_stopped_at_its_limit() {
    let agent = Agent::new().await;
    let (mut run, spec) = agent
        .run("import sys\nfor _ in range(1 << 14): sys.stdout.write('x' * (1 << 16))")
        .await;
    assert_eq!(
        run.last().await,
        PartyEvent::Broken(Reason::OutputTooLarge { limit: 1 << 20 })
    );
    assert_eq!(
        fs::metadata(spec.folder.join("stdout")).unwrap().len(),
        1 << 20
    );
    assert_eq!(agent.left(&spec), [""; 0]);

    // Of standard error there is no too much, but not all is kept.
    let (mut run, spec) = agent
        .run("import sys\nfor _ in range(1 << 10): sys.stderr.write('x' * (1 << 16))")
        .await;
    assert_eq!(run.last().await, ended(0, None, ""));
    assert_eq!(
        fs::metadata(spec.folder.join("stderr")).unwrap().len(),
        1 << 20
    );
}

#[tokio::test]
async fn killing_and_dropping_end_a_program_that_does_not_want_to() {
    let agent = Agent::new().await;
    let stubborn = "import os, signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.fork()\n\
                    open('ready', 'w').write('\\n')\nwhile True: time.sleep(1000)";
    let (mut run, spec) = agent.run(stubborn).await;
    written(&spec.work.join("ready")).await;
    run.party.kill().await;
    assert_eq!(agent.left(&spec), [""; 0]);
    assert!(matches!(
        run.last().await,
        PartyEvent::Ended {
            exit: Exit::Signal(_),
            ..
        }
    ));
    run.party.kill().await;

    let (Run { party, mut events }, spec) = agent.run(&format!("{stubborn} # again")).await;
    written(&spec.work.join("ready")).await;
    drop(party);
    while timeout(PATIENCE, events.recv()).await.unwrap().is_some() {}
    assert_eq!(agent.left(&spec), [""; 0]);
}
