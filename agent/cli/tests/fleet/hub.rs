//! A hub that comes and goes: it is where sessions come from and receipts go to, and nothing else
//! depends on it.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::common::{Plan, QUICK, Rig, Run, slow, until};

/// A hub in a process of its own, over the fleet's store, that can be killed.
struct HubProcess(Child);

impl HubProcess {
    fn start(rig: &Rig) -> Self {
        let address = rig.fleet.hub().trim_start_matches("http://").to_owned();
        let mut command = Command::new(env!("CARGO_BIN_EXE_e3"));
        command.args(["hub", "serve", "--json", "--listen", &address, "--fleet"]);
        command
            .arg(rig.fleet.folder.join("fleet"))
            .arg("--dir")
            .arg(rig.fleet.folder.join("hub"));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        // Killed already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A hub that answers.
async fn answers(rig: &Rig) {
    until("the hub answers", async || {
        rig.fleet.open.hub.head(None).await.ok()
    })
    .await;
}

#[tokio::test]
async fn a_session_outlives_its_hub_and_the_receipts_arrive_when_it_is_back() {
    let mut rig = Rig::new().await;
    rig.fleet.stop_hub();
    let mut hub = HubProcess::start(&rig);
    answers(&rig).await;
    let run = rig.push(&slow()).await;
    rig.runs_at(&run, &[0, 1, 2]).await;
    hub.kill();
    run.finish();
    for place in 0..3 {
        rig.reaches(place, &run, "done").await;
    }
    // Nor does an agent forget a receipt that it could not deliver.
    rig.fleet.kill_agent(2).await;
    rig.fleet.start_agent(2).unwrap();
    hub = HubProcess::start(&rig);
    answers(&rig).await;
    rig.ends_well(&run).await;
    rig.still_works().await;
    drop(hub);
    rig.stop().await;
}

#[tokio::test]
async fn an_agent_that_starts_without_a_hub_takes_sessions_when_the_hub_comes() {
    let mut rig = Rig::new().await;
    rig.fleet.stop_hub();
    for place in 0..3 {
        rig.restart(place).await;
    }
    for place in 0..3 {
        let socket = rig.fleet.parties[place].folder.join("run");
        let party = &rig.fleet.parties[place];
        let asks = async || {
            let mut ask = Command::new(crate::common::agent());
            ask.args(["status", "--json", "--config"])
                .arg(party.config())
                .stdin(Stdio::null());
            let answer = ask.output().unwrap();
            let text = String::from_utf8_lossy(&answer.stdout).into_owned();
            (answer.status.success() && text.contains("hub_error\":\"")).then_some(())
        };
        until(
            &format!("{} says that there is no hub", socket.display()),
            asks,
        )
        .await;
    }
    rig.fleet.start_hub().unwrap();
    answers(&rig).await;
    rig.still_works().await;
    rig.stop().await;
}

/// A way to the hub that can be cut: a plain TCP relay.
struct Relay {
    port: u16,
    open: Arc<AtomicBool>,
    cut: watch::Sender<()>,
}

impl Relay {
    async fn to(hub: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let open = Arc::new(AtomicBool::new(true));
        let (cut, cuts) = watch::channel(());
        let is_open = Arc::clone(&open);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                if !is_open.load(Ordering::SeqCst) {
                    continue;
                }
                let (hub, mut cuts) = (hub.clone(), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(hub).await else {
                        return;
                    };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self { port, open, cut }
    }

    fn cut(&self) {
        self.open.store(false, Ordering::SeqCst);
        self.cut.send_replace(());
    }

    fn mend(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_party_that_was_cut_off_from_the_hub_picks_the_session_up() {
    let mut rig = Rig::new().await;
    let relay = Relay::to(rig.fleet.hub().trim_start_matches("http://").to_owned()).await;
    let join = rig.fleet.parties[1].folder.join("e3.toml");
    rig.fleet.kill_agent(1).await;
    let text = std::fs::read_to_string(&join).unwrap();
    let through = text.replace(rig.fleet.hub(), &format!("http://127.0.0.1:{}", relay.port));
    assert_ne!(text, through);
    std::fs::write(&join, through).unwrap();
    rig.fleet.start_agent(1).unwrap();
    rig.still_works().await;
    relay.cut();
    let run: Run = rig
        .push(&Plan {
            program: QUICK,
            ..Plan::default()
        })
        .await;
    // The others have it and wait; it has not.
    rig.reaches(0, &run, "staged").await;
    rig.reaches(2, &run, "staged").await;
    assert_eq!(rig.checkpoint(1, &run), "");
    relay.mend();
    rig.ends_well(&run).await;
    rig.stop().await;
}
