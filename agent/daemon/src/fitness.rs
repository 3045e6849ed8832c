//! Whether programs could be started on this machine: told before a session needs it, and again when it changes.
//!
//! What is missing stands on the board as [`Degraded::Supervisor`] until it is there. A session that comes
//! meanwhile is not held up by this: it fails at its start, with the same words for the other parties.

use std::time::Duration;

use e3_core::degraded::Degraded;
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout};

use crate::board::{Board, Source};
use crate::party::Launcher;
use crate::supervisor::SupervisorError;

/// Between looks at what is missing, at first ...
const RETRY: Duration = Duration::from_millis(200);
/// ... and at most: a few messages, or a look for a socket.
const RETRY_MOST: Duration = Duration::from_secs(5);
/// What has worked may be gone for so long before it is told: a restart of the bus or of polkit takes about a second.
/// Nor may a look take longer: dbus waits 25 seconds for a polkit that systemd does not start, and says nothing meanwhile.
const RESTART: Duration = Duration::from_secs(5);

/// Watches for ever.
pub async fn watch(launcher: Launcher, board: Board) {
    let mut patience = Duration::ZERO;
    let (mut missing, mut pause) = (None, RETRY);
    loop {
        // Before the look: no change may be missed between the two.
        let changes = launcher.changes().await;
        let begin = Instant::now();
        let (error, mut changes) = match (check(&launcher, &board).await, changes) {
            (Ok(()), Ok(mut changes)) => {
                if board.is_degraded(Source::Supervisor) {
                    tracing::info!("programs can be started again");
                }
                board.degraded(Source::Supervisor, None);
                (missing, pause, patience) = (None, RETRY, RESTART);
                let _ = changes.next().await;
                continue;
            }
            (Err(error), changes) => (error, changes.ok()),
            (Ok(()), Err(error)) => (error, None),
        };
        let since = *missing.get_or_insert(begin);
        if since.elapsed() >= patience {
            tell(&board, &error);
        }
        // Whoever comes and goes all the time, as a polkit that crashes does, is not looked at more often.
        tokio::time::sleep(RETRY).await;
        let rest = pause.saturating_sub(RETRY);
        if let Some(changes) = &mut changes {
            let _ = timeout(rest, changes.next()).await;
        } else {
            tokio::time::sleep(rest).await;
        }
        pause = (pause * 2).min(RETRY_MOST);
    }
}

/// A look; that it gets no answer is told, too.
async fn check(launcher: &Launcher, board: &Board) -> Result<(), SupervisorError> {
    let mut check = std::pin::pin!(launcher.check());
    if let Ok(checked) = timeout(RESTART, &mut check).await {
        return checked;
    }
    let seconds = RESTART.as_secs();
    tell(board, &SupervisorError::NoAnswer { seconds });
    check.await
}

fn tell(board: &Board, error: &SupervisorError) {
    let detail = crate::text::chain(error);
    let reason = Degraded::Supervisor { detail };
    if !board.is_degraded(Source::Supervisor) {
        tracing::error!(reason = reason.kind(), error = %reason, remedy = reason.remedy(), "degraded: no session can run here");
    }
    board.degraded(Source::Supervisor, Some(reason));
}

#[cfg(test)]
mod tests;
