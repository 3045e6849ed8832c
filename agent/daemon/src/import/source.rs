//! Where join files come from: `[[import]]` in the agent's settings, written by the image.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use e3_client::join;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{medium, user_data};

/// A cloud's metadata: 64 KiB of user data and some facts.
const METADATA: usize = 1024 * 1024;
/// Folders that a `*` may stand for. A computer has a handful of users.
const MATCHES: usize = 256;

/// One place.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Source {
    /// A credential that systemd gives to the importer: SMBIOS, a container manager, `/etc/credstore`.
    Credential {
        /// Its name.
        #[serde(default = "credential")]
        name: String,
    },
    /// A file.
    File {
        /// Where; a folder in it may be `*`, for example for all users of a computer.
        path: PathBuf,
        /// Where something must be mounted for the file to be there.
        mount: Option<PathBuf>,
        /// Whether its secrets are burnt after their first use.
        #[serde(default = "yes")]
        burn: bool,
    },
    /// User data that the image's own tools have fetched, or found on a disk of NoCloud. They may be something else than a
    /// join file, and cannot be burnt.
    UserData {
        /// The file.
        path: PathBuf,
        /// If the file is a JSON object: which field has them.
        field: Option<String>,
    },
    /// A variable with a join file, as text or in base64: for containers. With such a source the agent imports by itself.
    Environment {
        /// Its name.
        #[serde(default = "variable")]
        name: String,
    },
}

fn credential() -> String {
    "e3.join".to_owned()
}

fn variable() -> String {
    "E3_JOIN".to_owned()
}

fn yes() -> bool {
    true
}

/// What lies at one place.
pub struct Look {
    /// The place, for people and for the record.
    pub place: String,
    /// The file that can be burnt, if it is one.
    pub file: Option<PathBuf>,
    /// What is there.
    pub what: What,
}

/// What is there.
pub enum What {
    /// It should be a join file.
    Text(Zeroizing<Vec<u8>>),
    /// Something of somebody else's.
    Other(&'static str),
    /// A file that cannot be used, and why.
    Unusable(String),
    /// No file, but something that a person should know.
    Hint {
        /// What.
        text: String,
        /// What to do.
        remedy: &'static str,
    },
}

impl Source {
    /// Where a person puts a join file, if it is a file.
    pub fn place(&self) -> Option<PathBuf> {
        match self {
            Self::File { path, .. } => Some(path.clone()),
            _ => None,
        }
    }

    /// Whether nobody but the machine's owner can write there.
    pub fn is_owners(&self) -> bool {
        match self {
            Self::Credential { .. } | Self::Environment { .. } => true,
            Self::File { path, .. } => path.starts_with("/etc"),
            Self::UserData { .. } => false,
        }
    }

    /// Looks.
    pub fn look(&self) -> Vec<Look> {
        match self {
            Self::Credential { name } => {
                let Some(folder) = std::env::var_os("CREDENTIALS_DIRECTORY") else {
                    return Vec::new();
                };
                let found = medium::read(&Path::new(&folder).join(name), join::LIMIT);
                look(format!("the systemd credential {name}"), None, found)
            }
            Self::File { path, mount, burn } => {
                if let Some(mount) = mount.as_ref().filter(|mount| !medium::is_mounted(mount)) {
                    let what = What::Hint {
                        text: format!(
                            "nothing is mounted at {}, so no join file can be found there",
                            mount.display()
                        ),
                        remedy: "Check the card or disk: the partition may be missing or damaged. A join file at /etc/e3/e3.toml is found without it.",
                    };
                    let place = path.display().to_string();
                    return vec![Look {
                        place,
                        file: None,
                        what,
                    }];
                }
                matches(path)
                    .iter()
                    .flat_map(|path| file(path, *burn))
                    .collect()
            }
            Self::UserData { path, field } => {
                let place = format!("the user data in {}", path.display());
                let found = medium::read(path, METADATA).and_then(|found| match (found, field) {
                    (Some(bytes), Some(field)) => {
                        Ok(Some(Zeroizing::new(user_data::field(&bytes, field)?)))
                    }
                    (found, _) => Ok(found),
                });
                let kind = match &found {
                    Ok(Some(bytes)) => user_data::kind(bytes),
                    _ => return look(place, None, found),
                };
                match kind {
                    user_data::Kind::Nothing => Vec::new(),
                    user_data::Kind::Join(bytes) => {
                        look(place, None, Ok(Some(Zeroizing::new(bytes))))
                    }
                    user_data::Kind::Other(name) => {
                        let what = What::Other(name);
                        vec![Look {
                            place,
                            file: None,
                            what,
                        }]
                    }
                }
            }
            Self::Environment { name } => {
                let place = format!("the environment variable {name}");
                let found = std::env::var_os(name).filter(|value| !value.is_empty());
                let found =
                    found.map(|value| Zeroizing::new(user_data::of_environment(value.as_bytes())));
                look(place, None, Ok(found))
            }
        }
    }
}

fn look(
    place: String,
    file: Option<PathBuf>,
    found: Result<Option<Zeroizing<Vec<u8>>>, String>,
) -> Vec<Look> {
    let what = match found {
        Ok(None) => return Vec::new(),
        Ok(Some(bytes)) => match text_problem(&bytes) {
            Some(problem) => What::Unusable(problem.to_owned()),
            None => What::Text(bytes),
        },
        Err(problem) => What::Unusable(problem),
    };
    vec![Look { place, file, what }]
}

fn file(path: &Path, burn: bool) -> Vec<Look> {
    let place = path.display().to_string();
    let found = medium::read(path, join::LIMIT);
    let mut misnamed = path.to_owned().into_os_string();
    misnamed.push(".txt");
    if matches!(found, Ok(None)) && Path::new(&misnamed).symlink_metadata().is_ok() {
        let what = What::Hint {
            text: format!("there is {place}.txt, but no {place}"),
            remedy: "Rename it: Windows hides how a name ends unless it is told otherwise.",
        };
        return vec![Look {
            place,
            file: None,
            what,
        }];
    }
    look(place, burn.then(|| path.to_owned()), found)
}

/// Why these bytes are no text, before any parser sees them.
fn text_problem(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        Some("was saved as UTF-16; save it as UTF-8")
    } else if bytes.contains(&0) || std::str::from_utf8(bytes).is_err() {
        Some("is no UTF-8 text, so it is no join file")
    } else {
        None
    }
}

/// The paths that a path with `*` stands for, in the order of their names. Folders are entered, links are not: Windows links
/// `All Users` to `ProgramData`.
fn matches(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in path.components() {
        if part != Component::Normal(OsStr::new("*")) {
            for path in &mut found {
                path.push(part);
            }
            continue;
        }
        let mut below: Vec<PathBuf> = Vec::new();
        for folder in &found {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
            below.extend(folders.take(MATCHES).map(|entry| entry.path()));
        }
        below.sort();
        found = below;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_star_is_every_folder_but_no_link() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for user in ["bob", "alice", "Public"] {
            fs::create_dir(at(user)).unwrap();
        }
        fs::write(at("file"), "").unwrap();
        std::os::unix::fs::symlink(at("bob"), at("All Users")).unwrap();
        let found = matches(&at("*").join("e3.toml"));
        let names = ["Public", "alice", "bob"].map(|user| at(user).join("e3.toml"));
        assert_eq!(found, names);
        assert_eq!(matches(Path::new("/none/*/e3.toml")), [] as [PathBuf; 0]);
    }

    #[test]
    fn what_is_no_text_never_gets_to_a_parser() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e3.toml");
        let source = Source::File {
            path: path.clone(),
            mount: None,
            burn: true,
        };
        let problem = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            match source.look().pop().unwrap().what {
                What::Unusable(problem) => problem,
                _ => panic!("{bytes:?} is taken for text"),
            }
        };
        assert!(problem(b"\xff\xfef\0").contains("UTF-16"));
        assert!(problem(b"fleet\0").contains("no UTF-8"));
        assert!(problem(b"fleet = \"\xfc\"").contains("no UTF-8"));
        assert!(problem(&vec![b'#'; join::LIMIT + 1]).contains("more than 524288 bytes"));
        fs::rename(&path, folder.path().join("e3.toml.txt")).unwrap();
        assert!(matches!(
            source.look().pop().unwrap().what,
            What::Hint { text, .. } if text.contains("e3.toml.txt")
        ));
    }

    #[test]
    fn a_partition_that_is_not_there_is_said() {
        let folder = tempfile::tempdir().unwrap();
        for mount in ["none", ""] {
            let mount = folder.path().join(mount);
            let source = Source::File {
                path: mount.join("e3.toml"),
                mount: Some(mount.clone()),
                burn: true,
            };
            let What::Hint { text, .. } = source.look().pop().unwrap().what else {
                panic!("{mount:?}")
            };
            assert!(text.contains("nothing is mounted at"), "{text}");
        }
    }
}
