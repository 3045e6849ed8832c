//! Rules 12 and 13: what a machine remembers.

use e3_core::journal::Tail;
use e3_core::time::Time;
use e3_core::trust::{Trust, TrustError, floor::found};

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
