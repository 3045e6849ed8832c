//! Certificates of a mesh in a fleet whose heads need the signatures of two of three owners.

mod common;

use std::path::{Path, PathBuf};

use common::{World, e3, key, try_e3};
use e3_cli::commands::fleet::{OpenFleet, Stale, invite, join_file};
use e3_cli::error::Error;
use e3_client::clock;
use e3_client::hub::HubError;
use e3_core::document::{Enrolment, Presence, Token};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::mesh::{Backend, MeshGrant, Nebula};
use e3_core::time::Time;
use e3_hub::Tls;
use serde_json::json;

const LABEL: &str = "NEBULA CERTIFICATE V2";
/// Where certificates wait in the folder of who has made them.
const FILE: &str = "mesh/nebula/certificates.jsonl";

fn pem(body: &str) -> String {
    format!("-----BEGIN {LABEL}-----\n{body}\n-----END {LABEL}-----\n")
}

/// A certificate for alice, as the authority would make it.
fn grant() -> MeshGrant {
    let now = clock::now();
    MeshGrant {
        fleet: "demo".parse().unwrap(),
        party: key(11).public(),
        backend: "nebula".to_owned(),
        key: "AAAA".to_owned(),
        certificate: pem("DDDD"),
        authority: Nebula::authority(&pem("CCCC")),
        fingerprint: "0".repeat(64),
        earlier: Vec::new(),
        signed: now,
        expires: now.plus(90 * 86_400),
    }
}

/// The fleet of owners 1, 2 and 3, with alice, who has named the key `AAAA`.
struct Fleet {
    world: World,
    owners: Vec<String>,
}

impl Fleet {
    async fn new() -> Self {
        let fleet = Self::before_two().await;
        fleet.wants_two().await;
        fleet
    }

    /// The same while one signature is enough.
    async fn before_two() -> Self {
        let others = [2, 3].map(|n| key(n).public());
        let world = World::with(|plan| plan.owners = others.to_vec(), Tls::None).await;
        let owners = [1, 2, 3].map(|n| {
            let file = world.folder.path().join(format!("owner-{n}.pem"));
            e3_client::files::write_secret(&file, key(n).to_pem().as_bytes()).unwrap();
            file.display().to_string()
        });
        let fleet = Self {
            world,
            owners: owners.to_vec(),
        };
        fleet.comes("alice", &key(11), "AAAA").await;
        fleet.e3(1, &["fleet", "accept", "alice", "--yes"]).await;
        // The authority's certificate is there: its key makes certificates elsewhere.
        let folder = fleet.world.path().join("mesh/nebula");
        e3_client::files::private_folder(&folder).unwrap();
        e3_client::files::write_atomic(&folder.join("ca.crt"), pem("CCCC").as_bytes()).unwrap();
        let anchor = "alice=203.0.113.1:4242";
        fleet.e3(1, &["mesh", "nebula", "--anchor", anchor]).await;
        fleet
    }

    /// From now on a head needs two signatures.
    async fn wants_two(&self) {
        let root = self.world.folder.path().join("root-2.json");
        let root = root.display().to_string();
        let rotate = ["fleet", "rotate", "--threshold", "head=2", "-o", &root];
        self.e3(1, &rotate).await;
        let waits = self.try_e3(1, &["fleet", "push", &root]).await;
        let Err(Error::MoreSignatures { path, .. }) = waits else {
            panic!("{waits:?}")
        };
        let head = path.display().to_string();
        self.e3(2, &["fleet", "sign", &head]).await;
        self.e3(2, &["fleet", "push", &head]).await;
    }

    async fn e3(&self, owner: usize, words: &[&str]) -> serde_json::Value {
        e3(&self.world, &self.by(owner, words)).await.json
    }

    async fn try_e3(&self, owner: usize, words: &[&str]) -> Result<(), Error> {
        let done = try_e3(&self.world, &self.by(owner, words)).await;
        done.map(drop)
    }

    fn by<'a>(&'a self, owner: usize, words: &[&'a str]) -> Vec<&'a str> {
        let needs_key = !matches!(words, ["mesh", "sign", ..] if words.contains(&"--key"));
        let key: &[&str] = if needs_key {
            &["--key", &self.owners[owner - 1]]
        } else {
            &[]
        };
        [words, key].concat()
    }

    async fn open(&self) -> OpenFleet {
        let mut fleet = self.world.open().await;
        fleet.sync(Stale::Refuse).await.unwrap();
        fleet
    }

    /// A machine enrols, and names its key.
    async fn comes(&self, name: &str, identity: &SecretKey, mesh_key: &str) {
        let fleet = self.open().await;
        let invited = invite(&fleet, &name.parse().unwrap(), &self.world.owner, 600).unwrap();
        let join: toml::Table = join_file(&fleet, &invited).unwrap().parse().unwrap();
        let token = Token::from_text(join["token"].as_str().unwrap()).unwrap();
        let enrolment = Enrolment {
            fleet: fleet.file.name.clone(),
            invite: token.invite.digest(),
            party: identity.public(),
            signed: clock::now(),
        };
        let enrolment = Envelope::sign(&enrolment, &[identity, &token.key]).unwrap();
        let (enrolment, invite) = (enrolment.to_bytes(), token.invite.to_bytes());
        fleet.hub.enrol(&enrolment, &invite).await.unwrap();
        let presence = Presence {
            fleet: fleet.file.name.clone(),
            party: identity.public(),
            name: name.parse().unwrap(),
            owner: key(1).public(),
            counter: 1,
            signed: clock::now(),
            agent: "0.1.0".to_owned(),
            image: None,
            addresses: Vec::new(),
            meshes: std::collections::BTreeMap::new(),
            mesh_endpoints: std::collections::BTreeMap::new(),
            mesh_keys: [("nebula".to_owned(), mesh_key.to_owned())].into(),
            degraded: None,
            update: None,
            root: 1,
            head: 1,
            sessions: Vec::new(),
        };
        let presence = Envelope::sign(&presence, &[identity]).unwrap().to_bytes();
        let told = fleet.hub.put_presence(&identity.public(), presence).await;
        told.unwrap();
    }

    /// Whether alice has a certificate that she would believe.
    async fn is_in(&self) -> bool {
        let (fleet, alice) = (self.open().await, key(11).public());
        let there = fleet.hub.grant("nebula", &alice).await.unwrap();
        there.is_some_and(|bytes| {
            MeshGrant::open(&bytes, &fleet.trust.root, &alice, "nebula").is_ok()
        })
    }

    fn file(&self) -> PathBuf {
        self.world.path().join(FILE)
    }
}

fn put(path: &Path, envelope: &Envelope) {
    let line = [envelope.to_bytes(), b"\n".to_vec()].concat();
    e3_client::files::write_atomic(path, &line).unwrap();
}

#[tokio::test]
async fn the_second_of_two_signers_publishes_what_the_first_has_signed() {
    let fleet = Fleet::new().await;
    put(&fleet.file(), &Envelope::sign(&grant(), &[]).unwrap());
    let first = fleet.e3(1, &["mesh", "sign"]).await;
    assert_eq!(first["signed"], json!([]));
    let waiting = &first["waiting"];
    assert_eq!(waiting["names"], json!(["alice"]));
    assert_eq!(
        (&waiting["valid"], &waiting["threshold"]),
        (&json!(1), &json!(2))
    );
    assert!(!fleet.is_in().await);
    // Who has signed already counts once, with or without the authority.
    let file = fleet.file().display().to_string();
    for words in [&["mesh", "sign"][..], &["mesh", "sign", &file]] {
        let again = fleet.e3(1, words).await;
        assert_eq!(again["waiting"]["valid"], json!(1));
    }
    assert!(!fleet.is_in().await);

    // Two others have copies: the second signature publishes, and whoever comes later changes nothing.
    let [copy, late] = ["copy", "late"].map(|name| {
        let path = fleet.world.folder.path().join(name);
        std::fs::copy(fleet.file(), &path).unwrap();
        path
    });
    let second = fleet
        .e3(2, &["mesh", "sign", &copy.display().to_string()])
        .await;
    assert_eq!(second["signed"], json!(["alice"]));
    assert!(fleet.is_in().await);
    let third = fleet
        .e3(3, &["mesh", "sign", &late.display().to_string()])
        .await;
    assert_eq!(third, json!({"signed": [], "refused": []}));
    let settled = fleet.e3(1, &["mesh", "sign"]).await;
    assert_eq!(settled, json!({"signed": [], "refused": []}));
    for path in [copy, late, fleet.file()] {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[tokio::test]
async fn copies_that_were_signed_side_by_side_are_merged() {
    let fleet = Fleet::new().await;
    let grant = grant();
    let [one, two] = [1, 2].map(|n| {
        let path = fleet.world.folder.path().join(format!("copy-{n}"));
        put(&path, &Envelope::sign(&grant, &[&key(n)]).unwrap());
        path.display().to_string()
    });
    let merged = fleet.e3(1, &["mesh", "sign", &one, &two]).await;
    assert_eq!(merged["signed"], json!(["alice"]));
    assert!(fleet.is_in().await);
}

#[tokio::test]
async fn one_of_two_signatures_lets_nobody_in_however_often_it_is_there() {
    let fleet = Fleet::new().await;
    let (open, alice) = (fleet.open().await, key(11).public());
    let once = Envelope::sign(&grant(), &[&key(1)]).unwrap();
    let mut twice: serde_json::Value = serde_json::from_slice(&once.to_bytes()).unwrap();
    let signatures = twice["signatures"].as_array_mut().unwrap();
    let mut again = signatures[0].clone();
    // It claims to be another owner's.
    again["keyid"] = json!(key(2).public().to_string());
    signatures.push(again);
    let strangers = Envelope::sign(&grant(), &[&key(1), &key(66)]).unwrap();
    let party = Envelope::sign(&grant(), &[&key(1), &key(11)]).unwrap();
    for bytes in [
        once.to_bytes(),
        twice.to_string().into_bytes(),
        strangers.to_bytes(),
        party.to_bytes(),
    ] {
        let put = open.hub.put_grant("nebula", &alice, bytes).await;
        assert!(matches!(put, Err(HubError::Refused { .. })), "{put:?}");
    }
    assert!(!fleet.is_in().await);
    // A stranger's signature is not even added.
    put(&fleet.file(), &once);
    let stranger = fleet.world.folder.path().join("stranger.pem");
    e3_client::files::write_secret(&stranger, key(66).to_pem().as_bytes()).unwrap();
    let (file, stranger) = (
        fleet.file().display().to_string(),
        stranger.display().to_string(),
    );
    let refused = fleet
        .try_e3(1, &["mesh", "sign", &file, "--key", &stranger])
        .await;
    assert!(
        matches!(refused, Err(Error::NotAllowed { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn who_signs_second_signs_nothing_that_he_does_not_know_to_be_right() {
    let fleet = Fleet::new().await;
    let wrong: [fn(&mut MeshGrant); 6] = [
        |grant| grant.party = key(12).public(),
        |grant| "BBBB".clone_into(&mut grant.key),
        |grant| grant.authority = Nebula::authority(&pem("EEEE")),
        |grant| grant.fleet = "other".parse().unwrap(),
        |grant| "tinc".clone_into(&mut grant.backend),
        // It has expired.
        |grant| {
            grant.signed = Time::from_unix(0);
            grant.expires = Time::from_unix(1);
        },
    ];
    for change in wrong {
        let mut grant = grant();
        change(&mut grant);
        let envelope = Envelope::sign(&grant, &[&key(1)]).unwrap();
        put(&fleet.file(), &envelope);
        let file = fleet.file().display().to_string();
        let said = fleet.e3(2, &["mesh", "sign", &file]).await;
        assert_eq!(said["signed"], json!([]), "{grant:?}");
        assert_eq!(said["refused"].as_array().unwrap().len(), 1, "{said}");
        // It is left as it was.
        let line = std::fs::read(fleet.file()).unwrap();
        assert_eq!(line, [envelope.to_bytes(), b"\n".to_vec()].concat());
    }
    assert!(!fleet.is_in().await);
}

/// What the newest head says of revoked certificates.
fn revoked(fleet: &OpenFleet) -> Vec<String> {
    let mut plans = fleet.head().unwrap().meshes.iter();
    let found = plans.find_map(|plan| match &plan.backend {
        Backend::Nebula(nebula) => Some(nebula.revoked.clone()),
        _ => None,
    });
    found.unwrap()
}

/// An old certificate is as good as the newest for whoever has kept it.
#[tokio::test]
async fn who_is_revoked_keeps_none_of_the_certificates_that_he_ever_had() {
    let [first, lost, renewed, newest] = [1, 2, 3, 4].map(|n| n.to_string().repeat(64));
    // By an owner without the authority, who sees the newest; then by whoever has made them, of whom one was never published.
    for (earlier, made) in [
        (vec![first.clone(), lost.clone(), renewed.clone()], vec![]),
        (vec![], vec![first.clone(), lost.clone(), renewed.clone()]),
    ] {
        let fleet = Fleet::new().await;
        let grant = MeshGrant {
            fingerprint: newest.clone(),
            earlier,
            ..grant()
        };
        let (open, alice) = (fleet.open().await, key(11).public());
        let both = Envelope::sign(&grant, &[&key(1), &key(2)]).unwrap();
        let put = open.hub.put_grant("nebula", &alice, both.to_bytes()).await;
        put.unwrap();
        let bob = (key(12).public(), "b".repeat(64));
        let mut lines = Vec::new();
        for (party, print) in made.into_iter().map(|print| (alice, print)).chain([bob]) {
            let line = json!({"party": party, "fingerprint": print, "expires": grant.expires});
            lines.extend_from_slice(format!("{line}\n").as_bytes());
        }
        let path = fleet.world.path().join("mesh/nebula/issued.jsonl");
        e3_client::files::write_atomic(&path, &lines).unwrap();

        let waits = fleet.try_e3(1, &["mesh", "revoke", "alice"]).await;
        let Err(Error::MoreSignatures { path, .. }) = waits else {
            panic!("{waits:?}")
        };
        let head = path.display().to_string();
        fleet.e3(2, &["fleet", "sign", &head]).await;
        fleet.e3(2, &["fleet", "push", &head]).await;
        let mut said = revoked(&fleet.open().await);
        said.sort();
        assert_eq!(said, [&first, &lost, &renewed, &newest].map(String::clone));
    }
}

/// Heads came to need two signatures after she was let in by one: she is in still, and must be got out.
#[tokio::test]
async fn who_was_let_in_by_fewer_signatures_than_are_needed_now_can_be_revoked() {
    let fleet = Fleet::before_two().await;
    let (open, alice) = (fleet.open().await, key(11).public());
    let one = Envelope::sign(&grant(), &[&key(1)]).unwrap();
    open.hub
        .put_grant("nebula", &alice, one.to_bytes())
        .await
        .unwrap();
    fleet.wants_two().await;
    let waits = fleet.try_e3(1, &["mesh", "revoke", "alice"]).await;
    let Err(Error::MoreSignatures { path, .. }) = waits else {
        panic!("{waits:?}")
    };
    let head = path.display().to_string();
    fleet.e3(2, &["fleet", "sign", &head]).await;
    fleet.e3(2, &["fleet", "push", &head]).await;
    assert_eq!(revoked(&fleet.open().await), [grant().fingerprint]);
}
