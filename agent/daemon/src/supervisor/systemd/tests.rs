//! Against a systemd that the test itself serves: `fake` is that systemd, `bench` what stands on its other side.

mod bench;
mod fake;

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e3_core::document::Exit;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use zbus::{Connection, OwnedVariant};

use self::bench::Bench;
use self::fake::{FakeManager, Shared, pair};
use super::instance::CLD_EXITED;
use super::*;
use crate::supervisor::output::{Keep, Output};

#[tokio::test]
async fn a_unit_is_started_its_output_read_and_its_end_told() {
    let bench = Bench::new().await;
    let folder = bench.folder_of_unit();
    bench.script.lock().unwrap().prints = Some((folder.join("stdout"), b"42\n".to_vec()));
    let mut started = bench.start().await.unwrap();
    assert_eq!(started.running.main_pid(), Some(4242));
    let loaded = bench.script.lock().unwrap().loaded.clone();
    assert_eq!(Vec::from_iter(loaded), [unit_name(&bench.job.id)]);
    assert_eq!(fs::read(folder.join("view/gate.py")).unwrap(), b"the gate");
    assert_eq!(fs::read(folder.join("inputs/number")).unwrap(), b"41");
    let (tell, _trouble) = mpsc::unbounded_channel();
    let output = Output::start(
        started.stdout,
        &bench.folder.path().join("out"),
        Keep::All(100),
        tell,
    )
    .unwrap();
    let (exit, ()) = tokio::join!(
        started.running.ended(),
        bench.exit("failed", "exit-code", CLD_EXITED, 7)
    );
    assert_eq!(exit.unwrap(), Exit::Code(7));
    assert_eq!(output.finish().await.bytes, b"42\n");
    assert_eq!(
        bench.calls(),
        [
            "Subscribe",
            "StartUnit UNIT",
            "SetUnitProperties UNIT MemoryMax CPUQuotaPerSecUSec TasksMax IPAddressAllow",
            "StopUnit UNIT",
            "ResetFailedUnit UNIT"
        ]
    );
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_good_end_waits_until_it_was_read_and_what_is_left_then_ends() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    bench.exit("exited", "success", CLD_EXITED, 0).await;
    assert_eq!(started.running.ended().await.unwrap(), Exit::Code(0));
    assert_eq!(
        bench.calls()[3..],
        ["StopUnit UNIT", "ResetFailedUnit UNIT"]
    );
    assert_eq!(
        started.running.ended().await.unwrap(),
        Exit::Code(0),
        "again"
    );
}

#[tokio::test]
async fn a_signal_is_told_as_one() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    bench.exit("failed", "oom-kill", 2, 9).await;
    assert_eq!(started.running.ended().await.unwrap(), Exit::Signal(9));
}

#[tokio::test]
async fn the_manifests_limits_are_set_and_nobody_may_be_reached_before_the_barrier() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    let set = |name: &str| -> OwnedVariant {
        let script = bench.script.lock().unwrap();
        let found = script.set.iter().rfind(|each| each.0 == name);
        found.unwrap().1.try_clone().unwrap()
    };
    let number = |name: &str| u64::try_from(set(name)).unwrap();
    assert_eq!(number("MemoryMax"), 1 << 30);
    assert_eq!(number("CPUQuotaPerSecUSec"), 1_500_000, "150 % of a second");
    assert_eq!(number("TasksMax"), 64);
    let allowed = || <Vec<(i32, Vec<u8>, u32)>>::try_from(set("IPAddressAllow")).unwrap();
    assert_eq!(allowed(), []);
    let peers = ["10.0.0.2", "fd00::3"].map(|text| text.parse().unwrap());
    started.running.allow(&peers).await.unwrap();
    let v6 = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3].to_vec();
    assert_eq!(
        allowed(),
        [
            (nix::libc::AF_INET, vec![10, 0, 0, 2], 32),
            (nix::libc::AF_INET6, v6, 128)
        ]
    );
    // systemd reads its units anew, and forgets: each look at whether all is well sets it again.
    bench.script.lock().unwrap().set.clear();
    bench.systemd.check().await.unwrap();
    assert_eq!(number("TasksMax"), 64);
    assert_eq!(allowed().len(), 2);
    // What has ended is not made anew.
    started.running.kill().await.unwrap();
    bench.script.lock().unwrap().set.clear();
    bench.systemd.check().await.unwrap();
    assert!(bench.script.lock().unwrap().set.is_empty());
}

#[tokio::test]
async fn a_start_that_systemd_refuses_has_its_word_for_it() {
    for word in ["failed", "dependency", "timeout"] {
        let bench = Bench::new().await;
        bench.answer("StartUnit", &[word]);
        let error = bench.start().await.map(|_| ()).unwrap_err();
        let is_right = matches!(&error, SupervisorError::UnitJob { call: "start", result, .. } if result == word);
        assert!(is_right, "{error}");
    }
}

#[tokio::test]
async fn a_machine_without_polkit_or_its_rule_is_told_what_to_do() {
    use zbus::fdo::Error;
    let denied = Error::AccessDenied("Permission denied".to_owned());
    let asks =
        Error::InteractiveAuthorizationRequired("Interactive authentication required".to_owned());
    // After 25 seconds, if systemd does not start it.
    let late = "Failed to activate service 'org.freedesktop.PolicyKit1': timed out";
    let late = Error::TimedOut(late.to_owned());
    for (call, error) in [
        ("SetUnitProperties", denied),
        ("StartUnit", asks),
        ("StartUnit", late),
    ] {
        let bench = Bench::new().await;
        bench.script.lock().unwrap().refuses.insert(call, error);
        let error = bench.start().await.map(|_| ()).unwrap_err();
        assert!(
            matches!(error, SupervisorError::NotAllowed { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("50-e3.rules"), "{error}");
        assert!(!bench.folder_of_unit().exists(), "the inputs are in it");
        let calls = bench.calls();
        let has = |call: &str| calls.iter().any(|made| made == call);
        assert_eq!(has("StartUnit UNIT"), has("StopUnit UNIT"), "{calls:?}");
        // It recovers when the cause goes away.
        bench.script.lock().unwrap().refuses.clear();
        assert!(bench.start().await.is_ok());
    }
}

#[tokio::test]
async fn killing_stops_the_unit_and_a_stop_that_fails_kills_all_in_it() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    bench.answer("StopUnit", &["timeout", "done"]);
    started.running.kill().await.unwrap();
    started.running.kill().await.unwrap();
    let calls = bench.calls();
    assert_eq!(
        calls[3..],
        [
            "StopUnit UNIT",
            "KillUnit UNIT all 9",
            "StopUnit UNIT",
            "ResetFailedUnit UNIT"
        ]
    );
}

#[tokio::test]
async fn what_a_killed_agent_left_is_stopped_by_its_name() {
    let bench = Bench::new().await;
    fs::create_dir_all(bench.folder_of_unit()).unwrap();
    assert_eq!(
        bench
            .systemd
            .reap_leftovers(&bench.job.id, &bench.job.dir)
            .await
            .unwrap(),
        1
    );
    assert!(!bench.folder_of_unit().exists());
    assert_eq!(
        bench.calls(),
        ["Subscribe", "StopUnit UNIT", "ResetFailedUnit UNIT"]
    );
}

#[tokio::test]
async fn a_bus_that_is_restarted_in_the_middle_loses_no_end() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    let ended = tokio::spawn(async move { started.running.ended().await });
    bench.server().close().await.unwrap();
    // The new connection comes with a new subscription.
    while bench
        .calls()
        .iter()
        .filter(|call| *call == "Subscribe")
        .count()
        < 2
    {
        tokio::task::yield_now().await;
    }
    bench.exit("failed", "exit-code", CLD_EXITED, 3).await;
    assert_eq!(ended.await.unwrap().unwrap(), Exit::Code(3));
}

#[tokio::test]
async fn a_bus_that_is_restarted_at_the_barrier_costs_nobody_the_session() {
    let bench = Bench::new().await;
    let mut started = bench.start().await.unwrap();
    bench.script.lock().unwrap().loses = Some("SetUnitProperties");
    let peers = ["10.0.0.2".parse().unwrap()];
    started.running.allow(&peers).await.unwrap();
    let script = bench.script.lock().unwrap();
    assert!(script.loses.is_none());
    let (_, allowed) = script.set.last().unwrap();
    let allowed = <Vec<(i32, Vec<u8>, u32)>>::try_from(allowed.try_clone().unwrap()).unwrap();
    assert_eq!(allowed, [(nix::libc::AF_INET, vec![10, 0, 0, 2], 32)]);
}

#[tokio::test]
async fn a_job_whose_signal_was_lost_with_the_bus_is_looked_up() {
    let bench = Bench::new().await;
    bench.script.lock().unwrap().is_mute = true;
    let start = bench.start();
    let cut = async {
        while !bench.calls().contains(&"StartUnit UNIT".to_owned()) {
            tokio::task::yield_now().await;
        }
        bench.server().close().await.unwrap();
    };
    let (started, ()) = tokio::join!(start, cut);
    // Behind the new connection the unit is active: it was started, and is not started again.
    assert_eq!(started.unwrap().running.main_pid(), Some(4242));
    let starts = bench
        .calls()
        .iter()
        .filter(|call| *call == "StartUnit UNIT")
        .count();
    assert_eq!(starts, 1);
}

#[tokio::test]
async fn what_may_change_the_answer_is_told_and_so_is_the_loss_of_the_bus() {
    let bench = Bench::new().await;
    let mut changes = bench.systemd.changes().await.unwrap();
    let server = bench.server();
    let manager = server.object_server();
    let manager = manager.interface::<_, FakeManager>("/org/freedesktop/systemd1");
    let manager = manager.await.unwrap();
    for is_at_it in [true, false] {
        FakeManager::reloading(manager.signal_emitter(), is_at_it)
            .await
            .unwrap();
    }
    assert_eq!(changes.next().await, Some(()), "the units are read anew");
    assert_eq!(changes.next().now_or_never(), None);
    server.close().await.unwrap();
    assert_eq!(changes.next().await, None);
}

#[tokio::test]
async fn a_bus_that_stays_away_is_an_error_with_a_remedy() {
    let gone = || zbus::Error::Address("nowhere".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let systemd = Systemd {
        bus: Bus::by(
            Arc::new(move || async move { Err(gone()) }.boxed()),
            Duration::ZERO,
        ),
        root: folder.path().to_owned(),
        wanted: Wanted::default(),
    };
    let left = folder.path().join("0123");
    fs::create_dir(&left).unwrap();
    let error = systemd
        .reap_leftovers("0123", folder.path())
        .await
        .unwrap_err();
    assert!(!left.exists(), "the inputs are in it");
    assert!(error.to_string().contains("is dbus running?"), "{error}");
}

/// Takes calls, and answers none.
struct Silent;

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl Silent {
    async fn subscribe(&self) {
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn a_bus_that_answers_nothing_is_one_that_is_gone() {
    let answer = Duration::from_millis(200);
    let folder = tempfile::tempdir().unwrap();
    // It does not even say hello; or it does, and that is all.
    let path = folder.path().join("bus");
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let address = format!("unix:path={}", path.display());
    let servers: Arc<Mutex<Vec<Connection>>> = Arc::default();
    let deaf = move || {
        let address = address.clone();
        async move { bus::dial(zbus::connection::Builder::address(address.as_str()), answer).await }
            .boxed()
    };
    let mute = move || {
        let servers = servers.clone();
        async move {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let server = zbus::connection::Builder::unix_stream(theirs)
                .server(zbus::Guid::generate())
                .p2p()
                .serve_at("/org/freedesktop/systemd1", Silent);
            let client = zbus::connection::Builder::unix_stream(ours).p2p();
            let (server, client) = tokio::try_join!(server.build(), bus::dial(client, answer))?;
            servers.lock().unwrap().push(server);
            Ok(client)
        }
        .boxed()
    };
    for bus in [
        Bus::by(Arc::new(deaf), Duration::ZERO),
        Bus::by(Arc::new(mute), Duration::ZERO),
    ] {
        let systemd = Systemd {
            bus,
            root: folder.path().to_owned(),
            wanted: Wanted::default(),
        };
        let reaped = systemd.reap_leftovers("0123", folder.path());
        let reaped = tokio::time::timeout(100 * answer, reaped).await;
        let error = reaped.expect("it comes to an end").unwrap_err();
        assert!(matches!(error, SupervisorError::NoBus(_)), "{error:?}");
    }
}

#[tokio::test]
async fn a_unit_is_ended_when_the_bus_is_back_however_long_it_was_gone() {
    let script = Shared::default();
    let servers = Arc::new(Mutex::new(Vec::new()));
    let tries = Arc::new(Mutex::new(0));
    let (behind, kept, counted) = (script.clone(), servers.clone(), tries.clone());
    let dial = Arc::new(move || {
        let (behind, kept, counted) = (behind.clone(), kept.clone(), counted.clone());
        async move {
            let count = {
                let mut count = counted.lock().unwrap();
                *count += 1;
                *count
            };
            if count < 4 {
                return Err(zbus::Error::Address("nowhere".to_owned()));
            }
            let (server, client) = pair(behind).await;
            kept.lock().unwrap().push(server);
            Ok(client)
        }
        .boxed()
    });
    unit::end_later(&Bus::by(dial, Duration::ZERO), "e3-party@0.service");
    let is_stopped = || {
        script
            .lock()
            .unwrap()
            .calls
            .iter()
            .any(|call| call.starts_with("StopUnit"))
    };
    while !is_stopped() {
        tokio::task::yield_now().await;
    }
    assert!(*tries.lock().unwrap() >= 4);
}
