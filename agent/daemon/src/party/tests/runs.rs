//! A program that runs: what it computes, and what it finds around itself.

use std::net::TcpListener;

use super::*;

#[tokio::test]
async fn a_single_party_computes_and_its_output_is_kept_for_its_owner() {
    let agent = Agent::new().await;
    let spec = agent.spec(SUM);
    let mut run = agent.launch(&spec).await;
    let (machine, port) = run.at_gate().await;
    assert_eq!(
        (machine.mpyc.as_str(), &machine.python, port),
        (VERSION, &agent.runtime.python.version, None)
    );
    assert_eq!(agent.left(&spec).len(), 1);
    run.party
        .open(
            0,
            vec!["127.0.0.1:7000".to_owned()],
            None,
            Around::default(),
        )
        .await
        .unwrap();
    assert_eq!(run.next().await, PartyEvent::Connected);
    assert_eq!(run.last().await, ended(0, None, "1\n"));
    assert_eq!(
        fs::read_to_string(spec.folder.join("stdout")).unwrap(),
        "1\n"
    );
    for name in ["stdout", "stderr"] {
        assert_eq!(
            fs::metadata(spec.folder.join(name))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
    }
    assert!(
        fs::read_dir(agent.folder.path().join("jobs"))
            .unwrap()
            .next()
            .is_none()
    );
    run.party.kill().await;
    assert!(
        run.party
            .open(0, Vec::new(), None, Around::default())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn three_parties_compute_over_loopback() {
    let agent = Agent::new().await;
    let mut runs = Vec::new();
    for me in 0..3 {
        let mut spec = agent.spec(&format!("{SUM}# {me}\n"));
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        spec.listen = (me > 0).then(|| Listen {
            host: "127.0.0.1".to_owned(),
            port: free,
        });
        runs.push(agent.launch(&spec).await);
    }
    let mut endpoints = Vec::new();
    for run in &mut runs {
        let port = run.at_gate().await.1.unwrap_or(7000);
        endpoints.push(format!("127.0.0.1:{port}"));
    }
    for (me, run) in runs.iter().enumerate() {
        run.party
            .open(me, endpoints.clone(), None, Around::default())
            .await
            .unwrap();
    }
    for run in &mut runs {
        assert_eq!(run.last().await, ended(0, None, "6\n"));
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_replaced() {
    let agent = Agent::new().await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut spec = agent.spec("pass");
    spec.listen = Some(Listen {
        host: "127.0.0.1".to_owned(),
        port,
    });
    let mut run = agent.launch(&spec).await;
    assert_ne!(run.at_gate().await.1.unwrap(), port);
    run.party.kill().await;
}

#[tokio::test]
async fn the_program_finds_its_input_and_little_else() {
    let agent = Agent::new().await;
    let (mut run, _) = agent
        .run("import os\nprint(int(open(os.environ['E3_INPUTS'] + '/number').read()) + 1, sorted(os.environ))")
        .await;
    let PartyEvent::Ended { stdout, .. } = run.last().await else {
        panic!("it did not end")
    };
    let text = String::from_utf8(stdout)
        .unwrap()
        .replace("'LC_CTYPE', ", "");
    // MPYC_MAXWORKERS is MPyC's own doing.
    let expected = "42 ['E3_INPUTS', 'E3_JOB', 'HOME', 'LANG', 'MPYC_MAXWORKERS', 'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'PATH']\n";
    assert_eq!(text, expected);
}
