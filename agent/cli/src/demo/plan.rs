//! Which program the demo runs, with which parties and inputs.

use std::fs;
use std::path::{Path, PathBuf};

use e3_client::files;

use super::local::LocalFleet;
use crate::args::{Demo, Fault};
use crate::error::Error;

/// The names of the first parties; more are numbered.
const NAMES: [&str; 8] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi",
];
const AVERAGE: &str = include_str!("../../programs/average.py");
/// For `--fault kill`: the same secrets, but it takes its time.
const SLOW: &str = include_str!("slow.py");

/// What is run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many parties.
    pub count: usize,
    /// The program.
    pub program: Program,
    /// Its arguments.
    pub args: Vec<String>,
    /// Whether it is a salary survey: each party gives a salary, and all print the same.
    pub surveys: bool,
    /// Seconds until a missing party is named.
    preflight: u64,
}

/// A program.
#[derive(Debug, Clone)]
pub enum Program {
    /// One that comes with E3.
    Text(&'static str),
    /// The user's own, where it lies.
    Own(PathBuf),
}

impl Plan {
    /// As the command line asks for.
    pub fn of(args: &Demo) -> Result<Self, Error> {
        let program = match &args.program {
            Some(path) => {
                let failed = |source| Error::Folder {
                    action: "find",
                    path: path.clone(),
                    source,
                };
                Program::Own(fs::canonicalize(path).map_err(failed)?)
            }
            None if args.fault == Some(Fault::Kill) => Program::Text(SLOW),
            None => Program::Text(AVERAGE),
        };
        let preflight = if args.fault == Some(Fault::Offline) {
            5
        } else {
            30
        };
        let surveys = args.program.is_none();
        Ok(Self {
            count: usize::from(args.parties),
            program,
            args: args.args.clone(),
            surveys,
            preflight,
        })
    }

    /// A program of E3's own, without arguments.
    pub const fn of_text(count: usize, text: &'static str) -> Self {
        Self {
            count,
            program: Program::Text(text),
            args: Vec::new(),
            surveys: true,
            preflight: 30,
        }
    }

    /// The parties' names, in order.
    pub fn parties(&self) -> Vec<String> {
        let name = |place: usize| {
            NAMES
                .get(place)
                .map_or_else(|| format!("party-{place}"), |name| (*name).to_owned())
        };
        (0..self.count).map(name).collect()
    }

    /// The private input of one party, if the program takes one: a salary.
    pub fn input(&self, place: usize) -> Option<(&'static str, String)> {
        let salary = 38_000 + 7_919 * (place as u64 * place as u64 + 1) % 41_000;
        self.surveys.then(|| ("salary", format!("{salary}\n")))
    }

    /// Writes the manifest as a person would, and returns its path.
    pub fn write_manifest(&self, fleet: &LocalFleet) -> Result<PathBuf, Error> {
        let program = match &self.program {
            Program::Text(text) => {
                let path = fleet.folder.join("survey.py");
                files::write_atomic(&path, text.as_bytes())?;
                PathBuf::from("survey.py")
            }
            Program::Own(path) => path.clone(),
        };
        let mut document = toml_edit::DocumentMut::new();
        let list = |items: &[String]| items.iter().collect::<toml_edit::Array>();
        document["name"] = toml_edit::value("demo");
        document["parties"] = toml_edit::value(list(&self.parties()));
        document["program"] = toml_edit::value(program.to_string_lossy().into_owned());
        if !self.args.is_empty() {
            document["args"] = toml_edit::value(list(&self.args));
        }
        if self.surveys {
            document["equal"] = toml_edit::value(list(&["stdout".to_owned()]));
            document["inputs"]["salary"] = toml_edit::value("all");
        }
        document["mpyc"]["version"] = toml_edit::value(crate::manifest::template::MPYC);
        document["deadlines"]["preflight"] = toml_edit::value(format!("{}s", self.preflight));
        let path = fleet.folder.join("session.toml");
        files::write_atomic(&path, document.to_string().as_bytes())?;
        Ok(path)
    }

    /// Gives each party its input, and its policy the word that this session may have it.
    pub fn write_inputs(&self, fleet: &LocalFleet) -> Result<(), Error> {
        for (place, party) in fleet.parties.iter().enumerate() {
            let Some((name, text)) = self.input(place) else {
                continue;
            };
            let input = party.folder.join(name);
            files::write_private(&input, text.as_bytes())?;
            let mut policy = toml_edit::DocumentMut::new();
            policy["inputs"][name]["file"] = toml_edit::value(input.to_string_lossy().into_owned());
            policy["inputs"][name]["sessions"] =
                toml_edit::value(std::iter::once("demo*").collect::<toml_edit::Array>());
            files::write_private(&party.policy(), policy.to_string().as_bytes())?;
        }
        Ok(())
    }

    /// Lays the program out in `folder` and returns the file to start.
    pub fn lay_out(&self, folder: &Path, entry: &str, pack: &[u8]) -> Option<PathBuf> {
        for (name, contents) in e3_core::pack::unpack(pack).ok()? {
            let path = folder.join(name);
            fs::create_dir_all(path.parent()?).ok()?;
            files::write_private(&path, &contents).ok()?;
        }
        Some(folder.join(entry))
    }
}
