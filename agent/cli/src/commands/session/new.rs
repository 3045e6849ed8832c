//! `e3 session new`: a commented manifest to start from. Nothing is overwritten.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use e3_client::files::FileError;
use e3_core::name::Name;
use serde_json::json;

use crate::fleet_file::Fleet;
use crate::manifest::ManifestError;
use crate::manifest::template::Template;
use crate::manifest::text::{is_hidden, word};
use crate::output::Answer;

/// What was asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The manifest to write; `NAME.toml` if nothing is said, standard output if it is `-`.
    pub file: Option<PathBuf>,
    /// The program.
    pub program: Option<PathBuf>,
    /// The parties, in order.
    pub parties: Vec<String>,
    /// Local inputs that every party gives.
    pub inputs: Vec<String>,
}

/// Writes the manifest, or hands it back to be printed. Without a list of parties it takes all of
/// the fleet's, if there is one.
pub fn run(options: &Options, fleet: Option<&Fleet>) -> Result<Answer, ManifestError> {
    let mut template = Template::default();
    for party in &options.parties {
        let is_name = party.parse::<Name>().is_ok() || party.starts_with("did:key:");
        is_name
            .then_some(())
            .ok_or_else(|| ManifestError::BadName(party.clone()))?;
    }
    for input in &options.inputs {
        input
            .parse::<Name>()
            .map_err(|_| ManifestError::BadName(input.clone()))?;
    }
    template.inputs.clone_from(&options.inputs);
    if !options.parties.is_empty() {
        template.parties.clone_from(&options.parties);
    } else if let Some(fleet) = fleet.filter(|fleet| !fleet.parties.is_empty()) {
        template.parties = fleet
            .parties
            .iter()
            .map(|party| party.name.to_string())
            .collect();
    }
    let stem = |path: &Path| {
        path.file_stem()
            .and_then(|stem| to_name(&stem.to_string_lossy()))
    };
    let is_stdout = options.file.as_deref() == Some(Path::new("-"));
    let named = options
        .file
        .as_deref()
        .filter(|_| !is_stdout)
        .or(options.program.as_deref());
    if let Some(name) = named.and_then(stem) {
        template.name = name;
    }
    let file = options
        .file
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.toml", template.name)));
    if let Some(program) = &options.program {
        let folder = if is_stdout {
            Path::new("")
        } else {
            file.parent().unwrap_or(Path::new(""))
        };
        let path = from_folder(program, folder);
        let plain = path.to_str().filter(|path| !path.chars().any(is_hidden));
        plain
            .ok_or_else(|| ManifestError::BadPath(program.clone()))?
            .clone_into(&mut template.program);
    }
    let text = template.text();
    if is_stdout {
        return Ok(Answer::new(text.clone(), json!({ "manifest": text })));
    }
    create(&file, &text)?;
    let shown = word(&file);
    let next = format!("Wrote {shown}. Edit it, then check it with `e3 session check {shown}`.\n");
    Ok(Answer::new(
        next,
        json!({ "file": crate::output::named(&file) }),
    ))
}

/// Writes a file that must not exist: whole, or not at all.
fn create(path: &Path, text: &str) -> Result<(), ManifestError> {
    let io = |source| {
        ManifestError::File(FileError::Io {
            action: "cannot write",
            path: path.to_owned(),
            source,
        })
    };
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(folder)
        .map_err(io)?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.as_file().sync_all())
        .map_err(io)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(ManifestError::Exists {
                path: path.to_owned(),
            })
        }
        Err(error) => Err(io(error.error)),
    }
}

/// The nearest thing to `text` that can be a name.
fn to_name(text: &str) -> Option<String> {
    let lower = text
        .to_lowercase()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let name: String = lower.trim_matches('-').chars().take(63).collect();
    name.parse::<Name>().ok().map(String::from)
}

/// `path` as seen from `folder`. Both are relative to the working directory, or absolute.
fn from_folder(path: &Path, folder: &Path) -> PathBuf {
    if path.is_absolute() || folder.as_os_str().is_empty() {
        return path.to_owned();
    }
    let absolute = |path: &Path| path.canonicalize().ok();
    let (Some(to), Some(from)) = (absolute(path), absolute(folder)) else {
        return path.to_owned();
    };
    let shared = to
        .components()
        .zip(from.components())
        .take_while(|(a, b)| a == b)
        .count();
    let up = from
        .components()
        .skip(shared)
        .map(|_| std::path::Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}
