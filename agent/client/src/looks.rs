//! What both doctors look at, the owner's (`e3 doctor`) and the machine's (`e3-agent doctor`): a name, a clock, a disk, and that
//! nothing which hangs hides the rest.
//!
//! It is judged and told here, the same way for both. What is to be done about it is theirs to say: an owner and somebody before
//! a machine can do different things.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e3_core::checkup::{Check, State};

use crate::clock::now;

/// Seconds that two clocks may differ without a word.
const CLOCK: i64 = 60;
/// Less than this many MiB, and what is signed, trusted or put out may not be written.
const FULL: u64 = 32;
/// Fewer files than this, and a session may not be unpacked.
const FILES: u64 = 1000;

/// What is found within `deadline`, or that nothing was.
pub async fn bounded(
    what: &'static str,
    deadline: Duration,
    remedy: &str,
    look: impl Future<Output = Vec<Check>>,
) -> Vec<Check> {
    let looked = tokio::time::timeout(deadline, Box::pin(look)).await;
    looked.unwrap_or_else(|_| {
        let found = format!("nothing is heard within {} s", deadline.as_secs());
        vec![Check::fail(what, found, remedy)]
    })
}

/// Whether a name server knows the host of this URL, if that has a name; `written` says in which file.
pub async fn name(url: &str, written: &str, patience: Duration) -> Option<Check> {
    const WHAT: &str = "dns";
    let parsed = reqwest::Url::parse(url).ok()?;
    let host = parsed
        .domain()
        .filter(|_| parsed.scheme().starts_with("http"))?;
    Some(match lookup(host, 0, patience).await {
        Ok(address) => Check::ok(WHAT, format!("{host} is {}", address.ip())),
        Err(problem) => {
            let remedy = format!(
                "Check the name in {written}, and the name servers: `resolvectl status`, /etc/resolv.conf."
            );
            Check::fail(WHAT, format!("{host} is not known: {problem}"), remedy)
        }
    })
}

/// The first address of a host, or why there is none.
pub async fn lookup(host: &str, port: u16, patience: Duration) -> Result<SocketAddr, String> {
    let asked = tokio::time::timeout(patience, tokio::net::lookup_host((host, port))).await;
    let mut found = asked
        .map_err(|_| "no name server answers".to_owned())?
        .map_err(|error| error.to_string())?;
    found.next().ok_or_else(|| "it has no address".to_owned())
}

/// This machine's clock beside a hub's, which is so many seconds ahead. More than `tolerance` is a failure: something is refused
/// by then.
pub fn clock(what: &'static str, ahead: i64, tolerance: i64, remedy: &str) -> Check {
    let (now, off) = (now(), ahead.saturating_abs());
    let found = match ahead {
        -2..=2 => format!("{now}, as the hub's"),
        3.. => format!("{now}, {off} s behind the hub's"),
        _ => format!("{now}, {off} s ahead of the hub's"),
    };
    if off <= CLOCK {
        Check::ok(what, found)
    } else {
        let state = if off <= tolerance {
            State::Warn
        } else {
            State::Fail
        };
        Check::new(what, state, found, Some(remedy.to_owned()))
    }
}

/// What a file system says of itself (`statvfs`, POSIX). Each program has a library that asks it.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Bytes for whoever is not root.
    pub free: u64,
    /// How many more files fit, where that is bounded.
    pub files: Option<u64>,
    /// Whether nothing can be written.
    pub is_read_only: bool,
}

/// How room is judged.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    /// Asks the file system of a path that is there.
    pub measure: fn(&Path) -> io::Result<Room>,
    /// Less than this many MiB is scarce.
    pub scarce: u64,
    /// What to do then.
    pub if_scarce: &'static str,
    /// What to do when nothing more can be written.
    pub if_full: &'static str,
    /// What to do when no more files can be made.
    pub if_many: &'static str,
    /// What to do about a disk that is read-only.
    pub if_read_only: &'static str,
    /// What to do when it cannot be looked at.
    pub if_unseen: &'static str,
}

/// Room at each of these paths. What is not there yet will be made where the nearest folder above it is.
pub async fn disk(paths: Vec<PathBuf>, needs: Needs) -> Vec<Check> {
    // In a thread of its own: a disk that hangs does not hold up the others.
    let looked =
        tokio::task::spawn_blocking(move || paths.iter().map(|path| room(path, &needs)).collect());
    looked.await.unwrap_or_default()
}

fn room(path: &Path, needs: &Needs) -> Check {
    let there = path.ancestors().find(|path| path.exists());
    // The folder that one stands in has no name in a path such as `demo`.
    let root = Path::new(if path.is_absolute() { "/" } else { "." });
    judge(path, (needs.measure)(there.unwrap_or(root)), needs)
}

fn judge(path: &Path, found: io::Result<Room>, needs: &Needs) -> Check {
    const WHAT: &str = "disk";
    let shown = path.display();
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let found = format!("{shown} cannot be looked at: {error}");
            return Check::fail(WHAT, found, needs.if_unseen);
        }
    };
    let free = found.free >> 20;
    let told = format!("{free} MiB free at {shown}");
    let files = found.files.filter(|files| *files < FILES);
    if found.is_read_only {
        Check::fail(WHAT, format!("{shown} is read-only"), needs.if_read_only)
    } else if let Some(files) = files {
        Check::fail(
            WHAT,
            format!("{files} more files fit at {shown}"),
            needs.if_many,
        )
    } else if free < FULL {
        Check::fail(WHAT, told, needs.if_full)
    } else if free < needs.scarce {
        Check::warn(WHAT, told, needs.if_scarce)
    } else {
        Check::ok(WHAT, told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn told(check: &Check) -> (State, &str, Option<&str>) {
        (check.state, &check.found, check.remedy.as_deref())
    }

    #[tokio::test]
    async fn what_hangs_is_told_with_a_remedy() {
        let (moment, hangs) = (Duration::from_millis(1), std::future::pending());
        let checks = bounded("disk", moment, "Pull it.", hangs).await;
        let expected = (State::Fail, "nothing is heard within 0 s", Some("Pull it."));
        assert_eq!(told(&checks[0]), expected);
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_is_told_and_an_address_or_a_folder_needs_none() {
        // RFC 6761: nobody will ever have that name.
        let check = name("https://user:secret@hub.invalid:8420/", "e3.toml", PATIENCE).await;
        let check = check.unwrap();
        assert!(
            check.found.starts_with("hub.invalid is not known: "),
            "{check:?}"
        );
        assert!(check.remedy.unwrap().contains("the name in e3.toml"));
        for url in ["http://127.0.0.1:1", "http://[::1]:1/", "file:///srv/hub"] {
            assert_eq!(name(url, "e3.toml", PATIENCE).await, None, "{url}");
        }
    }

    #[test]
    fn a_clock_is_told_by_how_far_it_is_from_the_hubs() {
        let looked = |ahead| clock("time", ahead, 300, "Set it.");
        for (ahead, state, words) in [
            (2, State::Ok, ", as the hub's"),
            (-60, State::Ok, ", 60 s ahead of the hub's"),
            (61, State::Warn, ", 61 s behind the hub's"),
            (-300, State::Warn, ", 300 s ahead of the hub's"),
            (301, State::Fail, ", 301 s behind the hub's"),
            (i64::MIN, State::Fail, " s ahead of the hub's"),
        ] {
            let check = looked(ahead);
            assert_eq!(check.state, state, "{check:?}");
            assert!(check.found.ends_with(words), "{check:?}");
            assert_eq!(check.remedy.is_some(), state != State::Ok, "{check:?}");
        }
    }

    #[test]
    fn a_disk_is_told_by_what_it_lacks() {
        let needs = Needs {
            measure: |_| Err(io::ErrorKind::NotFound.into()),
            scarce: 256,
            if_scarce: "scarce",
            if_full: "full",
            if_many: "many",
            if_read_only: "read-only",
            if_unseen: "unseen",
        };
        let good = Room {
            free: 1 << 30,
            files: None,
            is_read_only: false,
        };
        let cases = [
            (good, State::Ok, "1024 MiB free at /srv/e3", None),
            (
                Room {
                    free: 255 << 20,
                    ..good
                },
                State::Warn,
                "255 MiB free at /srv/e3",
                Some("scarce"),
            ),
            (
                Room {
                    free: 31 << 20,
                    ..good
                },
                State::Fail,
                "31 MiB free at /srv/e3",
                Some("full"),
            ),
            (
                Room {
                    files: Some(999),
                    ..good
                },
                State::Fail,
                "999 more files fit at /srv/e3",
                Some("many"),
            ),
            (
                Room {
                    is_read_only: true,
                    ..good
                },
                State::Fail,
                "/srv/e3 is read-only",
                Some("read-only"),
            ),
        ];
        for (found, state, words, remedy) in cases {
            let check = judge(Path::new("/srv/e3"), Ok(found), &needs);
            assert_eq!(told(&check), (state, words, remedy));
        }
        let check = room(Path::new("/nonexistent/e3"), &needs);
        let found = "/nonexistent/e3 cannot be looked at: entity not found";
        assert_eq!(told(&check), (State::Fail, found, Some("unseen")));
    }
}
