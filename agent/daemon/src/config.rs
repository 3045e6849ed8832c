//! The agent's settings: `agent.toml`, where every key has a default.
//!
//! What a machine needs to find its fleet is not here but in the join file ([`e3_client::join`]); what
//! its owner allows is the policy's business.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e3_client::files;
use e3_client::index::{IndexError, IndexUrl};
use e3_core::limits;
use e3_core::trust::Answers;
use serde::Deserialize;

use crate::import::source::Source;
use crate::import::wifi::Format;
use e3_client::toml_file::Mistake;

/// A configuration file is small; anything larger is a mistake.
const LIMIT: usize = 64 * 1024;
/// The longest that may be waited for anything, in seconds.
const MONTH: u64 = 30 * 24 * 3600;
/// The port on which agents meet.
pub const PORT: u16 = 7332;

/// The file as it is written: everything may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fragment {
    state: Option<PathBuf>,
    run: Option<PathBuf>,
    join: Option<Vec<PathBuf>>,
    policy: Option<PathBuf>,
    listen: Option<String>,
    advertise: Option<Vec<String>>,
    poll_seconds: Option<u64>,
    python: Option<PathBuf>,
    stores: Option<Vec<PathBuf>>,
    index: Option<String>,
    supervisor: Option<Supervisor>,
    unfiltered: Option<bool>,
    update: Option<bool>,
    trial_seconds: Option<u64>,
    answers: Option<Answers>,
    metrics: Option<String>,
    wifi: Option<Format>,
    ssh: Option<bool>,
    import: Option<Vec<Source>>,
}

/// Complete settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What must survive: identity, trust, sessions. Default `/var/lib/e3`.
    pub state: PathBuf,
    /// What need not: sockets. Default `/run/e3`.
    pub run: PathBuf,
    /// Where the agent itself looks for a join file, in order. Default `/etc/e3/e3.toml`; where join files are
    /// imported, the copy in `state`.
    pub join: Vec<PathBuf>,
    /// The owner's policy. Default `/etc/e3/policy.toml`; the join file's `[policy]` if that is not there.
    pub policy: PathBuf,
    /// Where to listen for other agents. Default `[::]:7332`.
    pub listen: String,
    /// Addresses to tell the others, without port. Default: every address of this machine that is not local.
    pub advertise: Vec<String>,
    /// How often the hub is asked when it does not push. Default 5 minutes.
    pub poll: Duration,
    /// The Python that runs sessions. Default `python3`.
    pub python: PathBuf,
    /// Read-only stores of blobs that came with the image.
    pub stores: Vec<PathBuf>,
    /// The Python index that is asked for MPyC when the hub has not got it; `""` for none. Default
    /// `https://pypi.org/simple`.
    pub index: Option<IndexUrl>,
    /// Who starts and stops programs. Default `process`.
    pub supervisor: Supervisor,
    /// Whether a program may run under systemd although this machine's kernel does not keep it from the network.
    /// Default `false`.
    pub unfiltered: bool,
    /// Whether the agent replaces itself by what the fleet releases. Default `true`.
    pub update: bool,
    /// How long a new agent must work before it stays. Default 10 minutes.
    pub trial: Duration,
    /// Who may ask this machine from afar who it is, what is wrong with it and what it has logged. Default `owner`.
    pub answers: Answers,
    /// Where to show metrics besides the socket in `run`: an address of the mesh, whose firewall says
    /// who may read them. Default nowhere, `""`.
    pub metrics: Option<SocketAddr>,
    /// For whom Wi-Fi settings in a join file are written. Default nobody, `none`.
    pub wifi: Format,
    /// Whether the join file's ssh keys count: the importer writes them where sshd looks. Default no.
    pub ssh: bool,
    /// Where `e3-agent import` looks for join files, in order ([`crate::import`]). Default nowhere.
    pub import: Vec<Source>,
}

/// Who starts and stops programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Supervisor {
    /// The agent itself: for a laptop or a demo.
    Process,
    /// systemd, through units that ship with the image.
    Systemd,
}

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration cannot be read")]
    File(#[from] files::FileError),
    /// The file is not what it should be.
    #[error("{path} is not a configuration of e3-agent")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Line, column and what is wrong.
        #[source]
        source: Mistake,
    },
    /// `index` is no index. By itself, so that a password in it is not shown with its line.
    #[error(
        "`index` in {path} cannot be used; write it like https://pypi.org/simple, or \"\" for none"
    )]
    Index {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: IndexError,
    },
    /// `metrics` is no address.
    #[error("`metrics` in {path} cannot be used; write it like 10.0.0.1:7333, or \"\" for none")]
    Metrics {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: std::net::AddrParseError,
    },
}

impl Default for Settings {
    fn default() -> Self {
        Self::complete(Fragment::default(), Some(IndexUrl::pypi()), None)
    }
}

impl Settings {
    /// Reads a file; a file that is not there means all defaults.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let bytes = match files::read_bounded(path, LIMIT) {
            Err(error) if error.is_not_found() => Vec::new(),
            other => other?,
        };
        let syntax = |error: toml::de::Error| ConfigError::Syntax {
            path: path.to_owned(),
            source: Mistake::of(&error, &bytes),
        };
        let file: Fragment = toml::from_slice(&bytes).map_err(syntax)?;
        let bad_index = |source| ConfigError::Index {
            path: path.to_owned(),
            source,
        };
        let index = match file.index.as_deref() {
            None => Some(IndexUrl::pypi()),
            Some("") => None,
            Some(url) => Some(IndexUrl::parse(url).map_err(bad_index)?),
        };
        let metrics = match file.metrics.as_deref() {
            None | Some("") => None,
            Some(address) => Some(address.parse().map_err(|source| ConfigError::Metrics {
                path: path.to_owned(),
                source,
            })?),
        };
        Ok(Self::complete(file, index, metrics))
    }

    fn complete(file: Fragment, index: Option<IndexUrl>, metrics: Option<SocketAddr>) -> Self {
        let or = |path: Option<PathBuf>, default: &str| path.unwrap_or_else(|| default.into());
        let state = or(file.state, "/var/lib/e3");
        let import = file.import.unwrap_or_default();
        let usual = if import.is_empty() {
            "/etc/e3/e3.toml".into()
        } else {
            imported(&state)
        };
        Self {
            run: or(file.run, "/run/e3"),
            join: file.join.unwrap_or_else(|| vec![usual]),
            policy: or(file.policy, "/etc/e3/policy.toml"),
            listen: file.listen.unwrap_or_else(|| format!("[::]:{PORT}")),
            advertise: file.advertise.unwrap_or_default(),
            // A second at least: a typing mistake must not become an attack on the hub.
            poll: Duration::from_secs(file.poll_seconds.unwrap_or(300).clamp(1, MONTH)),
            python: or(file.python, "python3"),
            stores: file.stores.unwrap_or_default(),
            index,
            supervisor: file.supervisor.unwrap_or(Supervisor::Process),
            unfiltered: file.unfiltered.unwrap_or(false),
            update: file.update.unwrap_or(true),
            // A trial of nothing would prove nothing.
            trial: Duration::from_secs(file.trial_seconds.unwrap_or(limits::TRIAL).clamp(1, MONTH)),
            answers: file.answers.unwrap_or_default(),
            metrics,
            wifi: file.wifi.unwrap_or_default(),
            ssh: file.ssh.unwrap_or(false),
            import,
            state,
        }
    }

    /// Where people put a join file: what is imported, or what the agent reads by itself.
    pub fn join_places(&self) -> Vec<PathBuf> {
        let imported: Vec<PathBuf> = self.import.iter().filter_map(Source::place).collect();
        if imported.is_empty() {
            self.join.clone()
        } else {
            imported
        }
    }
}

/// Where the importer puts its copy of a join file: in the agent's own folder, since the agent burns the
/// token in it.
pub fn imported(state: &Path) -> PathBuf {
    state.join("e3.toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is installed as `/etc/e3/agent.toml`.
    const SHIPPED: &str = include_str!("../../dist/etc/e3/agent.toml");

    #[test]
    fn the_shipped_file_shows_every_key_with_its_real_default() {
        let shown: Vec<&str> = SHIPPED
            .lines()
            .filter_map(|line| line.strip_prefix('#'))
            .filter(|line| !line.starts_with(' ') && line.contains(" = "))
            .collect();
        let load = |text: &str| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("agent.toml");
            files::write_atomic(&path, text.as_bytes()).unwrap();
            format!("{:?}", Settings::load(&path).unwrap())
        };
        assert_eq!(load(&shown.join("\n")), load(""));
        // Serde names all keys when one is unknown.
        let error = toml::from_str::<Fragment>("nonsense = 1")
            .unwrap_err()
            .to_string();
        let known = error
            .split("expected one of ")
            .nth(1)
            .unwrap()
            .lines()
            .next()
            .unwrap();
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let keys: Vec<&str> = shown
            .iter()
            .filter_map(|line| line.split(" = ").next())
            .collect();
        assert_eq!(keys, known);
        assert!(
            load(SHIPPED).contains("supervisor: Systemd"),
            "an appliance has systemd"
        );
    }

    #[test]
    fn an_absent_file_means_defaults_and_a_typing_mistake_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        assert_eq!(Settings::load(&path).unwrap().poll, Duration::from_mins(5));
        files::write_atomic(&path, b"poll_seconds = 9223372036854775807\n").unwrap();
        assert_eq!(
            Settings::load(&path).unwrap().poll,
            Duration::from_hours(720)
        );
        files::write_atomic(&path, b"pol_seconds = 5\n").unwrap();
        let error = Settings::load(&path).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            source.contains("pol_seconds") && source.contains("line 1"),
            "{source}"
        );
    }

    #[test]
    fn the_index_is_pypi_unless_another_or_none_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.toml");
        let load = |text: &str| {
            files::write_atomic(&path, text.as_bytes()).unwrap();
            let index = Settings::load(&path)?.index;
            Ok::<_, ConfigError>(index.map(|index| index.to_string()))
        };
        assert_eq!(
            load("").unwrap().as_deref(),
            Some("https://pypi.org/simple/")
        );
        assert_eq!(load("index = \"\"").unwrap(), None);
        assert_eq!(
            load("index = \"http://user:secret@10.0.0.1/pypi\"")
                .unwrap()
                .as_deref(),
            Some("http://10.0.0.1/pypi/")
        );
        let error = load("index = \"ftp://user:secret@x\"").unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, "ftp:… is not the URL of a Python index");
    }
}
