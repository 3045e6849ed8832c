//! Shows which machine this is: its banner says so on every console and rings the bell, and a board's light blinks.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use e3_core::document::Report;
use tokio::task::JoinHandle;

use crate::board::Board;

/// For how long.
const SECONDS: u32 = 60;
/// Between two rings: each is a new banner.
const RING: u32 = 5;
/// The light is on for so long, and off.
const BLINK: Duration = Duration::from_millis(250);
/// Lights that a board has for what it does, by their names in Linux: a Raspberry Pi's.
const LIGHTS: [&str; 2] = ["/sys/class/leds/ACT", "/sys/class/leds/led0"];

/// Shows it, or not.
pub(super) struct Identify {
    board: Board,
    lights: Vec<PathBuf>,
    /// Rings that are left.
    left: Arc<AtomicU32>,
    /// What shows it, and where.
    showing: Option<(JoinHandle<()>, Vec<String>)>,
}

impl Identify {
    pub(super) fn new(board: Board) -> Self {
        Self {
            board,
            lights: LIGHTS.map(PathBuf::from).to_vec(),
            left: Arc::default(),
            showing: None,
        }
    }

    /// Begins, or begins again.
    pub(super) fn begin(&mut self) -> Report {
        self.left.store(SECONDS / RING, Ordering::Relaxed);
        let going = self
            .showing
            .as_ref()
            .filter(|(task, _)| !task.is_finished());
        let shown = if let Some((_, shown)) = going {
            shown.clone()
        } else {
            let lights = self.lights.iter().filter_map(|path| Light::take(path));
            let lights: Vec<Light> = lights.collect();
            let mut shown = vec!["console".to_owned()];
            shown.extend(lights.iter().map(|_| "light".to_owned()));
            let task = tokio::spawn(show(self.board.clone(), lights, Arc::clone(&self.left)));
            self.showing = Some((task, shown.clone()));
            shown
        };
        let seconds = SECONDS;
        Report::Identified { shown, seconds }
    }
}

async fn show(board: Board, lights: Vec<Light>, left: Arc<AtomicU32>) {
    let per_ring = u128::from(RING) * 1000 / BLINK.as_millis();
    let mut is_on = false;
    loop {
        let rings = left.load(Ordering::Relaxed);
        let Some(less) = rings.checked_sub(1) else {
            break;
        };
        left.store(less, Ordering::Relaxed);
        board.identifies(Some(rings * RING));
        for _ in 0..per_ring {
            is_on = !is_on;
            for light in &lights {
                light.set(is_on);
            }
            tokio::time::sleep(BLINK).await;
        }
    }
    board.identifies(None);
}

/// A light that is ours for a while. Dropped, it does again what it did before.
struct Light {
    folder: PathBuf,
    /// What made it shine.
    trigger: String,
}

impl Light {
    /// Takes a light, if there is one and it may be taken.
    fn take(folder: &Path) -> Option<Self> {
        let triggers = std::fs::read_to_string(folder.join("trigger")).ok()?;
        // All that there are, with the one in use in brackets (Linux' leds-class).
        let trigger = triggers.split_once('[')?.1.split_once(']')?.0.to_owned();
        let folder = folder.to_owned();
        write(&folder.join("trigger"), "none").ok()?;
        Some(Self { folder, trigger })
    }

    fn set(&self, is_on: bool) {
        let _ = write(
            &self.folder.join("brightness"),
            if is_on { "1" } else { "0" },
        );
    }
}

impl Drop for Light {
    fn drop(&mut self) {
        let _ = write(&self.folder.join("trigger"), &self.trigger);
    }
}

/// Such a file is not replaced but written to.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::File::options()
        .write(true)
        .truncate(true)
        .open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_light_blinks_and_is_as_it_was_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let [trigger, brightness] = ["trigger", "brightness"].map(|name| folder.path().join(name));
        std::fs::write(&trigger, "none rc-feedback [mmc0] timer\n").unwrap();
        std::fs::write(&brightness, "1").unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let board = Board::default();
        let mut identify = Identify::new(board.clone());
        identify.lights = vec![folder.path().to_owned(), "/nonexistent".into()];
        let Report::Identified { shown, seconds } = identify.begin() else {
            panic!();
        };
        assert_eq!((shown.join(" ").as_str(), seconds), ("console light", 60));
        let mut seen = Vec::new();
        for _ in 0..4 {
            tokio::time::sleep(BLINK).await;
            seen.push(read(&brightness));
        }
        assert!(
            seen.contains(&"0".to_owned()) && seen.contains(&"1".to_owned()),
            "{seen:?}"
        );
        assert_eq!(
            (read(&trigger).as_str(), board.identifying()),
            ("none", Some(60))
        );
        // Asked again while it shows: what the light did before is not forgotten.
        tokio::time::sleep(Duration::from_secs(30)).await;
        identify.begin();
        tokio::time::sleep(Duration::from_secs(u64::from(SECONDS + RING) + 1)).await;
        assert_eq!(
            (read(&trigger).as_str(), board.identifying()),
            ("mmc0", None)
        );
    }
}
