//! `e3 image build`: drives Nix.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use e3_core::text;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::args::ImageBuild;
use crate::error::Error;
use crate::manifest::text::word;
use crate::output::progress::{Progress, Renderer};
use crate::output::{self, Answer, Output};

/// Lines of what Nix said that are shown when it fails.
const LINES: usize = 20;
/// Characters of a line.
const LINE: usize = 300;

pub(super) async fn run(args: &ImageBuild, output: &Output) -> Result<Answer, Error> {
    let name = &args.name;
    let link = args.out_link.clone();
    let link = link.unwrap_or_else(|| PathBuf::from(format!("result-{name}")));
    let mut nix = Command::new("nix");
    nix.args([
        "--extra-experimental-features",
        "nix-command flakes",
        "build",
    ])
    .arg(format!("{}#{name}", args.flake))
    .args(["--print-build-logs", "--print-out-paths", "--out-link"])
    .arg(&link)
    .stdin(Stdio::null())
    .stdout(Stdio::piped())
    .stderr(Stdio::piped())
    .kill_on_drop(true);
    let mut nix = nix.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Usage {
            message: "there is no Nix, which builds the images".to_owned(),
            remedy: "Install it as https://nixos.org/download says, in one line without questions: `curl -L https://nixos.org/nix/install | sh -s -- --daemon --yes`. Or take an image that somebody else built.",
        },
        _ => Error::Runtime(error),
    })?;
    let mut renderer = Renderer::new(output);
    let subject = format!("build {name}");
    let mut last = Vec::new();
    if let Some(said) = nix.stderr.take() {
        let mut lines = BufReader::new(said).lines();
        while let Some(line) = lines.next_line().await.map_err(Error::Runtime)? {
            let line = text::clean(line.trim(), LINE);
            if line.is_empty() {
                continue;
            }
            renderer.show(&Progress::going(&subject, &line));
            last.push(line);
            if last.len() > LINES {
                last.remove(0);
            }
        }
    }
    let ended = nix.wait_with_output().await.map_err(Error::Runtime)?;
    if !ended.status.success() {
        return Err(Error::Build {
            name: name.clone(),
            said: last.join("\n"),
        });
    }
    renderer.show(&Progress::ended(&subject, "built"));
    let out = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
    let text = format!(
        "{}\nNext:\n  e3 image list {}\n",
        output::shown(&link),
        word(&link)
    );
    Ok(Answer::new(
        text,
        json!({"image": name, "link": output::named(&link), "path": out}),
    ))
}
