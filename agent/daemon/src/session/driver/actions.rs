//! The driver's hands: what each action of the state machine means on this machine.

use std::time::Duration;

use e3_core::document::{Outcome, Ready};
use e3_core::session::{Action, Event, Reason, State, Tell};
use e3_core::trust::Refusal;
use e3_core::trust::policy::Judgement;
use tokio::time::Instant;

use super::super::gate;
use super::super::stage;
use super::{Driver, RECHECK, Standing};
use crate::mesh::link::ways;
use crate::party::{Around, Party};
use crate::peer::frame::Frame;

impl Driver {
    /// Carries actions out, in order.
    pub(super) async fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Judge => self.judge().await,
                Action::Stage => self.stage(),
                Action::StartGate => self.launch(),
                Action::Tell(tell) => self.tell(tell),
                Action::Open(readies) => self.open(&readies).await,
                Action::Kill => self.kill().await,
                Action::StartTimer(timer) => {
                    let after = Duration::from_millis(timer.milliseconds(&self.context.session));
                    self.timers.insert(timer, Instant::now() + after);
                }
                Action::Conclude(outcome) => self.conclude(outcome),
            }
        }
    }

    /// Asks the fleet's rules and the owner's policy.
    pub(super) async fn judge(&mut self) {
        let refused = |detail: String| Reason::Refused {
            refusal: Refusal::Unreadable { detail },
        };
        let policy = match self.shared.policy() {
            Ok(policy) => policy,
            Err(error) => {
                tracing::error!(error = %crate::text::chain(&error), "the policy cannot be read");
                let reason = refused("the owner's policy is broken".to_owned());
                return self.advance(Event::Broken(reason)).await;
            }
        };
        let Standing::Accepted(session) = &self.standing else {
            return;
        };
        let judged = {
            let mut keeper = self.shared.keeper();
            // Rule 11: an expired head starts nothing new.
            if keeper.head_is_fresh() {
                Some(keeper.judge(session, &policy, &self.shared.me()))
            } else {
                None
            }
        };
        let event = match judged {
            None => Event::Broken(crate::sync::expired(&self.shared)),
            Some(Err(error)) => Event::Broken(Reason::Disk {
                detail: crate::text::chain(&error),
            }),
            Some(Ok(Ok(Judgement::NotBefore(time)))) => {
                let wait = time.since(self.shared.keeper().now()).max(1).unsigned_abs();
                self.postponed = Some(Instant::now() + Duration::from_secs(wait).min(RECHECK));
                return;
            }
            Some(Ok(Ok(Judgement::Accepted))) => {
                self.facts.timings.verified_ms = Some(self.facts.elapsed());
                Event::Judged(Ok(()))
            }
            Some(Ok(Err(refusal))) => Event::Judged(Err(refusal)),
        };
        self.advance(event).await;
    }

    fn stage(&self) {
        let (shared, context) = (self.shared.clone(), self.context.clone());
        let (folder, reports) = (self.folder.clone(), self.reports.clone());
        tokio::spawn(async move {
            let staged = stage::stage(&shared, &context, &folder).await;
            // The session is over, and nobody else cleans up any more.
            if reports.send(staged.map(Box::new)).await.is_err() {
                folder.clear_run();
            }
        });
    }

    fn launch(&mut self) {
        let Some(staging) = &self.staging else { return };
        let spec = gate::spec(&self.context, &self.folder, staging);
        let shared = self.shared.clone();
        self.launching = Some(tokio::spawn(async move {
            Party::launch(&shared.launcher, spec).await
        }));
    }

    fn tell(&mut self, tell: Tell) {
        let frame = match tell {
            Tell::Ready => {
                let Some(signed) = &self.signed else { return };
                Frame::Ready {
                    envelope: signed.envelope.clone(),
                }
            }
            Tell::Armed(barrier) => {
                let share = *e3_client::random::bytes32();
                self.talk.set_share(self.context.me, share);
                Frame::Armed { barrier, share }
            }
            Tell::Reached(parties) => Frame::Reached { parties },
            Tell::Finished(outputs) => Frame::Finished { outputs },
            Tell::Failed(failure) => Frame::Failed { failure },
        };
        self.talk.say(frame);
    }

    async fn open(&mut self, readies: &[Ready]) {
        self.facts.timings.barrier_ms = Some(self.facts.elapsed());
        if let State::Running { barrier, .. } = &self.state {
            self.facts.barrier = Some(*barrier);
        }
        let endpoints = readies.iter().map(|ready| ready.endpoint.clone()).collect();
        let tls = self.context.session.mpyc.tls && readies.len() > 1;
        let authorities = gate::authorities(readies).filter(|_| tls);
        let local = ways::open(&self.shared, &self.context, readies).await;
        let opened = match (&self.party, local) {
            (Some(party), Ok(local)) => {
                let seen = self.talk.addresses().iter().copied().collect();
                party
                    .open(
                        self.context.me,
                        endpoints,
                        authorities,
                        Around { seen, local },
                    )
                    .await
            }
            (_, Err(reason)) => Err(reason),
            (None, _) => Err(Reason::AgentRestarted),
        };
        if let Err(reason) = opened {
            self.advance(Event::Broken(reason)).await;
        }
    }

    async fn kill(&mut self) {
        // What the program said before it was killed still explains something.
        if let Some(mut events) = self.party_events.take() {
            while let Ok(event) = events.try_recv() {
                self.late.push(event);
            }
        }
        // Whoever overtakes a start finds nothing to end, and what then starts is nobody's.
        if let Some(launching) = self.launching.take()
            && let Ok(Ok((party, _))) = launching.await
        {
            self.party = Some(party);
        }
        match self.party.take() {
            Some(party) => party.kill().await,
            // A killed agent may have left one behind.
            None => {
                self.shared
                    .launcher
                    .kill_leftovers(&self.context.manifest)
                    .await;
            }
        }
    }

    fn conclude(&mut self, outcome: Outcome) {
        ways::close(&self.shared, self.context.manifest);
        // Taken up again only to repeat the last word: all else has been done.
        if self.folder.has_receipt() {
            return self.folder.clear_run();
        }
        if outcome == Outcome::Done
            && let Some(staging) = &self.staging
        {
            self.shared.runtimes.good(&staging.runtime.wheel);
        }
        // First: on a full disk this makes room for the receipt.
        self.folder.clear_run();
        self.unsigned = Some(outcome);
        self.sign();
    }

    /// Writes the receipt, unless the disk does not take it; then it is tried again in [`Driver::linger`].
    pub(super) fn sign(&mut self) {
        let Some(outcome) = self.unsigned.clone() else {
            return;
        };
        let (verdict, detail) = match &outcome {
            Outcome::Done => ("done", String::new()),
            Outcome::Failed { failure } => ("failed", failure.to_string()),
        };
        let written = self.save().and_then(|()| {
            let (shared, context) = (&self.shared, &self.context);
            self.facts
                .write_receipt(shared, context, &self.folder, outcome)
        });
        if let Err(error) = written {
            tracing::error!(error = %crate::text::chain(&error), "cannot write the receipt; trying again until there is room");
            return;
        }
        self.unsigned = None;
        self.shared.outbox.push(self.context.manifest);
        if let Err(error) =
            self.shared
                .keeper()
                .note("session", verdict, Some(self.context.manifest), &detail)
        {
            tracing::error!(error = %crate::text::chain(&error), "cannot write the journal");
        }
    }
}
