//! Work that takes long, in a thread: its progress is shown here, and Ctrl-C tells it to stop, so that it leaves behind
//! what it says. So do `kill` and a terminal that is closed.

use std::time::{Duration, Instant};

use e3_client::human;
use e3_image::{ImageError, Stop};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::error::Error;
use crate::output::Output;
use crate::output::progress::{Progress, Renderer};

/// How often a moving line moves.
const LIVE: Duration = Duration::from_millis(150);
/// And how often there is a new line where lines stay.
const PLAIN: Duration = Duration::from_secs(5);

/// Runs `work` in a thread.
pub(super) async fn run<T: Send + 'static>(
    output: &Output,
    work: impl FnOnce(&Stop, &mut Meter) -> Result<T, ImageError> + Send + 'static,
) -> Result<T, Error> {
    // From here on Ctrl-C is the work's to end well.
    let listen = |kind| signal(kind).map_err(Error::Runtime);
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    let (send, mut events) = unbounded_channel();
    let stop = Stop::default();
    let mut meter = Meter::new(send, if output.is_live() { LIVE } else { PLAIN });
    let stopping = stop.clone();
    let mut running = tokio::task::spawn_blocking(move || work(&stopping, &mut meter));
    let mut renderer = Renderer::new(output);
    loop {
        tokio::select! {
            biased;
            Some(event) = events.recv() => renderer.show(&event),
            _ = interrupt.recv() => stop.set(),
            _ = terminate.recv() => stop.set(),
            _ = hangup.recv() => stop.set(),
            done = &mut running => {
                while let Ok(event) = events.try_recv() {
                    renderer.show(&event);
                }
                return Ok(done.map_err(|error| Error::Runtime(std::io::Error::other(error)))??);
            }
        }
    }
}

/// Progress with its rate and how long it will take.
pub(super) struct Meter {
    send: UnboundedSender<Progress>,
    every: Duration,
    step: String,
    began: Instant,
    shown: Instant,
    /// Bytes that were done when the step began.
    from: Option<u64>,
}

impl Meter {
    fn new(send: UnboundedSender<Progress>, every: Duration) -> Self {
        let now = Instant::now();
        Self {
            send,
            every,
            step: String::new(),
            began: now,
            shown: now,
            from: None,
        }
    }

    /// `done` of the step's `total` bytes are done.
    pub(super) fn show(&mut self, step: &str, done: u64, total: u64) {
        self.share(step, done, done.saturating_mul(1000) / total.max(1));
    }

    /// `done` bytes of the step are done, which is `share` thousandths of it.
    pub(super) fn share(&mut self, step: &str, done: u64, share: u64) {
        let now = Instant::now();
        if self.step != step {
            self.end();
            step.clone_into(&mut self.step);
            (self.began, self.shown, self.from) = (now, now, Some(done));
            return;
        }
        if now.duration_since(self.shown) < self.every {
            return;
        }
        self.shown = now;
        let took = now.duration_since(self.began).as_millis().max(1);
        let bytes = u128::from(done.saturating_sub(self.from.unwrap_or(0)));
        let rate = u64::try_from(bytes * 1000 / took).unwrap_or(u64::MAX);
        let share = share.clamp(1, 1000);
        let left = took * u128::from(1000 - share) / u128::from(share) / 1000;
        let state = format!(
            "{} % done, {} at {} a second, {} left",
            share / 10,
            human::size(done),
            human::size(rate),
            human::time(u64::try_from(left).unwrap_or(u64::MAX)),
        );
        let _ = self.send.send(Progress::going(step, state));
    }

    /// What goes on has no measure, but a name for how it stands.
    pub(super) fn say(&mut self, step: &str, state: impl Into<String>) {
        let _ = self.send.send(Progress::going(step, state));
    }

    /// The step is over.
    pub(super) fn end(&mut self) {
        let seconds = self.began.elapsed().as_secs();
        // What took no time needs no line.
        if !self.step.is_empty() && seconds > 0 {
            let took = human::time(seconds);
            let _ = self
                .send
                .send(Progress::ended(&self.step, format!("done in {took}")));
        }
    }
}
