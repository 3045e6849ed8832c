//! Updates in the running agent: follows the release that the head names, and proves a new agent, or
//! gives it up.
//!
//! Nothing here stops a session: what is ready waits until the agent says that it is idle.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use e3_client::hub::HubError;
use e3_core::digest::{Blob, Digest};
use e3_core::update::{Action, Event, Image, Stage, State, Trouble, step};
use tokio::sync::watch;

use super::check::{Failed, check};
use super::disk::Disk;
use super::errand::{Errand, RETRY, Seen};
use super::stage0::Entered;
use super::{InEffect, VERSION, fetch, target};
use crate::keeper::KeeperError;
use crate::ledger::LedgerError;
use crate::shared::Shared;
use crate::sync::jitter;

/// A trial without a verified head is given up after so many times its length: an hour.
const PATIENCE: u32 = 6;

/// The updates of the running agent. Cheap to clone.
#[derive(Clone)]
pub struct Updater(Arc<Parts>);

struct Parts {
    disk: Disk,
    /// For the self-check of a new binary: it must understand this machine's configuration.
    config: PathBuf,
    entered: Entered,
    /// What is remembered could not be read. It is left as it is for its owner to look into: starting over
    /// would try again what is known to be bad.
    is_lost: bool,
    state: Mutex<State>,
    /// What the newest verified head says of releases.
    head: watch::Sender<Seen>,
    /// Whether stage 0 should choose anew as soon as no session runs.
    wish: watch::Sender<bool>,
}

impl Updater {
    /// Takes up what is remembered. If that cannot be read, nothing is updated.
    pub fn open(state: &std::path::Path, config: PathBuf, entered: Entered) -> Self {
        let disk = Disk::new(state);
        let loaded = disk.load();
        let is_lost = loaded.is_err();
        let state = loaded.unwrap_or_else(|error| State {
            trouble: Some(unusable(&error)),
            ..State::default()
        });
        Self(Arc::new(Parts {
            disk,
            config,
            entered,
            is_lost,
            state: Mutex::new(state),
            head: watch::Sender::new(Seen::Nothing),
            wish: watch::Sender::new(false),
        }))
    }

    /// A head was verified, and names this release.
    pub fn head(&self, release: Option<Blob>) {
        let seen = release.map_or(Seen::NoRelease, Seen::Release);
        let changed = |head: &mut Seen| std::mem::replace(head, seen) != seen;
        self.0.head.send_if_modified(changed);
    }

    /// Resolves when stage 0 should choose anew; ask [`Self::idle`] whether to go when no session runs.
    pub async fn wants_to_go(&self) {
        let mut wish = self.0.wish.subscribe();
        if wish.wait_for(|wish| *wish).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// No session runs, or is about to: whether the agent shall end for stage 0 to choose anew.
    pub fn idle(&self, shared: &Shared) -> bool {
        self.0.wish.send_replace(false);
        if self.is_set_aside() || self.is_put_off() && self.can_save() {
            return true;
        }
        let now = shared.keeper().now();
        self.advance(shared, Event::Idle { now })
            .is_ok_and(|actions| actions.contains(&Action::Restart))
    }

    /// Whether this agent was on trial and has been given up.
    fn is_set_aside(&self) -> bool {
        let state = self.state();
        let candidate = state.candidate.as_ref();
        candidate.is_some_and(|c| {
            c.stage == Stage::Ready && Some(c.image.file.digest) == self.0.entered.image
        })
    }

    /// Whether stage 0 did not begin a trial because it could not note it, as on a full disk. Nobody starts
    /// the agent anew when there is room again, so it does that itself.
    fn is_put_off(&self) -> bool {
        let state = self.state();
        let candidate = state.candidate.as_ref();
        let entered = &self.0.entered;
        matches!(entered.trouble, Some(Trouble::State { .. }))
            && candidate.is_some_and(|c| {
                c.stage == Stage::Trying && Some(c.image.file.digest) != entered.image
            })
    }

    /// Whether the disk takes what stage 0 would write.
    fn can_save(&self) -> bool {
        self.0.disk.save(&self.state()).is_ok()
    }

    /// The agent had started well and is told to end: that is no failed trial.
    pub fn stopped(&self) {
        if let Some(file) = self.on_trial() {
            let _ = self.keep(Event::Stopped(file));
        }
    }

    /// Resolves when this agent is on trial and has not even come up for as long as it might work without a verified
    /// head: it is set aside then, for stage 0 to choose anew. Nothing else would end it, since it answers for itself.
    pub async fn gives_up(&self, trial: Duration) {
        let Some(file) = self.on_trial() else {
            return std::future::pending().await;
        };
        tokio::time::sleep(trial.saturating_mul(1 + PATIENCE)).await;
        tracing::warn!("this agent is on trial and does not come up; it is set aside");
        while let Err(error) = self.keep(Event::Unproven(file)) {
            tracing::warn!(error = %crate::text::chain(&error), "the end of a trial cannot be noted yet");
            tokio::time::sleep(RETRY.max(trial / 10)).await;
        }
    }

    /// Updates for ever.
    pub async fn run(self, shared: Shared) {
        self.tell(&shared);
        if self.0.is_lost {
            return;
        }
        self.0.disk.retain(&self.state().keeps());
        tokio::join!(self.prove(&shared), self.follow(&shared));
    }

    /// Proves the agent that runs, if it is on trial: it works for long enough, and verifies a head.
    async fn prove(&self, shared: &Shared) {
        let Some(file) = self.on_trial() else { return };
        let mut head = self.0.head.subscribe();
        let trial = shared.settings.trial;
        // This clock stands still while the machine sleeps.
        tokio::time::sleep(trial).await;
        let verified = tokio::time::timeout(
            trial.saturating_mul(PATIENCE),
            head.wait_for(|seen| *seen != Seen::Nothing),
        );
        let event = if verified.await.is_ok_and(|seen| seen.is_ok()) {
            Event::Healthy(file)
        } else {
            tracing::warn!("this agent is on trial and cannot verify a head; it is set aside");
            Event::Unproven(file)
        };
        while let Err(error) = self.advance(shared, event.clone()) {
            tracing::warn!(error = %crate::text::chain(&error), "the end of a trial cannot be noted yet");
            tokio::time::sleep(jitter(shared.settings.poll.min(trial))).await;
        }
        self.0.disk.retain(&self.state().keeps());
        self.0.wish.send_replace(self.is_set_aside());
    }

    /// Follows the release that the head names.
    async fn follow(&self, shared: &Shared) {
        let mut errand = Errand::new(self.0.head.subscribe());
        loop {
            let seen = errand.look();
            if !errand.is_done {
                errand.is_done = match seen {
                    Seen::Nothing => true,
                    Seen::NoRelease => self.advance(shared, Event::Withdrawn).is_ok(),
                    Seen::Release(blob) => self.pursue(shared, &blob).await,
                };
            }
            // Again and again: going may have failed on a full disk.
            let has_more = self.is_ready() || self.is_put_off();
            self.0
                .wish
                .send_replace(self.is_set_aside() || seen != Seen::Nothing && has_more);
            if !errand.wait(shared.settings.poll).await {
                return;
            }
        }
    }

    /// Goes as far with this release as it goes now. Whether there is nothing to try again.
    async fn pursue(&self, shared: &Shared, named: &Blob) -> bool {
        let bytes = match shared.hub.blob(named).await {
            Ok(bytes) => bytes,
            Err(error) => {
                tracing::warn!(error = %crate::text::chain(&error), "the release cannot be fetched");
                let gone = matches!(
                    error,
                    HubError::TooLarge { .. } | HubError::NotAsNamed { .. }
                );
                if gone {
                    let detail = crate::text::chain(&error);
                    self.trouble(shared, Trouble::Refused { detail });
                }
                return false;
            }
        };
        let accepted = shared.keeper().accept_release(&bytes);
        let release = match accepted {
            Ok(release) => release,
            Err(error) => {
                let detail = crate::text::chain(&error);
                tracing::warn!(error = %detail, "a release is refused");
                let is_final = matches!(error, KeeperError::Trust(_));
                let trouble = if is_final {
                    Trouble::Refused { detail }
                } else {
                    Trouble::State { detail }
                };
                self.trouble(shared, trouble);
                return is_final;
            }
        };
        let image = match Image::of(&release, &target()) {
            Ok(image) => image,
            Err(trouble) => {
                let withdrawn = self.advance(shared, Event::Withdrawn);
                self.trouble(shared, trouble);
                return withdrawn.is_ok();
            }
        };
        let installed = self.0.entered.installed.clone();
        let Ok(actions) = self.advance(shared, Event::Released { image, installed }) else {
            return false;
        };
        for action in actions {
            let done = match action {
                Action::Fetch(image) => self.fetch(shared, &image, &bytes).await,
                Action::Adopt(image) => self.adopt(shared, &image, &bytes),
                _ => true,
            };
            if !done {
                return false;
            }
        }
        true
    }

    fn adopt(&self, shared: &Shared, image: &Image, release: &[u8]) -> bool {
        let adopted = self.0.disk.adopt(&image.file.digest, release);
        if let Err(error) = &adopted {
            let (version, detail) = (image.version.clone(), crate::text::chain(error));
            self.trouble(shared, Trouble::NotFetched { version, detail });
        }
        // A file that is not there, or not beside its release, is found by stage 0 and fetched again.
        true
    }

    async fn fetch(&self, shared: &Shared, image: &Image, release: &[u8]) -> bool {
        let root = shared.keeper().trust().root.clone();
        let (file, version) = (image.file.digest, image.version.clone());
        // It may lie there already: fetched just before a restart, or kept from an earlier release.
        let at_hand = fetch::take_in(&self.0.disk, &root, image, release).await;
        if at_hand.is_err() {
            tracing::info!(%version, %file, "fetches an update");
            let fetched = fetch::fetch(&shared.hub, &self.0.disk, &root, image, release).await;
            if let Err(trouble) = fetched {
                tracing::warn!(%trouble, "an update cannot be fetched");
                self.trouble(shared, trouble);
                return false;
            }
        }
        let event = match check(&self.0.disk.binary(&file), &self.0.config).await {
            Ok(()) => Event::Checked(file),
            Err(Failed::Binary(detail)) => Event::Unfit { file, detail },
            Err(Failed::Machine(detail)) => {
                self.trouble(shared, Trouble::NotExecutable { version, detail }.cleaned());
                return false;
            }
        };
        let noted = self.advance(shared, event);
        self.0.disk.retain(&self.state().keeps());
        noted.is_ok()
    }

    /// The file that runs, if it is on trial.
    fn on_trial(&self) -> Option<Digest> {
        let running = self.0.entered.image?;
        let state = self.state();
        let candidate = state.candidate.as_ref()?;
        let is_it = candidate.stage == Stage::Trying && candidate.image.file.digest == running;
        is_it.then_some(running)
    }

    fn is_ready(&self) -> bool {
        let state = self.state();
        state
            .candidate
            .as_ref()
            .is_some_and(|c| c.stage == Stage::Ready)
    }

    /// One step, with all that is to be told of it.
    fn advance(&self, shared: &Shared, event: Event) -> Result<Vec<Action>, LedgerError> {
        let actions = self.keep(event);
        if let Err(error) = &actions {
            shared.board.update(Some(unusable(error)));
            return actions;
        }
        self.tell(shared);
        actions
    }

    /// One step: on the disk first, believed second.
    fn keep(&self, event: Event) -> Result<Vec<Action>, LedgerError> {
        let mut state = self.state();
        let (next, actions) = step(state.clone(), event);
        if next != *state {
            self.0.disk.save(&next)?;
            *state = next;
        }
        Ok(actions)
    }

    /// What is wrong now; it need not survive.
    fn trouble(&self, shared: &Shared, trouble: Trouble) {
        self.state().trouble = Some(trouble.clone().cleaned());
        shared.board.update(Some(trouble.cleaned()));
    }

    /// Puts on the board what is wrong, and into the journal what is news.
    fn tell(&self, shared: &Shared) {
        let (news, trouble, in_effect) = {
            let state = self.state();
            let in_effect = InEffect::of(&self.0.entered, &state);
            (state.news.clone(), state.trouble.clone(), in_effect)
        };
        shared.board.release(in_effect);
        shared
            .board
            .update(trouble.or_else(|| self.0.entered.trouble.clone()));
        let mut told = 0;
        for item in &news {
            let detail = format!("{} (installed: {VERSION})", item.detail);
            let noted = shared
                .keeper()
                .note("update", &item.verdict, Some(item.file), &detail);
            if let Err(error) = noted {
                tracing::error!(error = %crate::text::chain(&error), "cannot write the journal");
                break;
            }
            tracing::info!(verdict = %item.verdict, file = %item.file, detail = %item.detail, "update");
            told += 1;
        }
        if told > 0 {
            let _ = self.keep(Event::Told(told));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unusable(error: &LedgerError) -> Trouble {
    let detail = crate::text::chain(error);
    Trouble::State { detail }.cleaned()
}
