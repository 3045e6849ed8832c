use std::path::Path;
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use tokio::sync::broadcast;

use super::*;
use crate::phase::Phase;
use crate::supervisor::{Job, Started, Supervisor};

/// A supervisor that lacks what the test says, and tells of changes when the test does.
#[derive(Clone)]
struct Fake {
    missing: Arc<Mutex<Option<&'static str>>>,
    looks: Arc<Mutex<u32>>,
    changes: broadcast::Sender<()>,
    /// Whether there is nobody to tell of changes either.
    is_deaf: bool,
    /// How long a look takes.
    takes: Arc<Mutex<Duration>>,
}

impl Supervisor for Fake {
    fn start<'a>(&'a self, _: &'a Job) -> BoxFuture<'a, Result<Started, SupervisorError>> {
        unreachable!("nothing is started")
    }

    fn reap_leftovers<'a>(
        &'a self,
        _: &'a str,
        _: &'a Path,
    ) -> BoxFuture<'a, Result<usize, SupervisorError>> {
        unreachable!("nothing is left")
    }

    fn bounds_resources(&self) -> bool {
        true
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SupervisorError>> {
        async {
            *self.looks.lock().unwrap() += 1;
            let takes = *self.takes.lock().unwrap();
            tokio::time::sleep(takes).await;
            self.missing.lock().unwrap().map_or(Ok(()), |state| {
                Err(SupervisorError::NoUnit {
                    unit: "e3-party@.service".to_owned(),
                    state: state.to_owned(),
                })
            })
        }
        .boxed()
    }

    fn changes(&self) -> BoxFuture<'_, Result<BoxStream<'static, ()>, SupervisorError>> {
        let heard = self.changes.subscribe();
        let next = async |mut heard: broadcast::Receiver<()>| {
            heard.recv().await.ok().map(|()| ((), heard))
        };
        let missing = *self.missing.lock().unwrap();
        let done = match missing {
            Some(_) if self.is_deaf => Err(SupervisorError::NoBus(zbus::Error::Address(
                "nowhere".to_owned(),
            ))),
            _ => Ok(futures_util::stream::unfold(heard, next).boxed()),
        };
        async { done }.boxed()
    }
}

struct Watched {
    fake: Fake,
    board: Board,
    _folder: tempfile::TempDir,
}

impl Watched {
    fn new(missing: Option<&'static str>, is_deaf: bool) -> Self {
        let fake = Fake {
            missing: Arc::new(Mutex::new(missing)),
            looks: Arc::default(),
            changes: broadcast::Sender::new(8),
            is_deaf,
            takes: Arc::default(),
        };
        let folder = tempfile::tempdir().unwrap();
        let supervisor = Arc::new(fake.clone());
        let launcher = Launcher::with(supervisor, folder.path(), folder.path()).unwrap();
        let board = Board::default();
        board.phase_is(Phase::Ready);
        tokio::spawn(watch(launcher, board.clone()));
        Self {
            fake,
            board,
            _folder: folder,
        }
    }

    fn lack(&self, missing: Option<&'static str>) {
        *self.fake.missing.lock().unwrap() = missing;
    }

    fn looks(&self) -> u32 {
        *self.fake.looks.lock().unwrap()
    }

    /// Waits until the board says so; returns how long that took.
    async fn says(&self, phase: &str) -> Duration {
        let (begin, mut changes) = (Instant::now(), self.board.subscribe());
        while self.board.phase().name() != phase {
            changes.changed().await.unwrap();
        }
        begin.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_at_the_start_is_told_at_once_and_no_longer_than_it_is() {
    for is_deaf in [false, true] {
        let watched = Watched::new(Some("not-found"), is_deaf);
        assert_eq!(watched.says("degraded").await, Duration::ZERO);
        let reason = watched.board.phase().reason();
        assert!(
            reason.contains("no usable e3-party@.service (not-found)"),
            "{reason}"
        );
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(watched.looks() < 25, "{} looks", watched.looks());
        watched.lack(None);
        assert!(watched.says("ready").await <= RETRY_MOST);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_told_is_looked_at_at_once() {
    let watched = Watched::new(Some("not-found"), false);
    watched.says("degraded").await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    watched.lack(None);
    watched.fake.changes.send(()).unwrap();
    assert!(watched.says("ready").await <= RETRY);
}

#[tokio::test(start_paused = true)]
async fn a_short_absence_is_not_told_and_a_long_one_is() {
    let watched = Watched::new(None, false);
    let mut told = watched.board.subscribe();
    // Nothing is looked at while nothing changes.
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(watched.looks(), 1);
    watched.lack(Some("error"));
    watched.fake.changes.send(()).unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    watched.lack(None);
    tokio::time::sleep(RETRY_MOST).await;
    assert!(!told.has_changed().unwrap());
    watched.lack(Some("masked"));
    watched.fake.changes.send(()).unwrap();
    assert!(watched.says("degraded").await >= RESTART);
    told.borrow_and_update();
    watched.lack(None);
    watched.says("ready").await;
}

#[tokio::test(start_paused = true)]
async fn a_look_without_an_answer_is_told_before_there_is_one() {
    let watched = Watched::new(None, false);
    watched.says("ready").await;
    tokio::time::sleep(RETRY_MOST).await;
    let late = Duration::from_secs(25);
    *watched.fake.takes.lock().unwrap() = late;
    watched.fake.changes.send(()).unwrap();
    assert_eq!(watched.says("degraded").await, RESTART);
    let reason = watched.board.phase().reason();
    assert!(reason.contains("has not said for 5 s"), "{reason}");
    // The first answer counts, however late.
    assert_eq!(watched.says("ready").await, late.saturating_sub(RESTART));
    // One that says no is told at once then.
    watched.lack(Some("masked"));
    watched.fake.changes.send(()).unwrap();
    assert_eq!(watched.says("degraded").await, RESTART);
    tokio::time::sleep(late).await;
    let reason = watched.board.phase().reason();
    assert!(reason.contains("masked"), "{reason}");
}
