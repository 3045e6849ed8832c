//! Server-sent events: what comes at once, what comes later, how it ends.

use std::time::Duration;

use e3_client::hub::{Events, HubError, HubEvent, Topic};
use tokio::time::timeout;

use crate::common::*;

/// The next event; a hub that says nothing fails the test instead of hanging it.
async fn next(events: &mut Events) -> Result<HubEvent, HubError> {
    timeout(Duration::from_secs(10), events.next())
        .await
        .expect("no event came")
}

async fn next_head(events: &mut Events) -> Vec<u8> {
    match next(events).await.unwrap() {
        HubEvent::Head(head) => head,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn whoever_connects_gets_the_current_head_and_then_each_new_one() {
    let fleet = Fleet::start().await;
    let mut events = fleet.client().events(&[Topic::Head]).await.unwrap();
    assert_eq!(next_head(&mut events).await, head_bytes(1));
    for counter in 2..5 {
        fleet
            .client()
            .put_head(head_bytes(counter), Some(&fleet.etag().await))
            .await
            .unwrap();
        assert_eq!(next_head(&mut events).await, head_bytes(counter));
    }
    // Connecting again after a loss.
    drop(events);
    let mut events = fleet.client().events(&[Topic::Head]).await.unwrap();
    assert_eq!(next_head(&mut events).await, head_bytes(4));
}

#[tokio::test]
async fn each_topic_reaches_whoever_asked_for_it() {
    let fleet = Fleet::start().await;
    let hub = fleet.client();
    let mut events = hub
        .events(&[Topic::Receipt, Topic::Presence])
        .await
        .unwrap();
    hub.put_head(head_bytes(2), Some(&fleet.etag().await))
        .await
        .unwrap();
    let (enrolment, invite) = enrolment(20, 11, now().plus(60));
    hub.enrol(&enrolment, &invite).await.unwrap();
    let mine = sign(&presence(11, 1), &[11]);
    hub.put_presence(&key(11).public(), mine.clone())
        .await
        .unwrap();
    assert!(matches!(next(&mut events).await, Ok(HubEvent::Presence(bytes)) if bytes == mine));
    let session = session_bytes();
    let envelope = hub.put_session(session.clone()).await.unwrap();
    hub.put_receipt(&envelope, &digest(&session), 2, sign(&receipt(2), &[13]))
        .await
        .unwrap();
    let expected = digest(&session);
    assert!(
        matches!(next(&mut events).await, Ok(HubEvent::Receipt { manifest, party: 2 }) if manifest == expected)
    );
    let unknown = fleet
        .http
        .get(format!("{}/v1/events?topics=head,secrets", fleet.url()));
    assert_eq!(fleet.send(unknown).await, no(400, "bad-topics"));
}

#[tokio::test]
async fn what_another_hub_publishes_arrives_too() {
    let one = Fleet::start().await;
    let two = Fleet::over(&one.folder, |_| {}).await;
    let mut events = two.client().events(&[Topic::Head]).await.unwrap();
    assert_eq!(next_head(&mut events).await, head_bytes(1));
    one.client()
        .put_head(head_bytes(2), Some(&one.etag().await))
        .await
        .unwrap();
    assert_eq!(next_head(&mut events).await, head_bytes(2));
    assert_eq!(two.etag().await, one.etag().await);
}

#[tokio::test]
async fn a_stop_ends_the_streams_and_the_hub_comes_back_with_what_it_had() {
    let mut fleet = Fleet::start().await;
    let mut events = fleet.client().events(&[Topic::Head]).await.unwrap();
    assert_eq!(next_head(&mut events).await, head_bytes(1));
    let stopped = timeout(Duration::from_secs(10), fleet.stop());
    let (stopped, ended) = tokio::join!(stopped, next(&mut events));
    stopped.expect("the hub did not stop");
    assert!(matches!(ended, Err(HubError::Unreachable { .. })));
    assert!(matches!(
        fleet.client().head(None).await,
        Err(HubError::Unreachable { .. })
    ));
    let again = Fleet::over(&fleet.folder, |_| {}).await;
    assert_eq!(
        again.client().head(None).await.unwrap().unwrap().bytes,
        head_bytes(1)
    );
}

#[tokio::test]
async fn metrics_count_what_happens() {
    let fleet = Fleet::start().await;
    let mut events = fleet.client().events(&[Topic::Head]).await.unwrap();
    assert_eq!(next_head(&mut events).await, head_bytes(1));
    fleet
        .client()
        .put_head(head_bytes(2), Some(&fleet.etag().await))
        .await
        .unwrap();
    assert_eq!(next_head(&mut events).await, head_bytes(2));
    assert_eq!(fleet.put("nowhere", "").await.0, 404);
    let metrics = fleet
        .http
        .get(format!("{}/metrics", fleet.url()))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    for line in [
        "e3_hub_subscribers 1",
        "e3_hub_pushes_total 1",
        "e3_hub_store_errors_total 0",
        "{status=\"4xx\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}
