//! A program on the owner's disk → the packed bytes that a manifest names.
//!
//! A program is one `.py` file or a folder with a file to start, and may bring data files. Links are
//! followed only to files inside the folder, caches and hidden files are left out and said, and
//! reading stops at the bounds of [`e3_core::limits`], whatever lies there.

mod reader;

use std::path::{Component, Path, PathBuf};

use e3_core::pack;

use crate::manifest::text::{list, nearest, shown};
use reader::Reader;

/// What Python starts in a folder if the manifest does not say.
const USUAL: [&str; 2] = ["main.py", "__main__.py"];

/// A packed program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The pack.
    pub bytes: Vec<u8>,
    /// The file that Python starts.
    pub entry: String,
    /// Its files and their sizes, in the order of the pack.
    pub files: Vec<(String, u64)>,
    /// What was left out, as paths in the pack.
    pub skipped: Vec<String>,
}

/// Which part of the manifest a problem belongs to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    /// `program`.
    #[default]
    Program,
    /// `entry`.
    Entry,
    /// That entry of `data`.
    Data(usize),
}

/// Why a program cannot be packed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}; {remedy}")]
pub struct ProgramError {
    /// Where it belongs.
    pub part: Part,
    /// What is wrong.
    pub message: String,
    /// What would be right; may be empty.
    pub expected: String,
    /// What to do.
    pub remedy: String,
}

/// Packs the program at `path`. `entry` is the file to start, for folders; `data` names more files
/// and folders: as the manifest writes them, and where they are.
pub fn pack(
    path: &Path,
    entry: Option<&str>,
    data: &[(String, PathBuf)],
) -> Result<Packed, Vec<ProgramError>> {
    let mut reader = Reader::default();
    let is_folder = reader.top(path, None);
    for (index, (written, path)) in data.iter().enumerate() {
        reader.part = Part::Data(index);
        reader.top(path, Some(&name_in_pack(written)));
    }
    reader.part = Part::Entry;
    let entry = match is_folder {
        Some(true) => reader.entry_of_folder(entry),
        Some(false) => reader.entry_of_file(path, entry),
        None => None,
    };
    let (Some(entry), true) = (entry, reader.errors.is_empty()) else {
        return Err(reader.errors);
    };
    reader.part = Part::Program;
    match pack::pack(&reader.files) {
        Ok(bytes) => {
            let files = reader
                .files
                .iter()
                .map(|(name, bytes)| (name.clone(), bytes.len() as u64))
                .collect();
            reader.skipped.sort();
            Ok(Packed {
                bytes,
                entry,
                files,
                skipped: reader.skipped,
            })
        }
        Err(error) => {
            reader.error(
                error.to_string(),
                "",
                "leave out what the program does not need",
            );
            Err(reader.errors)
        }
    }
}

/// Where a data file lies in the pack: where the manifest says, so that the program finds it there as
/// it does on the owner's machine; by its last part alone if that would leave the pack.
fn name_in_pack(written: &str) -> String {
    let mut parts = Vec::new();
    for component in Path::new(written).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_string_lossy()),
            _ => {
                let last = Path::new(written).file_name();
                return last
                    .map(|last| last.to_string_lossy().into_owned())
                    .unwrap_or_default();
            }
        }
    }
    parts.join("/")
}

impl Reader {
    fn entry_of_file(&mut self, path: &Path, entry: Option<&str>) -> Option<String> {
        let name = path.file_name()?.to_string_lossy().into_owned();
        match entry {
            Some(entry) if entry != name => {
                let remedy = "remove `entry`; it is for programs that are a folder";
                self.error(
                    format!(
                        "`entry` is {}, the program is {}",
                        shown(entry),
                        shown(&name)
                    ),
                    "",
                    remedy,
                );
                None
            }
            _ => Some(name),
        }
    }

    fn entry_of_folder(&mut self, entry: Option<&str>) -> Option<String> {
        let is_python = |name: &&str| {
            Path::new(name)
                .extension()
                .is_some_and(|extension| extension == "py")
        };
        let python: Vec<&str> = self
            .files
            .keys()
            .map(String::as_str)
            .filter(is_python)
            .collect();
        let found = match entry {
            Some(entry) => python
                .iter()
                .find(|name| **name == entry.trim_start_matches("./")),
            None => USUAL
                .iter()
                .find_map(|usual| python.iter().find(|name| *name == usual))
                .or(match python.as_slice() {
                    [only] => Some(only),
                    _ => None,
                }),
        };
        if let Some(found) = found {
            return Some((*found).to_owned());
        }
        let have = if python.is_empty() {
            "no .py file".to_owned()
        } else {
            list(&python)
        };
        let (message, remedy) = if let Some(entry) = entry {
            let near = nearest(entry, python.iter().copied());
            let remedy = near.map(|near| format!("did you mean \"{near}\"?"));
            let message = format!("the program has no file {}", shown(entry));
            (message, remedy.unwrap_or("name one of them".to_owned()))
        } else {
            let example = python.first().copied().unwrap_or("main.py");
            self.part = Part::Program;
            let message = "nothing says which file Python starts".to_owned();
            (message, format!("add entry = \"{}\"", shown(example)))
        };
        // A program that could not be read has been reported.
        if self.errors.is_empty() {
            self.error(
                message,
                format!("a .py file of the program; it has {have}"),
                remedy,
            );
        }
        None
    }
}

#[cfg(test)]
mod tests;
