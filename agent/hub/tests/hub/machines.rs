//! Enrolment and presence.

use e3_client::hub::HubError;
use e3_core::digest::Digest;
use e3_core::document::{Presence, Withdrawal};
use e3_core::mesh::MeshGrant;
use e3_core::time::Time;
use e3_core::trust::PresenceCounter;

use crate::common::*;

fn later() -> Time {
    now().plus(60)
}

#[tokio::test]
async fn a_machine_enrols_once_and_may_ask_again() {
    let fleet = Fleet::start().await;
    let (enrolment, invite) = enrolment(20, 11, later());
    assert_eq!(fleet.enrol(&enrolment, &invite).await, yes(201));
    // The answer was lost.
    assert_eq!(fleet.enrol(&enrolment, &invite).await, yes(200));
    // Whoever else has the join file comes too late: the owner learns of it by a machine that cannot enrol.
    let thief = answer(&invite, 20, 12);
    assert_eq!(fleet.enrol(&thief, &invite).await, no(409, "invite-used"));
    let parties = fleet.client().parties().await.unwrap();
    assert_eq!(parties.len(), 1);
    assert_eq!(
        (&parties[0].enrolment, &parties[0].invite),
        (&enrolment, &invite)
    );
    assert!(parties[0].presence.is_none());
}

#[tokio::test]
async fn of_two_machines_with_one_invite_at_two_hubs_one_enrols() {
    let one = Fleet::start().await;
    let two = Fleet::over(&one.folder, |_| {}).await;
    let (_, invite) = enrolment(20, 11, later());
    let answers = [(&one, 11), (&two, 12), (&one, 13), (&two, 14)].map(|(fleet, party)| {
        let (invite, enrolment) = (invite.clone(), answer(&invite, 20, party));
        async move { fleet.enrol(&enrolment, &invite).await }
    });
    let answers = futures_util::future::join_all(answers).await;
    assert_eq!(
        answers.iter().filter(|answer| **answer == yes(201)).count(),
        1,
        "{answers:?}"
    );
    assert_eq!(
        answers
            .iter()
            .filter(|answer| **answer == no(409, "invite-used"))
            .count(),
        3
    );
    assert_eq!(two.client().parties().await.unwrap().len(), 1);
}

#[tokio::test]
async fn stolen_expired_and_forged_invites_enrol_nobody() {
    let fleet = Fleet::start().await;
    let refused = no(403, "enrolment-refused");
    let (enrolment, invite) = enrolment(20, 11, later());
    // The invite was seen on its way; the one-time secret was not.
    assert_eq!(
        fleet.enrol(&answer(&invite, 21, 12), &invite).await,
        refused
    );
    // A good answer to another invite.
    let (_, other) = crate::common::enrolment(22, 11, later());
    assert_eq!(fleet.enrol(&enrolment, &other).await, refused);
    // Not signed by an owner of this fleet.
    let forged = e3_core::document::Invite {
        fleet: name("fleet"),
        name: name("p"),
        owner: key(9).public(),
        key: key(20).public(),
        expires: later(),
    };
    let forged = sign(&forged, &[9]);
    assert_eq!(
        fleet.enrol(&answer(&forged, 20, 11), &forged).await,
        refused
    );
    // Too late.
    let (late, expired) = crate::common::enrolment(23, 11, now());
    assert_eq!(
        fleet.enrol(&late, &expired).await,
        no(403, "invite-expired")
    );
    for body in ["", "{}", "[]", "{\"enrolment\":1,\"invite\":2}"] {
        let request = fleet
            .http
            .post(format!("{}/v1/enrol", fleet.url()))
            .body(body);
        let (status, kind) = fleet.send(request).await;
        assert!(
            matches!(
                (status, &*kind),
                (400, "bad-json") | (403, "enrolment-refused")
            ),
            "{body}: {status} {kind}"
        );
    }
    assert!(fleet.client().parties().await.unwrap().is_empty());
    assert!(!fleet.folder.join("invites").exists());
}

#[tokio::test]
async fn a_kill_between_invite_and_party_is_mended_by_the_same_machine_even_later() {
    let fleet = Fleet::start().await;
    // As an earlier hub left it, before the invite expired.
    let (enrolment, invite) = enrolment(20, 11, now());
    std::fs::create_dir(fleet.folder.join("invites")).unwrap();
    let used = format!("{{\"party\":\"{}\"}}", key(11).public());
    std::fs::write(
        fleet
            .folder
            .join(format!("invites/{}.json", digest(&invite).hex())),
        used,
    )
    .unwrap();
    assert_eq!(
        fleet.enrol(&answer(&invite, 20, 12), &invite).await,
        no(409, "invite-used")
    );
    assert_eq!(fleet.enrol(&enrolment, &invite).await, yes(200));
    assert_eq!(fleet.client().parties().await.unwrap().len(), 1);
}

#[tokio::test]
async fn presences_are_the_partys_own_and_only_rise() {
    let fleet = Fleet::start().await;
    let path = format!("presence/{}.json", key(11).public());
    let put = async |presence: Presence, by: u8| fleet.put(&path, sign(&presence, &[by])).await;
    assert_eq!(put(presence(11, 5), 11).await, no(403, "not-enrolled"));
    let (enrolment, invite) = enrolment(20, 11, later());
    fleet.client().enrol(&enrolment, &invite).await.unwrap();
    assert_eq!(put(presence(11, 5), 12).await, no(403, "refused"));
    assert_eq!(put(presence(12, 5), 11).await, no(403, "presence-refused"));
    let mut other = presence(11, 5);
    other.fleet = name("other");
    assert_eq!(put(other, 11).await, no(403, "presence-refused"));
    assert_eq!(put(presence(11, 5), 11).await, yes(201));
    assert_eq!(put(presence(11, 5), 11).await, yes(200));
    assert_eq!(put(presence(11, 4), 11).await, no(409, "presence-old"));
    let mut same = presence(11, 5);
    same.head = 2;
    assert_eq!(put(same, 11).await, no(409, "presence-old"));
    assert_eq!(put(presence(11, 6), 11).await, yes(201));
    let expected = sign(&presence(11, 6), &[11]);
    let hub = fleet.client();
    assert_eq!(
        hub.presence(&key(11).public()).await.unwrap().as_ref(),
        Some(&expected)
    );
    assert_eq!(
        hub.parties().await.unwrap()[0].presence.as_ref(),
        Some(&expected)
    );
}

#[tokio::test]
async fn a_hub_lists_what_another_one_has_written_since() {
    let one = Fleet::start().await;
    let two = Fleet::over(&one.folder, |_| {}).await;
    let path = |party: u8| format!("presence/{}.json", key(party).public());
    let say = async |hub: &Fleet, party, counter| {
        let presence = sign(&presence(party, counter), &[party]);
        assert_eq!(hub.put(&path(party), presence.clone()).await, yes(201));
        presence
    };
    let listed = async || {
        let parties = one.client().parties().await.unwrap();
        let presences = parties.into_iter().map(|party| party.presence);
        presences.collect::<Vec<_>>()
    };
    let (enrolment, invite) = crate::common::enrolment(20, 11, later());
    assert_eq!(one.enrol(&enrolment, &invite).await, yes(201));
    let first = say(&one, 11, 5).await;
    assert_eq!(listed().await, [Some(first)]);
    let second = say(&two, 11, 6).await;
    // What is written here makes it read again; of what is there, only what has changed.
    let (enrolment, other) = crate::common::enrolment(21, 12, later());
    assert_eq!(one.enrol(&enrolment, &other).await, yes(201));
    let there = listed().await;
    assert!(there.contains(&Some(second)) && there.contains(&None));
    let withdrawn = withdrawal(&invite, 3);
    let gone = format!("withdrawn/{}.json", digest(&invite).hex());
    assert_eq!(two.put(&gone, withdrawn).await, yes(201));
    let only = say(&one, 12, 1).await;
    assert_eq!(listed().await, [Some(only)]);
}

#[tokio::test]
async fn a_party_whose_clock_was_ahead_goes_on_from_what_the_hub_holds() {
    let fleet = Fleet::start().await;
    let (enrolment, invite) = enrolment(20, 11, later());
    let (hub, party) = (fleet.client(), key(11).public());
    hub.enrol(&enrolment, &invite).await.unwrap();
    let path = format!("presence/{party}.json");
    let put = async |counter| {
        let presence = presence(11, counter);
        fleet.put(&path, sign(&presence, &[11])).await
    };
    let (year_2099, now) = (4_083_955_200_000, 1_795_341_600_000);
    assert_eq!(put(year_2099).await, yes(201));
    let mut counter = PresenceCounter::default();
    assert_eq!(put(counter.next(now)).await, no(409, "presence-old"));
    let held = hub.presence(&party).await.unwrap().unwrap();
    assert!(counter.found(&held, &party, &name("fleet")));
    assert_eq!(put(counter.next(now)).await, yes(201));
    assert_eq!(put(counter.next(now)).await, yes(201));
}

#[tokio::test]
async fn a_party_that_floods_the_hub_is_slowed_and_nobody_else() {
    let fleet = Fleet::start().await;
    for (once, party) in [(20, 11), (21, 12)] {
        let (enrolment, invite) = enrolment(once, party, later());
        fleet.client().enrol(&enrolment, &invite).await.unwrap();
    }
    let put = async |party: u8, counter: u64| {
        let path = format!("presence/{}.json", key(party).public());
        fleet
            .put(&path, sign(&presence(party, counter), &[party]))
            .await
    };
    let mut counter = 1;
    while put(11, counter).await == yes(201) {
        counter += 1;
        assert!(counter < 1000, "the flood is never stopped");
        // Somebody who plays the party's newest one back uses up nothing.
        assert_eq!(put(11, counter - 1).await, yes(200));
    }
    assert!(counter > 50, "a busy party needs more than {counter}");
    assert_eq!(put(11, counter).await, no(429, "too-many-presences"));
    assert_eq!(put(12, 1).await, yes(201));
}

fn grant(party: u8, seconds: u64) -> MeshGrant {
    let label = "NEBULA CERTIFICATE V2";
    MeshGrant {
        fleet: name("fleet"),
        party: key(party).public(),
        backend: "nebula".to_owned(),
        key: "AAAA".to_owned(),
        certificate: format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n"),
        authority: Digest::of(b"authority"),
        fingerprint: "0".repeat(64),
        earlier: Vec::new(),
        signed: now().plus(seconds),
        expires: now().plus(1000),
    }
}

#[tokio::test]
async fn certificates_come_from_who_signs_heads_each_newer_than_the_one_before() {
    let fleet = Fleet::start().await;
    let hub = fleet.client();
    let alice = key(11).public();
    let put = |grant: MeshGrant, by: u8| {
        let bytes = sign(&grant, &[by]);
        let hub = hub.clone();
        async move {
            match hub.put_grant("nebula", &alice, bytes).await {
                Ok(()) => "stored".to_owned(),
                Err(HubError::Refused { kind, .. }) => kind,
                Err(error) => error.to_string(),
            }
        }
    };
    assert_eq!(hub.grant("nebula", &alice).await.unwrap(), None);
    assert_eq!(put(grant(11, 0), 2).await, "not-enrolled");
    let (enrolment, invite) = enrolment(20, 11, later());
    hub.enrol(&enrolment, &invite).await.unwrap();
    assert_eq!(put(grant(11, 0), 2).await, "stored");
    // The answer was lost.
    assert_eq!(put(grant(11, 0), 2).await, "stored");
    assert_eq!(put(grant(11, 5), 2).await, "stored");
    assert_eq!(put(grant(11, 1), 2).await, "grant-old");
    let other = MeshGrant {
        key: "BBBB".to_owned(),
        ..grant(11, 5)
    };
    assert_eq!(put(other, 2).await, "grant-old");
    // Neither the party itself, nor a session's signer, nor for somebody else.
    for by in [11, 3, 5] {
        assert_eq!(put(grant(11, 9), by).await, "refused");
    }
    assert_eq!(put(grant(12, 9), 2).await, "refused");
    let there = hub.grant("nebula", &alice).await.unwrap();
    assert_eq!(there, Some(sign(&grant(11, 5), &[2])));
}

#[tokio::test]
async fn a_relay_is_told_the_keys_of_enrolled_parties_and_of_nobody_else() {
    let fleet = Fleet::start().await;
    let mut keys = fleet.mesh_keys("link");
    let told = |keys: &mut tokio::sync::watch::Receiver<_>| {
        let keys: &Option<std::collections::BTreeSet<String>> = &keys.borrow_and_update();
        keys.clone()
            .map(|keys| keys.into_iter().collect::<Vec<_>>())
    };
    keys.wait_for(Option::is_some).await.unwrap();
    assert_eq!(told(&mut keys), Some(vec![]));
    let tell = async |party: u8, counter: u64, key: &str| {
        let mut presence = presence(party, counter);
        presence.mesh_keys.insert("link".to_owned(), key.to_owned());
        presence
            .mesh_keys
            .insert("nebula".to_owned(), "another".to_owned());
        let path = format!("presence/{}.json", presence.party);
        fleet.put(&path, sign(&presence, &[party])).await
    };
    // Who has not enrolled says it in vain.
    assert_eq!(tell(11, 1, "stranger").await, no(403, "not-enrolled"));
    let (enrolment, invite) = enrolment(20, 11, later());
    assert_eq!(fleet.enrol(&enrolment, &invite).await, yes(201));
    assert_eq!(tell(11, 2, "first").await, yes(201));
    let within = std::time::Duration::from_secs(10);
    tokio::time::timeout(within, keys.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told(&mut keys), Some(vec!["first".to_owned()]));
    assert_eq!(tell(11, 3, "second").await, yes(201));
    tokio::time::timeout(within, keys.changed())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told(&mut keys), Some(vec!["second".to_owned()]));
}

/// The withdrawal of an invite, signed by key `by`.
fn withdrawal(invite: &[u8], by: u8) -> Vec<u8> {
    let withdrawal = Withdrawal {
        fleet: name("fleet"),
        invite: digest(invite),
        by: key(by).public(),
        signed: now(),
    };
    sign(&withdrawal, &[by])
}

#[tokio::test]
async fn an_owner_takes_an_invite_back_before_and_after_it_was_used() {
    let fleet = Fleet::start().await;
    let (enrolment, invite) = enrolment(20, 11, later());
    let path = |invite: &[u8]| format!("withdrawn/{}.json", digest(invite).hex());
    let withdraw = async |invite: &[u8], by| fleet.put(&path(invite), withdrawal(invite, by)).await;
    let hub = fleet.client();
    hub.enrol(&enrolment, &invite).await.unwrap();
    let presence = sign(&presence(11, 5), &[11]);
    hub.put_presence(&key(11).public(), presence.clone())
        .await
        .unwrap();
    // Key 4 may own machines, and this one is key 3's.
    assert_eq!(withdraw(&invite, 4).await, no(403, "refused"));
    assert_eq!(withdraw(&invite, 11).await, no(403, "refused"));
    assert_eq!(hub.parties().await.unwrap().len(), 1);
    assert_eq!(withdraw(&invite, 3).await, yes(201));
    assert!(hub.parties().await.unwrap().is_empty());
    let path_of = format!("presence/{}.json", key(11).public());
    assert_eq!(fleet.put(&path_of, presence).await, no(403, "not-enrolled"));
    // It had the one-time key, and has it still.
    assert_eq!(
        fleet.enrol(&enrolment, &invite).await,
        no(403, "invite-withdrawn")
    );
    assert_eq!(withdraw(&invite, 3).await, yes(200));
    // One that got lost before anybody used it; whoever signs heads could take it back, too.
    let (late, lost) = crate::common::enrolment(21, 12, later());
    assert_eq!(withdraw(&lost, 2).await, yes(201));
    assert_eq!(fleet.enrol(&late, &lost).await, no(403, "invite-withdrawn"));
    // The same machine is wanted again: a new invite. The old one's end does not touch it.
    let (again, second) = crate::common::enrolment(22, 11, later());
    assert_eq!(fleet.enrol(&again, &second).await, yes(201));
    assert_eq!(withdraw(&invite, 3).await, yes(200));
    assert_eq!(hub.parties().await.unwrap().len(), 1);
}
