//! Finding the machine's Python: asked once who it is, then remembered until its file changes.
//!
//! What is configured may be a name, a link or a shell script (pyenv's); a session starts the interpreter that
//! is behind it, because a session's environment is empty and every millisecond of its start is waited for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use e3_core::session::Reason;
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

/// The oldest Python that the supported MPyC versions run on.
const OLDEST: (u32, u32) = (3, 10);
/// For answering who it is. A Pi with a cold card takes 2 s.
const DEADLINE: Duration = Duration::from_secs(10);
/// What it may answer, in bytes.
const ANSWER: u64 = 8192;
/// Asked of any Python back to 2.7; `-I` is not known to all of those.
const QUESTION: &str = "import sys, json; v = sys.version_info; print(json.dumps({'path': sys.executable, \
     'major': v[0], 'minor': v[1], 'micro': v[2], \
     'cache_tag': getattr(getattr(sys, 'implementation', None), 'cache_tag', None) or 'none'}))";

/// A Python that is new enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// The interpreter itself, absolute.
    pub path: PathBuf,
    /// Its version, such as `3.11.7`.
    pub version: String,
    /// What it calls its byte code, such as `cpython-311`.
    pub cache_tag: String,
}

/// Finds Pythons and remembers them by path and modification time.
#[derive(Debug, Default)]
pub struct Pythons {
    known: Mutex<BTreeMap<PathBuf, (SystemTime, Python)>>,
}

#[derive(Deserialize)]
struct Answer {
    path: PathBuf,
    major: u32,
    minor: u32,
    micro: u32,
    cache_tag: String,
}

impl Pythons {
    /// The Python that is configured as `python`: a path, or a name to look for in `PATH`.
    pub async fn find(&self, python: &Path) -> Result<Python, Reason> {
        let missing = |detail: String| Reason::PythonMissing { detail };
        let path = locate(python, std::env::var_os("PATH").as_deref());
        let path =
            path.ok_or_else(|| missing(format!("there is no program {}", python.display())))?;
        let changed = std::fs::metadata(&path).and_then(|m| m.modified());
        let changed = changed.map_err(|error| missing(format!("{}: {error}", path.display())))?;
        if let Some((_, known)) = self
            .lock()
            .get(&path)
            .filter(|known| known.0 == changed && known.1.path.exists())
        {
            return Ok(known.clone());
        }
        let answer = ask(&path).await.map_err(missing)?;
        let version = format!("{}.{}.{}", answer.major, answer.minor, answer.micro);
        if (answer.major, answer.minor) < OLDEST {
            return Err(Reason::PythonTooOld { has: version });
        }
        let tag_is_safe = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !answer.path.is_absolute() || !answer.cache_tag.chars().all(tag_is_safe) {
            return Err(missing(format!(
                "{} does not know where it is",
                path.display()
            )));
        }
        let found = Python {
            path: answer.path,
            version,
            cache_tag: answer.cache_tag,
        };
        self.lock().insert(path, (changed, found.clone()));
        Ok(found)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, (SystemTime, Python)>> {
        self.known
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn locate(python: &Path, search: Option<&OsStr>) -> Option<PathBuf> {
    if python.components().count() > 1 {
        return std::path::absolute(python)
            .ok()
            .filter(|path| path.is_file());
    }
    std::env::split_paths(search?)
        .map(|folder| folder.join(python))
        .find(|path| path.is_absolute() && path.is_file())
}

async fn ask(path: &Path) -> Result<Answer, String> {
    let shown = path.display();
    // The agent's own environment, for such as pyenv's scripts; the session's is empty.
    let mut command = tokio::process::Command::new(path);
    command
        .arg("-c")
        .arg(QUESTION)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command.current_dir("/").kill_on_drop(true);
    let (mut child, _own) =
        crate::supervisor::spawn_own(&mut command).map_err(|error| format!("{shown}: {error}"))?;
    let stdout = child
        .stdout
        .take()
        .ok_or_else(|| format!("{shown} has no output"))?;
    let answer = async {
        let mut bytes = Vec::new();
        stdout.take(ANSWER).read_to_end(&mut bytes).await?;
        Ok::<_, std::io::Error>((bytes, child.wait().await?))
    };
    let answered = tokio::time::timeout(DEADLINE, answer).await;
    let answered = answered.map_err(|_| {
        format!(
            "{shown} did not say its version within {} s",
            DEADLINE.as_secs()
        )
    })?;
    let (bytes, status) = answered.map_err(|error| format!("{shown}: {error}"))?;
    if !status.success() {
        return Err(format!(
            "{shown} ended with {status} when asked for its version"
        ));
    }
    serde_json::from_slice(&bytes).map_err(|_| format!("{shown} does not answer as Python does"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A program that answers with this shell script.
    fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
        let path = folder.join(name);
        e3_client::files::write_atomic(&path, format!("#!/bin/sh\n{text}\n").as_bytes()).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn the_machines_python_is_found_by_name_and_answers_for_itself() {
        let python = Pythons::default().find(Path::new("python3")).await.unwrap();
        assert!(
            python.path.is_absolute() && python.path.is_file(),
            "{python:?}"
        );
        assert!(python.version.starts_with("3."), "{python:?}");
        assert!(python.cache_tag.contains('-'), "{python:?}");
    }

    #[tokio::test]
    async fn no_python_and_no_answer_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let mute = script(folder.path(), "mute", "echo hello");
        let fails = script(folder.path(), "fails", "exit 3");
        let cases = [
            (Path::new("python-that-is-not-there"), "there is no program"),
            (Path::new("/nowhere/python3"), "there is no program"),
            (&mute, "does not answer as Python does"),
            (&fails, "ended with exit status: 3"),
        ];
        for (path, text) in cases {
            let Err(Reason::PythonMissing { detail }) = Pythons::default().find(path).await else {
                panic!("{path:?}")
            };
            assert!(detail.contains(text), "{detail}");
        }
    }

    #[tokio::test]
    async fn an_old_python_is_refused_and_a_new_one_in_its_place_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let answer = |minor| {
            format!(
                r#"echo '{{"path":"/bin/sh","major":3,"minor":{minor},"micro":1,"cache_tag":"x"}}'"#
            )
        };
        let pythons = Pythons::default();
        let path = script(folder.path(), "python", &answer(9));
        assert_eq!(
            pythons.find(&path).await,
            Err(Reason::PythonTooOld {
                has: "3.9.1".to_owned()
            })
        );
        script(folder.path(), "python", &answer(10));
        assert_eq!(pythons.find(&path).await.unwrap().version, "3.10.1");
        // Remembered while the file is the same: it is not started again.
        let before = std::fs::metadata(&path).unwrap().modified().unwrap();
        script(folder.path(), "python", &answer(12));
        std::fs::File::open(&path)
            .unwrap()
            .set_modified(before)
            .unwrap();
        assert_eq!(pythons.find(&path).await.unwrap().version, "3.10.1");
        std::fs::File::open(&path)
            .unwrap()
            .set_modified(before + Duration::from_secs(5))
            .unwrap();
        assert_eq!(pythons.find(&path).await.unwrap().version, "3.12.1");
    }
}
