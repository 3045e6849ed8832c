//! One mesh of the plan: joined, watched, joined again.

use std::time::Duration;

use e3_core::document::Mesh;
use e3_core::mesh::{NotJoined, Plan};
use tokio::time::Instant;

use super::backend::{self, Known, Prepared};
use super::files::Change;
use super::{grant, joined, not_joined, probe, service, unable};
use crate::config::Supervisor;
use crate::shared::Shared;
use crate::supervisor::SupervisorError;
use crate::supervisor::systemd::Service;
use crate::sync::jitter;

/// Between attempts, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// The same at most where this machine cannot, and need not.
const RARE_RETRY: Duration = Duration::from_mins(10);
/// Between two looks at a mesh that works.
const LOOK: Duration = Duration::from_secs(30);
/// Between two looks at a mesh on which nobody answers, at first and at most.
const FIRST_LOOK: Duration = Duration::from_millis(50);
const SILENT_LOOK: Duration = Duration::from_secs(5);

/// This machine's membership in one mesh.
pub(super) struct Membership<'a> {
    shared: &'a Shared,
    plan: &'a Plan,
    service: Service,
}

impl<'a> Membership<'a> {
    /// As the plan says it.
    pub(super) fn new(shared: &'a Shared, plan: &'a Plan) -> Self {
        Self {
            shared,
            plan,
            service: service(plan.backend.daemon()),
        }
    }

    /// Joins, and stays joined, for as long as the plan is this one.
    pub(super) async fn keep(self) {
        let (mut pause, mut told) = (RETRY.0, None);
        // When the daemon was started, until it has been joined by that.
        let mut started = None;
        let standing = self.shared.board.known().meshes.remove(self.name());
        // Another plan is a reason to hope where somebody had to let it in; what else was wrong is so until something is better.
        if let None
        | Some(Mesh::NotJoined {
            reason: NotJoined::NeedsApproval,
        }) = standing
        {
            self.is_out(&NotJoined::Joining);
        }
        loop {
            let trouble = match self.join(&mut started).await {
                Ok(prepared) => {
                    let begin = Instant::now();
                    let trouble = self.watch_over(&prepared, &mut started).await;
                    // Whoever dies as soon as it is started is not started more and more often.
                    if begin.elapsed() > RETRY.1 {
                        (pause, told) = (RETRY.0, None);
                    }
                    trouble
                }
                Err(trouble) => trouble,
            };
            // Nothing is wrong with it: it is told something new.
            if trouble == NotJoined::Joining {
                continue;
            }
            if told.as_ref() != Some(&trouble) {
                tracing::warn!(backend = self.name(), reason = trouble.kind(), %trouble, remedy = trouble.remedy(), "not in the mesh");
            }
            self.is_out(&trouble);
            let most = match trouble {
                // Whoever can do without is not tried for ever: nobody may ever install it.
                NotJoined::Unable { .. } if self.plan.direct => RARE_RETRY,
                _ => RETRY.1,
            };
            told = Some(trouble);
            tokio::time::sleep(jitter(pause)).await;
            pause = (pause * 2).min(most);
        }
    }

    /// Has the daemon run with what the plan says; not more. Says when it was `started`, if it was.
    async fn join(&self, started: &mut Option<Instant>) -> Result<Prepared, NotJoined> {
        if self.shared.settings.supervisor != Supervisor::Systemd {
            let detail =
                "its agent was set up without systemd (`supervisor` in agent.toml)".to_owned();
            return Err(NotJoined::Unable { detail });
        }
        let prepared = backend::prepare(self.shared, self.plan).await?;
        let change = prepared.files.write().map_err(|error| unable(&error))?;
        let runs = self.service.is_active().await;
        let runs = runs.map_err(|error| unable(&error))?;
        if change != Change::None && runs {
            tracing::info!(
                backend = self.name(),
                "the mesh's daemon is told something new"
            );
        }
        let mut is_anew = false;
        let done = match (runs, change) {
            (true, Change::None) => Ok(()),
            (true, _) if backend::takes(self.shared, self.plan).await => Ok(()),
            (true, Change::Open) => self.reload().await,
            // One that has ended is forgotten first.
            (_, _) => match self.service.stop().await {
                Ok(()) => {
                    is_anew = true;
                    *started = Some(Instant::now());
                    self.service.start().await
                }
                failed => failed,
            },
        };
        done.map_err(|error| unable(&error))?;
        backend::runs(self.shared, self.plan, is_anew);
        Ok(prepared)
    }

    /// Has the daemon read anew what it can while it runs. One that does not is stopped, so that it does not go on with what
    /// was said before: it is started with the next attempt.
    async fn reload(&self) -> Result<(), SupervisorError> {
        let done = self.service.reload().await;
        if done.is_err() {
            self.service.stop().await?;
        }
        done
    }

    /// Looks whether others answer, for as long as the daemon runs with this configuration; returns why it has to be joined
    /// again.
    async fn watch_over(&self, prepared: &Prepared, started: &mut Option<Instant>) -> NotJoined {
        let ends = grant::due(self.shared, prepared.grant.as_ref());
        tokio::select! {
            trouble = self.look(started) => trouble,
            trouble = self.moves(prepared) => trouble,
            () = ends => NotJoined::Joining,
            ended = self.service.ended() => match ended {
                Ok(how) => NotJoined::DaemonDied { detail: how },
                Err(error) => unable(&error),
            },
        }
    }

    /// Tells the daemon whenever this machine has moved; ends if it cannot be told.
    async fn moves(&self, prepared: &Prepared) -> NotJoined {
        let mut moves = self.shared.moves.subscribe();
        while moves.changed().await.is_ok() {
            let told = backend::moved(self.shared, self.plan, &prepared.files, &self.service);
            if let Err(trouble) = told.await {
                return trouble;
            }
        }
        std::future::pending().await
    }

    /// Looks again and again; ends when the backend itself says that something is wrong.
    async fn look(&self, started: &mut Option<Instant>) -> NotJoined {
        let (mut pause, mut silent_since) = (FIRST_LOOK, Some(Instant::now()));
        let mut moves = self.shared.moves.subscribe();
        let known = Known::default();
        tokio::time::sleep(backend::settling(self.shared, self.plan)).await;
        loop {
            let address = match backend::address(self.shared, self.plan).await {
                Ok(address) => address,
                Err(trouble) => return trouble,
            };
            let answers = probe::witnesses(self.shared, self.plan, &known).await;
            let is_in = match answers.asked {
                0 if !answers.any => backend::is_in_alone(self.plan).await,
                _ => answers.any,
            };
            if is_in {
                joined(self.shared, self.name(), address, started.take());
                (pause, silent_since) = (LOOK, None);
            } else {
                // One answer may be lost.
                let since = *silent_since.get_or_insert_with(Instant::now);
                if since.elapsed() > backend::patience(self.plan).silence {
                    let why = backend::why_nobody_answers(self.shared, self.plan, answers.asked);
                    let why = why.await;
                    self.is_out(&why);
                }
                pause = if pause == LOOK {
                    FIRST_LOOK
                } else {
                    (pause * 2).min(SILENT_LOOK)
                };
            }
            tokio::select! {
                () = tokio::time::sleep(jitter(pause)) => {}
                Ok(()) = moves.changed() => pause = FIRST_LOOK,
            }
        }
    }

    fn is_out(&self, reason: &NotJoined) {
        not_joined(self.shared, self.name(), reason);
    }

    fn name(&self) -> &'static str {
        self.plan.backend.name()
    }
}
