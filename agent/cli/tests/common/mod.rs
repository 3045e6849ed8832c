//! A fleet in a temporary folder, its real hub on a real socket, and sessions to publish.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::PathBuf;

use clap::Parser as _;
use e3_cli::args::Cli;
use e3_cli::commands::fleet::{OpenFleet, Plan, create_at};
use e3_cli::commands::hub::serve;
use e3_cli::error::Error;
use e3_cli::fleet_file::Fleet;
use e3_cli::index::{Origin, Wheel};
use e3_cli::manifest::bundle::Bundle;
use e3_cli::manifest::draft::{Draft, MpycOptions};
use e3_cli::output::{Answer, Output};
use e3_client::clock;
use e3_core::digest::{Blob, Digest};
use e3_core::document::{Comparison, Exit, Outcome, OutputHash, Party, Receipt, Session, Timings};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::pack;
use e3_core::session::Failure;
use e3_core::time::Time;
use e3_hub::{Bound, Location, Settings, Tls};
use tokio::sync::oneshot;

/// The owner's key, and the keys of the parties alice, bob and carol.
pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

pub(crate) const PARTIES: [(&str, u8); 3] = [("alice", 11), ("bob", 12), ("carol", 13)];

/// A fleet and its hub; both go with it.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) owner: SecretKey,
    pub(crate) url: String,
    pub(crate) ca_pem: Option<String>,
    hub: Option<(Bound, oneshot::Sender<()>)>,
}

/// Runs `e3 …` for the world's fleet, as [`e3`], and may fail.
pub(crate) async fn try_e3(world: &World, words: &[&str]) -> Result<Answer, Error> {
    let folder = world.path().display().to_string();
    let line = [&["e3"], words, &["--quiet", "--fleet", &folder]].concat();
    let cli = Cli::try_parse_from(line).unwrap();
    let mut answer = e3_cli::commands::run(&cli, &Output::new(&cli.global)).await?;
    answer.text = answer
        .text
        .replace(&world.url, "HUB")
        .replace(&folder, "demo");
    Ok(answer)
}

/// Runs `e3 …` for the world's fleet; what differs between two runs is replaced.
pub(crate) async fn e3(world: &World, words: &[&str]) -> Answer {
    let answer = try_e3(world, words).await;
    answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

impl World {
    /// A file with the owner's key.
    pub(crate) fn key_file(&self) -> String {
        let file = self.folder.path().join("owner.pem");
        e3_client::files::write_secret(&file, self.owner.to_pem().as_bytes()).unwrap();
        file.display().to_string()
    }

    /// A fleet whose hub speaks plain HTTP.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}, Tls::None).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Plan), tls: Tls) -> Self {
        let mut world = Self::made(change, clock::now());
        world.start(tls).await.unwrap();
        world
    }

    /// A fleet that was made at `now`, without its hub.
    pub(crate) fn made(change: impl FnOnce(&mut Plan), now: Time) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let owner = key(1);
        let mut plan = Plan::new("demo".parse().unwrap(), "http://127.0.0.1:1");
        change(&mut plan);
        create_at(&folder.path().join("demo"), &plan, &owner, now).unwrap();
        Self {
            folder,
            owner,
            url: String::new(),
            ca_pem: None,
            hub: None,
        }
    }

    /// Starts the hub on a free port and points fleet.toml to it.
    pub(crate) async fn start(&mut self, tls: Tls) -> Result<(), Error> {
        self.start_at("127.0.0.1:0", tls).await
    }

    pub(crate) async fn start_at(&mut self, listen: &str, tls: Tls) -> Result<(), Error> {
        let mut fleet = self.file();
        let store = Location::Folder(self.store());
        let mut settings = Settings::new(store, listen.parse().unwrap(), clock::now);
        let scheme = if matches!(tls, Tls::None) {
            "http"
        } else {
            "https"
        };
        settings.tls = tls;
        let (stop, stopping) = oneshot::channel();
        let bound = serve::start(Some(&fleet), settings, async {
            let _ = stopping.await;
        })
        .await?;
        self.url = format!("{scheme}://{}", bound.address);
        self.ca_pem.clone_from(&bound.ca_pem);
        fleet.set_hub(&self.url);
        fleet.save().unwrap();
        self.hub = Some((bound, stop));
        Ok(())
    }

    pub(crate) async fn stop(&mut self) {
        if let Some((bound, stop)) = self.hub.take() {
            drop(stop);
            bound.stopped().await;
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("demo")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path().join("hub")
    }

    pub(crate) fn file(&self) -> Fleet {
        Fleet::open(&self.path()).unwrap()
    }

    pub(crate) async fn open(&self) -> OpenFleet {
        OpenFleet::at(self.file()).await.unwrap()
    }

    /// A signed bundle of a session among alice, bob and carol.
    pub(crate) fn bundle(&self, name: &str, counter: u64) -> Bundle {
        self.bundle_signed(name, counter, &[&self.owner])
    }

    pub(crate) fn bundle_signed(&self, name: &str, counter: u64, signers: &[&SecretKey]) -> Bundle {
        let packed = pack::pack(&[("main.py".to_owned(), b"print(1)\n".to_vec())].into()).unwrap();
        let bytes = b"not really a wheel".to_vec();
        let wheel = Wheel {
            file: "mpyc-0.11-py3-none-any.whl".to_owned(),
            bytes,
            origin: Origin::Local,
        };
        let session = self.session(name, counter, &packed, &wheel);
        let envelope = Envelope::sign(&session, signers).unwrap();
        let path = self.folder.path().join(format!("{name}-{counter}.session"));
        Bundle::create(&path, session, envelope, &packed, &wheel).unwrap()
    }

    fn session(&self, name: &str, counter: u64, packed: &[u8], wheel: &Wheel) -> Session {
        let parties = PARTIES.map(|(name, n)| Party {
            name: name.parse().unwrap(),
            key: key(n).public(),
            owner: self.owner.public(),
            inputs: Vec::new(),
        });
        let mut draft = Draft::new(
            name.parse().unwrap(),
            parties.into(),
            PathBuf::new(),
            MpycOptions::new("0.11"),
        );
        draft.counter = Some(counter);
        draft.equal = vec!["stdout".to_owned()];
        let program = (Blob::of(packed), "main.py");
        draft
            .session(
                (&"demo".parse().unwrap(), 1),
                program,
                (&wheel.file, wheel.blob()),
                clock::now(),
            )
            .unwrap()
    }
}

/// The receipt of the party at `place`, signed by it.
pub(crate) fn receipt(
    session: &Session,
    manifest: Digest,
    place: usize,
    failure: Option<Failure>,
) -> Vec<u8> {
    let secret = key(PARTIES[place].1);
    let good = failure.is_none();
    let hash = OutputHash {
        name: "stdout".to_owned(),
        comparison: Comparison::Equal,
        hmac: Digest::of(b"1\n"),
    };
    let receipt = Receipt {
        fleet: session.fleet.clone(),
        session: session.name.clone(),
        manifest,
        party: place,
        key: secret.public(),
        outcome: failure.map_or(Outcome::Done, |failure| Outcome::Failed { failure }),
        exit: good.then_some(Exit::Code(0)),
        outputs: if good { vec![hash] } else { Vec::new() },
        program: Some(session.program.pack.digest),
        mpyc: Some(session.mpyc.wheel.digest),
        machine: None,
        barrier: Some(Digest::of(b"barrier")),
        rtt_us: std::collections::BTreeMap::new(),
        started: clock::now(),
        finished: clock::now(),
        timings: Timings::default(),
        published: None,
    };
    Envelope::sign(&receipt, &[&secret]).unwrap().to_bytes()
}
