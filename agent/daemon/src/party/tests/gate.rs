//! What keeps a program from the gate, and what it says there in the gate's name.

use super::*;

#[tokio::test]
async fn whatever_keeps_python_from_the_gate_is_named() {
    let agent = Agent::new().await;
    let good = agent.spec("pass");
    let version = Spec {
        mpyc_version: "0.12".to_owned(),
        ..good.clone()
    };
    let module = Spec {
        modules: vec!["no_such_module".to_owned()],
        ..good.clone()
    };
    let option = Spec {
        flags: vec!["--no-such-option".to_owned()],
        ..good.clone()
    };
    let host = Spec {
        listen: Some(Listen {
            host: "192.0.2.1".to_owned(),
            port: 7000,
        }),
        ..good.clone()
    };
    let foreign = Spec {
        mpyc_dir: good.work.clone(),
        ..good.clone()
    };
    let syntax = agent.spec("this is no Python");
    let failed = |text: &str| Reason::Supervisor {
        detail: text.to_owned(),
    };
    for (spec, expected) in [
        (
            version,
            Reason::MpycMismatch {
                pinned: "0.12".to_owned(),
                has: VERSION.to_owned(),
            },
        ),
        (
            module,
            Reason::ModuleMissing {
                module: "no_such_module".to_owned(),
            },
        ),
        (
            option,
            failed("MPyC does not know the option --no-such-option"),
        ),
        (
            foreign,
            failed("importing mpyc failed with ModuleNotFoundError"),
        ),
        (syntax, failed("Python cannot read it: SyntaxError")),
    ] {
        let mut run = agent.launch(&spec).await;
        assert_eq!(run.last().await, PartyEvent::Refused(expected));
        assert_eq!(agent.left(&spec), [""; 0]);
    }
    let PartyEvent::Refused(Reason::Supervisor { detail }) = agent.launch(&host).await.last().await
    else {
        panic!("listens at another's address")
    };
    assert!(
        detail.starts_with("cannot listen for the other parties: OSError"),
        "{detail}"
    );

    let missing = Spec {
        python: "/nowhere/python3".into(),
        ..good
    };
    let Err(Reason::Supervisor { detail }) =
        Party::launch(&agent.launcher, missing).await.map(|_| ())
    else {
        panic!("started")
    };
    assert!(
        detail.starts_with("cannot start /nowhere/python3: "),
        "{detail}"
    );
}

#[tokio::test]
async fn a_python_that_dies_before_the_go_is_no_end_of_the_program() {
    let agent = Agent::new().await;
    // A Python whose last words are its own.
    let script = agent.folder.path().join("python");
    files::write_atomic(
        &script,
        b"#!/bin/sh\necho 'no module named resource' >&2; exit 1\n",
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let broken = Spec {
        python: script,
        ..agent.spec("pass")
    };
    let detail =
        "Python ended with exit code 1 before the program ran: no module named resource".to_owned();
    assert_eq!(
        agent.launch(&broken).await.last().await,
        PartyEvent::Refused(Reason::Supervisor { detail })
    );

    let spec = agent.spec("pass");
    let mut run = agent.launch(&spec).await;
    run.at_gate().await;
    let gate = agent.left(&spec)[0]
        .trim_start_matches("/proc/")
        .parse()
        .unwrap();
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(gate),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    let signal = nix::libc::SIGKILL;
    assert_eq!(
        run.last().await,
        PartyEvent::Broken(Reason::Killed { signal })
    );
}

/// Finds the gate's socket, which is open in the same process, and writes to it.
const SPEAK: &str = "
import os, socket, stat
def speak(*lines):
    for fd in range(3, 100):
        try:
            s = socket.socket(fileno=os.dup(fd))
            if s.family == socket.AF_UNIX and s.getpeername(): break
        except OSError: pass
    for line in lines: s.sendall(line)
";

#[tokio::test]
async fn a_program_that_speaks_for_the_gate_harms_itself_only() {
    let agent = Agent::new().await;
    let long = format!(
        "{SPEAK}\ntry: speak(b'x' * (1 << 20))\nexcept OSError: pass\nimport time; time.sleep(1000)"
    );
    let (mut run, spec) = agent.run(&long).await;
    let PartyEvent::Broken(Reason::Supervisor { detail }) = run.last().await else {
        panic!("a line of 1 MiB was taken")
    };
    assert_eq!(detail, "the gate sent a line of more than 65536 bytes");
    assert_eq!(agent.left(&spec), [""; 0]);

    let lies = r#"speak(b'{"event": "ready", "port": 1, "python": "", "implementation": "", "mpyc": "", "modules": {}, "word_size": 1}\n', b'{"event": "refused", "reason": "port-in-use", "port": 1}\n', b'{"event": "raised", "type": "my secret is 42"}\n')"#;
    let (mut run, _) = agent.run(&format!("{SPEAK}\n{lies}")).await;
    assert_eq!(run.last().await, ended(0, Some("Exception"), ""));

    // A flood waits in its own socket, and the agent can still end it.
    let flood = r#"
open('ready', 'w').write('\n')
while True: speak(b'{"event": "connecting", "error": "x"}\n' * 1000)"#;
    let (run, spec) = agent.run(&format!("{SPEAK}{flood}")).await;
    written(&spec.work.join("ready")).await;
    timeout(PATIENCE, run.party.kill()).await.unwrap();
    assert_eq!(agent.left(&spec), [""; 0]);
}

#[tokio::test]
async fn somebody_else_in_a_partys_place_is_told_of_that_party_and_of_no_other() {
    let agent = Agent::new().await;
    let places = || vec!["127.0.0.1:7000".to_owned(), "127.0.0.1:7001".to_owned()];
    for (claimed, expected) in [
        (1, PartyEvent::Impostor(1)),
        // What cannot be is no claim: the end is the program's own.
        (0, ended(5, None, "")),
        (2, ended(5, None, "")),
    ] {
        // In the gate's name, and as the gate ends then.
        let claim = format!(r#"speak(b'{{"event": "impostor", "party": {claimed}}}\n')"#);
        let spec = agent.spec(&format!("{SPEAK}\n{claim}\nos._exit(5)"));
        let mut run = agent.launch(&spec).await;
        run.at_gate().await;
        run.party
            .open(0, places(), None, Around::default())
            .await
            .unwrap();
        assert_eq!(run.last().await, expected);
        assert_eq!(agent.left(&spec), [""; 0]);
    }
}
