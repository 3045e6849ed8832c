//! The driver's ears: what long work and the program say, as events of the state machine.

use e3_core::document::Machine;
use e3_core::session::{Ended, Event, Reason};

use super::super::{gate, talk};
use super::{Driver, Launched, Staged};
use crate::party::PartyEvent;

impl Driver {
    /// Takes in how staging has ended.
    pub(super) fn take_staged(&mut self, staged: Staged) -> Event {
        Event::Staged(staged.map(|staging| {
            self.facts.timings.staged_ms = Some(self.facts.elapsed());
            self.staging = Some(*staging);
        }))
    }

    /// Takes in how the start of the program has ended.
    pub(super) fn take_launched(&mut self, launched: Launched) -> Option<Event> {
        self.launching = None;
        match launched {
            Ok((party, events)) => {
                self.party = Some(party);
                self.party_events = Some(events);
                None
            }
            Err(reason) => Some(Event::AtGate(Err(reason))),
        }
    }

    /// Takes in what the program has said or done.
    pub(super) fn take_party_event(&mut self, event: PartyEvent) -> Event {
        match event {
            PartyEvent::AtGate { machine, port } => self.at_gate(machine, port),
            PartyEvent::Refused(reason) => Event::AtGate(Err(reason)),
            PartyEvent::Reached(parties) => Event::Reached(parties),
            PartyEvent::Connected => Event::Connected,
            PartyEvent::ConnectError(error) => Event::ConnectError(error),
            PartyEvent::Impostor(party) => Event::Impostor(party),
            PartyEvent::Broken(reason) => Event::Broken(reason),
            PartyEvent::Ended {
                exit,
                exception,
                stdout,
            } => {
                self.facts.timings.exited_ms = Some(self.facts.elapsed());
                self.party = None;
                self.party_events = None;
                self.facts.exit = Some(exit);
                let key = self
                    .facts
                    .barrier
                    .and_then(|barrier| talk::output_key(&self.talk, &barrier));
                if let Err(error) =
                    self.facts
                        .take_output(&self.context, &self.folder, &stdout, key)
                {
                    return Event::Broken(Reason::Disk {
                        detail: crate::text::chain(&error),
                    });
                }
                let equal = self.facts.equal();
                Event::Ended(Ended {
                    exit,
                    exception,
                    killed_by_agent: false,
                    equal,
                })
            }
        }
    }

    fn at_gate(&mut self, machine: Machine, port: Option<u16>) -> Event {
        self.facts.timings.gate_ms = Some(self.facts.elapsed());
        let Some(staging) = &self.staging else {
            return Event::AtGate(Err(Reason::AgentRestarted));
        };
        match gate::ready(
            &self.shared,
            &self.context,
            staging,
            machine,
            port,
            self.talk.round_trips(),
        ) {
            Ok(signed) => {
                let document = &signed.ready.document;
                self.facts.machine = Some(document.machine.clone());
                self.facts.program = Some(document.program);
                self.facts.mpyc = Some(document.mpyc);
                self.facts.rtt_us.clone_from(&document.rtt_us);
                let ready = signed.ready.clone();
                self.signed = Some(signed);
                Event::AtGate(Ok(Box::new(ready)))
            }
            Err(reason) => Event::AtGate(Err(reason)),
        }
    }
}
