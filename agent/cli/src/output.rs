//! How answers and errors reach a person or a script.
//!
//! Results go to standard output, progress and errors to standard error. With `--json` there is one
//! object on standard output and nothing else there. A reader that goes away early (`| head`) is no
//! error.

pub mod progress;
pub mod table;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use e3_core::text;
use serde_json::{Value, json};

use crate::args::Global;
use crate::error::{Error, Exit};

/// What a command has to say in the end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// For people; ends with a line break unless it is empty.
    pub text: String,
    /// For scripts: always an object.
    pub json: Value,
    /// The exit code: an answer can be bad news.
    pub exit: Exit,
}

impl Answer {
    /// Good news.
    pub fn new(text: impl Into<String>, json: Value) -> Self {
        Self {
            text: text.into(),
            json,
            exit: Exit::Ok,
        }
    }

    /// The same with another exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

/// Characters of a file's name on a screen.
const NAME: usize = 200;

/// A file on a screen: on one line, and without anything that acts on a terminal.
pub fn shown(path: &Path) -> String {
    text::clean(&path.to_string_lossy(), NAME)
}

/// A file in JSON, which has only Unicode: what is none is replaced.
pub fn named(path: &Path) -> Cow<'_, str> {
    path.to_string_lossy()
}

/// Where answers go, and in which form.
#[derive(Debug, Clone)]
pub struct Output {
    json: bool,
    quiet: bool,
}

impl Output {
    /// As the flags say.
    pub const fn new(global: &Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
        }
    }

    /// Whether answers are for scripts.
    pub const fn is_json(&self) -> bool {
        self.json
    }

    /// Whether progress may move: a person sits before a terminal and wants to see it.
    pub fn is_live(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// Whether progress is wanted at all.
    pub const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Prints something that more will follow: false if nobody reads it any more. `text` ends with a line break.
    pub fn show(&self, text: &str) -> bool {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_ok()
    }

    /// Whether a screen may be drawn over.
    pub fn is_screen(&self) -> bool {
        !self.json && io::stdout().is_terminal()
    }

    /// Asks whether to go on. `instead` is what a script does that nobody can be asked for.
    pub async fn agree(&self, question: &str, instead: &'static str) -> Result<bool, Error> {
        if self.json || !io::stdin().is_terminal() {
            return Err(Error::Usage {
                message: "nobody is there to be asked".to_owned(),
                remedy: instead,
            });
        }
        let _ = write!(io::stderr(), "{question} [y/N] ");
        // In a thread of its own, which nobody waits for: Ctrl-C is an answer, too.
        let (tell, told) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut answer = String::new();
            let _ = tell.send(io::stdin().read_line(&mut answer).map(|_| answer));
        });
        let answer = told.await.map_err(|_| Error::Interrupted)?;
        let answer = answer.map_err(Error::Runtime)?;
        Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
    }

    /// Prints the answer or the error and returns the exit code.
    pub fn finish(&self, answer: Result<Answer, Error>) -> ExitCode {
        let exit = match answer {
            Ok(answer) => {
                let text = if self.json {
                    format!("{}\n", answer.json)
                } else {
                    // Names of files can be anybody's, and a terminal would obey them.
                    text::clean_lines(&answer.text)
                };
                print(&text);
                answer.exit
            }
            Err(error) => {
                if self.json {
                    print(&format!("{}\n", error_json(&error)));
                } else {
                    let _ = io::stderr().write_all(error_text(&error).as_bytes());
                }
                error.exit()
            }
        };
        ExitCode::from(exit as u8)
    }

    /// What clap has to say: help, version, or what is wrong with the command line.
    pub fn usage(line: &[OsString], error: &clap::Error) -> ExitCode {
        let asked = line
            .iter()
            .take_while(|word| *word != "--")
            .any(|word| word == "--json");
        if asked && error.use_stderr() {
            let text = error.render().to_string();
            let message = text
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            let remedy = "`e3 --help`, or --help after any command, shows what can be said.";
            print(&format!(
                "{}\n",
                json!({"error": {"kind": "usage", "message": message, "remedy": remedy}})
            ));
        } else {
            // clap writes help to standard output; a reader that goes away is no error.
            let _ = error.print();
        }
        ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Input as u8))
    }
}

/// Writes to standard output. Whoever closed the pipe has read enough.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn error_json(error: &Error) -> Value {
    let message = [vec![error.to_string()], error.causes()]
        .concat()
        .join(": ");
    let mut json =
        json!({"error": {"kind": error.kind(), "message": message, "remedy": error.remedy()}});
    if let Some(problems) = error.problems() {
        json["error"]["message"] = json!(format!(
            "{} problem(s) in {}",
            problems.problems.len(),
            problems.file
        ));
        json["error"]["problems"] = json!(problems.problems);
    }
    json
}

fn error_text(error: &Error) -> String {
    use std::fmt::Write as _;
    if error.problems().is_some() {
        // Already a screen by itself: every problem with its place and its remedy.
        return format!("{error}\n");
    }
    let mut text = format!("e3: {error}\n");
    for cause in error.causes() {
        let _ = writeln!(text, "  because: {cause}");
    }
    if let Some(remedy) = error.remedy() {
        let _ = writeln!(text, "  remedy: {remedy}");
    }
    // It may name a file, and files may be called anything.
    e3_core::text::clean_lines(&text)
}
