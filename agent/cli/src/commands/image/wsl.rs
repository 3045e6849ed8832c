//! `e3 image wsl`: the script for Windows.

use e3_client::files;
use e3_image::windows::SCRIPT;
use serde_json::json;

use crate::args::ImageWsl;
use crate::error::Error;
use crate::output::{self, Answer};

pub(super) fn run(args: &ImageWsl) -> Result<Answer, Error> {
    let Some(out) = &args.out else {
        return Ok(Answer::new(SCRIPT, json!({"script": SCRIPT})));
    };
    // PowerShell 5.1 reads a script without line feeds of Windows as well; Notepad of older ones does not.
    files::write_atomic(out, SCRIPT.replace('\n', "\r\n").as_bytes())?;
    let file = output::shown(out);
    let text = format!(
        "{file}\nOn Windows, with e3.wsl and your join file beside it:\n  powershell -ExecutionPolicy Bypass -File {file} -Image e3.wsl -Join alice.toml\n"
    );
    Ok(Answer::new(text, json!({"file": output::named(out)})))
}
