//! Reads files and folders into a pack, within the bounds, and collects everything that is wrong.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

use e3_client::human;
use e3_core::document::file_name_is_safe;
use e3_core::limits;
use e3_core::pack::Files;

use super::{Part, ProgramError};
use crate::manifest::text::{nearest, shown};

/// Folders in folders: deeper than any program, shallower than what a loop of mounts makes.
const DEPTH: usize = 32;

/// What has been read so far, and for which part of the manifest.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) part: Part,
    pub(super) files: Files,
    pub(super) skipped: Vec<String>,
    pub(super) errors: Vec<ProgramError>,
    /// Bytes so far.
    total: u64,
    /// Set once a bound is reached: reported once, and nothing more is read.
    full: bool,
}

impl Reader {
    pub(super) fn error(
        &mut self,
        message: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let (message, expected, remedy) = (message.into(), expected.into(), remedy.into());
        self.errors.push(ProgramError {
            part: self.part,
            message,
            expected,
            remedy,
        });
    }

    fn io_error(&mut self, path: &Path, error: &io::Error) {
        let shown_path = path.display();
        if error.kind() != io::ErrorKind::NotFound {
            self.error(
                format!("{shown_path} cannot be read: {error}"),
                "",
                "make it readable",
            );
            return;
        }
        let remedy = match neighbour(path) {
            Some(near) => format!("did you mean {}?", shown(&near)),
            None => "correct the path; it starts at the manifest's folder".to_owned(),
        };
        self.error(format!("{shown_path} is not there"), "", remedy);
    }

    /// Reads what the person named: a file or a folder. Tells whether it is a folder.
    pub(super) fn top(&mut self, path: &Path, name: Option<&str>) -> Option<bool> {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.io_error(path, &error);
                return None;
            }
        };
        if metadata.is_dir() {
            let root = match path.canonicalize() {
                Ok(root) => root,
                Err(error) => {
                    self.io_error(path, &error);
                    return None;
                }
            };
            self.folder(&root, path, name.unwrap_or_default(), 0);
            return Some(true);
        }
        let Some(last) = path
            .file_name()
            .map(|last| last.to_string_lossy().into_owned())
        else {
            self.error(
                format!("{} has no name", path.display()),
                "a file or a folder",
                "name a file",
            );
            return None;
        };
        if name.is_none() && path.extension().is_none_or(|extension| extension != "py") {
            self.error(
                format!("{last} is no Python program"),
                "a .py file or a folder",
                "name the file that ends with .py",
            );
            return None;
        }
        self.file(path, name.unwrap_or(&last), &metadata);
        Some(false)
    }

    /// Reads a folder of the tree below `root`, which lies at `name` in the pack.
    fn folder(&mut self, root: &Path, folder: &Path, name: &str, depth: usize) {
        if depth > DEPTH {
            self.error(
                format!("{} is too deep", folder.display()),
                format!("at most {DEPTH} folders"),
                "move it up",
            );
            return;
        }
        let entries = fs::read_dir(folder).and_then(|entries| {
            let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
            // One more than allowed is enough to know; a folder may be endless.
            names
                .take(limits::PROGRAM_FILES * 4)
                .collect::<Result<Vec<_>, _>>()
        });
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.io_error(folder, &error),
        };
        entries.sort();
        for entry in entries {
            if self.full {
                return;
            }
            let path = folder.join(&entry);
            let Some(entry) = entry.to_str() else {
                self.error(
                    format!("{} has a name that is not UTF-8", path.display()),
                    "",
                    "rename it",
                );
                continue;
            };
            let name = if name.is_empty() {
                entry.to_owned()
            } else {
                format!("{name}/{entry}")
            };
            self.entry(root, &path, &name, entry, depth);
        }
    }

    fn entry(&mut self, root: &Path, path: &Path, name: &str, last: &str, depth: usize) {
        let metadata = match fs::symlink_metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return self.io_error(path, &error),
        };
        if is_left_out(last, metadata.is_dir()) {
            self.skipped.push(name.to_owned());
        } else if metadata.is_symlink() {
            self.link(root, path, name);
        } else if metadata.is_dir() {
            self.folder(root, path, name, depth + 1);
        } else {
            self.file(path, name, &metadata);
        }
    }

    /// A link counts as the file it leads to, if that lies in the folder, too.
    fn link(&mut self, root: &Path, path: &Path, name: &str) {
        let target = path
            .canonicalize()
            .ok()
            .filter(|target| target.starts_with(root));
        match target.map(|target| (fs::metadata(&target), target)) {
            Some((Ok(metadata), target)) if metadata.is_file() => {
                self.file(&target, name, &metadata);
            }
            _ => self.error(
                format!(
                    "{} is a link that leads out of the program, or to no file",
                    shown(name)
                ),
                "",
                "put a copy of the file in its place",
            ),
        }
    }

    fn file(&mut self, path: &Path, name: &str, metadata: &Metadata) {
        if !metadata.is_file() {
            self.error(
                format!("{} is neither a file nor a folder", path.display()),
                "",
                "remove it",
            );
            return;
        }
        if !file_name_is_safe(name) {
            let expected = "letters, digits, blanks and ._-+@() in names, none starting with a dot";
            self.error(
                format!("`{}` cannot be packed", shown(name)),
                expected,
                "rename it",
            );
            return;
        }
        if self.files.contains_key(name) {
            self.error(
                format!("the program has two files called {}", shown(name)),
                "",
                "rename one of them",
            );
            return;
        }
        if self.files.len() >= limits::PROGRAM_FILES {
            self.full = true;
            let expected = format!("at most {} files", limits::PROGRAM_FILES);
            self.error(
                "the program has too many files",
                expected,
                "leave out what it does not need",
            );
            return;
        }
        let room = limits::PROGRAM.saturating_sub(self.total);
        if metadata.len() > room {
            return self.too_large(name);
        }
        let mut contents = Vec::new();
        // A file may have grown since it was looked at.
        let read = File::open(path).and_then(|file| file.take(room + 1).read_to_end(&mut contents));
        match read {
            Err(error) => self.io_error(path, &error),
            Ok(_) if contents.len() as u64 > room => self.too_large(name),
            Ok(_) if is_secret_key(&contents) => {
                let message = format!("{} is a secret key; a pack goes to the hub", shown(name));
                self.error(message, "", "move it out of the program's folder");
            }
            Ok(_) => {
                self.total += contents.len() as u64;
                self.files.insert(name.to_owned(), contents);
            }
        }
    }

    fn too_large(&mut self, name: &str) {
        self.full = true;
        let expected = format!(
            "at most {} with all its data",
            human::binary(limits::PROGRAM)
        );
        let message = format!(
            "the program is too large; it does not fit any more from {} on",
            shown(name)
        );
        self.error(
            message,
            expected,
            "leave out what it does not need, or read it as a local input of the parties",
        );
    }
}

/// Caches, hidden files, and what E3 itself writes beside a manifest.
fn is_left_out(name: &str, is_folder: bool) -> bool {
    let extension = Path::new(name).extension();
    name.starts_with('.')
        || name == "__pycache__"
        || extension.is_some_and(|extension| extension == "pyc")
        || (is_folder && extension.is_some_and(|extension| extension == "session"))
}

/// The file beside `path` whose name is nearest to it.
fn neighbour(path: &Path) -> Option<String> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let names = entries
        .take(1000)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    nearest(
        path.file_name()?.to_str()?,
        names.iter().map(String::as_str),
    )
    .map(str::to_owned)
}

/// Whether a file starts like a PEM file with a secret key: what a folder is packed with by mistake.
fn is_secret_key(contents: &[u8]) -> bool {
    let first = contents
        .trim_ascii_start()
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let first = first.trim_ascii_end();
    first.starts_with(b"-----BEGIN ") && first.ends_with(b"PRIVATE KEY-----")
}
