//! After the end: the last word reaches everybody, and the receipt the disk.

use std::time::Duration;

use e3_core::session::Timer;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use super::Driver;
use crate::peer::link::LinkEvent;

/// How long a party stays reachable after the end, at most, for those who have not heard its last word.
const LINGER: Duration = Duration::from_mins(1);
/// Between attempts to write a receipt that the disk does not take.
const ROOM: Duration = Duration::from_secs(1);

impl Driver {
    /// After the end: whoever comes late still hears of it, and the receipt is written as soon as there is room for it.
    pub(super) async fn linger(&mut self, linked: &mut mpsc::Receiver<(usize, LinkEvent)>) {
        // Nobody waits for longer.
        let preflight = Duration::from_secs(self.context.session.deadlines.preflight);
        let until = Instant::now() + preflight.min(LINGER);
        let mut attempts = tokio::time::interval_at(Instant::now() + ROOM, ROOM);
        attempts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waits = Instant::now() < until && !self.talk.everybody_knows(self.context.me);
            if !waits && self.unsigned.is_none() {
                break;
            }
            tokio::select! {
                Some((party, event)) = linked.recv() => {
                    let now = self.now();
                    self.talk.hear(&self.context, party, event, now);
                }
                _ = attempts.tick(), if self.unsigned.is_some() => self.sign(),
                () = tokio::time::sleep_until(until), if waits => {}
            }
        }
        // Sent is not received: a disk that was slow at the end may have kept this party silent for so long that the
        // others have given it up. Then they are connected to again meanwhile, and hear everything again.
        let until = Instant::now() + Duration::from_millis(Timer::REGROUP_MS);
        while self.context.session.parties.len() > 1
            && let Ok(Some((party, event))) = timeout_at(until, linked.recv()).await
        {
            let now = self.now();
            self.talk.hear(&self.context, party, event, now);
        }
    }
}
