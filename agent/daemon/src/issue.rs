//! What the console shows before anybody logs in: identity, phase, addresses, the last session.
//!
//! A file in the form that agetty reads (issue(5)), in the run folder. `tmpfiles.d/e3-issue.conf` links it to where agetty
//! looks, and lets the agent tell the prompts that wait when it has changed. Words of others cannot write to the console:
//! everything is cleaned, and the backslash, which agetty obeys, is doubled.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e3_client::files;
use e3_core::document::Mesh;
use e3_core::text::clean;
use nix::sys::stat::futimens;
use nix::sys::time::TimeSpec;

use crate::board::Board;

/// Characters in a line: what a console shows.
const LINE: usize = 300;

/// Between two changes, at least: nobody reads faster, and each one is shown on every console.
const PAUSE: Duration = Duration::from_secs(1);

/// What agetty shows, by `tmpfiles.d/e3-issue.conf`; agents of demos have theirs elsewhere.
const SHOWN: [&str; 2] = ["/run/e3/issue", "/run/e3-import/issue"];
/// agetty reads its banner when it starts, and again when this is touched (`agetty --reload` does no more than that). The
/// file is the agent's, by the same tmpfiles rule.
const RELOAD: &str = "/run/agetty.reload";

/// Has every prompt that waits for somebody to log in show the banner at `written` anew.
pub fn show(written: &Path) {
    if !SHOWN.iter().any(|shown| Path::new(shown) == written) {
        return;
    }
    let touch = |file| Ok(futimens(&file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW)?);
    if let Err(error) = File::options().write(true).open(RELOAD).and_then(touch) {
        // Such as on a system without that rule. A prompt shows the banner when it starts, whatever happens.
        tracing::debug!(%error, "login prompts keep their banner");
    }
}

/// Where it lies.
pub fn path(run: &Path) -> PathBuf {
    run.join("issue")
}

/// Keeps the file as it should be, for ever.
pub async fn run(board: Board, run: PathBuf) {
    let (path, mut changes) = (path(&run), board.subscribe());
    let mut identifications = board.identifications();
    let mut written = String::new();
    loop {
        changes.borrow_and_update();
        identifications.borrow_and_update();
        let text = text(&board);
        if text != written {
            match files::write_volatile(&path, text.as_bytes()) {
                Ok(()) => {
                    show(&path);
                    written = text;
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => {
                    tracing::debug!(error = %crate::text::chain(&error), "no login banner");
                }
            }
        }
        let changed = tokio::select! {
            changed = changes.changed() => changed,
            changed = identifications.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}

fn text(board: &Board) -> String {
    let (known, phase) = (board.known(), board.phase());
    let mut text = String::new();
    let mut line = |words: &str| {
        let words = clean(words, LINE).replace('\\', "\\\\");
        let _ = writeln!(text, "{words}");
    };
    let name = known.name.as_ref().map_or("party", |name| name.as_str());
    if let Some(seconds) = board.identifying() {
        line(&format!(
            ">>> This is the machine that was asked for. ({seconds} s) <<<"
        ));
    }
    match (&known.party, &known.fleet) {
        (Some(party), Some(fleet)) => line(&format!("E3 {name} of {fleet}, {}", party.short())),
        (Some(party), None) => line(&format!("E3 {}", party.short())),
        _ => line("E3 machine without identity yet"),
    }
    // Whoever accepts the machine compares them.
    if let Some(party) = &known.party {
        line(&format!("  {}", party.words()));
    }
    line(&format!("  {phase}"));
    let remedy = phase.remedy();
    if !remedy.is_empty() {
        line(&format!("  {remedy}"));
    }
    if known.root.is_some() {
        let addresses = match known.addresses.join(" ") {
            addresses if addresses.is_empty() => "none".to_owned(),
            addresses => addresses,
        };
        line(&format!("  address {addresses}"));
    }
    for (backend, mesh) in &known.meshes {
        if let Mesh::NotJoined { reason } = mesh {
            line(&format!("  mesh {backend} not joined: {reason}"));
        }
    }
    if let Some(session) = board.notes().sessions.last() {
        line(&format!(
            "  last session {}: {}",
            session.name,
            session.standing()
        ));
    }
    // A terminal rings its bell.
    text + if board.identifying().is_some() {
        "\x07\n"
    } else {
        "\n"
    }
}

#[cfg(test)]
mod tests {
    use e3_core::degraded::Degraded;
    use e3_core::digest::Digest;
    use e3_core::document::Progress;
    use e3_core::key::SecretKey;

    use super::*;
    use crate::board::{SessionNote, Source};
    use crate::phase::Phase;

    fn board() -> Board {
        let board = Board::default();
        let key = SecretKey::from_seed(&[1; 32]).public();
        board.joins(&e3_client::join::Join {
            fleet: "demo".parse().unwrap(),
            hub: "https://hub.example".to_owned(),
            hub_ca: None,
            root: Digest::of(b"root"),
            name: "alice".parse().unwrap(),
            owner: key,
            token: None,
            policy: None,
            wifi: None,
            ssh_keys: Vec::new(),
        });
        board.identity(key);
        board.phase_is(Phase::Ready);
        board.session(SessionNote {
            name: "salary".parse().unwrap(),
            manifest: Digest::of(b"salary"),
            progress: Progress::Done,
            failure: None,
            parties: Vec::new(),
        });
        board
    }

    #[test]
    fn a_fresh_machine_and_a_working_one_have_their_banner() {
        let fresh = Board::default();
        fresh.phase_is(Phase::WaitingForJoinFile {
            places: vec!["/etc/e3/e3.toml".into()],
            problem: None,
        });
        insta::assert_snapshot!("fresh", text(&fresh));
        insta::assert_snapshot!("working", text(&board()));
        let asked = board();
        asked.identifies(Some(60));
        assert_eq!(
            text(&asked),
            ">>> This is the machine that was asked for. (60 s) <<<\n".to_owned()
                + text(&board()).trim_end_matches('\n')
                + "\n\x07\n"
        );
    }

    /// However much happens, and what comes last is what stays.
    #[tokio::test(start_paused = true)]
    async fn it_changes_once_a_second_at_most_and_ends_with_the_newest() {
        let (board, folder) = (board(), tempfile::tempdir().unwrap());
        let writing = tokio::spawn(run(board.clone(), folder.path().to_owned()));
        let path = path(folder.path());
        let read = || std::fs::read_to_string(&path).unwrap();
        let change = async |detail: &str| {
            let detail = detail.to_owned();
            board.degraded(Source::Disk, Some(Degraded::Disk { detail }));
            tokio::time::sleep(PAUSE / 4).await;
            read()
        };
        tokio::time::sleep(PAUSE / 8).await;
        let first = read();
        assert_eq!(change("one").await, first);
        assert_eq!(change("two").await, first);
        assert_eq!(change("three").await, first);
        assert!(change("four").await.contains("four"), "{}", read());
        writing.abort();
    }

    /// Shown by the real agetty, whose escapes must do nothing.
    #[tokio::test]
    async fn agetty_shows_it_and_obeys_nobody() {
        let (board, folder) = (board(), tempfile::tempdir().unwrap());
        let detail = r"\l \s \e{red} \4 \\".to_owned();
        board.degraded(
            Source::Disk,
            Some(Degraded::Disk {
                detail: detail.clone(),
            }),
        );
        board.identifies(Some(5));
        let writing = tokio::spawn(run(board, folder.path().to_owned()));
        let path = path(folder.path());
        while !path.exists() {
            tokio::task::yield_now().await;
        }
        writing.abort();
        // It wants a terminal, so script(1) gives it one; both are part of util-linux.
        let show = format!("agetty --show-issue --issue-file {}", path.display());
        let shown = std::process::Command::new("script")
            .args(["-qec", &show, "/dev/null"])
            .stdin(std::process::Stdio::null())
            .output()
            .expect("script is needed; it is in Debian's package bsdutils");
        let shown = String::from_utf8_lossy(&shown.stdout);
        assert!(shown.contains("alice of demo"), "{shown}");
        assert!(shown.contains(&detail), "{shown}");
        assert!(
            shown.contains("that was asked for") && shown.contains('\x07'),
            "{shown:?}"
        );
    }
}
