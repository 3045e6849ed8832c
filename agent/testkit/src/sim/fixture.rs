//! The documents of a simulated session: real ones, with real signatures.

use e3_core::digest::{Blob, Digest};
use e3_core::document::{
    Consent, Deadlines, Limits, Machine, Module, Mpyc, OutputRule, Party, Program, Ready, Session,
};
use e3_core::envelope::{Envelope, Verified};
use e3_core::key::SecretKey;
use e3_core::session::Context;
use e3_core::time::Time;

use super::plan::Difference;

/// The identity key of a simulated party. Anybody can compute it: it is for simulations only.
pub fn party_key(party: usize) -> SecretKey {
    SecretKey::from_seed(Digest::of(format!("simulated party {party}").as_bytes()).as_bytes())
}

/// The manifest of a simulated session of so many parties.
pub fn manifest(parties: usize) -> Session {
    let owner = SecretKey::from_seed(&[1; 32]).public();
    let name = |text: String| text.parse().expect("it is a name");
    Session {
        fleet: name("simulated".to_owned()),
        epoch: 1,
        name: name("simulated".to_owned()),
        counter: 1,
        not_before: Time::MIN,
        expires: Time::MAX,
        consent: Consent::Signers,
        output: OutputRule::Private,
        parties: (0..parties)
            .map(|party| Party {
                name: name(format!("p{party}")),
                key: party_key(party).public(),
                owner,
                inputs: Vec::new(),
            })
            .collect(),
        program: Program {
            pack: Blob::of(b"the program"),
            entry: "main.py".to_owned(),
            args: Vec::new(),
        },
        mpyc: Mpyc {
            version: "0.11".to_owned(),
            file: "mpyc-0.11-py3-none-any.whl".to_owned(),
            wheel: Blob::of(b"the wheel"),
            threshold: None,
            prss: true,
            tls: true,
            base_port: 11_365,
            bit_length: None,
            sec_param: None,
            mixed_word_sizes: false,
        },
        mesh: None,
        modules: vec![Module {
            name: "numpy".to_owned(),
            version: Some("2.3.5".to_owned()),
        }],
        equal: vec!["stdout".to_owned()],
        limits: Limits {
            memory: 1 << 30,
            cpu: 100,
            tasks: 64,
            output: 1 << 20,
        },
        deadlines: Deadlines {
            preflight: 20,
            connect: 10,
            run: 60,
        },
    }
}

/// What party `me` works by.
pub(super) fn context(parties: usize, me: usize) -> Context {
    let session = manifest(parties);
    let owner = SecretKey::from_seed(&[1; 32]);
    let envelope = Envelope::sign(&session, &[&owner]).expect("the manifest makes sense");
    Context {
        session,
        manifest: envelope.digest(),
        me,
    }
}

/// The manifest as a party takes it that pins something else.
pub(super) fn distort(session: &mut Session, what: Difference) {
    let other = Blob::of(b"something else");
    match what {
        Difference::Program => session.program.pack = other,
        Difference::MpycVersion => "0.10".clone_into(&mut session.mpyc.version),
        Difference::MpycFile => session.mpyc.wheel = other,
        Difference::ModuleVersion => {
            session
                .modules
                .iter_mut()
                .for_each(|m| m.version = Some("1.26.4".to_owned()));
        }
        Difference::ModuleMissing => session.modules.clear(),
    }
}

/// What a party signs that has exactly what `session` pins; `life` makes every one different.
pub(super) fn ready(context: &Context, session: &Session, life: u32) -> Verified<Ready> {
    let party = context.me;
    let modules = session
        .modules
        .iter()
        .map(|m| (m.name.clone(), m.version.clone().unwrap_or_default()));
    let ready = Ready {
        manifest: context.manifest,
        party,
        program: session.program.pack.digest,
        mpyc: session.mpyc.wheel.digest,
        endpoint: format!(
            "10.0.0.{party}:{}",
            usize::from(session.mpyc.base_port) + party
        ),
        certificate: Some(format!("certificate of party {party} in its life {life}")),
        machine: Machine {
            python: "3.13.5".to_owned(),
            mpyc: session.mpyc.version.clone(),
            word_size: 64,
            modules: modules.collect(),
        },
        clock: Time::MIN,
        rtt_us: std::collections::BTreeMap::new(),
    };
    let key = party_key(party);
    let envelope = Envelope::sign(&ready, &[&key]).expect("the proof of readiness makes sense");
    envelope
        .verify(&[key.public()], 1)
        .expect("it is signed by the party")
}
