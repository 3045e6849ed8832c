//! `e3-agent support-bundle`: one tar file for whoever helps, without secrets.
//!
//! Two things keep secrets out. What is collected is chosen: states, digests, versions and log lines,
//! never keys, inputs, outputs or the token. And everything collected goes through [`redact`], since a
//! log line or a settings file may hold one all the same.

mod collect;
pub(crate) mod redact;

use std::path::Path;

use e3_client::files;
use serde_json::json;

use self::redact::Redactor;
use crate::commands::Answer;
use crate::config::Settings;
use crate::error::AgentError;

/// What the reader of a bundle should know.
const README: &str = "What e3-agent support-bundle has collected on this machine. Secrets that it knows or recognises were \
replaced by [redacted]; it holds no keys, inputs or outputs. Look through it before you give it away all the same.\n";

/// Writes the bundle.
pub async fn bundle(config: &Path, file: &Path) -> Result<Answer, AgentError> {
    // Broken settings are a reason to make a bundle; then the usual places are looked at.
    let (settings, problem) = match Settings::load(config) {
        Ok(settings) => (settings, None),
        Err(error) => (Settings::default(), Some(crate::text::chain(&error))),
    };
    let redactor = Redactor::of(&settings, config);
    let mut parts = vec![("README.txt", README.to_owned())];
    parts.extend(collect::all(&settings, config, problem).await);
    let mut archive = tar::Builder::new(Vec::new());
    let mut names = Vec::new();
    for (name, text) in parts {
        let text = redactor.clean(&text);
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        let unwritten = |source| AgentError::Bundle {
            path: file.to_owned(),
            source,
        };
        let path = format!("e3-support/{name}");
        archive
            .append_data(&mut header, path, text.as_bytes())
            .map_err(unwritten)?;
        names.push(name);
    }
    let bytes = archive.into_inner().map_err(|source| AgentError::Bundle {
        path: file.to_owned(),
        source,
    })?;
    files::write_secret(file, &bytes)?;
    Ok(Answer {
        is_bad: false,
        json: json!({ "file": file.to_string_lossy(), "bytes": bytes.len(), "parts": names }),
        text: format!(
            "Wrote {} with {}. Secrets are redacted; look through it before you give it away.\n",
            file.display(),
            names.join(", ")
        ),
    })
}
