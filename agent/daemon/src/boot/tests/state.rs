//! State that is lost, damaged or cut off.

use super::*;
use crate::journal;

#[tokio::test]
async fn lost_trust_state_never_heals_by_itself_and_the_owners_word_brings_it_back() {
    let mut machine = Machine::served().await;
    let identity = fs::read(machine.state("identity.pem")).unwrap();
    // The head that was taken is remembered by the journal alone.
    fs::remove_file(machine.state("trust.json")).unwrap();
    machine.start();
    assert_eq!(machine.is_degraded().await, Degraded::TrustStateMissing);
    let party = machine
        .is("degraded")
        .await
        .known
        .party
        .unwrap()
        .to_string();
    let ledger = Ledger::at(&machine.settings.state);
    for wrong in [None, Some("did:key:z6Mkother")] {
        let error = reset::ask(&ledger, wrong).unwrap_err().to_string();
        assert!(error.ends_with(&format!("--confirm {party}")), "{error}");
    }
    assert!(!ledger.trust().exists() && !ledger.reset().exists());
    // Meanwhile the hub shows an older head, which is not taken for the newest after the reset.
    head(&machine.path("hub"), "fleet", machine.root, 6);
    reset::ask(&ledger, Some(&party)).unwrap();
    let begin = Instant::now();
    loop {
        if let Phase::Degraded {
            reason: Degraded::HubContradicts { detail },
        } = machine.is("degraded").await.phase
        {
            assert!(detail.contains("rollback"), "{detail}");
            break;
        }
        assert!(begin.elapsed() < DEADLINE);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    machine.stop().await;
    assert!(!ledger.reset().exists());
    assert_eq!(fs::read(machine.state("identity.pem")).unwrap(), identity);
    let lines = fs::read_to_string(ledger.journal()).unwrap();
    assert!(
        lines.contains(r#""subject":"trust","verdict":"reset""#),
        "{lines}"
    );
    journal::verify(&ledger.journal()).unwrap();
    assert!(matches!(
        reset::ask(&ledger, Some(&party)),
        Err(AgentError::NothingToReset)
    ));
}

#[tokio::test]
async fn damaged_and_newer_state_is_named_and_kept_and_a_copy_put_back_is_taken() {
    let mut machine = Machine::served().await;
    let good = fs::read_to_string(machine.state("trust.json")).unwrap();
    let newer = good.replacen("\"format\":1", "\"format\":2", 1);
    assert_ne!(newer, good);
    machine.start();
    machine.is("ready").await;
    machine.stop().await;
    fs::write(machine.state("trust.json"), &newer).unwrap();
    machine.start();
    assert!(matches!(
        machine.is_degraded().await,
        Degraded::StateNewer { .. }
    ));
    assert_eq!(
        fs::read_to_string(machine.state("trust.json")).unwrap(),
        newer
    );
    let ledger = Ledger::at(&machine.settings.state);
    assert!(
        reset::ask(&ledger, None).is_err(),
        "a newer state is not reset away"
    );
    fs::write(machine.state("trust.json"), &good).unwrap();
    machine.is("ready").await;
    machine.stop().await;
}

#[tokio::test]
async fn a_lost_identity_is_not_born_again() {
    let mut machine = Machine::served().await;
    let identity = fs::read(machine.state("identity.pem")).unwrap();
    fs::remove_file(machine.state("identity.pem")).unwrap();
    machine.start();
    assert_eq!(machine.is_degraded().await, Degraded::IdentityMissing);
    assert!(!machine.state("identity.pem").exists());
    files::write_private(&machine.state("identity.pem"), &identity).unwrap();
    machine.is("ready").await;
    machine.stop().await;
}

/// Every file of the state, cut off at every byte: a named reason or recovery, nothing lost.
#[tokio::test]
async fn state_that_is_cut_off_anywhere_is_named_or_recovered() {
    let machine = Machine::served().await;
    let files = [
        "trust.json",
        "identity.pem",
        "joined.json",
        "journal.jsonl",
        "journal.tail",
    ];
    let whole = files.map(|file| fs::read(machine.state(file)).unwrap());
    for (file, bytes) in files.iter().zip(&whole) {
        for cut in 0..bytes.len() {
            for (file, bytes) in files.iter().zip(&whole) {
                files::write_private(&machine.state(file), bytes).unwrap();
            }
            files::write_private(&machine.state(file), &bytes[..cut]).unwrap();
            let result = machine.try_once().await;
            let expected = match (*file, &result) {
                ("trust.json", Err(Degraded::StateDamaged { .. }))
                | ("identity.pem", Err(Degraded::IdentityUnusable { .. }))
                | ("joined.json" | "journal.jsonl" | "journal.tail", Ok(())) => true,
                // Only the line end is missing.
                ("identity.pem", Ok(())) => cut == bytes.len() - 1,
                _ => false,
            };
            assert!(expected, "{file} cut at {cut}: {result:?}");
            // What was not cut, and what cannot be made again, is as it was.
            for (other, bytes) in files
                .iter()
                .zip(&whole)
                .take(2)
                .filter(|(other, _)| *other != file)
            {
                assert_eq!(
                    &fs::read(machine.state(other)).unwrap(),
                    bytes,
                    "{file} cut at {cut}"
                );
            }
        }
    }
    for (file, bytes) in files.iter().zip(&whole) {
        files::write_private(&machine.state(file), bytes).unwrap();
    }
    machine.try_once().await.unwrap();
}

/// In the place of each file there is something that cannot be read: it is named, nothing else is touched, and the
/// file is taken when it is back.
#[tokio::test]
async fn state_that_cannot_be_read_is_named_and_read_when_it_can() {
    let mut machine = Machine::served().await;
    for (file, kind) in [
        ("trust.json", "disk"),
        ("identity.pem", "identity-unusable"),
        ("journal.jsonl", "disk"),
        ("joined.json", "disk"),
    ] {
        let path = machine.state(file);
        let good = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        machine.start();
        let reason = machine.is_degraded().await;
        assert_eq!(reason.kind(), kind, "{file}: {reason}");
        assert!(reason.to_string().contains(file), "{reason}");
        fs::remove_dir(&path).unwrap();
        files::write_private(&path, &good).unwrap();
        machine.is("ready").await;
        machine.stop().await;
    }
}
