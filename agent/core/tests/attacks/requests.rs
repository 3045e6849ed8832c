//! What a hub, or somebody of the fleet, could try with questions to machines.

use e3_core::document::{
    Ask, AskRefusal, Document as _, FRESH, PartyAnswer, PartyRequest, Report, Root,
};
use e3_core::envelope::EnvelopeError;
use e3_core::key::PublicKey;
use e3_core::limits;
use e3_core::time::Time;
use e3_core::trust::asked::Pace;
use e3_core::trust::{Asked, Unanswered};

use crate::fixture::*;

/// alice's machine p0, which answers alice alone.
struct Machine {
    root: Root,
    asked: Asked,
    pace: Pace,
    allowed: Vec<PublicKey>,
}

type Judged = Result<Option<AskRefusal>, Unanswered>;

impl Machine {
    fn new() -> Self {
        Self {
            root: root(),
            asked: Asked::default(),
            pace: Pace::default(),
            allowed: vec![public("alice")],
        }
    }

    fn judge(&mut self, bytes: &[u8], now: Time) -> Judged {
        let Self {
            root,
            asked,
            pace,
            allowed,
        } = self;
        let judged = asked.judge(bytes, root, &public("p0"), allowed, now, pace);
        judged.map(|(_, refusal)| refusal)
    }
}

fn millis(now: Time) -> u64 {
    u64::try_from(now.unix()).unwrap() * 1000
}

fn request(by: &str, millis: u64) -> PartyRequest {
    PartyRequest {
        fleet: root().fleet,
        party: public("p0"),
        by: public(by),
        ask: Ask::Logs { lines: 10 },
        seal: "AAAA".to_owned(),
        millis,
    }
}

/// Signed by who asks, as it should be.
fn asks(by: &str, millis: u64) -> Vec<u8> {
    bytes(&request(by, millis), &[by])
}

fn plus(seconds: i64) -> Time {
    Time::from_unix(at(0).unix() + seconds)
}

fn field(judged: Judged) -> String {
    match judged {
        Err(Unanswered::Envelope(EnvelopeError::Document(error))) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_request_is_answered_once() {
    let (mut machine, now) = (Machine::new(), millis(at(0)));
    let first = asks("alice", now);
    assert_eq!(machine.judge(&first, at(0)), Ok(None));
    assert_eq!(machine.judge(&first, at(0)), Err(Unanswered::Replayed));
    // Nor is one that was held back, after a later one; by nobody who has kept the mark over a restart.
    assert_eq!(machine.judge(&asks("alice", now + 2), at(0)), Ok(None));
    let kept = serde_json::to_string(&machine.asked).unwrap();
    machine = Machine {
        asked: serde_json::from_str(&kept).unwrap(),
        ..Machine::new()
    };
    let held = asks("alice", now + 1);
    assert_eq!(machine.judge(&held, at(0)), Err(Unanswered::Replayed));
    assert_eq!(machine.judge(&asks("alice", now + 3), at(0)), Ok(None));
}

#[test]
fn a_request_to_another_machine_or_of_another_fleet_is_not_answered() {
    let (mut machine, now) = (Machine::new(), millis(at(0)));
    let mut other = request("alice", now);
    other.party = public("p1");
    let judged = machine.judge(&bytes(&other, &["alice"]), at(0));
    assert_eq!(field(judged), "`party`: is another one");
    let mut other = request("alice", now);
    other.fleet = "other".parse().unwrap();
    let judged = machine.judge(&bytes(&other, &["alice"]), at(0));
    assert_eq!(field(judged), "`fleet`: is another one");
    // And what was signed for something else is no request.
    let judged = machine.judge(&bytes(&root(), &["alice"]), at(0));
    assert!(matches!(
        judged,
        Err(Unanswered::Envelope(EnvelopeError::WrongType { .. }))
    ));
}

#[test]
fn a_request_of_another_time_gets_nothing_but_the_time() {
    let mut machine = Machine::new();
    for (n, seconds) in [(1, -FRESH), (2, FRESH)] {
        let sent = asks("alice", millis(at(0)) + n);
        assert_eq!(machine.judge(&sent, plus(seconds)), Ok(None));
    }
    let mut machine = Machine::new();
    for seconds in [-FRESH - 2, FRESH + 2] {
        let sent = asks("alice", millis(at(0)));
        assert_eq!(
            machine.judge(&sent, plus(seconds)),
            Ok(Some(AskRefusal::Stale))
        );
    }
    // An owner whose clock was once years ahead is heard again.
    let ahead = asks("alice", millis(at(10_000)));
    assert_eq!(machine.judge(&ahead, at(0)), Ok(Some(AskRefusal::Stale)));
    let right = asks("alice", millis(at(0)));
    assert_eq!(machine.judge(&right, at(0)), Ok(None));
    let endless = asks("alice", u64::MAX);
    assert_eq!(machine.judge(&endless, at(0)), Ok(Some(AskRefusal::Stale)));
}

#[test]
fn a_machine_answers_its_own_owner_and_whom_its_owner_names() {
    let (mut machine, now) = (Machine::new(), millis(at(0)));
    let refused = Ok(Some(AskRefusal::NotAllowed));
    assert_eq!(machine.judge(&asks("bob", now), at(0)), refused);
    machine.allowed.push(public("bob"));
    assert_eq!(machine.judge(&asks("bob", now + 1), at(0)), Ok(None));
    // What its owner asks, nobody else has signed.
    let forged = bytes(&request("alice", now + 2), &["bob"]);
    let judged = machine.judge(&forged, at(0));
    assert!(matches!(
        judged,
        Err(Unanswered::Envelope(EnvelopeError::Threshold { .. }))
    ));
}

#[test]
fn a_stranger_and_a_key_that_the_root_has_dropped_get_no_answer() {
    let (mut machine, now) = (Machine::new(), millis(at(0)));
    for nobody in ["mallory", "head", "release", "root-a", "p0", "p1"] {
        machine.allowed.push(public(nobody));
        let judged = machine.judge(&asks(nobody, now), at(0));
        assert_eq!(field(judged), "`by`: is no owner of this fleet", "{nobody}");
    }
    assert_eq!(machine.judge(&asks("alice", now), at(0)), Ok(None));
    machine.root.session = role(&["bob", "carol"], 1);
    let judged = machine.judge(&asks("alice", now + 1), at(0));
    assert_eq!(field(judged), "`by`: is no owner of this fleet");
}

#[test]
fn a_flood_of_requests_is_answered_slowly_and_takes_nothing_from_others() {
    let (mut machine, now) = (Machine::new(), millis(at(0)));
    let mut answered = 0;
    for n in 0..1000 {
        match machine.judge(&asks("bob", now + n), plus(i64::try_from(n / 10).unwrap())) {
            Ok(_) => answered += 1,
            Err(error) => assert_eq!(error, Unanswered::TooMany),
        }
    }
    // Five at once, and one in ten seconds for 99 seconds.
    assert_eq!(answered, 14);
    assert_eq!(machine.judge(&asks("alice", now), at(0)), Ok(None));
    // A clock that is set back gives nothing, and silences nobody.
    assert_eq!(
        machine.judge(&asks("bob", now + 2000), plus(-100)),
        Err(Unanswered::TooMany)
    );
    assert!(machine.judge(&asks("bob", now + 2000), plus(-80)).is_ok());
}

#[test]
fn an_endless_request_or_answer_is_refused() {
    let mut long = asks("alice", 0);
    long.resize(limits::REQUEST + 1, b' ');
    let judged = Machine::new().judge(&long, at(0));
    assert!(matches!(
        judged,
        Err(Unanswered::Envelope(EnvelopeError::TooLarge { .. }))
    ));
    let mut request = request("alice", 0);
    for lines in [0, 1001] {
        request.ask = Ask::Logs { lines };
        assert!(request.check().is_err());
    }
    request.ask = Ask::Doctor;
    request.seal = "A".repeat(65);
    assert!(request.check().is_err());
    let answer = PartyAnswer {
        fleet: root().fleet,
        party: public("p0"),
        request: e3_core::digest::Digest::of(b"request"),
        sealed: "A".repeat(limits::REPORT * 3 / 2 + 1),
    };
    assert!(answer.check().is_err());
    // What no machine of this version says is not taken for something else.
    assert!(serde_json::from_str::<Report>(r#"{"kind":"input","value":"1"}"#).is_err());
}
