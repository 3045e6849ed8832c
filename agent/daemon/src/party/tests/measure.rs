//! Where the time goes.

use super::*;

#[tokio::test]
#[ignore = "a measurement: run it alone, with --nocapture"]
async fn how_long_it_takes() {
    let agent = Agent::new().await;
    for _ in 0..7 {
        let spec = agent.spec("import time; print(time.time(), flush=True)");
        let begin = std::time::Instant::now();
        let mut run = agent.launch(&spec).await;
        let launched = begin.elapsed();
        run.at_gate().await;
        let at_gate = begin.elapsed();
        let open = std::time::SystemTime::now();
        run.party
            .open(
                0,
                vec!["127.0.0.1:7000".to_owned()],
                None,
                Around::default(),
            )
            .await
            .unwrap();
        let PartyEvent::Ended { stdout, .. } = run.last().await else {
            panic!("it did not end")
        };
        let told = open.elapsed().unwrap();
        let line: f64 = String::from_utf8(stdout).unwrap().trim().parse().unwrap();
        let first = line
            - open
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap()
                .as_secs_f64();
        println!(
            "launch {launched:?}, at gate {at_gate:?}, first line {:.1} ms, end told {told:?}",
            first * 1000.0
        );
    }
}
