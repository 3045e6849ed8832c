//! What a session is, for the person who is about to sign it: every field that decides anything.
//!
//! The texts come from whoever wrote the manifest, so they are cleaned before they are shown.

use e3_client::human;
use e3_core::digest::Digest;
use e3_core::document::{Consent, OutputRule, Session};
use e3_core::time::Time;

use super::text::{clean, count, duration, list, shown};

/// How many of a program's files and arguments are shown.
const SHOWN: usize = 20;

/// A label and what stands beside it; further lines of the same label have an empty one.
pub type Row = (&'static str, String);

/// The rows as text, in two columns.
pub fn text(rows: &[Row]) -> String {
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let line = |(label, value): &Row| {
        format!(
            "{}\n",
            format!("{label:width$}  {}", clean(value)).trim_end()
        )
    };
    rows.iter().map(line).collect()
}

/// Puts `lines` under one label.
pub fn labelled(label: &'static str, lines: impl IntoIterator<Item = String>) -> Vec<Row> {
    lines
        .into_iter()
        .enumerate()
        .map(|(i, line)| (if i == 0 { label } else { "" }, line))
        .collect()
}

/// The session in rows. `manifest` is its digest once it is signed, `files` are the program's where
/// they are known.
pub fn rows(
    session: &Session,
    manifest: Option<&Digest>,
    files: Option<&[(String, u64)]>,
    now: Time,
) -> Vec<Row> {
    let Session {
        fleet,
        epoch,
        name,
        counter,
        ..
    } = session;
    let mut rows = vec![(
        "session",
        format!("{name} of the fleet {fleet}, epoch {epoch}, counter {counter}"),
    )];
    rows.extend(manifest.map(|manifest| ("manifest", manifest.to_string())));
    rows.push(("may start", period(session, now)));
    rows.extend(labelled("parties", parties(session)));
    rows.extend(labelled("program", program(session, files)));
    rows.extend(labelled("MPyC", mpyc(session)));
    let module = |module: &e3_core::document::Module| match &module.version {
        Some(version) => format!("{} {}", shown(&module.name), shown(version)),
        None => shown(&module.name),
    };
    if !session.modules.is_empty() {
        rows.push(("modules", list(session.modules.iter().map(module))));
    }
    rows.extend(session.mesh.clone().map(|mesh| ("mesh", mesh)));
    rows.push(("output", output(session)));
    rows.push((
        "consent",
        match session.consent {
            Consent::Signers => "of the signers that each party trusts".to_owned(),
            Consent::All => "of every party's owner".to_owned(),
        },
    ));
    let limits = session.limits;
    let (memory, printed) = (human::binary(limits.memory), human::binary(limits.output));
    rows.push((
        "limits",
        format!(
            "{memory} of memory, {} % of a core, {} processes and threads, {printed} of output",
            limits.cpu, limits.tasks
        ),
    ));
    let [preflight, connect, run] = [
        session.deadlines.preflight,
        session.deadlines.connect,
        session.deadlines.run,
    ]
    .map(duration);
    rows.push((
        "deadlines",
        format!("{preflight} to get ready, {connect} to connect, {run} to run"),
    ));
    rows
}

fn period(session: &Session, now: Time) -> String {
    let Session {
        not_before,
        expires,
        ..
    } = session;
    let seconds = |time: &Time| u64::try_from(time.since(now).abs()).unwrap_or(0);
    let state = if *expires <= now {
        format!("expired {} ago", duration(seconds(expires)))
    } else if now < *not_before {
        format!("in {}", duration(seconds(not_before)))
    } else {
        format!("for another {}", duration(seconds(expires)))
    };
    format!("from {not_before} to {expires} ({state})")
}

fn parties(session: &Session) -> Vec<String> {
    let line = |(index, party): (usize, &e3_core::document::Party)| {
        let inputs = match party.inputs.as_slice() {
            [] => "no input".to_owned(),
            [one] => format!("input {one}"),
            more => format!("inputs {}", list(more)),
        };
        [
            format!("{index} {}, {inputs}", party.name),
            format!("    key   {}", party.key),
            format!("    owner {}", party.owner),
        ]
    };
    session.parties.iter().enumerate().flat_map(line).collect()
}

fn program(session: &Session, files: Option<&[(String, u64)]>) -> Vec<String> {
    let program = &session.program;
    let mut lines = vec![
        format!(
            "{}, packed in {}",
            shown(&program.entry),
            human::binary(program.pack.size)
        ),
        program.pack.digest.to_string(),
    ];
    if let Some(files) = files {
        lines.extend(
            files
                .iter()
                .take(SHOWN)
                .map(|(name, size)| format!("    {}  {}", human::binary(*size), shown(name))),
        );
        if files.len() > SHOWN {
            lines.push(format!(
                "    and {}",
                count(files.len() - SHOWN, "more file")
            ));
        }
    }
    // Quoted, so that a blank at the end of an argument is seen.
    let args: Vec<String> = program
        .args
        .iter()
        .map(|arg| format!("\"{}\"", shown(arg)))
        .collect();
    if !args.is_empty() {
        lines.push(format!(
            "arguments {}",
            args[..args.len().min(SHOWN)].join(" ")
        ));
    }
    if args.len() > SHOWN {
        lines.push(format!(
            "    and {}",
            count(args.len() - SHOWN, "more argument")
        ));
    }
    lines
}

fn mpyc(session: &Session) -> Vec<String> {
    let mpyc = &session.mpyc;
    let threshold = mpyc
        .threshold
        .unwrap_or((session.parties.len().max(1) - 1) / 2);
    let mut options = vec![
        format!("threshold {threshold}"),
        format!("ports from {}", mpyc.base_port),
    ];
    options.push(if mpyc.tls {
        "TLS".to_owned()
    } else {
        "no TLS".to_owned()
    });
    options.extend((!mpyc.prss).then(|| "no PRSS".to_owned()));
    options.extend(mpyc.bit_length.map(|bits| format!("{bits} bits")));
    options.extend(mpyc.sec_param.map(|bits| format!("security {bits}")));
    options.extend(
        mpyc.mixed_word_sizes
            .then(|| "32 and 64 bits mixed".to_owned()),
    );
    let file = format!("{}, {}", shown(&mpyc.file), human::binary(mpyc.wheel.size));
    vec![
        format!("{}, {}", shown(&mpyc.version), options.join(", ")),
        file,
        mpyc.wheel.digest.to_string(),
    ]
}

fn output(session: &Session) -> String {
    let kept = match session.output {
        OutputRule::Private => "stays on each party's machine",
        OutputRule::Publish => "is published with the receipts, where the party's owner allows it",
    };
    let equal = if session.equal.is_empty() {
        ""
    } else {
        "; it must be the same at every party"
    };
    format!("{kept}{equal}")
}
