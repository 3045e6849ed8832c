//! What `e3-agent` does besides running: everything that only looks.

use e3_client::files;
use e3_core::document::{Document as _, Head, RootRef};
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::time::Time;
use serde_json::{Value, json};

use crate::config::Settings;
use crate::error::AgentError;
use crate::import::Folders;
use crate::import::report::Report;
use crate::journal;
use crate::ledger::Ledger;
use crate::peer::tls::Identity;
use crate::reset;
use crate::session::folder::Folder;
use crate::status::{Status, socket};
use e3_client::join::Join;

/// What a command has to say: JSON, and the same for people.
#[derive(Debug, Default)]
pub struct Answer {
    /// For scripts.
    pub json: Value,
    /// For people.
    pub text: String,
    /// Whether the news is bad: the exit code says so.
    pub is_bad: bool,
}

/// `e3-agent status`
pub async fn status(settings: &Settings) -> Result<Answer, AgentError> {
    let asked = Status::ask(&settings.run).await;
    let status = asked.map_err(|source| AgentError::NoAgent {
        path: socket(&settings.run),
        source,
    })?;
    let mut answer = Answer {
        is_bad: false,
        json: serde_json::to_value(&status).unwrap_or_default(),
        text: status.screen(),
    };
    // The importer is another program; what it has said last lies open.
    if let Some(report) = Report::read(&Folders::of(settings).run) {
        if let Some(taken) = &report.taken {
            answer.text += "join     ";
            answer.text += taken;
            answer.text.push('\n');
        }
        answer.text.push_str(&report.screen());
        answer.json["import"] = json!(report);
    }
    Ok(answer)
}

/// `e3-agent journal verify`
pub fn journal_verify(settings: &Settings) -> Result<Answer, AgentError> {
    let tail = journal::verify(&Ledger::open(&settings.state)?.journal())?;
    let text = format!(
        "The journal is whole: {} lines, the last one is {}\n",
        tail.sequence, tail.digest
    );
    Ok(Answer {
        is_bad: false,
        json: json!({ "lines": tail.sequence, "last": tail.digest, "whole": true }),
        text,
    })
}

/// `e3-agent trust reset`
pub fn trust_reset(settings: &Settings, confirm: Option<&str>) -> Result<Answer, AgentError> {
    reset::ask(&Ledger::at(&settings.state), confirm)
}

/// `e3-agent policy show`
pub fn policy_show(settings: &Settings) -> Result<Answer, AgentError> {
    let Some((path, join)) = Join::find(&settings.join)? else {
        let text = "There is no join file yet, so there is no owner and no policy.\n".to_owned();
        return Ok(Answer {
            is_bad: false,
            json: Value::Null,
            text,
        });
    };
    let policy = join.policy(&settings.policy, &path)?;
    let text = toml::to_string_pretty(&policy).unwrap_or_default();
    Ok(Answer {
        is_bad: false,
        json: serde_json::to_value(&policy).unwrap_or_default(),
        text,
    })
}

/// `e3-agent result SESSION`
pub fn result(settings: &Settings, session: &str) -> Result<Answer, AgentError> {
    let ledger = Ledger::open(&settings.state)?;
    let wanted = |manifest: &e3_core::digest::Digest| {
        let folder = Folder::of(&ledger, manifest);
        let named = folder.named().ok().flatten();
        manifest.to_string() == session || named.is_some_and(|named| named.name.as_str() == session)
    };
    // The latest one of that name.
    let found = ledger.sessions().into_iter().rfind(wanted);
    let manifest = found.ok_or_else(|| AgentError::NoSession(session.to_owned()))?;
    let folder = Folder::of(&ledger, &manifest);
    let limit = usize::try_from(limits::OUTPUT).unwrap_or(usize::MAX);
    let stdout = match files::read_bounded(&folder.path("stdout"), limit) {
        Err(error) if error.is_not_found() => {
            return Err(AgentError::NoOutput(session.to_owned()));
        }
        read => read?,
    };
    let text = String::from_utf8_lossy(&stdout).into_owned();
    Ok(Answer {
        is_bad: false,
        json: json!({ "manifest": manifest, "stdout": text }),
        text,
    })
}

/// `e3-agent self-check`: what every session needs of this binary and machine.
pub fn self_check() -> Result<Answer, AgentError> {
    let failed = |what: &str| AgentError::SelfCheck(what.to_owned());
    let key = e3_client::random::key();
    let again = e3_core::key::SecretKey::from_pem(&key.to_pem()).map_err(|_| failed("keys"))?;
    let now = e3_client::clock::now();
    let head = Head {
        fleet: "self-check".parse().map_err(|_| failed("names"))?,
        epoch: 1,
        counter: 1,
        signed: now,
        expires: now.plus(60),
        root: RootRef {
            version: 1,
            digest: e3_core::digest::Digest::of(b""),
        },
        sessions: Vec::new(),
        revoked: Vec::new(),
        release: None,
        meshes: Vec::new(),
    };
    head.check().map_err(|_| failed("documents"))?;
    let envelope = Envelope::sign(&head, &[&again]).map_err(|_| failed("signing"))?;
    let envelope =
        Envelope::parse(&envelope.to_bytes(), limits::HEAD).map_err(|_| failed("envelopes"))?;
    envelope
        .verify::<Head>(&[key.public()], 1)
        .map_err(|_| failed("verifying"))?;
    Identity::new(&key).map_err(|_| failed("TLS identities"))?;
    crate::session::certificate::make(0).map_err(|_| failed("TLS certificates"))?;
    let folder = tempfile::tempdir().map_err(|_| failed("temporary files"))?;
    let path = folder.path().join("file");
    files::write_private(&path, b"x")?;
    let clock = if now > Time::from_unix(1_700_000_000) {
        "set"
    } else {
        "not set"
    };
    let text = format!("self-check passed: keys, signatures, TLS, files; the clock is {clock}\n");
    Ok(Answer {
        is_bad: false,
        json: json!({ "passed": true, "clock": clock, "target": target() }),
        text,
    })
}

/// What this binary was built for.
fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

#[cfg(test)]
mod tests {
    use e3_core::digest::Digest;

    use super::*;

    #[test]
    fn a_session_that_has_printed_nothing_is_told_from_one_that_is_not_here() {
        let state = tempfile::tempdir().unwrap();
        let settings = Settings {
            state: state.path().to_owned(),
            ..Settings::default()
        };
        let manifest = Digest::of(b"manifest");
        let said = || {
            let told = result(&settings, &manifest.to_string());
            told.unwrap_err().to_string()
        };
        assert!(said().contains("there is no session"));
        let folder = state.path().join("sessions").join(manifest.hex());
        files::private_folder(&folder).unwrap();
        let why = said();
        assert!(
            why.contains("has printed nothing here") && why.contains("`e3-agent status`"),
            "{why}"
        );
    }
}
