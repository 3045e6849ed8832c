//! When the release that the head names is looked after: at once when it is another one, and again after a failure.
//!
//! What is to be done about it is [`super::worker`]'s business.

use std::time::Duration;

use e3_core::digest::Blob;
use tokio::sync::watch;

use crate::sync::jitter;

/// After a failure, at first; it doubles up to the poll interval.
pub(super) const RETRY: Duration = Duration::from_secs(1);

/// What has been seen of releases since the agent started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// No head was verified yet.
    Nothing,
    /// A head that names no release.
    NoRelease,
    /// A head that names this one.
    Release(Blob),
}

/// What is to be done about the newest head, and when to look again.
pub(super) struct Errand {
    head: watch::Receiver<Seen>,
    /// What it is about.
    seen: Seen,
    /// Whether nothing of it is left to try again.
    pub(super) is_done: bool,
    pause: Duration,
}

impl Errand {
    pub(super) const fn new(head: watch::Receiver<Seen>) -> Self {
        Self {
            head,
            seen: Seen::Nothing,
            is_done: false,
            pause: RETRY,
        }
    }

    /// What has been seen by now; the errand begins anew if it is something else. What counts is what it is, not who has
    /// woken the errand: a head may come in the same moment as a pause ends.
    pub(super) fn look(&mut self) -> Seen {
        let seen = *self.head.borrow_and_update();
        if seen != self.seen {
            (self.seen, self.is_done, self.pause) = (seen, false, RETRY);
        }
        seen
    }

    /// Waits for another head, or for so long that it is worth another try: `longest` at most, or nearly. False if no head
    /// comes any more.
    pub(super) async fn wait(&mut self, longest: Duration) -> bool {
        tokio::select! {
            changed = self.head.changed() => changed.is_ok(),
            () = tokio::time::sleep(jitter(self.pause)) => {
                self.pause = (self.pause * 2).min(longest.max(RETRY));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_head_that_comes_just_when_a_pause_ends_is_not_overlooked() {
        let heads = watch::Sender::new(Seen::Nothing);
        let mut errand = Errand::new(heads.subscribe());
        // Whichever of the two the errand hears of first.
        for n in 0..100_u32 {
            let seen = Seen::Release(Blob::of(&n.to_be_bytes()));
            let both = async {
                // Each pause is over by then.
                tokio::time::advance(8 * RETRY).await;
                heads.send_replace(seen);
            };
            let (is_open, ()) = tokio::join!(errand.wait(RETRY), both);
            assert!(is_open);
            assert_eq!(errand.look(), seen);
            assert!(!errand.is_done, "nothing is done about head {n}");
            errand.is_done = true;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_errand_is_looked_after_ever_more_rarely_until_there_is_another_head() {
        let heads = watch::Sender::new(Seen::Nothing);
        let mut errand = Errand::new(heads.subscribe());
        let longest = 60 * RETRY;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(errand.pause, pause * RETRY);
            assert!(errand.wait(longest).await);
            errand.look();
        }
        heads.send_replace(Seen::NoRelease);
        assert!(errand.wait(longest).await);
        assert_eq!((errand.look(), errand.pause), (Seen::NoRelease, RETRY));
        drop(heads);
        assert!(!errand.wait(longest).await);
    }
}
