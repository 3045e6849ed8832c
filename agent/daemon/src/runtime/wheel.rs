//! Reading a wheel: a zip archive of pure Python, bounded in every direction before anything is written.
//!
//! Its bytes have been checked against a signed digest, but who signed a digest has not read the archive.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};

use e3_core::document::file_name_is_safe;

/// Entries in a wheel. MPyC 0.11 has 22.
pub const ENTRIES: usize = 2000;
/// Bytes of all files together. MPyC 0.11 has 555 KB.
pub const UNPACKED: u64 = 64 << 20;

/// The files of a wheel: path with forward slashes → contents.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Why a wheel cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WheelError {
    /// No zip archive, or a damaged one.
    #[error("it is not a readable zip archive")]
    Zip(#[from] zip::result::ZipError),
    /// An entry cannot be read.
    #[error("its entry `{name}` cannot be read")]
    Read {
        /// The entry.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// Too many entries.
    #[error("it has more than {ENTRIES} entries")]
    Entries,
    /// Too large.
    #[error("it unpacks to more than {UNPACKED} bytes")]
    TooLarge,
    /// A name that leaves the folder, or occurs twice, or a link.
    #[error("its entry `{0}` is no plain file with a safe name of its own")]
    Name(String),
    /// Compiled code.
    #[error("its entry `{0}` is compiled code; only wheels of pure Python are used")]
    Binary(String),
    /// No MPyC in it.
    #[error("it has no mpyc/__init__.py")]
    NoMpyc,
}

/// The files of the wheel.
pub fn read(bytes: &[u8]) -> Result<Files, WheelError> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))?;
    if archive.len() > ENTRIES {
        return Err(WheelError::Entries);
    }
    let mut files = Files::new();
    let mut left = UNPACKED;
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        let name = entry.name().to_owned();
        if entry.is_dir() {
            continue;
        }
        if entry.is_symlink() || !file_name_is_safe(&name) {
            return Err(WheelError::Name(name.chars().take(100).collect()));
        }
        if [".so", ".pyd", ".dll", ".dylib", ".pyc"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            return Err(WheelError::Binary(name));
        }
        // What the archive says about lengths is not believed: reading stops one byte too late.
        let mut contents = Vec::new();
        let read = entry.take(left + 1).read_to_end(&mut contents);
        read.map_err(|source| WheelError::Read {
            name: name.clone(),
            source,
        })?;
        left = left
            .checked_sub(contents.len() as u64)
            .ok_or(WheelError::TooLarge)?;
        if files.insert(name.clone(), contents).is_some() {
            return Err(WheelError::Name(name));
        }
    }
    if files.contains_key(MPYC_INIT) {
        Ok(files)
    } else {
        Err(WheelError::NoMpyc)
    }
}

/// The file that says which version of MPyC it is.
pub const MPYC_INIT: &str = "mpyc/__init__.py";

/// What `__version__` is set to in the text of `mpyc/__init__.py`.
pub fn version_in(init: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(init);
    let value = text.lines().find_map(|line| {
        line.strip_prefix("__version__")?
            .trim_start()
            .strip_prefix('=')
    })?;
    let value = value
        .split('#')
        .next()
        .unwrap_or_default()
        .trim()
        .trim_matches(['\'', '"']);
    Some(value.chars().filter(|c| !c.is_control()).take(40).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use zip::write::SimpleFileOptions;

    use super::*;

    /// A wheel of these files.
    pub(crate) fn wheel(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, contents) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(contents).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    const INIT: (&str, &[u8]) = (MPYC_INIT, b"__version__ = '0.11'\n");

    #[test]
    fn a_plain_wheel_is_read() {
        let files = read(&wheel(&[INIT, ("mpyc/a.py", b"x = 1\n")])).unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(version_in(&files[MPYC_INIT]).unwrap(), "0.11");
    }

    #[test]
    fn hostile_archives_are_refused() {
        for name in [
            "../evil.py",
            "/evil.py",
            "mpyc/../../evil.py",
            "mpyc\\..\\evil.py",
            "mpyc/.hidden",
        ] {
            let bytes = wheel(&[INIT, (name, b"")]);
            assert!(matches!(read(&bytes), Err(WheelError::Name(_))), "{name}");
        }
        assert!(matches!(
            read(&wheel(&[INIT, ("mpyc/x.so", b"")])),
            Err(WheelError::Binary(_))
        ));
        assert!(matches!(
            read(&wheel(&[("a.py", b"")])),
            Err(WheelError::NoMpyc)
        ));
        assert!(matches!(
            read(b"PK\x03\x04 not a zip"),
            Err(WheelError::Zip(_))
        ));

        let mut link = zip::ZipWriter::new(Cursor::new(Vec::new()));
        link.add_symlink(
            "mpyc/__init__.py",
            "/etc/passwd",
            SimpleFileOptions::default(),
        )
        .unwrap();
        let link = link.finish().unwrap().into_inner();
        assert!(matches!(read(&link), Err(WheelError::Name(_))));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let zeros = vec![0; 40 << 20];
        let bomb = wheel(&[INIT, ("mpyc/a.py", &zeros), ("mpyc/b.py", &zeros)]);
        assert!(bomb.len() < 1 << 20);
        assert!(matches!(read(&bomb), Err(WheelError::TooLarge)));
        let names: Vec<String> = (0..=ENTRIES).map(|n| format!("mpyc/m{n}.py")).collect();
        let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert!(matches!(read(&wheel(&many)), Err(WheelError::Entries)));
    }
}
