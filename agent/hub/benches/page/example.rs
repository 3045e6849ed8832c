//! Fleets to look at: one of five machines in which things happen, and one as large as wanted.
//!
//! Documents are real and signed; those of the large fleet are laid into the store's folder before its hub starts, since enrolling
//! thousands of machines over HTTP would take longer than what is measured.

#![allow(
    clippy::disallowed_methods,
    reason = "a store's folder is written as it should be read"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use e3_client::{clock, hub::Hub};
use e3_core::degraded::Degraded;
use e3_core::digest::{Blob, Digest};
use e3_core::document::{
    Comparison, Consent, Deadlines, Document, Enrolment, Exit, Head, Invite, Limits, Mesh, Mpyc,
    Outcome, OutputHash, OutputRule, Party, Presence, Program, Progress, Receipt, Role, Root,
    RootRef, Session, SessionPresence, SessionRef, Timings,
};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::mesh::{Anchor, Backend, Member, NotJoined, Plan, Roster};
use e3_core::name::Name;
use e3_core::session::{Failure, Reason};
use e3_core::trust::Refusal;
use e3_hub::{Bound, Location, Settings};

use super::Failure as Broken;

const PROGRAM: &[u8] = b"a program";
const WHEEL: &[u8] = b"a wheel";

/// Keys are the same in every run, so that pictures of the page are: whoever is not a machine has a number below ten.
fn key(n: usize) -> SecretKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
    SecretKey::from_seed(&seed)
}

const OWNER: usize = 1;
/// The first machine.
const FIRST: usize = 10;

fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

fn sign<T: Document>(document: &T, keys: &[usize]) -> Vec<u8> {
    let keys: Vec<SecretKey> = keys.iter().map(|n| key(*n)).collect();
    let envelope = Envelope::sign(document, &keys.iter().collect::<Vec<_>>());
    envelope.expect("a document that makes sense").to_bytes()
}

fn digest(envelope: &[u8]) -> Digest {
    let envelope = Envelope::parse(envelope, 1 << 20);
    envelope.expect("an envelope").digest()
}

/// A fleet and its folder.
pub(crate) struct Example {
    folder: PathBuf,
    names: Vec<String>,
    root: Vec<u8>,
    counter: u64,
    head: u64,
    hub: Option<Hub>,
}

impl Example {
    fn new(folder: &Path, names: Vec<String>) -> Self {
        let role = |keys: &[usize]| Role {
            keys: keys.iter().map(|n| key(*n).public()).collect(),
            threshold: 1,
        };
        let root = Root {
            fleet: name("harbour"),
            version: 1,
            epoch: 1,
            signed: clock::now(),
            root: role(&[OWNER]),
            head: role(&[OWNER]),
            session: role(&[OWNER]),
            release: role(&[OWNER + 1]),
        };
        let root = sign(&root, &[OWNER]);
        let example = Self {
            folder: folder.to_owned(),
            names,
            root,
            counter: 1,
            head: 1,
            hub: None,
        };
        for part in ["parties", "presence", "root"] {
            std::fs::create_dir_all(folder.join("hub").join(part)).expect("a folder");
        }
        for place in 0..example.names.len() {
            example.enrol(place);
        }
        example
    }

    /// A fleet of many machines that do nothing.
    pub(crate) fn large(folder: &Path, parties: usize) -> Self {
        let names = (1..=parties).map(|n| format!("machine-{n:04}")).collect();
        let example = Self::new(folder, names);
        example.all_say();
        example
    }

    /// Five machines: three at work, one in trouble, one at the door. The owner's folder lies beside the store.
    pub(crate) fn small(folder: &Path) -> Self {
        let names = ["alice", "bob", "carol", "dave", "erin"];
        let example = Self::new(folder, names.map(str::to_owned).to_vec());
        std::fs::write(folder.join("key.pem"), key(OWNER).to_pem().as_bytes()).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(folder.join("key.pem"), mode).expect("its mode");
        example.all_say();
        example
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        std::fs::write(self.folder.join("hub").join(path), bytes).expect("a file in the store");
    }

    fn enrol(&self, place: usize) {
        let (once, party) = (key(100_000 + place), key(FIRST + place));
        let now = clock::now();
        let invite = Invite {
            fleet: name("harbour"),
            name: name(&self.names[place]),
            owner: key(OWNER).public(),
            key: once.public(),
            expires: now.plus(3600),
        };
        let invite = sign(&invite, &[OWNER]);
        let enrolment = Enrolment {
            fleet: name("harbour"),
            invite: digest(&invite),
            party: party.public(),
            signed: now,
        };
        let enrolment = sign(&enrolment, &[100_000 + place, FIRST + place]);
        let parts: [&[u8]; 5] = [
            b"{\"enrolment\":",
            &enrolment,
            b",\"invite\":",
            &invite,
            b"}",
        ];
        self.put(&format!("parties/{}.json", party.public()), &parts.concat());
    }

    fn presence(&self, place: usize) -> Presence {
        let images = [
            "raspberrypi",
            "digitalocean",
            "wsl",
            "raspberrypi",
            "container",
        ];
        let party = key(FIRST + place).public();
        let mesh = if self.names.len() == 5 && place == 4 {
            Mesh::NotJoined {
                reason: NotJoined::NeedsApproval,
            }
        } else {
            let [a, b] = [place / 250, place % 250 + 1];
            Mesh::Joined {
                addresses: vec![format!("10.86.{a}.{b}")],
                took_ms: Some(420),
            }
        };
        Presence {
            fleet: name("harbour"),
            party,
            name: name(&self.names[place]),
            owner: key(OWNER).public(),
            counter: self.counter,
            signed: clock::now(),
            agent: "0.1.0".to_owned(),
            image: Some(if self.names.len() == 5 {
                images[place].to_owned()
            } else {
                self.news()
            }),
            addresses: vec!["198.51.100.7:7332".to_owned()],
            meshes: [("wireguard".to_owned(), mesh)].into(),
            mesh_keys: BTreeMap::new(),
            mesh_endpoints: BTreeMap::new(),
            degraded: None,
            update: None,
            root: 1,
            head: self.head,
            sessions: Vec::new(),
        }
    }

    fn all_say(&self) {
        for place in 0..self.names.len() {
            let mut presence = self.presence(place);
            if self.names.len() == 5 && place == 3 {
                let detail =
                    "cannot write /var/lib/e3/trust.json: no space left on device".to_owned();
                presence.degraded = Some(Degraded::Disk { detail });
            }
            let path = format!("presence/{}.json", presence.party);
            self.put(&path, &sign(&presence, &[FIRST + place]));
        }
    }

    /// What all machines of a large fleet said last, as it stands on the page.
    pub(crate) fn news(&self) -> String {
        format!("image-{}", self.counter)
    }

    /// Every machine has said something new.
    pub(crate) fn all_say_more(&mut self) {
        self.counter += 1;
        self.all_say();
    }

    fn head(&self, sessions: Vec<SessionRef>) -> Vec<u8> {
        let now = clock::now();
        // A list in the head has room for 128; erin is not in it.
        let members =
            (0..self.names.len().min(100)).filter(|place| self.names.len() != 5 || *place != 4);
        let member = |place| Member {
            party: key(FIRST + place).public(),
            key: format!("{place:043}="),
        };
        let plan = Plan {
            anchors: vec![Anchor {
                party: key(FIRST).public(),
                endpoints: vec!["198.51.100.7:51820".to_owned()],
            }],
            direct: false,
            backend: Backend::Wireguard(Roster {
                members: members.map(member).collect(),
                revoked: Vec::new(),
            }),
        };
        let head = Head {
            fleet: name("harbour"),
            epoch: 1,
            counter: self.head,
            signed: now,
            expires: now.plus(14 * 86_400),
            root: RootRef {
                version: 1,
                digest: digest(&self.root),
            },
            sessions,
            revoked: Vec::new(),
            release: None,
            // Larger fleets have certificates, and no list.
            meshes: if self.names.len() <= 100 {
                vec![plan]
            } else {
                Vec::new()
            },
        };
        sign(&head, &[OWNER])
    }

    /// Starts a hub over the store.
    pub(crate) async fn serve(&mut self) -> Bound {
        let location = Location::Folder(self.folder.join("hub"));
        let head = self.head(Vec::new());
        let init = e3_hub::init(&location, &self.root, Some(&head), clock::now());
        init.await.expect("a store");
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let settings = Settings::new(location, listen, clock::now);
        let bound = e3_hub::serve(settings, std::future::pending());
        bound.await.expect("a hub")
    }

    fn session(&self, title: &str, counter: u64, entry: &str) -> Session {
        let party = |place: usize| Party {
            name: name(&self.names[place]),
            key: key(FIRST + place).public(),
            owner: key(OWNER).public(),
            inputs: Vec::new(),
        };
        let now = clock::now();
        Session {
            fleet: name("harbour"),
            epoch: 1,
            name: name(title),
            counter,
            not_before: now,
            expires: now.plus(3600),
            consent: Consent::Signers,
            output: OutputRule::Publish,
            parties: (0..3).map(party).collect(),
            program: Program {
                pack: Blob::of(PROGRAM),
                entry: entry.to_owned(),
                args: Vec::new(),
            },
            mpyc: Mpyc {
                version: "0.11".to_owned(),
                file: "mpyc-0.11-py3-none-any.whl".to_owned(),
                wheel: Blob::of(WHEEL),
                threshold: None,
                prss: true,
                tls: true,
                base_port: 11365,
                bit_length: None,
                sec_param: None,
                mixed_word_sizes: false,
            },
            mesh: None,
            modules: Vec::new(),
            equal: vec!["stdout".to_owned()],
            limits: Limits {
                memory: 1 << 30,
                cpu: 100,
                tasks: 10,
                output: 1000,
            },
            deadlines: Deadlines {
                preflight: 10,
                connect: 10,
                run: 10,
            },
        }
    }

    fn receipt(session: &Session, manifest: Digest, place: usize, outcome: Outcome) -> Vec<u8> {
        let times = [
            [0, 12_400, 31_800],
            [12_900, 0, 148_200],
            [32_100, 147_500, 0],
        ];
        let others = (0..3).filter(|other| *other != place);
        let is_good = outcome == Outcome::Done;
        let receipt = Receipt {
            fleet: session.fleet.clone(),
            session: session.name.clone(),
            manifest,
            party: place,
            key: session.parties[place].key,
            outcome,
            exit: is_good.then_some(Exit::Code(0)),
            outputs: vec![OutputHash {
                name: "stdout".to_owned(),
                comparison: Comparison::Equal,
                hmac: Digest::of(b"the output"),
            }],
            program: Some(session.program.pack.digest),
            mpyc: Some(session.mpyc.wheel.digest),
            machine: None,
            barrier: Some(Digest::of(b"barrier")),
            rtt_us: others.map(|other| (other, times[place][other])).collect(),
            started: clock::now(),
            finished: clock::now(),
            timings: Timings {
                finished_ms: Some(1830 + 20 * place as u64),
                ..Timings::default()
            },
            published: is_good.then(|| "The average salary of 3 people is 59,117.33.\n".to_owned()),
        };
        sign(&receipt, &[FIRST + place])
    }

    /// Publishes three sessions: one that was refused, one that is good, one that runs.
    pub(crate) async fn start(&mut self, bound: &Bound) -> Result<(), Broken> {
        let url = format!("http://{}", bound.address);
        let hub = Hub::open(&url, None)?;
        let owner = format!(
            "name = \"harbour\"\nhub = \"{url}\"\nroot = \"{}\"\n",
            digest(&self.root)
        );
        std::fs::write(self.folder.join("fleet.toml"), owner)?;
        let all = [
            self.session("salary", 1, "average.py"),
            self.session("salary", 2, "average.py"),
            self.session("auction", 1, "second_price.py"),
        ];
        let mut named = Vec::new();
        for session in &all {
            let envelope = sign(session, &[OWNER]);
            hub.put_session(envelope.clone()).await?;
            named.push(SessionRef {
                name: session.name.clone(),
                counter: session.counter,
                manifest: digest(&envelope),
                envelope: Blob::of(&envelope),
            });
        }
        let reason = Reason::Refused {
            refusal: Refusal::MpycNotAllowed {
                version: "0.11".to_owned(),
            },
        };
        let failure = Failure { party: 2, reason };
        for place in 0..3 {
            let (failed, good) = (&named[0], &named[1]);
            let failure = Outcome::Failed {
                failure: failure.clone(),
            };
            let receipt = Self::receipt(&all[0], failed.manifest, place, failure);
            hub.put_receipt(&failed.envelope.digest, &failed.manifest, place, receipt)
                .await?;
            let receipt = Self::receipt(&all[1], good.manifest, place, Outcome::Done);
            hub.put_receipt(&good.envelope.digest, &good.manifest, place, receipt)
                .await?;
        }
        self.head += 1;
        let etag = hub.head(None).await?.ok_or("no head")?.etag;
        hub.put_head(self.head(named.clone()), Some(&etag)).await?;
        self.hub = Some(hub);
        let steps = [Progress::Running, Progress::Running, Progress::Preflight];
        self.go_on(named[2].manifest, steps).await
    }

    /// The session that runs comes to its end at all three.
    pub(crate) async fn finish(&mut self) -> Result<(), Broken> {
        let session = {
            let hub = self.hub.as_ref().ok_or("not started")?;
            let head = hub.head(None).await?.ok_or("no head")?;
            let head: Head = Envelope::parse(&head.bytes, 1 << 20)?.unverified()?;
            head.sessions.last().ok_or("no session")?.manifest
        };
        self.go_on(session, [Progress::Done; 3]).await
    }

    async fn go_on(&mut self, manifest: Digest, steps: [Progress; 3]) -> Result<(), Broken> {
        self.counter += 1;
        for (place, progress) in steps.into_iter().enumerate() {
            let mut presence = self.presence(place);
            presence.sessions = vec![SessionPresence {
                manifest,
                progress,
                failure: None,
            }];
            let hub = self.hub.as_ref().ok_or("not started")?;
            let envelope = sign(&presence, &[FIRST + place]);
            hub.put_presence(&presence.party, envelope).await?;
        }
        Ok(())
    }
}
