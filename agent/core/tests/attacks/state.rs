//! Rules 12 and 13: what a machine remembers; and what it goes on from without remembering it.

use e3_core::journal::Tail;
use e3_core::name::Name;
use e3_core::time::Time;
use e3_core::trust::{PresenceCounter, Trust, TrustError, floor::found};

use crate::fixture::*;

#[test]
fn missing_trust_state_is_no_first_boot() {
    assert_eq!(found(true, true, None), Err(TrustError::StateMissing));
    assert_eq!(found(true, false, None), Err(TrustError::StateMissing));
    // Taking the identity away, too, does not help: the journal remembers.
    assert_eq!(found(false, true, None), Err(TrustError::StateMissing));
    assert_eq!(found(false, false, None), Ok(None));
    for (identity, journal) in [(false, false), (true, false), (true, true)] {
        assert_eq!(found(identity, journal, Some(trust())), Ok(Some(trust())));
    }
}

#[test]
fn trust_state_survives_a_restart_unchanged() {
    let mut trust = trust();
    trust
        .accept_head(&bytes(&head(&trust, 7), &["head"]), at(0))
        .unwrap();
    trust
        .floor
        .raise_to_session(&opened(&trust, &session(), &["alice"]));
    let text = serde_json::to_vec(&trust).unwrap();
    let again: Trust = serde_json::from_slice(&text).unwrap();
    assert_eq!(again, trust);
    // Half a file is none, and an unknown field is a file of somebody else.
    assert!(serde_json::from_slice::<Trust>(&text[..text.len() - 1]).is_err());
    let strange = String::from_utf8(text)
        .unwrap()
        .replacen('{', "{\"extra\":1,", 1);
    assert!(serde_json::from_str::<Trust>(&strange).is_err());
}

#[test]
fn a_clock_that_was_ahead_does_not_silence_a_party() {
    let fleet: Name = "fleet".parse().unwrap();
    let (now, year_2099) = (1_795_341_600_000, 4_083_955_200_000);
    let mut before = PresenceCounter::default();
    assert_eq!(before.next(year_2099), year_2099);
    // The clock is set right while the agent runs: only upwards.
    assert_eq!(before.next(now), year_2099 + 1);
    let at_hub = bytes(&presence(year_2099 + 1), &["p0"]);
    // After a restart nothing of that is known; even in 1970 the hub's own copy is enough.
    for clock in [now, 0] {
        let mut after = PresenceCounter::default();
        assert!(after.next(clock) <= now);
        assert!(after.found(&at_hub, &public("p0"), &fleet));
        assert_eq!(after.next(clock), year_2099 + 2);
        // What it has passed is no news.
        assert!(!after.found(&at_hub, &public("p0"), &fleet));
    }
}

#[test]
fn a_hub_cannot_run_up_a_partys_presence_counter() {
    let fleet: Name = "fleet".parse().unwrap();
    let mut counter = PresenceCounter::default();
    assert_eq!(counter.next(1_000), 1_000);
    let mut refuses = |envelope: &[u8], why: &str| {
        assert!(!counter.found(envelope, &public("p0"), &fleet), "{why}");
        assert_eq!(counter.clone().next(0), 1_001, "{why}");
    };
    refuses(&bytes(&presence(u64::MAX), &["mallory"]), "somebody else's");
    let mut others = presence(u64::MAX);
    others.party = public("p1");
    refuses(&bytes(&others, &["p1"]), "another party's");
    refuses(&bytes(&others, &["p0"]), "about another party");
    let mut elsewhere = presence(u64::MAX);
    elsewhere.fleet = "other".parse().unwrap();
    refuses(&bytes(&elsewhere, &["p0"]), "of another fleet");
    let mut bent = String::from_utf8(bytes(&presence(999), &["p0"])).unwrap();
    bent.insert(bent.len() - 8, 'A');
    refuses(bent.as_bytes(), "broken");
    refuses(b"{\"counter\":18446744073709551615}", "a number alone");
    refuses(&vec![b' '; e3_core::limits::ENVELOPE + 1], "endless");
    // An older one of its own, shown again: things stay as they are.
    refuses(&bytes(&presence(7), &["p0"]), "an older one");
}

#[test]
fn a_journal_that_was_edited_does_not_verify() {
    let mut tail = Tail::empty();
    let lines: Vec<String> = ["accepted", "refused", "accepted"]
        .map(|v| tail.append(Time::MIN, "head", v, None, ""))
        .into();
    let verify = |lines: &[String]| {
        let mut tail = Tail::empty();
        lines
            .iter()
            .try_for_each(|line| tail.verify(line).map(drop))
            .map(|()| tail)
    };
    assert_eq!(verify(&lines), Ok(tail));
    for line in 0..2 {
        let mut edited = lines.clone();
        edited[line] = edited[line]
            .replace("refused", "accepted")
            .replace("1970", "1971");
        assert!(verify(&edited).is_err(), "line {line}");
        let mut cut = lines.clone();
        cut.remove(line);
        assert!(verify(&cut).is_err(), "without line {line}");
    }
    // A cut end is seen by the tail that the agent keeps elsewhere.
    assert_ne!(verify(&lines[..2]), Ok(tail));
}
