//! Rule 3: sizes are bounded before anything is parsed. All bounds stand here, with their reasons.

/// An envelope with its signatures, as read from anywhere. The largest manifest measured (64
/// parties, 100 arguments) takes 30 KiB.
pub const ENVELOPE: usize = 256 * 1024;
/// The head's envelope: it is polled, so it is kept small; room for about 200 current sessions.
pub const HEAD: usize = 64 * 1024;
/// Signatures in one envelope. It bounds the work of a verification together with [`KEYS`].
pub const SIGNATURES: usize = 64;
/// Keys in one role or policy.
pub const KEYS: usize = 64;
/// Parties of one session. Beyond about 21 parties MPyC's PRSS keys explode, so 64 is generous.
pub const PARTIES: usize = 64;
/// Program arguments, and bytes in one of them.
pub const ARGUMENTS: usize = 256;
/// Bytes in one argument.
pub const ARGUMENT: usize = 4096;
/// A packed program with its data files.
pub const PROGRAM: u64 = 64 * 1024 * 1024;
/// Files in a packed program.
pub const PROGRAM_FILES: usize = 4096;
/// An MPyC wheel (0.11 takes 130 KB; 16 MiB leaves room for a century of growth).
pub const MPYC: u64 = 16 * 1024 * 1024;
/// A binary of the agent (the released one stays under 6 MiB).
pub const AGENT: u64 = 64 * 1024 * 1024;
/// Images in one published list: some ten kinds for two processors, and some versions of each.
pub const IMAGES: usize = 128;
/// An image file: the largest ones that are built have 3 GB.
pub const IMAGE: u64 = 64 << 30;
/// Seconds that a new agent has to work, and to verify a head in, before it is committed.
pub const TRIAL: u64 = 600;
/// What one party may print, unless its manifest asks for less.
pub const OUTPUT: u64 = 16 * 1024 * 1024;
/// Output that a receipt may publish.
pub const PUBLISHED: usize = 64 * 1024;
/// Root versions walked in one update; the same bound as TUF implementations use.
pub const ROOT_STEPS: u64 = 1024;
/// Current sessions and revocations in one head.
pub const HEAD_SESSIONS: usize = 256;
/// A failure's reason as JSON: a handful of texts of 300 characters.
pub const REASON: usize = 8 * 1024;
/// A request to a machine: a few hundred bytes, and some room.
pub const REQUEST: usize = 4096;
/// What a machine reports to whoever has asked it, as JSON.
pub const REPORT: usize = 64 * 1024;
/// One frame between two agents.
pub const FRAME: usize = 128 * 1024;
