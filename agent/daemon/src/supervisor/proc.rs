//! Reading `/proc`: which processes there are, whose they are, when they started.

use std::fs;
use std::path::Path;

/// A process, as `/proc/PID/stat` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    pub(super) parent: u32,
    pub(super) group: u32,
    /// `R`, `S`, `T`, `Z`, …
    pub(super) state: char,
    /// Clock ticks since boot. With the id it names a process for as long as the machine runs.
    pub(super) started: u64,
}

impl Process {
    /// Whether it can still do anything.
    pub(super) const fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }

    fn parse(pid: u32, stat: &str) -> Option<Self> {
        // The name stands in parentheses and may itself contain some, and blanks.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        // Field 22 of the line, and the third after the name was the group.
        let started = fields.nth(16)?.parse().ok()?;
        Some(Self {
            pid,
            parent,
            group,
            state,
            started,
        })
    }
}

/// The process with this id.
pub(super) fn one(pid: u32) -> Option<Process> {
    Process::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether this process is there and stopped: it does nothing, and does not end either.
pub(crate) fn is_stopped(pid: u32) -> bool {
    one(pid).is_some_and(|process| process.state == 'T')
}

/// All processes that can be seen.
pub(super) fn all() -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| one(entry.file_name().to_str()?.parse().ok()?))
        .collect()
}

/// The value of a variable in the environment that the process was started with; `None` too if it is not ours to read.
pub(super) fn variable(pid: u32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut entries = environment.split(|byte| *byte == 0);
    let value =
        entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

/// What tells this boot of the machine from every other.
pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// How many processes and threads the user of this process has.
pub(crate) fn tasks_of_this_user() -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let me = nix::unistd::geteuid().as_raw();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mine = entries.filter(|entry| entry.metadata().is_ok_and(|m| m.is_dir() && m.uid() == me));
    mine.filter_map(|entry| threads(&entry.path())).sum()
}

fn threads(process: &Path) -> Option<u64> {
    let status = fs::read_to_string(process.join("status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("Threads:"))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_do_not_shift_the_fields() {
        let line = "7 (a) R 1 1 (b) S 3 5 9 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 4242 9 9\n";
        let expected = Process {
            pid: 7,
            parent: 3,
            group: 5,
            state: 'S',
            started: 4242,
        };
        assert_eq!(Process::parse(7, line), Some(expected));
        assert_eq!(Process::parse(7, "7 (x"), None);
    }

    #[test]
    fn this_process_is_found() {
        let me = std::process::id();
        let found = one(me).unwrap();
        assert!(found.is_alive());
        assert_eq!(found.parent, std::os::unix::process::parent_id());
        assert!(
            all()
                .iter()
                .any(|process| process.pid == me && process.started == found.started)
        );
        assert!(variable(me, "PATH").is_some());
        assert!(tasks_of_this_user() >= 1);
    }
}
