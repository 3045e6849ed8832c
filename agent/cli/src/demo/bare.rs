//! The same program without E3: one Python per party, started by hand at the same instant, on the
//! same MPyC. What E3 adds to it is what its users wait for.

use std::process::Stdio;
use std::time::{Duration, Instant};

use e3_core::document::Session;
use tokio::process::Command;

use super::local::{LocalFleet, free_port};
use super::plan::Plan;
use crate::index::Wheel;

/// A bare run can hang for ever, as MPyC does.
const PATIENCE: Duration = Duration::from_mins(10);

/// How long the program takes bare; nothing if it did not end well.
pub async fn run(
    fleet: &LocalFleet,
    plan: &Plan,
    wheel: &Wheel,
    session: &Session,
) -> Option<Duration> {
    let folder = tempfile::tempdir().ok()?;
    let pack = fleet.parties[0]
        .state()
        .join("blobs")
        .join(session.program.pack.digest.hex());
    let pack =
        e3_client::files::read_bounded(&pack, usize::try_from(session.program.pack.size).ok()?)
            .ok()?;
    let ports: Vec<u16> = plan
        .parties()
        .iter()
        .map(|_| free_port().ok())
        .collect::<Option<_>>()?;
    let digest = wheel.blob().digest;
    let mut commands = Vec::new();
    for place in 0..plan.count {
        let work = folder.path().join(place.to_string());
        let entry = plan.lay_out(&work, &session.program.entry, &pack)?;
        let inputs = folder.path().join(format!("inputs-{place}"));
        std::fs::create_dir_all(&inputs).ok()?;
        if let Some((name, text)) = plan.input(place) {
            e3_client::files::write_private(&inputs.join(name), text.as_bytes()).ok()?;
        }
        let runtime = fleet.parties[place]
            .state()
            .join("runtime")
            .join(digest.hex())
            .join("files");
        let mut command = Command::new(fleet.python());
        command.arg(entry).args(&session.program.args);
        command.args(
            ports
                .iter()
                .flat_map(|port| ["-P".to_owned(), format!("127.0.0.1:{port}")]),
        );
        command
            .args(["-I", &place.to_string()])
            .args(flags(session));
        command
            .current_dir(&work)
            .env("PYTHONPATH", runtime)
            .env("E3_INPUTS", inputs);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        commands.push(command);
    }
    let began = Instant::now();
    let mut processes = Vec::new();
    for mut command in commands {
        processes.push(command.spawn().ok()?);
    }
    for process in &mut processes {
        let status = tokio::time::timeout(PATIENCE, process.wait())
            .await
            .ok()?
            .ok()?;
        if !status.success() {
            return None;
        }
    }
    Some(began.elapsed())
}

/// Without TLS: by hand nobody makes certificates for every run.
fn flags(session: &Session) -> Vec<String> {
    session
        .mpyc_flags()
        .into_iter()
        .filter(|flag| flag != "--ssl")
        .collect()
}
