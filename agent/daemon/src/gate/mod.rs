//! The gate, seen from the agent: the Python program that makes a party ready, waits, and runs it.
//!
//! `gate.py` is part of the agent's binary and written to the state folder under its own hash. [`talk`] has the words
//! that agent and gate exchange, [`link`] the Unix socket. After the go the party's program runs in the same process as
//! the gate and could write to that socket: from then on everything that comes out of it is a claim, bounded in
//! length and pace, and at worst the party harms itself.

pub mod link;
pub mod talk;

use std::path::{Path, PathBuf};

use e3_client::files::{self, FileError};
use e3_core::digest::Digest;

/// The program.
pub const PROGRAM: &str = include_str!("gate.py");

/// Writes the gate's program below the state folder, unless it is there, and returns where it is.
pub fn install(state: &Path) -> Result<PathBuf, FileError> {
    let folder = state.join("gate");
    files::private_folder(&folder)?;
    let path = folder.join(format!("{}.py", Digest::of(PROGRAM.as_bytes()).hex()));
    if files::read_bounded(&path, PROGRAM.len()).is_ok_and(|bytes| bytes == PROGRAM.as_bytes()) {
        return Ok(path);
    }
    files::write_private(&path, PROGRAM.as_bytes())?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_written_once_and_again_when_it_was_changed() {
        let state = tempfile::tempdir().unwrap();
        let path = install(state.path()).unwrap();
        let written = path.metadata().unwrap().modified().unwrap();
        assert_eq!(install(state.path()).unwrap(), path);
        assert_eq!(path.metadata().unwrap().modified().unwrap(), written);
        files::write_private(&path, b"print('evil')").unwrap();
        install(state.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), PROGRAM);
    }
}
