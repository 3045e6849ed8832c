//! Documents that are signed and still make no sense, or act on a terminal.

use e3_core::degraded::Degraded;
use e3_core::digest::{Blob, Digest};
use e3_core::document::{
    Binary, Document, Head, Mesh, Module, Outcome, Presence, Ready, Receipt, Release, Root,
    Session, Timings,
};
use e3_core::envelope::Envelope;
use e3_core::mesh::{Backend, Plan, Roster};
use e3_core::session::{Failure, Reason};
use e3_core::trust::Refusal;
use serde_json::{Value, json};

use crate::fixture::*;

/// What acts on a terminal, cuts a text short for a C program, or turns it round.
const NASTY: [&str; 7] = [
    "\0",
    "\x1b[2J",
    "a\nb",
    "a\rb",
    "\u{7f}",
    "\u{9b}2J",
    "\u{202e}gpj.exe",
];

fn refuses<T: Document>(document: &T) {
    assert!(
        document.check().is_err(),
        "{}",
        serde_json::to_string(document).unwrap()
    );
}

fn receipt() -> Receipt {
    Receipt {
        fleet: "fleet".parse().unwrap(),
        session: "salary".parse().unwrap(),
        manifest: Digest::of(b"manifest"),
        party: 0,
        key: public("p0"),
        outcome: Outcome::Done,
        exit: None,
        outputs: Vec::new(),
        program: None,
        mpyc: None,
        machine: None,
        barrier: None,
        rtt_us: std::collections::BTreeMap::new(),
        started: at(0),
        finished: at(0),
        timings: Timings::default(),
        published: None,
    }
}

/// Whether a payload with this JSON is taken as a document of type `T`.
fn reads<T: Document>(kind: &str, payload: &Value) -> bool {
    let envelope =
        Envelope::parse(&raw(kind, &payload.to_string(), &["head"]), usize::MAX).unwrap();
    envelope.verify::<T>(&[public("head")], 1).is_ok()
}

#[test]
fn unknown_fields_in_a_payload_are_refused() {
    let mut good = serde_json::to_value(head(&trust(), 1)).unwrap();
    assert!(reads::<Head>("head", &good));
    good["root"]["extra"] = json!(1);
    assert!(!reads::<Head>("head", &good));
    let mut session = serde_json::to_value(session()).unwrap();
    assert!(reads::<Session>("session", &session));
    session["run_as_root"] = json!(true);
    assert!(!reads::<Session>("session", &session));
}

#[test]
fn what_is_new_and_not_used_is_not_written() {
    let fields = |document: Value| -> Vec<String> {
        let mut fields: Vec<_> = document.as_object().unwrap().keys().cloned().collect();
        fields.sort_unstable();
        fields
    };
    // What the first readers knew. Who adds a field leaves these lists alone, and the field out where it is not used.
    assert_eq!(
        fields(serde_json::to_value(head(&trust(), 1)).unwrap()),
        [
            "counter", "epoch", "expires", "fleet", "root", "sessions", "signed"
        ]
    );
    assert_eq!(
        fields(serde_json::to_value(presence(1)).unwrap()),
        [
            "addresses",
            "agent",
            "counter",
            "fleet",
            "head",
            "name",
            "owner",
            "party",
            "root",
            "sessions",
            "signed"
        ]
    );
    let plan = Plan {
        anchors: Vec::new(),
        direct: false,
        backend: Backend::Wireguard(Roster::default()),
    };
    assert_eq!(
        serde_json::to_value(plan).unwrap(),
        json!({"anchors": [], "backend": {"name": "wireguard"}})
    );
}

#[test]
fn a_head_that_uses_something_new_is_refused_whole_and_the_one_without_it_is_taken() {
    let mut trust = trust();
    let plain = |counter| serde_json::to_value(head(&trust, counter)).unwrap();
    let newer: [fn(&mut Value); 3] = [
        |head| head["curfew"] = json!("22:00"),
        |head| {
            head["meshes"] =
                json!([{"anchors": [], "backend": {"name": "wireguard", "quantum": true}}]);
        },
        |head| head["meshes"] = json!([{"anchors": [], "backend": {"name": "pigeon"}}]),
    ];
    let refused = newer.map(|change| {
        let mut head = plain(2);
        change(&mut head);
        raw("head", &head.to_string(), &["head"])
    });
    let taken = raw("head", &plain(3).to_string(), &["head"]);
    for bytes in refused {
        let before = trust.clone();
        let error = trust.accept_head(&bytes, at(0)).unwrap_err().to_string();
        assert!(error.contains("head"), "{error}");
        assert_eq!(trust, before);
    }
    trust.accept_head(&taken, at(0)).unwrap();
    assert_eq!(trust.head.unwrap().counter, 3);
}

#[test]
fn integers_out_of_range_are_refused() {
    let good = serde_json::to_value(head(&trust(), 1)).unwrap();
    for counter in [
        json!(-1),
        json!(1.5),
        json!("1"),
        json!(null),
        json!(0),
        json!(18_446_744_073_709_551_616_f64),
    ] {
        let mut bad = good.clone();
        bad["counter"] = counter.clone();
        assert!(!reads::<Head>("head", &bad), "{counter}");
    }
    let good = serde_json::to_value(session()).unwrap();
    for (path, value) in [
        ("/mpyc/base_port", json!(65_536)),
        ("/mpyc/base_port", json!(65_534)),
        ("/mpyc/base_port", json!(80)),
        ("/mpyc/threshold", json!(2)),
        ("/mpyc/threshold", json!(u64::MAX >> 1)),
        ("/limits/memory", json!(0)),
        ("/limits/cpu", json!(0)),
        ("/limits/output", json!(u64::MAX)),
        ("/deadlines/preflight", json!(0)),
        ("/deadlines/run", json!(u64::MAX)),
        ("/program/pack/size", json!(u64::MAX)),
        ("/not_before", json!("-292277022399-01-01T00:00:00Z")),
        ("/expires", json!("99999-01-01T00:00:00Z")),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(path).unwrap_or_else(|| panic!("no {path}")) = value.clone();
        assert!(!reads::<Session>("session", &bad), "{path} = {value}");
    }
    refuses(&Root {
        version: 0,
        ..root()
    });
}

#[test]
fn a_field_that_occurs_twice_is_refused() {
    // Two readers could take different ones.
    let text =
        serde_json::to_string(&head(&trust(), 1))
            .unwrap()
            .replacen('{', "{\"counter\":2,", 1);
    let mut trust = trust();
    assert!(
        trust
            .accept_head(&raw("head", &text, &["head"]), at(0))
            .is_err()
    );
    let envelope = String::from_utf8(bytes(&head(&trust, 1), &["head"])).unwrap();
    assert!(
        trust
            .accept_head(
                envelope.replacen('{', "{\"payload\":\"\",", 1).as_bytes(),
                at(0)
            )
            .is_err()
    );
}

#[test]
fn texts_that_act_on_a_terminal_are_refused_in_documents() {
    for nasty in NASTY.map(str::to_owned) {
        let mut args = session();
        args.program.args = vec![nasty.clone()];
        refuses(&args);
        let mut version = session();
        version.mpyc.version.clone_from(&nasty);
        refuses(&version);
        for module in [
            Module {
                name: "numpy".to_owned(),
                version: Some(nasty.clone()),
            },
            Module {
                name: nasty.clone(),
                version: None,
            },
        ] {
            refuses(&Session {
                modules: vec![module],
                ..session()
            });
        }
        let mut entry = session();
        entry.program.entry = format!("{nasty}.py");
        refuses(&entry);
        let good = ready(Digest::of(b"m"), 0);
        assert!(good.check().is_ok());
        refuses(&Ready {
            endpoint: nasty.clone(),
            ..good.clone()
        });
        let mut machines = [
            good.machine.clone(),
            good.machine.clone(),
            good.machine.clone(),
            good.machine.clone(),
        ];
        machines[0].python.clone_from(&nasty);
        machines[1].mpyc.clone_from(&nasty);
        machines[2].modules.insert(nasty.clone(), "1".to_owned());
        machines[3]
            .modules
            .insert("numpy".to_owned(), nasty.clone());
        for machine in machines {
            refuses(&Ready {
                machine: machine.clone(),
                ..good.clone()
            });
            refuses(&Receipt {
                machine: Some(machine),
                ..receipt()
            });
        }
        refuses(&Presence {
            agent: nasty.clone(),
            ..presence(1)
        });
        refuses(&Presence {
            addresses: vec![nasty.clone()],
            ..presence(1)
        });
        refuses(&Presence {
            meshes: [(
                "nebula".to_owned(),
                Mesh::Joined {
                    addresses: vec![nasty.clone()],
                    took_ms: None,
                },
            )]
            .into(),
            ..presence(1)
        });
        refuses(&Presence {
            meshes: [(
                nasty.clone(),
                Mesh::Joined {
                    addresses: Vec::new(),
                    took_ms: None,
                },
            )]
            .into(),
            ..presence(1)
        });
        refuses(&Release {
            version: nasty.clone(),
            ..release(1)
        });
        refuses(&Release {
            binaries: vec![Binary {
                target: nasty.clone(),
                file: Blob::of(b""),
            }],
            ..release(1)
        });
    }
    assert!(presence(1).check().is_ok());
    assert!(receipt().check().is_ok());
    assert!(release(1).check().is_ok());
}

#[test]
fn a_failure_in_another_partys_words_is_shown_on_one_line() {
    for nasty in NASTY {
        let reasons = [
            Reason::MpycMismatch {
                pinned: "0.11".to_owned(),
                has: nasty.to_owned(),
            },
            Reason::ModuleMissing {
                module: nasty.to_owned(),
            },
            Reason::Unavailable {
                what: nasty.to_owned(),
                detail: nasty.repeat(10_000),
            },
            Reason::Refused {
                refusal: Refusal::Unreadable {
                    detail: nasty.to_owned(),
                },
            },
            Reason::PortInUse {
                port: 1,
                holder: Some(nasty.to_owned()),
            },
            Reason::Exited {
                code: 1,
                exception: Some(nasty.to_owned()),
            },
        ];
        for reason in reasons {
            let shown = Failure::at(0, reason.clone()).to_string();
            assert!(
                !shown.contains(|c: char| c.is_control() || c == '\u{202e}'),
                "{shown:?}"
            );
            assert!(shown.chars().count() < 1500);
            let json = serde_json::to_string(&reason.cleaned()).unwrap();
            assert!(
                json.len() < 3000 && !json.contains("\\u0") && !json.contains("\\n"),
                "{json}"
            );
            assert_eq!(reason.cleaned().cleaned(), reason.cleaned());
        }
    }
}

#[test]
fn a_failure_too_long_or_of_nobody_is_refused_in_documents() {
    let endless = Reason::Disk {
        detail: "x".repeat(100_000),
    };
    refuses(&Presence {
        degraded: Some(Degraded::Disk {
            detail: "x".repeat(100_000),
        }),
        ..presence(1)
    });
    for failure in [
        Failure::at(0, endless),
        Failure::at(64, Reason::Lost),
        Failure::at(usize::MAX, Reason::Lost),
    ] {
        refuses(&Receipt {
            outcome: Outcome::Failed { failure },
            ..receipt()
        });
    }
    refuses(&Receipt {
        party: 64,
        ..receipt()
    });
    refuses(&Receipt {
        finished: at(-1),
        ..receipt()
    });
    refuses(&Receipt {
        published: Some("x".repeat(64 * 1024 + 1)),
        ..receipt()
    });
}

#[test]
fn an_error_about_a_strangers_document_does_not_repeat_its_control_characters() {
    let mut trust = trust();
    for payload in [
        "{\"\\u001b[2J\\n\":1}",
        "{\"fleet\":\"\\u001b[31m\\u202e\"}",
        "\"\\u0000\"",
    ] {
        let error = trust
            .accept_head(&raw("head", payload, &["head"]), at(0))
            .unwrap_err();
        let shown = format!("{error}: {}", std::error::Error::source(&error).unwrap());
        assert!(
            !shown.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{shown:?}"
        );
    }
    let error = trust
        .accept_head(&raw("\u{1b}]0;x\u{7}", "{}", &["head"]), at(0))
        .unwrap_err();
    assert!(!format!("{error:?}").contains('\u{1b}') && !error.to_string().contains('\u{1b}'));
    let envelope = "{\"\u{1b}[2J\":1}";
    assert!(
        !Envelope::parse(envelope.as_bytes(), 100)
            .unwrap_err()
            .to_string()
            .contains('\u{1b}')
    );
    assert!(
        !"did:\u{1b}"
            .parse::<e3_core::key::PublicKey>()
            .unwrap_err()
            .to_string()
            .contains('\u{1b}')
    );
    assert!(
        !"A\u{1b}"
            .parse::<e3_core::name::Name>()
            .unwrap_err()
            .to_string()
            .contains('\u{1b}')
    );
    assert!(
        !"\u{1b}"
            .repeat(500)
            .parse::<e3_core::time::Time>()
            .unwrap_err()
            .to_string()
            .contains('\u{1b}')
    );
}

#[test]
fn a_program_cannot_leave_its_folder() {
    for entry in [
        "../main.py",
        "/main.py",
        "a/../b.py",
        ".hidden.py",
        "main.sh",
        "",
        "a\\b.py",
        "main.py/",
    ] {
        let mut session = session();
        entry.clone_into(&mut session.program.entry);
        refuses(&session);
    }
    for file in [
        "../mpyc-0.11-py3-none-any.whl",
        "a/mpyc-0.11-py3-none-any.whl",
        "mpyc-0.11.tar.gz",
    ] {
        let mut session = session();
        file.clone_into(&mut session.mpyc.file);
        refuses(&session);
    }
}

#[test]
fn a_party_named_twice_is_refused() {
    let mut by_key = session();
    by_key.parties[1].key = by_key.parties[0].key;
    refuses(&by_key);
    let mut by_name = session();
    by_name.parties[1].name = by_name.parties[0].name.clone();
    refuses(&by_name);
}
