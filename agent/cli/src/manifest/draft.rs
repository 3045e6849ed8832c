//! A manifest that has been read and makes sense, but whose program is not packed and whose MPyC is
//! not resolved yet; and how it becomes the document that is signed.
//!
//! `e3 session sign` makes drafts from TOML, `e3 demo` from code; both go through [`Draft::session`].

use std::path::PathBuf;

use e3_core::digest::{Blob, Digest};
use e3_core::document::{
    Consent, Deadlines, Document as _, DocumentError, Limits, Module, Mpyc, OutputRule, Party,
    Program, Session,
};
use e3_core::name::Name;
use e3_core::time::Time;

/// How long a session may be started after it was signed, if the manifest does not say: an hour.
pub const VALID_FOR: u64 = 3_600;
/// The limits if the manifest says nothing.
pub const LIMITS: Limits = Limits {
    memory: 512 << 20,
    cpu: 100,
    tasks: 256,
    output: 1 << 20,
};
/// The deadlines if the manifest says nothing.
pub const DEADLINES: Deadlines = Deadlines {
    preflight: 30,
    connect: 30,
    run: 3_600,
};
/// The first port if the manifest says nothing: MPyC's own.
pub const BASE_PORT: u16 = 11_365;

/// A session before signing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// The session's name.
    pub name: Name,
    /// Its counter, if the person chose one.
    pub counter: Option<u64>,
    /// When it may start; from its signing on if nothing is said.
    pub not_before: Option<Time>,
    /// When it is too late to start.
    pub ends: Ends,
    /// Whose signatures it needs.
    pub consent: Consent,
    /// What becomes of the output.
    pub output: OutputRule,
    /// The parties in MPyC's order, with their inputs.
    pub parties: Vec<Party>,
    /// The program: a `.py` file or a folder.
    pub program: PathBuf,
    /// The file that Python starts, for folders.
    pub entry: Option<String>,
    /// More files and folders: as the program finds them, and where they are now.
    pub data: Vec<(String, PathBuf)>,
    /// Arguments.
    pub args: Vec<String>,
    /// MPyC and its options.
    pub mpyc: MpycOptions,
    /// The mesh by which the parties reach each other, if the person chose one.
    pub mesh: Option<String>,
    /// Modules that must be there.
    pub modules: Vec<Module>,
    /// Outputs that must be equal.
    pub equal: Vec<String>,
    /// Limits.
    pub limits: Limits,
    /// Deadlines.
    pub deadlines: Deadlines,
}

/// When it is too late to start a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// So many seconds after it may start.
    After(u64),
    /// At this time.
    At(Time),
}

/// MPyC as the person asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MpycOptions {
    /// The version.
    pub version: String,
    /// The wheel's digest, if the person pins it.
    pub sha256: Option<Digest>,
    /// The wheel as a local file, if the person has one.
    pub wheel: Option<PathBuf>,
    /// MPyC's threshold.
    pub threshold: Option<usize>,
    /// Pseudorandom secret sharing.
    pub prss: bool,
    /// TLS between the programs.
    pub tls: bool,
    /// The first port.
    pub base_port: u16,
    /// Default bit length.
    pub bit_length: Option<u32>,
    /// Statistical security parameter.
    pub sec_param: Option<u32>,
    /// Parties of 32 and 64 bits mixed.
    pub mixed_word_sizes: bool,
}

impl MpycOptions {
    /// MPyC `version` with the defaults of the manifest.
    pub fn new(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            sha256: None,
            wheel: None,
            threshold: None,
            prss: true,
            tls: true,
            base_port: BASE_PORT,
            bit_length: None,
            sec_param: None,
            mixed_word_sizes: false,
        }
    }
}

impl Draft {
    /// A draft with the defaults of the manifest.
    pub fn new(name: Name, parties: Vec<Party>, program: PathBuf, mpyc: MpycOptions) -> Self {
        Self {
            name,
            counter: None,
            not_before: None,
            ends: Ends::After(VALID_FOR),
            consent: Consent::Signers,
            output: OutputRule::Private,
            parties,
            program,
            entry: None,
            data: Vec::new(),
            args: Vec::new(),
            mpyc,
            mesh: None,
            modules: Vec::new(),
            equal: Vec::new(),
            limits: LIMITS,
            deadlines: DEADLINES,
        }
    }

    /// The document to sign at `now`, for a fleet at `epoch`.
    ///
    /// `pack` names the packed program and `entry` its file to start; `file` and `wheel` name MPyC.
    ///
    /// The counter is the time of signing in seconds unless the person chose one: it rises by itself,
    /// also for an owner who has lost every earlier manifest (rule 8). `not_before` is the time of
    /// signing, with no slack for slow clocks: the head that announces the session is signed later
    /// and lifts every party's time to it (rule 10).
    pub fn session(
        &self,
        (fleet, epoch): (&Name, u64),
        (pack, entry): (Blob, &str),
        (file, wheel): (&str, Blob),
        now: Time,
    ) -> Result<Session, DocumentError> {
        let not_before = self.not_before.unwrap_or(now);
        let expires = match self.ends {
            Ends::After(seconds) => not_before.plus(seconds),
            Ends::At(time) => time,
        };
        let session = Session {
            fleet: fleet.clone(),
            epoch,
            name: self.name.clone(),
            counter: self
                .counter
                .unwrap_or_else(|| u64::try_from(now.unix()).unwrap_or(1).max(1)),
            not_before,
            expires,
            consent: self.consent,
            output: self.output,
            parties: self.parties.clone(),
            program: Program {
                pack,
                entry: entry.to_owned(),
                args: self.args.clone(),
            },
            mpyc: Mpyc {
                version: self.mpyc.version.clone(),
                file: file.to_owned(),
                wheel,
                threshold: self.mpyc.threshold,
                prss: self.mpyc.prss,
                tls: self.mpyc.tls,
                base_port: self.mpyc.base_port,
                bit_length: self.mpyc.bit_length,
                sec_param: self.mpyc.sec_param,
                mixed_word_sizes: self.mpyc.mixed_word_sizes,
            },
            mesh: self.mesh.clone(),
            modules: self.modules.clone(),
            equal: self.equal.clone(),
            limits: self.limits,
            deadlines: self.deadlines,
        };
        session.check()?;
        Ok(session)
    }
}
