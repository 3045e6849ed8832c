//! Packed programs: one file or a folder, as bytes that depend on names and contents alone.
//!
//! A pack is a POSIX ustar archive with regular files only, sorted by name, with fixed owner, mode and
//! time. Reading is strict: what this module would not have written, it does not read.

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::document::file_name_is_safe;
use crate::limits;

/// The files of a program: path with forward slashes → contents.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why files cannot be packed, or bytes not be unpacked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Nothing to pack.
    #[error("the program has no files")]
    Empty,
    /// Too many files.
    #[error("the program has more than {} files", limits::PROGRAM_FILES)]
    TooMany,
    /// Too large.
    #[error("the program has {size} bytes and may have {}", limits::PROGRAM)]
    TooLarge {
        /// Its size.
        size: u64,
    },
    /// A name that is not safe on every system.
    #[error(
        "`{0}` cannot be packed; use letters, digits, blanks and ._-+@() in file names, none starting with a dot"
    )]
    Name(String),
    /// Not a pack, or one that was not written by this module.
    #[error("this is not a packed program: {0}")]
    Malformed(String),
}

/// Packs `files`.
pub fn pack(files: &Files) -> Result<Vec<u8>, PackError> {
    if files.is_empty() {
        return Err(PackError::Empty);
    }
    if files.len() > limits::PROGRAM_FILES {
        return Err(PackError::TooMany);
    }
    let size = files.values().map(|bytes| bytes.len() as u64).sum();
    if size > limits::PROGRAM {
        return Err(PackError::TooLarge { size });
    }
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let malformed = |_| PackError::Name(name.clone());
        if !file_name_is_safe(name) {
            return Err(PackError::Name(name.clone()));
        }
        let mut header = tar::Header::new_ustar();
        header.set_path(name).map_err(malformed)?;
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        archive
            .append(&header, bytes.as_slice())
            .map_err(malformed)?;
    }
    let packed = archive
        .into_inner()
        .map_err(|error| PackError::Malformed(error.to_string()))?;
    let size = packed.len() as u64;
    if size > limits::PROGRAM {
        Err(PackError::TooLarge { size })
    } else {
        Ok(packed)
    }
}

/// Unpacks bytes whose length has been checked against the manifest (rule 3).
pub fn unpack(bytes: &[u8]) -> Result<Files, PackError> {
    let malformed = |error: std::io::Error| PackError::Malformed(error.to_string());
    let mut files = Files::new();
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().map_err(malformed)? {
        let mut entry = entry.map_err(malformed)?;
        let name = String::from_utf8(entry.path_bytes().into_owned());
        let name = name.map_err(|_| PackError::Malformed("a name is not UTF-8".to_owned()))?;
        if entry.header().entry_type() != tar::EntryType::Regular || !file_name_is_safe(&name) {
            return Err(PackError::Name(crate::text::clean(&name, 100)));
        }
        if files.len() >= limits::PROGRAM_FILES {
            return Err(PackError::TooMany);
        }
        let mut contents = Vec::new();
        entry.read_to_end(&mut contents).map_err(malformed)?;
        if files.insert(name, contents).is_some() {
            return Err(PackError::Malformed("a name occurs twice".to_owned()));
        }
    }
    // One program, one pack: anything else that tar would read the same way is refused.
    if pack(&files)? == bytes {
        Ok(files)
    } else {
        Err(PackError::Malformed("it is not in normal form".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let one = |name: &str, text: &str| (name.to_owned(), text.as_bytes().to_vec());
        [one("main.py", "print(1)\n"), one("data/a b.csv", "1,2\n")].into()
    }

    #[test]
    fn packs_are_stable_and_round_trip() {
        let packed = pack(&files()).unwrap();
        assert_eq!(packed, pack(&files()).unwrap());
        assert_eq!(unpack(&packed).unwrap(), files());
        let digest = crate::digest::Digest::of(&packed);
        assert_eq!(
            digest.short(),
            "8231ae08",
            "the format of packs must never change"
        );
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in [
            "../x.py",
            "/x.py",
            "a/../b.py",
            ".config/x",
            "a//b",
            "a\\b",
            "x\0",
            "",
        ] {
            let files = Files::from([(name.to_owned(), Vec::new())]);
            assert!(matches!(pack(&files), Err(PackError::Name(_))), "{name:?}");
        }
    }

    #[test]
    fn archives_in_another_form_are_refused() {
        let mut packed = pack(&files()).unwrap();
        packed.push(0);
        assert!(unpack(&packed).is_err());
        let cut = &packed[..700];
        assert!(unpack(cut).is_err());
        assert!(unpack(b"").is_err());
    }
}
