//! Keys to a mesh with a control server: for whom the hub makes one, and for whom not. The server is one of the test's own,
//! which speaks as Headscale 0.29 does; the real one is in `ci/lab meshes`.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use e3_client::seal::Question;
use e3_core::envelope::Envelope;
use e3_core::mesh::{Backend, Headscale, MeshKeyRequest, Plan, Tailscale};
use serde_json::{Value, json};

use crate::common::*;

const API_KEY: &str = "the hub's key";
const MADE: &str = "hskey-auth-made";

/// A server that remembers what it was asked.
#[derive(Clone, Default)]
struct Server {
    asked: Arc<Mutex<Vec<Value>>>,
    nodes: Arc<Mutex<Vec<Value>>>,
}

impl Server {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/api/v1/preauthkey", post(make))
            .route("/api/v1/node", get(nodes))
            .route("/api/v1/node/{id}", delete(forget))
            .with_state(self.clone());
        tokio::spawn(async { axum::serve(listener, router).await });
        url
    }

    fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

fn is_hub(headers: &HeaderMap) -> bool {
    headers["authorization"] == format!("Bearer {API_KEY}")
}

async fn make(
    State(server): State<Server>,
    headers: HeaderMap,
    Json(asked): Json<Value>,
) -> (StatusCode, Json<Value>) {
    if !is_hub(&headers) {
        return (StatusCode::UNAUTHORIZED, Json(json!({})));
    }
    server.asked.lock().unwrap().push(asked);
    let made = json!({"preAuthKey": {"user": null, "id": "1", "key": MADE}});
    (StatusCode::OK, Json(made))
}

async fn nodes(State(server): State<Server>) -> Json<Value> {
    Json(json!({"nodes": *server.nodes.lock().unwrap()}))
}

async fn forget(State(server): State<Server>, Path(id): Path<String>) -> Json<Value> {
    server
        .nodes
        .lock()
        .unwrap()
        .retain(|node| node["id"] != id.as_str());
    Json(json!({}))
}

/// A hub with a server, a head that chooses it, and party 11 enrolled.
async fn fleet(server: &Server, api_key: &str) -> (Fleet, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("api-key");
    e3_client::files::write_secret(&key, api_key.as_bytes()).unwrap();
    let url = server.start().await;
    let fleet = Fleet::with(|settings| {
        settings.headscale = Some(e3_hub::Headscale { url, key, ca: None });
    })
    .await;
    choose(&fleet, 2, &[]).await;
    let (enrolment, invite) = enrolment(20, 11, now().plus(60));
    assert_eq!(fleet.enrol(&enrolment, &invite).await, yes(201));
    (fleet, folder)
}

/// Publishes a head that chooses the server, without these parties.
async fn choose(fleet: &Fleet, counter: u64, revoked: &[u8]) {
    let mut head = head(counter, vec![]);
    head.meshes = vec![Plan {
        direct: false,
        anchors: vec![],
        backend: Backend::Headscale(Headscale {
            server: "https://headscale.example.org".to_owned(),
            authorities: String::new(),
            revoked: revoked.iter().map(|n| key(*n).public()).collect(),
        }),
    }];
    publish(fleet, &head).await;
}

async fn publish(fleet: &Fleet, head: &e3_core::document::Head) {
    let etag = fleet.etag().await;
    let published = fleet.put_head(sign(head, &[2]), &etag).await;
    assert_eq!(published.0, 200, "{published:?}");
}

fn request(party: u8, seconds: i64, question: &Question) -> MeshKeyRequest {
    MeshKeyRequest {
        fleet: name("fleet"),
        party: key(party).public(),
        backend: "headscale".to_owned(),
        seal: question.public(),
        signed: e3_core::time::Time::from_unix(NOW + seconds),
    }
}

/// Asks, and returns status and word, or 200 and what was sealed.
async fn ask(fleet: &Fleet, backend: &str, body: Vec<u8>) -> (u16, String) {
    let url = format!("{}/v1/mesh/{backend}/key", fleet.url());
    let answer = reqwest::Client::new()
        .post(url)
        .body(body)
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let word = if status == 200 { "key" } else { "error" };
    (status, body[word].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_party_gets_a_key_of_its_own_and_nobody_else_can_read_it() {
    let server = Server::default();
    let (fleet, _folder) = fleet(&server, API_KEY).await;
    let question = Question::new();
    let bytes = sign(&request(11, 0, &question), &[11]);
    let about = Envelope::parse(&bytes, 1 << 20).unwrap().digest();
    let sealed = fleet.client().mesh_key("headscale", bytes.clone()).await;
    let sealed = sealed.unwrap();
    assert!(!sealed.contains(MADE));
    assert!(Question::new().open(&sealed, about.as_bytes()).is_err());
    assert_eq!(*question.open(&sealed, about.as_bytes()).unwrap(), MADE);
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (&asked[0]["reusable"], &asked[0]["ephemeral"]),
        (&json!(false), &json!(false))
    );
    let until = now().plus(600).to_string();
    assert_eq!(asked[0]["expiration"], json!(until));
    let tags = asked[0]["aclTags"].as_array().unwrap();
    assert_eq!(tags[0], "tag:e3-fleet");
    assert!(tags[1].as_str().unwrap().starts_with("tag:e3-party-"));
    // Whoever has seen the request gets nothing by it.
    assert_eq!(
        ask(&fleet, "headscale", bytes).await,
        no(409, "request-old")
    );
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn nobody_else_gets_a_key() {
    let server = Server::default();
    let (fleet, _folder) = fleet(&server, API_KEY).await;
    let question = Question::new();
    let asked = |party, seconds| request(party, seconds, &question);
    let refused = no(403, "key-request-refused");
    // Another machine in its name; an old request, and one of tomorrow; another fleet's; another mesh's.
    assert_eq!(
        ask(&fleet, "headscale", sign(&asked(11, 0), &[12])).await,
        refused
    );
    assert_eq!(
        ask(&fleet, "headscale", sign(&asked(11, -301), &[11])).await,
        refused
    );
    assert_eq!(
        ask(&fleet, "headscale", sign(&asked(11, 301), &[11])).await,
        refused
    );
    let mut other = asked(11, 0);
    other.fleet = name("other");
    assert_eq!(ask(&fleet, "headscale", sign(&other, &[11])).await, refused);
    let mut other = asked(11, 0);
    other.backend = "tailscale".to_owned();
    assert_eq!(ask(&fleet, "headscale", sign(&other, &[11])).await, refused);
    assert_eq!(
        ask(&fleet, "tailscale", sign(&other, &[11])).await,
        no(403, "no-mesh-keys")
    );
    assert_eq!(ask(&fleet, "headscale", b"{}".to_vec()).await, refused);
    // A machine that has not enrolled.
    let unknown = ask(&fleet, "headscale", sign(&asked(12, 0), &[12])).await;
    assert_eq!(unknown, no(403, "not-enrolled"));
    // One whose place was taken back; and a fleet that has left.
    choose(&fleet, 3, &[11]).await;
    let out = no(403, "other-mesh");
    assert_eq!(
        ask(&fleet, "headscale", sign(&asked(11, 1), &[11])).await,
        out
    );
    publish(&fleet, &head(4, vec![])).await;
    assert_eq!(
        ask(&fleet, "headscale", sign(&asked(11, 1), &[11])).await,
        out
    );
    assert_eq!(server.asked().len(), 0);
    // A party in a hurry: five keys, and then patience.
    choose(&fleet, 5, &[]).await;
    for n in 2..7 {
        assert_eq!(
            ask(&fleet, "headscale", sign(&asked(11, n), &[11])).await.0,
            200
        );
    }
    let more = ask(&fleet, "headscale", sign(&asked(11, 7), &[11])).await;
    assert_eq!(more, no(429, "too-many-keys"));
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn a_server_that_refuses_the_hub_is_told_without_its_words() {
    let server = Server::default();
    let (fleet, _folder) = fleet(&server, "another key").await;
    let bytes = sign(&request(11, 0, &Question::new()), &[11]);
    assert_eq!(
        ask(&fleet, "headscale", bytes).await,
        no(502, "control-server")
    );
}

#[tokio::test]
async fn the_server_forgets_whom_the_head_does_not_let_in() {
    let server = Server::default();
    let node = |id: &str, tags: &[&str]| json!({"id": id, "name": id, "tags": tags});
    let party = |n: u8| {
        let digest = e3_core::digest::Digest::of(key(n).public().as_bytes());
        format!("tag:e3-party-{}", &digest.hex()[..32])
    };
    let (eleven, twelve) = (party(11), party(12));
    *server.nodes.lock().unwrap() = vec![
        node("1", &["tag:e3-fleet", &eleven]),
        node("2", &["tag:e3-fleet", &twelve]),
        node("3", &["tag:e3-other", &eleven]),
        node("4", &[]),
    ];
    let left = || -> Vec<String> {
        let nodes = server.nodes.lock().unwrap();
        nodes
            .iter()
            .map(|node| node["id"].as_str().unwrap().to_owned())
            .collect()
    };
    // Until it is so; a test that waits for ever is ended.
    let becomes = async |wanted: &[&str]| {
        let wait = async {
            while left() != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let within = tokio::time::timeout(Duration::from_secs(10), wait).await;
        assert!(within.is_ok(), "{:?} and not {wanted:?}", left());
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("api-key");
    e3_client::files::write_secret(&path, API_KEY.as_bytes()).unwrap();
    let fleet = Fleet::start().await;
    choose(&fleet, 2, &[]).await;
    let url = server.start().await;
    let hub = Fleet::over(&fleet.folder, |settings| {
        settings.headscale = Some(e3_hub::Headscale {
            url,
            key: path,
            ca: None,
        });
    })
    .await;
    choose(&hub, 3, &[11]).await;
    becomes(&["2", "3", "4"]).await;
    // To another mesh: the fleet has left the server.
    let mut moved = head(4, vec![]);
    moved.meshes = vec![Plan {
        direct: false,
        anchors: vec![],
        backend: Backend::Tailscale(Tailscale::default()),
    }];
    publish(&hub, &moved).await;
    becomes(&["3", "4"]).await;
}
