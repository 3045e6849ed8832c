//! Reasons in words. Text for people is made here and nowhere else, so that the agent, the hub and the
//! owner's command say the same.

use std::collections::BTreeMap;
use std::fmt;

use super::{Failure, Reason};
use crate::text::{self, clean};

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Parts of it may be another party's words.
        f.write_str(&clean(&Words(self).to_string(), 4 * text::DETAIL))
    }
}

/// The text of a reason as it was given.
struct Words<'a>(&'a Reason);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reason::Refused { refusal } => write!(f, "it refuses the session: {refusal}"),
            Reason::ProgramMismatch { pinned, has } => {
                write!(
                    f,
                    "its copy of the program is not the signed one (has {}, signed {})",
                    has.short(),
                    pinned.short()
                )
            }
            Reason::MpycMismatch { pinned, has } => {
                write!(f, "it has MPyC {has}, the manifest pins {pinned}")
            }
            Reason::MpycFileMismatch { pinned, has } => {
                write!(
                    f,
                    "its copy of MPyC is not the pinned one (has {}, pinned {})",
                    has.short(),
                    pinned.short()
                )
            }
            Reason::Unavailable { what, detail } => {
                write!(f, "{what} could not be fetched: {detail}")
            }
            Reason::PythonMissing { detail } => write!(f, "no usable Python: {detail}"),
            Reason::PythonTooOld { has } => {
                write!(f, "it has Python {has}; MPyC needs 3.10 or newer")
            }
            Reason::ModuleMissing { module } => {
                write!(f, "the Python module {module} is not installed")
            }
            Reason::ModuleMismatch {
                module,
                pinned,
                has,
            } => {
                write!(f, "it has {module} {has}, the manifest pins {pinned}")
            }
            Reason::WordSizeMismatch { expected, has } => {
                write!(
                    f,
                    "its Python has {has} bits, the others' {expected}; set `mixed_word_sizes = true` to allow it"
                )
            }
            Reason::ClockSkew { seconds } => write!(
                f,
                "its clock is {seconds} s off; set it or turn on time sync"
            ),
            Reason::BadReady { detail } => {
                write!(f, "it sent a wrong proof of readiness: {detail}")
            }
            Reason::Missing { seconds } => write!(
                f,
                "it was not there within {seconds} s; is it running and reachable?"
            ),
            Reason::Lost => write!(
                f,
                "it was lost: its agent died, its machine stopped, or the network parted"
            ),
            Reason::BarrierMismatch => write!(f, "it saw other proofs of readiness than the rest"),
            Reason::PortInUse {
                port,
                holder: Some(holder),
            } => write!(f, "port {port} is held by {holder}"),
            Reason::PortInUse { port, holder: None } => {
                write!(f, "port {port} is held by another process")
            }
            Reason::Impostor => {
                write!(f, "somebody else showed up in its place at MPyC's port")
            }
            Reason::NotStarted { seconds, others } => {
                write!(f, "its program did not start MPyC within {seconds} s")?;
                nor_did(f, others)
            }
            Reason::NotConnected {
                seconds,
                pairs,
                detail,
            } => {
                write!(f, "MPyC did not connect all parties within {seconds} s")?;
                in_vain(f, pairs)?;
                if detail.is_empty() {
                    Ok(())
                } else {
                    write!(f, " ({detail})")
                }
            }
            Reason::Exited {
                code,
                exception: Some(exception),
            } => {
                write!(f, "the program ended with exit code {code} ({exception})")
            }
            Reason::Exited {
                code,
                exception: None,
            } => write!(f, "the program ended with exit code {code}"),
            Reason::Killed { signal } => write!(f, "the program was killed by signal {signal}"),
            Reason::TimedOut { seconds, others } => {
                write!(f, "its program did not end within {seconds} s")?;
                nor_did(f, others)?;
                if others.is_empty() {
                    Ok(())
                } else {
                    write!(f, "; which of them kept the others waiting is not known")
                }
            }
            Reason::OutputTooLarge { limit } => {
                write!(f, "the program printed more than {limit} bytes")
            }
            Reason::OutputDiffers { output } => {
                write!(f, "its {output} differs from the other parties'")
            }
            Reason::AgentRestarted => {
                write!(
                    f,
                    "its agent was stopped or restarted in the middle of the session"
                )
            }
            Reason::Stopped => write!(f, "the session was stopped"),
            Reason::Disk { detail } => write!(f, "its disk failed: {detail}"),
            Reason::NotInMesh { mesh, detail } => {
                write!(f, "it is not in the mesh ({mesh}): {detail}")
            }
            Reason::HeadExpired => write!(
                f,
                "the fleet's head has expired; renew it with `e3 hub renew`"
            ),
            Reason::Supervisor { detail } => {
                write!(f, "the program could not be started: {detail}")
            }
        }
    }
}

/// The same is true of others.
fn nor_did(f: &mut fmt::Formatter<'_>, others: &[usize]) -> fmt::Result {
    match others {
        [] => Ok(()),
        [one] => write!(f, ", nor did that of party {one}"),
        several => write!(f, ", nor did those of {}", places(several)),
    }
}

/// Who dials whom in vain: the dialled ones, each with all who dial it.
fn in_vain(f: &mut fmt::Formatter<'_>, pairs: &[(usize, usize)]) -> fmt::Result {
    let mut dialled: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (by, party) in pairs {
        dialled.entry(*party).or_default().push(*by);
    }
    for (count, (party, by)) in dialled.iter().enumerate() {
        let before = if count == 0 { ": " } else { ", and " };
        write!(f, "{before}{} cannot reach party {party}", places(by))?;
    }
    Ok(())
}

/// `party 1`, or `parties 1, 2 and 3`.
fn places(places: &[usize]) -> String {
    let words: Vec<String> = places.iter().map(ToString::to_string).collect();
    match words.as_slice() {
        [] => "no party".to_owned(),
        [one] => format!("party {one}"),
        [most @ .., last] => format!("parties {} and {last}", most.join(", ")),
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "party {}: {}", self.party, self.reason)
    }
}
