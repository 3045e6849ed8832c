//! A fleet in use: its folder, its hub, and what has been verified of it.
//!
//! A command reads the hub like a party does: it walks the root chain, accepts heads by the trust
//! rules, and remembers the highest it has seen in the fleet's folder.

use std::path::Path;

use e3_client::clock;
use e3_client::hub::{Hub, HubError};
use e3_core::document::{Head, Role, Session, SessionRef};
use e3_core::envelope::{Envelope, EnvelopeError, Verified};
use e3_core::limits;
use e3_core::time::Time;
use e3_core::trust::{Refusal, Trust, TrustError};

use super::trust_state::TrustState;
use crate::error::Error;
use crate::fleet_file;

/// A fleet in use.
#[derive(Debug, Clone)]
pub struct OpenFleet {
    /// Its folder and fleet.toml.
    pub file: fleet_file::Fleet,
    /// Its hub.
    pub hub: Hub,
    /// What has been accepted.
    pub trust: Trust,
    state: TrustState,
}

/// Whether a head that has expired will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stale {
    /// No: what is shown or started rests on it.
    Refuse,
    /// Yes: it is about to be replaced, or only told about. All other rules hold.
    Allow,
}

impl OpenFleet {
    /// Opens the fleet in `given`, or the nearest one upward from the current folder.
    ///
    /// Only if the folder lacks the first root, the hub is asked for it.
    pub async fn open(given: Option<&Path>) -> Result<Self, Error> {
        Self::at(super::folder(given)?).await
    }

    /// The same for a fleet file that is open already.
    pub async fn at(file: fleet_file::Fleet) -> Result<Self, Error> {
        let ca = file.hub_ca_pem()?;
        let hub = Hub::open(&file.hub, ca.as_deref())?;
        let state = TrustState::new(&file.folder, file.root);
        let trust = match state.load()? {
            Some(trust) => trust,
            None => first_contact(&file, &hub).await?,
        };
        Ok(Self {
            file,
            hub,
            trust,
            state,
        })
    }

    /// Rule 10: what time it is.
    pub fn now(&self) -> Time {
        self.trust.now(clock::now())
    }

    /// Reads the hub's head and returns its tag.
    pub async fn sync(&mut self, stale: Stale) -> Result<String, Error> {
        let head = self.hub.head(None).await?;
        let head = head.ok_or_else(|| HubError::NotFound {
            what: "head.json".to_owned(),
        })?;
        self.take_head(&head.bytes, stale).await?;
        Ok(head.etag)
    }

    /// Takes a head that somebody handed over: walks to its root first (rule 4), then judges it (rule 5).
    pub async fn take_head(&mut self, bytes: &[u8], stale: Stale) -> Result<(), Error> {
        for version in self.trust.missing_roots(bytes)? {
            let root = self.hub.root(version).await?;
            let root = root.ok_or_else(|| HubError::NotFound {
                what: format!("root/{version}.json"),
            })?;
            self.change(|trust| {
                // Another command may have taken this step in the meantime.
                if trust.root.version < version {
                    trust.accept_root(&root)?;
                }
                Ok(())
            })?;
            self.file.put_root(version, &root)?;
        }
        self.change(|trust| accept(trust, bytes, stale))
    }

    fn change(
        &mut self,
        change: impl FnOnce(&mut Trust) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (trust, ()) = self.state.change(&self.trust, change)?;
        self.trust = trust;
        Ok(())
    }

    /// What this trust becomes with the roots that the hub has and no head stands on yet.
    ///
    /// It is kept when a head that stands on them is accepted, and not before: until then the head on
    /// the hub is one of the root that this folder holds.
    pub async fn next_trust(&self) -> Result<Trust, Error> {
        let mut trust = self.trust.clone();
        for _ in 0..limits::ROOT_STEPS {
            let Some(root) = self.hub.root(trust.root.version.saturating_add(1)).await? else {
                break;
            };
            trust.accept_root(&root)?;
            // The folder holds it for whoever signs without a network.
            self.file.put_root(trust.root.version, &root)?;
        }
        Ok(trust)
    }

    /// The newest head that has been accepted.
    pub fn head(&self) -> Result<&Head, Error> {
        let missing = || {
            HubError::NotFound {
                what: "head.json".to_owned(),
            }
            .into()
        };
        self.trust.head.as_ref().ok_or_else(missing)
    }

    /// Fetches and opens a session that the head names.
    pub async fn session(&self, named: &SessionRef) -> Result<Verified<Session>, Error> {
        let bytes = self.hub.blob(&named.envelope).await?;
        let refused = |source| Error::Session {
            name: named.name.to_string(),
            source,
        };
        self.trust.open_session(named, &bytes).map_err(refused)
    }

    /// Opens a session from a file: the fleet's part of rule 7, whether a head names it or not.
    pub fn open_session(&self, what: &str, bytes: &[u8]) -> Result<Verified<Session>, Error> {
        let refused = |source| Error::Envelope {
            what: what.to_owned(),
            source,
        };
        let envelope = Envelope::parse(bytes, limits::ENVELOPE).map_err(refused)?;
        let Role { keys, threshold } = &self.trust.root.session;
        let session: Verified<Session> =
            envelope
                .verify(keys, *threshold)
                .map_err(|error| match error {
                    EnvelopeError::Threshold { valid, threshold } => Error::Unsigned {
                        name: what.to_owned(),
                        valid,
                        threshold,
                    },
                    source => refused(source),
                })?;
        let document = &session.document;
        let source = if document.fleet != self.trust.root.fleet {
            Refusal::OtherFleet {
                fleet: document.fleet.clone(),
            }
        } else if document.epoch != self.trust.root.epoch {
            Refusal::OtherEpoch {
                current: self.trust.root.epoch,
                found: document.epoch,
            }
        } else {
            return Ok(session);
        };
        Err(Error::Session {
            name: document.name.to_string(),
            source,
        })
    }
}

/// The first root comes from the folder, or from the hub; either way it must be the one that
/// fleet.toml pins.
async fn first_contact(file: &fleet_file::Fleet, hub: &Hub) -> Result<Trust, Error> {
    let root = match e3_client::files::read_bounded(&file.root_path(1), limits::ENVELOPE) {
        Ok(root) => root,
        Err(error) if error.is_not_found() => {
            let root = hub.root(1).await?;
            root.ok_or_else(|| HubError::NotFound {
                what: "root/1.json".to_owned(),
            })?
        }
        Err(error) => return Err(error.into()),
    };
    let trust = Trust::first(&root, &file.root, Time::MIN)?;
    if trust.root.fleet != file.name {
        let (expected, found) = (file.name.clone(), trust.root.fleet);
        return Err(TrustError::OtherFleet {
            document: "root",
            expected,
            found,
        }
        .into());
    }
    file.put_root(1, &root)?;
    Ok(trust)
}

fn accept(trust: &mut Trust, bytes: &[u8], stale: Stale) -> Result<(), Error> {
    match trust.accept_head(bytes, clock::now()) {
        // Judged as of its last second: every rule but freshness still holds.
        Err(TrustError::Expired { expired, .. }) if stale == Stale::Allow => {
            let last = Time::from_unix(expired.unix() - 1);
            trust.accept_head(bytes, last)?;
        }
        other => {
            other?;
        }
    }
    Ok(())
}
