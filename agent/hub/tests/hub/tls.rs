//! TLS with the hub's own authority.

use std::time::Duration;

use e3_client::hub::{Hub, HubError, Topic};
use e3_hub::Tls;
use tokio::time::timeout;

use crate::common::*;

async fn start(names: &[&str]) -> (Fleet, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let names = names.iter().map(ToString::to_string).collect();
    let tls = Tls::SelfSigned {
        folder: folder.path().join("tls"),
        names,
    };
    let fleet = Fleet::with(|settings| {
        settings.tls = tls;
        settings.limits = quick();
        // Machines judge certificates by their real clock.
        settings.clock = || e3_client::clock::now().max(now());
    });
    (fleet.await, folder)
}

#[tokio::test]
async fn whoever_has_the_join_files_authority_reads_and_listens() {
    let (fleet, _kept) = start(&["127.0.0.1"]).await;
    let hub = fleet.client();
    assert_eq!(hub.head(None).await.unwrap().unwrap().bytes, head_bytes(1));
    let ahead = hub.clock_ahead().expect("an answer has a date");
    assert!(ahead.abs() < 60, "{ahead}");
    assert!(
        hub.events(&[Topic::Head])
            .await
            .unwrap()
            .next()
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn another_authority_or_another_name_is_not_trusted() {
    let (fleet, _kept) = start(&["hub.example"]).await;
    let named = fleet.client().head(None).await;
    assert!(
        matches!(named, Err(HubError::Certificate { .. })),
        "{named:?}"
    );
    let (other, _kept) = start(&["127.0.0.1"]).await;
    let stranger = Hub::open(&fleet.url(), other.ca.as_deref().map(str::as_bytes)).unwrap();
    let stranger = stranger.head(None).await;
    assert!(
        matches!(stranger, Err(HubError::Certificate { .. })),
        "{stranger:?}"
    );
}

#[tokio::test]
async fn certificates_are_judged_by_the_floor_where_the_clock_is_behind_it() {
    let (fleet, _kept) = start(&["127.0.0.1"]).await;
    let clock = e3_client::clock::Clock::default();
    let ca = fleet.ca.as_deref().map(str::as_bytes);
    let hub = Hub::open_at(&fleet.url(), ca, &clock).unwrap();
    assert!(hub.head(None).await.is_ok());
    // The certificate lasts for weeks, so it has expired by then, whatever the machine's own clock says.
    clock.set_floor(e3_client::clock::now().plus(10 * 365 * 86_400));
    let hub = Hub::open_at(&fleet.url(), ca, &clock).unwrap();
    let expired = hub.head(None).await;
    assert!(
        matches!(expired, Err(HubError::Certificate { .. })),
        "{expired:?}"
    );
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_cut_off() {
    let (fleet, _kept) = start(&["127.0.0.1"]).await;
    let cut = timeout(Duration::from_secs(20), fleet.raw(b"")).await;
    assert_eq!(cut.expect("the hub waits for ever"), "");
    // Plain HTTP on a TLS port is no reason to stop either.
    fleet.raw(b"GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(fleet.client().head(None).await.is_ok());
}
