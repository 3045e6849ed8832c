//! What the parties compare before anything starts.
//!
//! One constant that differs in one party's program makes every party print the same wrong result
//! and exit with 0. So each party checks every other party's signed `Ready` against the manifest,
//! and then all of them compare the digest of all `Ready`s: nobody starts unless everybody has seen
//! the same ones.

use super::{Context, Failure, Reason};
use crate::digest::Digest;
use crate::document::Ready;
use crate::time::Time;

/// How far two clocks may differ, in seconds. Expiry times are minutes to weeks; an hour leaves room
/// for boards that have only the clock floor, and still finds a clock that is plainly wrong.
pub const CLOCK_TOLERANCE: i64 = 3600;

/// Checks one party's `Ready` against the manifest; `party` is whose connection it came by.
///
/// [`super::step`] does so with every `Ready`, the own one included: what is not checked here cannot
/// reach the barrier.
pub fn check(context: &Context, party: usize, ready: &Ready) -> Result<(), Failure> {
    reason_against(context, party, ready).map_or(Ok(()), |reason| Err(Failure::at(party, reason)))
}

/// Compares the clock of another party with what this machine's clock said when the `Ready` came.
///
/// This is the daemon's to call, since the state machine has no clock; it passes a failure on as
/// [`super::Event::PeerFailed`].
pub fn check_clock(party: usize, ready: &Ready, clock: Time) -> Result<(), Failure> {
    let seconds = ready.clock.since(clock);
    if seconds.abs() <= CLOCK_TOLERANCE {
        Ok(())
    } else {
        Err(Failure::at(party, Reason::ClockSkew { seconds }))
    }
}

fn reason_against(context: &Context, party: usize, ready: &Ready) -> Option<Reason> {
    let session = &context.session;
    let bad = |detail: &str| {
        Some(Reason::BadReady {
            detail: detail.to_owned(),
        })
    };
    if ready.manifest != context.manifest {
        return bad("it is for another manifest");
    }
    if ready.party != party {
        return bad("it claims another place");
    }
    if session.mpyc.tls && session.parties.len() > 1 && ready.certificate.is_none() {
        return bad("it has no certificate");
    }
    if host_and_port(&ready.endpoint).is_none() {
        return bad("its endpoint is not host:port");
    }
    let pinned = session.program.pack.digest;
    if ready.program != pinned {
        return Some(Reason::ProgramMismatch {
            pinned,
            has: ready.program,
        });
    }
    let (wheel, version) = (session.mpyc.wheel.digest, &session.mpyc.version);
    if ready.machine.mpyc != *version {
        return Some(Reason::MpycMismatch {
            pinned: version.clone(),
            has: ready.machine.mpyc.clone(),
        });
    }
    if ready.mpyc != wheel {
        return Some(Reason::MpycFileMismatch {
            pinned: wheel,
            has: ready.mpyc,
        });
    }
    for module in &session.modules {
        let Some(has) = ready.machine.modules.get(&module.name) else {
            return Some(Reason::ModuleMissing {
                module: module.name.clone(),
            });
        };
        if let Some(pinned) = module.version.as_ref().filter(|pinned| *pinned != has) {
            let (module, pinned, has) = (module.name.clone(), pinned.clone(), has.clone());
            return Some(Reason::ModuleMismatch {
                module,
                pinned,
                has,
            });
        }
    }
    None
}

/// Compares what no party can judge alone, once all are here: word sizes and endpoints.
///
/// `readies` are in the order of the parties.
pub fn compare(context: &Context, readies: &[&Ready]) -> Result<(), Failure> {
    if !context.session.mpyc.mixed_word_sizes {
        let count = |bits: u32| {
            readies
                .iter()
                .filter(|r| r.machine.word_size == bits)
                .count()
        };
        let expected = readies
            .iter()
            .map(|r| r.machine.word_size)
            .max_by_key(|bits| (count(*bits), *bits));
        let expected = expected.unwrap_or(64);
        if let Some(party) = readies.iter().position(|r| r.machine.word_size != expected) {
            let has = readies[party].machine.word_size;
            return Err(Failure::at(
                party,
                Reason::WordSizeMismatch { expected, has },
            ));
        }
    }
    for (party, ready) in readies.iter().enumerate() {
        if readies[..party]
            .iter()
            .any(|other| other.endpoint == ready.endpoint)
        {
            let detail = format!("its endpoint {} is another party's, too", ready.endpoint);
            return Err(Failure::at(party, Reason::BadReady { detail }));
        }
    }
    Ok(())
}

/// The digest of all `Ready`s, given their payloads' digests in the order of the parties.
pub fn digest(manifest: &Digest, readies: impl Iterator<Item = Digest>) -> Digest {
    let lines = readies.map(|ready| format!("{ready}\n"));
    let text = format!("e3 barrier 1\n{manifest}\n") + &lines.collect::<String>();
    Digest::of(text.as_bytes())
}

/// The key under which outputs declared equal are hashed: from the secret shares that the parties
/// gave each other, in order, over their authenticated connections.
pub fn output_key(barrier: &Digest, shares: &[[u8; 32]]) -> [u8; 32] {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&shares.concat())
        .expect("HMAC takes keys of any length");
    mac.update(b"e3 output key 1\n");
    mac.update(barrier.as_bytes());
    mac.finalize().into_bytes().into()
}

/// The keyed hash of an output.
pub fn output_hash(key: &[u8; 32], output: &[u8]) -> Digest {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(output);
    Digest::from_bytes(mac.finalize().into_bytes().into())
}

/// Splits `host:port` at the last colon, as MPyC does; an IPv6 host has no brackets.
pub fn host_and_port(endpoint: &str) -> Option<(&str, u16)> {
    let (host, port) = endpoint.rsplit_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-:%_".contains(c);
    let fits =
        !host.is_empty() && !host.starts_with('-') && host.len() <= 255 && host.chars().all(plain);
    let port: u16 = port.parse().ok()?;
    (fits && port > 0).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_host_and_port() {
        assert_eq!(host_and_port("127.0.0.1:11365"), Some(("127.0.0.1", 11365)));
        assert_eq!(host_and_port("fd99::10:11365"), Some(("fd99::10", 11365)));
        for bad in ["", "a", ":1", "a:0", "a:99999", "-I:1", "a b:1", "$(x):1"] {
            assert_eq!(host_and_port(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_output_key_depends_on_every_share_and_on_the_barrier() {
        let barrier = Digest::of(b"b");
        let key = output_key(&barrier, &[[1; 32], [2; 32]]);
        assert_ne!(key, output_key(&barrier, &[[2; 32], [1; 32]]));
        assert_ne!(key, output_key(&Digest::of(b"c"), &[[1; 32], [2; 32]]));
        assert_ne!(output_hash(&key, b"11\n"), output_hash(&[0; 32], b"11\n"));
    }
}
