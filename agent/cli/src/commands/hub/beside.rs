//! Which relay stands beside the hub: the one that somebody asks for, or the one that the fleet's head names there. That is so
//! in a fleet whose owner has chosen nothing; it has to be started by nobody then.
//!
//! One that was asked for must run. The other one is left out, with a word about it, where it cannot be had: machines that
//! reach each other have no need of it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use e3_client::{clock, files};
use e3_core::document::Head;
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::mesh::Backend;
use e3_core::mesh::link::{DISCOVERY_PORT, Link};
use e3_hub::{Bound, KeptCertificate, Location, Tls};
use reqwest::Url;

use super::relay::{self, Relay};
use super::serve::{HUB_TLS, RELAY_CA, certificate, write_if_new};
use crate::args::HubServe;
use crate::commands::fleet::HEAD;
use crate::error::Error;
use crate::fleet_file::Fleet;

/// The relay's port, if nobody names another one: what passes where little else does.
const PORT: u16 = 443;

/// A relay as it is to be.
pub(super) struct Place {
    /// The name or address by which machines reach it.
    pub(super) host: String,
    port: u16,
    discovery: u16,
    /// Whether somebody has asked for it.
    pub(super) is_wanted: bool,
    /// Whether the head names it.
    pub(super) is_named: bool,
    /// Whose certificates machines take for its own, by the head.
    authorities: Option<String>,
}

/// A relay that runs.
pub(super) struct Beside {
    pub(super) relay: Relay,
    /// What machines are told.
    pub(super) url: String,
    /// Whether the head names it.
    pub(super) is_named: bool,
    /// The file with the authority of its certificate, if that is the hub's own.
    pub(super) ca: Option<PathBuf>,
    _certificate: Option<KeptCertificate>,
}

impl Place {
    /// The relay beside this hub, if there is to be one.
    pub(super) fn find(
        args: &HubServe,
        fleet: Option<&Fleet>,
        store: &Location,
    ) -> Result<Option<Self>, Error> {
        if args.no_relay {
            return Ok(None);
        }
        let hub = fleet.and_then(|fleet| host_and_port(&fleet.hub));
        let hub = hub.map(|(host, _)| host);
        let asked = args.relay.clone();
        let is_wanted = asked.is_some();
        let at = asked.unwrap_or_default();
        let Some(host) = at.host.or(hub) else {
            if !is_wanted {
                return Ok(None);
            }
            return Err(Error::Usage {
                message: "the relay has no name: fleet.toml does not say where the hub is"
                    .to_owned(),
                remedy: "Name the host by which machines reach it: --relay=HOST[:PORT].",
            });
        };
        let link = fleet.and_then(|fleet| link_of(fleet, store));
        let named = link.as_ref().and_then(|link| {
            let mut each = link.relays.iter().map(|relay| {
                let (host, port) = host_and_port(&relay.url)?;
                Some((host, port, relay.discovery_port))
            });
            each.find_map(|relay| {
                relay.filter(|(named, port, _)| {
                    *named == host && at.port.is_none_or(|asked| asked == *port)
                })
            })
        });
        if named.is_none() && !is_wanted {
            return Ok(None);
        }
        let port = named.as_ref().map(|(_, port, _)| *port);
        let discovery = named.as_ref().map(|(_, _, discovery)| *discovery);
        Ok(Some(Self {
            host,
            port: at.port.or(port).unwrap_or(PORT),
            discovery: { args.relay_discovery }
                .or(discovery)
                .unwrap_or(DISCOVERY_PORT),
            is_wanted,
            is_named: named.is_some(),
            authorities: link
                .filter(|_| named.is_some())
                .and_then(|link| link.authorities),
        }))
    }

    /// Whose certificate it has.
    fn tls(&self, args: &HubServe, fleet: Option<&Fleet>) -> Result<Tls, Error> {
        if let (Some(certificate), Some(key)) = (&args.relay_cert, &args.relay_key) {
            return Ok(Tls::Files {
                certificate: certificate.clone(),
                key: key.clone(),
            });
        }
        let folder = fleet.map_or(Path::new("."), |fleet| &fleet.folder);
        let folder = folder.join(HUB_TLS);
        let own = files::read_bounded(&folder.join("ca.pem"), limits::ENVELOPE);
        let own = own.ok().and_then(|pem| String::from_utf8(pem).ok());
        let is_own = |named: &String| own.as_ref().is_some_and(|own| named.contains(own.trim()));
        match &self.authorities {
            Some(named) if args.tls_cert.is_none() && !is_own(named) => {
                Err(Error::OtherAuthority { folder })
            }
            // What machines expect, although the hub itself shows another one.
            Some(named) if args.tls_cert.is_some() && is_own(named) => Ok(Tls::SelfSigned {
                folder,
                names: vec![self.host.clone()],
            }),
            _ => Ok(certificate(args, fleet, Some(&self.host))),
        }
    }

    /// Starts it.
    pub(super) async fn start(
        &self,
        args: &HubServe,
        fleet: Option<&Fleet>,
        bound: &Bound,
    ) -> Result<Beside, Error> {
        let tls = self.tls(args, fleet)?;
        let listen = args
            .relay_listen
            .unwrap_or_else(|| SocketAddr::new(bound.address.ip(), self.port));
        let failed = |source| Error::Serve {
            listen: listen.to_string(),
            source,
        };
        let kept = KeptCertificate::open(&tls, clock::now).map_err(failed)?;
        let (certificate, key) = kept
            .as_ref()
            .map(|kept| (kept.certificate.clone(), kept.key.clone()))
            .unwrap_or_default();
        let ca = match (kept.as_ref().and_then(|kept| kept.ca_pem.as_ref()), fleet) {
            (Some(pem), Some(fleet)) => Some(write_if_new(&fleet.folder.join(RELAY_CA), pem)?),
            _ => None,
        };
        let settings = relay::Settings {
            program: args.relay_program.clone(),
            folder: fleet
                .map_or(Path::new("."), |fleet| &fleet.folder)
                .join("relay"),
            listen,
            discovery: SocketAddr::new(listen.ip(), self.discovery),
            certificate,
            key,
        };
        let relay = relay::start(settings, bound.mesh_keys("link")).await?;
        // As it stands in a URL.
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        // Behind a router it may listen elsewhere than where machines find it.
        let port = match args.relay_listen {
            Some(_) => self.port,
            None => relay.ready.listen.port(),
        };
        let url = match port {
            PORT => format!("https://{host}"),
            port => format!("https://{host}:{port}"),
        };
        Ok(Beside {
            relay,
            url,
            is_named: self.is_named,
            ca,
            _certificate: kept,
        })
    }
}

/// What the fleet's head says of the built-in mesh, as far as it lies on this machine. Nothing rests on it but whether a relay
/// runs, so it is not verified.
fn link_of(fleet: &Fleet, store: &Location) -> Option<Link> {
    let served = match store {
        Location::Folder(folder) => files::read_bounded(&folder.join(HEAD), limits::HEAD).ok(),
        Location::S3(_) | Location::Other(_) => None,
    };
    let first = || files::read_bounded(&fleet.folder.join(HEAD), limits::HEAD).ok();
    let envelope = Envelope::parse(&served.or_else(first)?, limits::HEAD).ok()?;
    let head: Head = envelope.unverified().ok()?;
    head.meshes.into_iter().find_map(|plan| match plan.backend {
        Backend::Link(link) => Some(link),
        _ => None,
    })
}

/// Host, without brackets, and port of a URL.
fn host_and_port(url: &str) -> Option<(String, u16)> {
    let url: Url = url.parse().ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    let host = host.trim_matches(['[', ']']).to_owned();
    Some((host, url.port_or_known_default()?))
}
