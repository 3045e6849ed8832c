//! A real S3 server keeps the same promises as a folder.
//!
//! Any server that knows conditional puts will do, for example
//! `pip install 'moto[server]' && moto_server -p 5001` with
//! `E3_HUB_TEST_S3=http://127.0.0.1:5001`, and then
//! `cargo test -p e3-hub --features s3 -- --ignored bucket`. The bucket `e3-hub-test` must be there and
//! empty; the server is given the credentials `test` and `test`.

use std::os::unix::fs::PermissionsExt as _;

use e3_hub::{Location, S3};

use crate::common::*;

#[tokio::test]
#[ignore = "needs an S3 server, see above"]
async fn two_hubs_over_one_bucket_agree() {
    let endpoint = std::env::var("E3_HUB_TEST_S3").expect("E3_HUB_TEST_S3 is the server's address");
    e3_client::tls::install();
    let folder = tempfile::tempdir().unwrap();
    let credentials = folder.path().join("credentials");
    std::fs::write(
        &credentials,
        "aws_access_key_id = test\naws_secret_access_key = test\n",
    )
    .unwrap();
    std::fs::set_permissions(&credentials, std::fs::Permissions::from_mode(0o600)).unwrap();
    let location = Location::S3(S3 {
        url: format!(
            "s3://e3-hub-test/{}",
            e3_core::digest::Digest::of(&*e3_client::random::bytes32()).hex()
        ),
        endpoint: Some(endpoint),
        region: Some("us-east-1".to_owned()),
        credentials: Some(credentials),
    });
    e3_hub::init(&location, &root_bytes(), Some(&head_bytes(1)), now())
        .await
        .unwrap();
    let start = async || {
        Fleet::over(folder.path(), |settings| {
            settings.location = location.clone();
        })
        .await
    };
    let (one, two) = (start().await, start().await);
    let etag = one.etag().await;
    let tries = (0..8_u64).map(|n| {
        let fleet = if n % 2 == 0 { &one } else { &two };
        fleet.put_head(head_bytes(2 + n), &etag)
    });
    let answers = futures_util::future::join_all(tries).await;
    assert_eq!(
        answers.iter().filter(|answer| **answer == yes(200)).count(),
        1,
        "{answers:?}"
    );
    assert_eq!(
        answers
            .iter()
            .filter(|answer| **answer == no(412, "changed"))
            .count(),
        7,
        "{answers:?}"
    );
    let envelope = one.client().put_session(session_bytes()).await.unwrap();
    two.client()
        .put_blob(&envelope, PROGRAM.to_vec())
        .await
        .unwrap();
    let (enrolment, invite) = enrolment(20, 11, now().plus(60));
    assert_eq!(one.enrol(&enrolment, &invite).await, yes(201));
    assert_eq!(
        two.enrol(&answer(&invite, 20, 12), &invite).await,
        no(409, "invite-used")
    );
    let presence = |counter| sign(&presence(11, counter), &[11]);
    one.client()
        .put_presence(&key(11).public(), presence(1))
        .await
        .unwrap();
    two.client()
        .put_presence(&key(11).public(), presence(2))
        .await
        .unwrap();
    assert_eq!(
        one.client().parties().await.unwrap()[0].presence,
        Some(presence(2))
    );
}
