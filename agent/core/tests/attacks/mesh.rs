//! What a hub, or a machine, could try with the mesh.

use e3_core::digest::Digest;
use e3_core::document::{Document as _, DocumentError};
use e3_core::envelope::{Envelope, EnvelopeError};
use e3_core::mesh::{
    Anchor, Backend, EARLIER, Headscale, MeshGrant, MeshKeyRequest, Nebula, Plan, Prefix,
    REQUEST_SECONDS, Tailscale,
};

use crate::fixture::*;

const PEM: &str =
    "-----BEGIN NEBULA CERTIFICATE V2-----\nAAAA\n-----END NEBULA CERTIFICATE V2-----\n";

fn grant() -> MeshGrant {
    MeshGrant {
        fleet: trust().root.fleet,
        party: key("alice").public(),
        backend: "nebula".to_owned(),
        key: "AAAA".to_owned(),
        certificate: PEM.to_owned(),
        authority: Digest::of(b"authority"),
        fingerprint: "0".repeat(64),
        earlier: Vec::new(),
        signed: at(0),
        expires: at(1),
    }
}

fn open(grant: &MeshGrant, by: &[&str]) -> Result<MeshGrant, EnvelopeError> {
    let alice = key("alice").public();
    MeshGrant::open(&bytes(grant, by), &trust().root, &alice, "nebula")
}

fn other(field: &str) -> Result<MeshGrant, EnvelopeError> {
    let (field, problem) = (field.to_owned(), "is another one".to_owned());
    Err(EnvelopeError::Document(DocumentError::Field {
        field,
        problem,
    }))
}

#[test]
fn a_certificate_that_the_fleet_has_not_signed_is_refused() {
    assert_eq!(open(&grant(), &["head"]), Ok(grant()));
    for by in ["mallory", "release", "alice"] {
        let error = open(&grant(), &[by]).unwrap_err();
        assert!(matches!(error, EnvelopeError::Threshold { .. }), "{error}");
    }
}

#[test]
fn a_certificate_needs_as_many_keys_as_a_head_each_counted_once() {
    let mut root = trust().root;
    root.head = role(&["head", "head-b", "head-c"], 2);
    let alice = key("alice").public();
    let open = |bytes: &[u8]| MeshGrant::open(bytes, &root, &alice, "nebula");
    for two in [["head", "head-b"], ["head-c", "head"], ["head-b", "head-c"]] {
        assert_eq!(open(&bytes(&grant(), &two)), Ok(grant()));
    }
    // One of them; with a stranger, the party itself, or a key of another role.
    let mut partial = vec![bytes(&grant(), &["head"])];
    partial.extend(["mallory", "alice", "release"].map(|other| bytes(&grant(), &["head", other])));
    // The same one twice, by two names.
    let mut twice: serde_json::Value = serde_json::from_slice(&partial[0]).unwrap();
    let mut again = twice["signatures"][0].clone();
    again["keyid"] = public("head-b").to_string().into();
    twice["signatures"].as_array_mut().unwrap().push(again);
    partial.push(twice.to_string().into_bytes());
    for bytes in partial {
        assert_eq!(
            open(&bytes),
            Err(EnvelopeError::Threshold {
                valid: 1,
                threshold: 2
            })
        );
    }
}

#[test]
fn a_certificate_lists_no_more_of_its_predecessors_than_can_be_revoked() {
    let of = |earlier: Vec<String>| MeshGrant { earlier, ..grant() }.check();
    assert_eq!(of(vec!["1".repeat(64); EARLIER]), Ok(()));
    for wrong in [
        vec!["1".repeat(64); EARLIER + 1],
        vec!["1".repeat(63)],
        vec!["G".repeat(64)],
    ] {
        assert!(matches!(of(wrong), Err(DocumentError::Field { field, .. }) if field == "earlier"));
    }
}

#[test]
fn a_certificate_of_another_party_backend_or_fleet_is_refused() {
    let of = |change: fn(&mut MeshGrant)| {
        let mut grant = grant();
        change(&mut grant);
        open(&grant, &["head"])
    };
    assert_eq!(
        of(|grant| grant.party = key("bob").public()),
        other("party")
    );
    assert_eq!(
        of(|grant| "tinc".clone_into(&mut grant.backend)),
        other("backend")
    );
    assert_eq!(
        of(|grant| grant.fleet = "other".parse().unwrap()),
        other("fleet")
    );
}

#[test]
fn nothing_of_a_mesh_becomes_a_setting_of_its_daemon() {
    let plan = |endpoint: &str, authorities: &str| Plan {
        direct: false,
        anchors: vec![Anchor {
            party: key("alice").public(),
            endpoints: vec![endpoint.to_owned()],
        }],
        backend: Backend::Nebula(Nebula {
            authorities: authorities.to_owned(),
            revoked: Vec::new(),
        }),
    };
    let offered = |plan: Plan| {
        let mut head = head(&trust(), 1);
        head.meshes = vec![plan];
        head.check()
    };
    offered(plan("203.0.113.1:4242", PEM)).unwrap();
    for endpoint in ["a:1\nb:2", "a:1\"", "a b:1", "$(id):1", "../x:1"] {
        offered(plan(endpoint, PEM)).unwrap_err();
    }
    for tail in ["- x\n\"", "key: [1]\n", "\u{1b}[2J\n"] {
        offered(plan("a:1", &format!("{PEM}{tail}"))).unwrap_err();
        let mut grant = grant();
        grant.certificate += tail;
        grant.check().unwrap_err();
    }
    let mut grant = grant();
    grant.key = "AA\n[x]".to_owned();
    grant.check().unwrap_err();
    let headscale = |server: &str, authorities: &str| Plan {
        direct: false,
        anchors: Vec::new(),
        backend: Backend::Headscale(Headscale {
            server: server.to_owned(),
            authorities: authorities.to_owned(),
            revoked: Vec::new(),
        }),
    };
    let pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    offered(headscale("https://hs.example.org", pem)).unwrap();
    offered(headscale("https://hs.example.org:8443", "")).unwrap();
    for server in [
        "http://hs.example.org",
        "https://a@b",
        "https://a/b",
        "https://a\"",
        "a",
    ] {
        offered(headscale(server, "")).unwrap_err();
    }
    offered(headscale(
        "https://hs.example.org",
        &format!("{pem}\"x\"\n"),
    ))
    .unwrap_err();
}

#[test]
fn two_meshes_that_need_the_same_daemon_are_not_asked_of_a_machine() {
    let plan = |backend| Plan {
        direct: false,
        anchors: Vec::new(),
        backend,
    };
    let headscale = Headscale {
        server: "https://hs.example.org".to_owned(),
        ..Headscale::default()
    };
    let mut head = head(&trust(), 1);
    head.meshes = vec![plan(Backend::Headscale(headscale))];
    head.check().unwrap();
    head.meshes
        .push(plan(Backend::Tailscale(Tailscale::default())));
    head.check().unwrap_err();
}

#[test]
fn a_key_to_the_mesh_is_asked_for_by_the_party_itself_and_now() {
    let fleet = trust().root.fleet;
    let request = MeshKeyRequest {
        fleet: fleet.clone(),
        party: key("alice").public(),
        backend: "headscale".to_owned(),
        seal: "AAAA".to_owned(),
        signed: at(0),
    };
    let judge = |request: &MeshKeyRequest, by: &str, backend: &str, later: i64| {
        let now = e3_core::time::Time::from_unix(at(0).unix() + later);
        let envelope: Envelope = MeshKeyRequest::parse(&bytes(request, &[by]))?;
        MeshKeyRequest::open(&envelope, &fleet, backend, now)
    };
    for later in [-REQUEST_SECONDS, 0, REQUEST_SECONDS] {
        judge(&request, "alice", "headscale", later).unwrap();
    }
    for later in [-REQUEST_SECONDS - 1, REQUEST_SECONDS + 1] {
        judge(&request, "alice", "headscale", later).unwrap_err();
    }
    judge(&request, "bob", "headscale", 0).unwrap_err();
    judge(&request, "alice", "tailscale", 0).unwrap_err();
    let mut other = request.clone();
    other.fleet = "other".parse().unwrap();
    judge(&other, "alice", "headscale", 0).unwrap_err();
    let mut other = request;
    other.seal = "A".repeat(5000);
    assert!(other.check().is_err());
}

#[test]
fn a_machine_cannot_choose_the_address_of_another_one() {
    // It follows from its identity, which the certificate's signer has seen proven.
    let prefix = Prefix::of(&trust().floor.root_digest, "nebula");
    let [alice, bob] = ["alice", "bob"].map(|name| prefix.party(&key(name).public()));
    assert_ne!(alice, bob);
    assert!(prefix.contains(&alice) && prefix.contains(&bob));
}
