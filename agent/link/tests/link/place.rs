//! Relays for tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use e3_core::mesh::link::{Id, KeySource, Relay, RelayConfig};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;

use crate::world::{Machine, Process, start, tcp_port, udp_port};

/// Somebody who signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for this machine, good for these years, and its key.
    pub(crate) fn sign(&self, years: (i32, i32)) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1", PUBLIC].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        (pem, key.serialize_pem())
    }
}

/// Where a relay stands in the tests with networks of their own.
pub(crate) const PUBLIC: &str = "203.0.113.10";

/// A relay.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) config: RelayConfig,
    pub(crate) authority: Authority,
    pub(crate) process: Option<Process>,
}

pub(crate) const NOW: (i32, i32) = (2020, 2100);

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| -> PathBuf { folder.path().join(name) };
        let config = RelayConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], tcp_port())),
            discovery: SocketAddr::from(([127, 0, 0, 1], udp_port())),
            certificate: file("relay.crt"),
            key: KeySource::File(file("relay.key")),
            allow: file("allow.json"),
            bytes_per_second: None,
        };
        let place = Self {
            folder,
            config,
            authority: Authority::new(),
            process: None,
        };
        place.show(&place.authority.sign(NOW));
        place
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        e3_client::files::write_private(&self.folder.path().join(name), bytes).unwrap();
    }

    pub(crate) fn show(&self, (certificate, key): &(String, String)) {
        self.write("relay.key", key.as_bytes());
        self.write("relay.crt", certificate.as_bytes());
    }

    pub(crate) fn allow(&self, machines: &[&Machine]) {
        let ids: Vec<Id> = machines.iter().map(|machine| machine.id).collect();
        self.write("allow.json", &serde_json::to_vec(&ids).unwrap());
    }

    pub(crate) fn start(&mut self) {
        self.write("relay.json", &serde_json::to_vec(&self.config).unwrap());
        let path = self.folder.path().join("relay.json");
        let arguments = ["relay", "--config", path.to_str().unwrap()];
        self.process = Some(start(&self.folder, &arguments));
    }

    /// The relay as a hub starts it.
    pub(crate) fn attached(&self) -> Child {
        self.write("relay.json", &serde_json::to_vec(&self.config).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_e3-link"));
        command.args(["relay", "--attached", "--config"]);
        command.arg(self.folder.path().join("relay.json"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Makes this the relay of a machine.
    pub(crate) fn serves(&self, machine: &mut Machine) {
        machine.config.relays.push(Relay {
            url: format!("https://{}", self.config.listen),
            discovery_port: self.config.discovery.port(),
        });
        machine.config.authorities = Some(self.authority.pem.clone());
    }
}
