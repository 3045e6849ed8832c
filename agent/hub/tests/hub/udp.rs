//! Whether UDP gets through: what the hub answers by UDP, and what a machine makes of it.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use e3_client::hub::Hub;
use e3_core::mesh::stun;
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use crate::common::*;

/// A web server that says this of UDP, and gets none: as a proxy before a hub.
async fn web(says: &'static str) -> Hub {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/udp", get(async move || says));
    tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
    Hub::open(&url, None).unwrap()
}

#[tokio::test]
async fn questions_are_answered_and_nothing_else_is() {
    let fleet = Fleet::start().await;
    let to = fleet.url().strip_prefix("http://").unwrap().to_owned();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let question = stun::question([7; 12]);
    let mut longer = question.clone();
    longer.extend([0; 4]);
    for other in [&question[..20], &longer, b"", &[0; 1400]] {
        socket.send_to(other, &to).await.unwrap();
    }
    socket.send_to(&question, &to).await.unwrap();
    let mut bytes = [0; 2000];
    let answer = timeout(Duration::from_secs(10), socket.recv(&mut bytes));
    let length = answer.await.expect("no answer").unwrap();
    // The last question's, so nobody has answered what came before.
    assert!(length <= question.len() && stun::is_answer(&bytes[..length], [7; 12]));
    assert!(socket.try_recv(&mut bytes).is_err());
}

#[tokio::test]
async fn a_machine_that_gets_an_answer_is_not_cut_off() {
    let fleet = Fleet::start().await;
    assert!(!fleet.client().is_udp_blocked().await);
    // What comes from the hub's own machine tells nothing of others.
    let answer = reqwest::get(format!("{}/v1/udp", fleet.url()))
        .await
        .unwrap();
    assert_eq!(answer.text().await.unwrap(), r#"{"heard":false}"#);
}

#[tokio::test]
async fn one_that_gets_none_is_if_others_do() {
    let (heard, unheard, nonsense) = tokio::join!(
        web(r#"{"heard":true}"#),
        web(r#"{"heard":false}"#),
        web("<html>")
    );
    let verdicts = tokio::join!(
        heard.is_udp_blocked(),
        unheard.is_udp_blocked(),
        nonsense.is_udp_blocked()
    );
    assert_eq!(verdicts, (true, false, false));
    // Nobody speaks for a folder, and where the machine cannot ask it knows nothing.
    for url in ["file:///nonexistent", "http://name.invalid"] {
        assert!(
            !Hub::open(url, None).unwrap().is_udp_blocked().await,
            "{url}"
        );
    }
}
