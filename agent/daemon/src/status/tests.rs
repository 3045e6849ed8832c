//! The screen and the JSON of every phase.

use e3_core::degraded::Degraded;
use e3_core::digest::Digest;
use e3_core::document::Progress;
use e3_core::key::SecretKey;
use e3_core::mesh::{NotJoined, Path};
use e3_core::session::{Failure, Reason};
use e3_core::update::Stage;

use super::*;
use crate::board::SessionNote;
use crate::update::effect::{Coming, Origin};

fn known() -> Known {
    let key = |n: u8| SecretKey::from_seed(&[n; 32]).public();
    Known {
        name: Some("alice".parse().unwrap()),
        party: Some(key(1)),
        fleet: Some("demo".parse().unwrap()),
        owner: Some(key(2)),
        hub: Some("https://hub.example".to_owned()),
        addresses: vec!["10.0.0.1:7332".to_owned(), "[fd99::1]:7332".to_owned()],
        root: Some(2),
        head: Some(17),
        head_signed: Some(Time::from_unix(1_795_341_600)),
        head_expires: Some(Time::from_unix(1_795_946_400)),
        ..Known::default()
    }
}

fn status(phase: Phase, known: Known) -> Status {
    Status {
        agent: "0.1.0".to_owned(),
        release: InEffect {
            version: "0.1.0".to_owned(),
            sha256: Some(Digest::of(b"installed")),
            ..InEffect::default()
        },
        phase,
        known,
        now: Time::from_unix(1_795_341_600),
        notes: Notes::default(),
        ways: Ways::new(),
    }
}

fn waiting(problem: Option<&str>) -> Status {
    let phase = Phase::WaitingForJoinFile {
        places: vec!["/run/credentials/e3.join".into(), "/etc/e3/e3.toml".into()],
        problem: problem.map(str::to_owned),
    };
    status(phase, Known::default())
}

/// What is known before the fleet is.
fn early() -> Known {
    Known {
        addresses: Vec::new(),
        root: None,
        head: None,
        head_signed: None,
        head_expires: None,
        ..known()
    }
}

fn ready() -> Status {
    let note = |name: &str, progress, failure| SessionNote {
        name: name.parse().unwrap(),
        manifest: Digest::of(name.as_bytes()),
        progress,
        failure,
        parties: ["alice", "bob"].map(|name| name.parse().unwrap()).to_vec(),
    };
    let lost = Failure::at(1, Reason::Lost);
    let mut ready = status(Phase::Ready, known());
    ready.notes.sessions = vec![
        note("salary-survey", Progress::Done, None),
        note("auction", Progress::Failed, Some(lost)),
    ];
    ready
}

fn degraded(reason: Degraded) -> Status {
    status(Phase::Degraded { reason }, known())
}

#[test]
fn every_phase_has_its_screen() {
    insta::assert_snapshot!(
        "starting",
        status(Phase::Starting, Known::default()).screen()
    );
    insta::assert_snapshot!("waiting", waiting(None).screen());
    insta::assert_snapshot!(
        "broken-join-file",
        waiting(Some(
            "/etc/e3/e3.toml is broken: line 3, column 1: unknown field `ownr`"
        ))
        .screen()
    );
    let problem = Some("the hub https://hub.example cannot be reached (connection refused); is it running, and is the address right?".to_owned());
    insta::assert_snapshot!(
        "meeting",
        status(Phase::MeetingTheFleet { problem }, early()).screen()
    );
    insta::assert_snapshot!(
        "enrolling",
        status(Phase::Enrolling { problem: None }, early()).screen()
    );
    insta::assert_snapshot!("ready", ready().screen());
    insta::assert_snapshot!("degraded", degraded(Degraded::HeadExpired).screen());
}

/// The stages of an update, as the machine's owner sees them.
fn updates() -> Vec<Status> {
    let coming = |stage, starts| Coming {
        version: "0.2.0".to_owned(),
        sha256: Digest::of(b"update"),
        stage,
        starts,
    };
    let of_image = |stage| {
        let mut status = ready();
        status.release.candidate = Some(coming(stage, 0));
        status
    };
    let mut trial = ready();
    trial.release = InEffect {
        version: "0.2.0".to_owned(),
        sha256: Some(Digest::of(b"update")),
        origin: Origin::Update,
        candidate: Some(coming(Stage::Trying, 1)),
    };
    let mut again = trial.clone();
    again.release.candidate = Some(coming(Stage::Trying, 2));
    let mut proved = trial.clone();
    proved.release.candidate = None;
    let stages = [Stage::Wanted, Stage::Ready, Stage::Trying].map(of_image);
    let mut all = stages.to_vec();
    all.extend([trial, again, proved]);
    all
}

#[test]
fn what_is_in_effect_and_a_trial_that_is_under_way_are_shown() {
    let begin = |status: &Status| {
        let screen = status.screen();
        let lines = screen.split_inclusive('\n');
        lines
            .take_while(|line| !line.starts_with("party"))
            .collect::<String>()
    };
    let screens: Vec<_> = updates().iter().map(begin).collect();
    insta::assert_snapshot!("updates", screens.join("\n"));
    let trial = serde_json::to_value(&updates()[3]).unwrap();
    let trial = serde_json::to_string_pretty(&trial["release"]).unwrap();
    insta::assert_snapshot!("json-trial", trial);
    for status in updates() {
        let again: Status = serde_json::from_str(&serde_json::to_string(&status).unwrap()).unwrap();
        assert_eq!(again, status);
    }
}

#[test]
fn every_reason_has_its_words_and_a_remedy() {
    let text = |text: &str| text.to_owned();
    let name = |name: &str| name.parse().unwrap();
    let all = [
        Degraded::TrustStateMissing,
        Degraded::StateDamaged {
            path: text("/var/lib/e3/trust.json"),
            detail: text("EOF while parsing"),
        },
        Degraded::StateNewer {
            path: text("/var/lib/e3/trust.json"),
            detail: text("agent 0.2.0: unknown field `oath`"),
        },
        Degraded::IdentityMissing,
        Degraded::IdentityUnusable {
            detail: text("/var/lib/e3/identity.pem holds no key"),
        },
        Degraded::OtherFleet {
            has: name("demo"),
            asked: name("other"),
        },
        Degraded::WrongRoot {
            detail: text("the first root is sha256:1, the join file pins sha256:2"),
        },
        Degraded::EnrolmentRefused {
            detail: text("the hub refuses: the invite was used"),
        },
        Degraded::CannotListen {
            address: text("[::]:7332"),
            detail: text("Address in use"),
        },
        Degraded::Disk {
            detail: text("cannot write /var/lib/e3/trust.json: No space left on device"),
        },
        Degraded::Supervisor {
            detail: text("the system bus is not there"),
        },
        Degraded::HeadExpired,
        Degraded::HubContradicts {
            detail: text("head 5 is older than 7, which was accepted before (rollback)"),
        },
        Degraded::Settings {
            detail: text("/etc/e3/agent.toml is no configuration: line 1, column 1: unknown field"),
        },
    ];
    let screens: Vec<String> = all
        .into_iter()
        .map(|reason| status(Phase::Degraded { reason }, Known::default()).screen())
        .collect();
    insta::assert_snapshot!("reasons", screens.join("\n"));
}

#[test]
fn a_mesh_is_told_with_what_keeps_the_machine_out() {
    let text = |text: &str| text.to_owned();
    let reasons = [
        NotJoined::Joining,
        NotJoined::NeedsApproval,
        NotJoined::CertificateExpired {
            since: Time::from_unix(1_795_341_600),
        },
        NotJoined::CertificateRevoked,
        NotJoined::Unable {
            detail: text("systemd has no unit e3-mesh-nebula.service (not-found)"),
        },
        NotJoined::DaemonDied {
            detail: text("signal (9)"),
        },
        NotJoined::NobodyAnswers { asked: 0 },
        NotJoined::NobodyAnswers { asked: 2 },
        NotJoined::UdpBlocked,
        NotJoined::Hub {
            detail: text("the hub cannot be reached"),
        },
    ];
    let of = |mesh: Mesh| {
        let known = Known {
            meshes: [("nebula".to_owned(), mesh)].into(),
            ..known()
        };
        let screen = status(Phase::Ready, known).screen();
        let lines = screen.lines().skip_while(|line| !line.starts_with("mesh"));
        lines.take(2).collect::<Vec<_>>().join("\n")
    };
    let joined = of(Mesh::Joined {
        addresses: vec![text("fd57:3dfb::1")],
        took_ms: Some(412),
    });
    let all = reasons.map(|reason| of(Mesh::NotJoined { reason }));
    insta::assert_snapshot!("mesh", [&[joined][..], &all[..]].concat().join("\n"));
}

#[test]
fn the_ways_to_the_others_stand_below_their_mesh() {
    let way = |n: u8, name: Option<&str>, path, rtt_us| Way {
        party: SecretKey::from_seed(&[n; 32]).public(),
        name: name.map(|name| name.parse().unwrap()),
        path,
        rtt_us,
    };
    let ways = vec![
        way(3, Some("bob"), Path::Direct, Some(12_345)),
        way(4, Some("carol"), Path::Relayed, Some(48_000)),
        way(5, Some("dave"), Path::Unknown, Some(1_234)),
        way(6, None, Path::None, None),
    ];
    let mut plain = ready();
    plain.ways = [("none".to_owned(), ways[..1].to_vec())].into();
    let mut meshed = ready();
    let addresses = vec!["127.164.1.2".to_owned()];
    meshed.known.meshes = [(
        "link".to_owned(),
        Mesh::Joined {
            addresses,
            took_ms: None,
        },
    )]
    .into();
    meshed.ways = [("link".to_owned(), ways)].into();
    insta::assert_snapshot!("ways", [plain.screen(), meshed.screen()].join("\n"));
    let json = serde_json::to_string_pretty(&meshed.ways).unwrap();
    insta::assert_snapshot!("json-ways", json);
    let again: Status = serde_json::from_str(&serde_json::to_string(&meshed).unwrap()).unwrap();
    assert_eq!(again, meshed);
}

#[test]
fn the_json_keeps_its_shape() {
    let show = |status: &Status| serde_json::to_string_pretty(status).unwrap();
    insta::assert_snapshot!("json-waiting", show(&waiting(None)));
    insta::assert_snapshot!("json-ready", show(&ready()));
    insta::assert_snapshot!("json-degraded", show(&degraded(Degraded::HeadExpired)));
    for status in [
        waiting(None),
        ready(),
        degraded(Degraded::TrustStateMissing),
    ] {
        let again: Status = serde_json::from_str(&show(&status)).unwrap();
        assert_eq!(again, status);
    }
}

#[test]
fn words_of_others_cannot_write_to_the_screen() {
    let mut status = waiting(Some("\x1b[2J\nphase    ready"));
    status.notes.hub_error = Some("\x1b]0;x\x07".to_owned());
    let screen = status.screen();
    assert!(
        !screen.contains('\x1b') && !screen.contains("\nphase    ready"),
        "{screen}"
    );
}
