//! A fleet with keys, and a hub on a real socket.
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use e3_client::hub::Hub;
use e3_core::digest::{Blob, Digest};
use e3_core::document::{
    Consent, Deadlines, Document, Enrolment, Head, Invite, Limits as Caps, Mpyc, Outcome,
    OutputRule, Party, Presence, Program, Receipt, Release, Role, Root, RootRef, Session,
    SessionRef, Timings,
};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::name::Name;
use e3_core::time::Time;
use e3_hub::{Bound, Limits, Location, Settings, Tls};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// What time it is for the hubs under test.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn now() -> Time {
    Time::from_unix(NOW)
}

pub(crate) fn key(n: u8) -> SecretKey {
    SecretKey::from_seed(&[n; 32])
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn sign<T: Document>(document: &T, keys: &[u8]) -> Vec<u8> {
    let keys: Vec<SecretKey> = keys.iter().map(|n| key(*n)).collect();
    Envelope::sign(document, &keys.iter().collect::<Vec<_>>())
        .unwrap()
        .to_bytes()
}

pub(crate) fn digest(envelope: &[u8]) -> Digest {
    Envelope::parse(envelope, 1 << 20).unwrap().digest()
}

/// Keys: 1 root, 2 head, 3 and 4 session (both must sign), 5 release, 11, 12, … parties, 3 owns them.
pub(crate) fn root(version: u64) -> Root {
    let role = |keys: &[u8], threshold| Role {
        keys: keys.iter().map(|n| key(*n).public()).collect(),
        threshold,
    };
    Root {
        fleet: name("fleet"),
        version,
        epoch: 1,
        signed: now(),
        root: role(&[1], 1),
        head: role(&[2], 1),
        session: role(&[3, 4], 2),
        release: role(&[5], 1),
    }
}

pub(crate) fn root_bytes() -> Vec<u8> {
    sign(&root(1), &[1])
}

pub(crate) fn head(counter: u64, sessions: Vec<SessionRef>) -> Head {
    Head {
        fleet: name("fleet"),
        epoch: 1,
        counter,
        signed: now(),
        expires: now().plus(1000),
        root: RootRef {
            version: 1,
            digest: digest(&root_bytes()),
        },
        sessions,
        revoked: vec![],
        release: None,
        meshes: Vec::new(),
    }
}

pub(crate) fn head_bytes(counter: u64) -> Vec<u8> {
    sign(&head(counter, vec![]), &[2])
}

pub(crate) const PROGRAM: &[u8] = b"a program";
pub(crate) const WHEEL: &[u8] = b"a wheel";

pub(crate) fn session() -> Session {
    let party = |n: u8| Party {
        name: name(&format!("p{n}")),
        key: key(n).public(),
        owner: key(3).public(),
        inputs: vec![],
    };
    Session {
        fleet: name("fleet"),
        epoch: 1,
        name: name("session"),
        counter: 1,
        not_before: now(),
        expires: now().plus(1000),
        consent: Consent::Signers,
        output: OutputRule::Private,
        parties: [11, 12, 13].map(party).to_vec(),
        program: Program {
            pack: Blob::of(PROGRAM),
            entry: "main.py".to_owned(),
            args: vec![],
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
        modules: vec![],
        equal: vec![],
        limits: Caps {
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

pub(crate) fn session_bytes() -> Vec<u8> {
    sign(&session(), &[3, 4])
}

pub(crate) fn session_ref(envelope: &[u8]) -> SessionRef {
    SessionRef {
        name: name("session"),
        counter: 1,
        manifest: digest(envelope),
        envelope: Blob::of(envelope),
    }
}

pub(crate) fn release() -> Release {
    Release {
        fleet: name("fleet"),
        epoch: 1,
        counter: 1,
        version: "1.0.0".to_owned(),
        signed: now(),
        expires: now().plus(1000),
        binaries: vec![e3_core::document::Binary {
            target: "t".to_owned(),
            file: Blob::of(b"agent"),
        }],
    }
}

pub(crate) fn receipt(party: usize) -> Receipt {
    Receipt {
        fleet: name("fleet"),
        session: name("session"),
        manifest: digest(&session_bytes()),
        party,
        key: key(11 + u8::try_from(party).unwrap()).public(),
        outcome: Outcome::Done,
        exit: None,
        outputs: vec![],
        program: None,
        mpyc: None,
        machine: None,
        barrier: None,
        rtt_us: std::collections::BTreeMap::new(),
        started: now(),
        finished: now(),
        timings: Timings::default(),
        published: None,
    }
}

/// The invite of owner 3 with one-time key `once`, and the answer of `party` to it.
pub(crate) fn enrolment(once: u8, party: u8, expires: Time) -> (Vec<u8>, Vec<u8>) {
    let invite = Invite {
        fleet: name("fleet"),
        name: name(&format!("p{party}")),
        owner: key(3).public(),
        key: key(once).public(),
        expires,
    };
    let invite = sign(&invite, &[3]);
    (answer(&invite, once, party), invite)
}

pub(crate) fn answer(invite: &[u8], once: u8, party: u8) -> Vec<u8> {
    let enrolment = Enrolment {
        fleet: name("fleet"),
        invite: digest(invite),
        party: key(party).public(),
        signed: now(),
    };
    sign(&enrolment, &[once, party])
}

pub(crate) fn presence(party: u8, counter: u64) -> Presence {
    Presence {
        fleet: name("fleet"),
        party: key(party).public(),
        name: name(&format!("p{party}")),
        owner: key(3).public(),
        counter,
        signed: now(),
        agent: "1".to_owned(),
        image: None,
        addresses: vec![],
        meshes: std::collections::BTreeMap::default(),
        mesh_keys: std::collections::BTreeMap::default(),
        mesh_endpoints: std::collections::BTreeMap::default(),
        degraded: None,
        update: None,
        root: 1,
        head: 1,
        sessions: vec![],
    }
}

/// Bounds that let a test see a time limit without waiting for it.
pub(crate) fn quick() -> Limits {
    Limits {
        header: Duration::from_millis(300),
        handshake: Duration::from_millis(300),
        body_silence: Duration::from_millis(300),
        refresh: Duration::from_millis(20),
        drain: Duration::from_secs(2),
        ..Limits::default()
    }
}

/// A running hub.
pub(crate) struct Fleet {
    pub(crate) folder: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) ca: Option<String>,
    pub(crate) http: reqwest::Client,
    scheme: &'static str,
    stop: Option<oneshot::Sender<()>>,
    bound: Option<Bound>,
    kept: Option<tempfile::TempDir>,
}

impl Fleet {
    /// A fresh fleet with root 1 and head 1.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path().join("store");
        let location = Location::Folder(folder.clone());
        e3_hub::init(&location, &root_bytes(), Some(&head_bytes(1)), now())
            .await
            .unwrap();
        let mut fleet = Self::over(&folder, change).await;
        fleet.kept = Some(kept);
        fleet
    }

    /// One more hub over the same store.
    pub(crate) async fn over(folder: &std::path::Path, change: impl FnOnce(&mut Settings)) -> Self {
        e3_client::tls::install();
        let mut settings = Settings::new(
            Location::Folder(folder.to_owned()),
            SocketAddr::from(([127, 0, 0, 1], 0)),
            now,
        );
        settings.limits = Limits {
            refresh: Duration::from_millis(20),
            ..Limits::default()
        };
        change(&mut settings);
        let scheme = if matches!(settings.tls, Tls::None) {
            "http"
        } else {
            "https"
        };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async { drop(stopped.await) };
        let bound = e3_hub::serve(settings, shutdown).await.unwrap();
        Self {
            folder: folder.to_owned(),
            address: bound.address,
            ca: bound.ca_pem.clone(),
            http: reqwest::Client::new(),
            scheme,
            stop: Some(stop),
            bound: Some(bound),
            kept: None,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn client(&self) -> Hub {
        Hub::open(&self.url(), self.ca.as_deref().map(str::as_bytes)).unwrap()
    }

    pub(crate) fn mesh_keys(
        &self,
        backend: &str,
    ) -> tokio::sync::watch::Receiver<Option<std::collections::BTreeSet<String>>> {
        self.bound.as_ref().unwrap().mesh_keys(backend)
    }

    pub(crate) async fn stop(&mut self) {
        self.stop.take();
        self.bound.take().unwrap().stopped().await;
    }

    /// Sends a body; returns the status and the error's kind.
    pub(crate) async fn put(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        self.send(self.http.put(format!("{}/{path}", self.url())).body(body))
            .await
    }

    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> (u16, String) {
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let Some((_, rest)) = text.split_once("{\"error\":\"") else {
            return (status, String::new());
        };
        // Every refusal says what happened and what to do, and nothing of this machine.
        assert!(
            rest.contains("\"message\":\"") && rest.contains("\"remedy\":\""),
            "{text}"
        );
        assert!(!text.contains(&*self.folder.to_string_lossy()), "{text}");
        (status, rest.split('"').next().unwrap().to_owned())
    }

    pub(crate) async fn enrol(&self, enrolment: &[u8], invite: &[u8]) -> (u16, String) {
        let body = [b"{\"enrolment\":", enrolment, b",\"invite\":", invite, b"}"].concat();
        self.send(
            self.http
                .post(format!("{}/v1/enrol", self.url()))
                .body(body),
        )
        .await
    }

    pub(crate) async fn put_head(&self, head: Vec<u8>, etag: &str) -> (u16, String) {
        let request = self.http.put(format!("{}/head.json", self.url()));
        self.send(request.header("if-match", etag).body(head)).await
    }

    pub(crate) async fn etag(&self) -> String {
        self.client().head(None).await.unwrap().unwrap().etag
    }

    /// Sends bytes as they are and reads until the other side closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// The status of a refusal with its kind.
pub(crate) fn no(status: u16, kind: &str) -> (u16, String) {
    (status, kind.to_owned())
}

/// A success.
pub(crate) fn yes(status: u16) -> (u16, String) {
    (status, String::new())
}
