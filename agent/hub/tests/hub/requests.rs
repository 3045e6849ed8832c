//! What owners ask parties by way of the hub, and what these answer: whose word it takes, and how much of it.

use std::time::Duration;

use e3_client::hub::{HubEvent, Topic};
use e3_core::digest::Digest;
use e3_core::document::{Ask, FRESH, PartyAnswer, PartyRequest};
use e3_core::limits;
use e3_core::time::Time;

use crate::common::*;

/// Milliseconds at [`NOW`].
const MILLIS: u64 = 1_800_000_000_000;

/// A hub at which party 11 has enrolled.
async fn fleet() -> Fleet {
    let fleet = Fleet::start().await;
    let (enrolment, invite) = enrolment(20, 11, now().plus(60));
    assert_eq!(fleet.enrol(&enrolment, &invite).await, yes(201));
    fleet
}

/// Owner `by` asks `party`, so many milliseconds from now.
fn request(by: u8, party: u8, millis: i64) -> PartyRequest {
    PartyRequest {
        fleet: name("fleet"),
        party: key(party).public(),
        by: key(by).public(),
        ask: Ask::Doctor,
        seal: "AAAA".to_owned(),
        millis: MILLIS.saturating_add_signed(millis),
    }
}

fn answer(to: &[u8]) -> PartyAnswer {
    PartyAnswer {
        fleet: name("fleet"),
        party: key(11).public(),
        request: digest(to),
        sealed: "AAAA".to_owned(),
    }
}

fn at(kind: &str, party: u8) -> String {
    format!("{kind}/{}.json", key(party).public())
}

#[tokio::test]
async fn a_question_is_told_at_once_and_its_answer_is_there_for_who_has_asked() {
    let fleet = fleet().await;
    let (hub, party) = (fleet.client(), key(11).public());
    let mut events = hub.events(&[Topic::Head]).await.unwrap();
    assert!(matches!(events.next().await.unwrap(), HubEvent::Head(_)));
    assert_eq!(hub.request(&party).await.unwrap(), None);
    let asked = sign(&request(3, 11, 0), &[3]);
    hub.put_request(&party, asked.clone()).await.unwrap();
    let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
    assert!(matches!(event.unwrap().unwrap(), HubEvent::Asked(to) if to == party));
    assert_eq!(hub.request(&party).await.unwrap(), Some(asked.clone()));
    assert_eq!(hub.answer(&party).await.unwrap(), None);
    let said = sign(&answer(&asked), &[11]);
    hub.put_answer(&party, said.clone()).await.unwrap();
    assert_eq!(hub.answer(&party).await.unwrap(), Some(said));
    // The next question takes the answer to the one before with it.
    let next = sign(&request(3, 11, 1), &[3]);
    assert_eq!(fleet.put(&at("requests", 11), next).await, yes(201));
    assert_eq!(hub.answer(&party).await.unwrap(), None);
}

#[tokio::test]
async fn only_an_owner_of_the_fleet_asks_and_only_now() {
    let fleet = fleet().await;
    let ask = async |request: &PartyRequest, by: &[u8]| {
        let party = if request.party == key(12).public() {
            12
        } else {
            11
        };
        fleet.put(&at("requests", party), sign(request, by)).await
    };
    let refused = no(403, "party-request-refused");
    // A stranger, a key of another role, a machine, and an owner's name under another key.
    for by in [9, 1, 2, 5, 11] {
        assert_eq!(ask(&request(by, 11, 0), &[by]).await, refused, "{by}");
    }
    assert_eq!(ask(&request(3, 11, 0), &[4]).await, refused);
    let mut other = request(3, 11, 0);
    other.fleet = name("other");
    assert_eq!(ask(&other, &[3]).await, refused);
    // Put where another machine looks.
    let misplaced = sign(&request(3, 12, 0), &[3]);
    assert_eq!(fleet.put(&at("requests", 11), misplaced).await, refused);
    assert_eq!(ask(&request(3, 12, 0), &[3]).await, no(403, "not-enrolled"));
    for seconds in [-FRESH - 2, FRESH + 2] {
        let stale = request(3, 11, seconds * 1000);
        assert_eq!(ask(&stale, &[3]).await, no(403, "request-stale"));
    }
    assert_eq!(
        fleet
            .put(&at("requests", 11), vec![b' '; limits::REQUEST + 1])
            .await,
        no(413, "too-large")
    );
    let strange = sign(&request(3, 11, 0), &[3, 9]);
    assert_eq!(
        fleet.put(&at("requests", 11), strange).await,
        no(403, "strange-signature")
    );
    let first = request(3, 11, 0);
    assert_eq!(ask(&first, &[3]).await, yes(201));
    // The same again is no other one, and no earlier one takes its place.
    assert_eq!(ask(&first, &[3]).await, yes(200));
    assert_eq!(ask(&request(3, 11, -1), &[3]).await, no(409, "request-old"));
    assert_eq!(ask(&request(4, 11, -1), &[4]).await, yes(201));
    // An owner in a hurry; the other one is not held up.
    let mut told = yes(201);
    for n in 1..=100 {
        told = ask(&request(3, 11, n), &[3]).await;
        if told != yes(201) {
            break;
        }
    }
    assert_eq!(told, no(429, "too-many-requests"));
    assert_eq!(ask(&request(4, 11, 200), &[4]).await, yes(201));
}

#[tokio::test]
async fn a_party_answers_once_and_only_what_it_was_asked() {
    let fleet = fleet().await;
    let path = at("answers", 11);
    let asked = sign(&request(3, 11, 0), &[3]);
    let unasked = no(403, "unasked");
    let said = sign(&answer(&asked), &[11]);
    assert_eq!(fleet.put(&path, said.clone()).await, unasked);
    assert_eq!(
        fleet.put(&at("requests", 11), asked.clone()).await,
        yes(201)
    );
    let mut other = answer(&asked);
    other.request = Digest::of(b"another one");
    assert_eq!(fleet.put(&path, sign(&other, &[11])).await, unasked);
    assert_eq!(
        fleet.put(&path, sign(&answer(&asked), &[12])).await,
        no(403, "refused")
    );
    assert_eq!(
        fleet.put(&path, vec![b' '; limits::ENVELOPE + 1]).await,
        no(413, "too-large")
    );
    assert_eq!(fleet.put(&path, said.clone()).await, yes(201));
    assert_eq!(fleet.put(&path, said).await, yes(200));
    let mut more = answer(&asked);
    more.sealed = "BBBB".to_owned();
    assert_eq!(
        fleet.put(&path, sign(&more, &[11])).await,
        no(409, "answered")
    );
    // A later hub over the same store: minutes later nobody is shown either of the two.
    let later = Fleet::over(&fleet.folder, |settings| {
        settings.clock = || Time::from_unix(NOW + FRESH + 1);
    })
    .await;
    let (hub, party) = (later.client(), key(11).public());
    assert_eq!(hub.request(&party).await.unwrap(), None);
    assert_eq!(hub.answer(&party).await.unwrap(), None);
}
