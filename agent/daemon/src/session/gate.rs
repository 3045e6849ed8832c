//! Python up to the gate, and the signed `Ready` that says what stands there.

use std::collections::BTreeMap;

use e3_core::document::{Machine, Ready};
use e3_core::envelope::{Envelope, Verified};
use e3_core::session::{Context, Reason, barrier};
use e3_core::time::Time;
use tokio::time::Instant;

use super::folder::Folder;
use super::stage::{self, Staging};
use crate::party::{Listen, Spec};
use crate::shared::Shared;
use crate::sync;

/// What the gate needs to know to run this party's program.
pub fn spec(context: &Context, folder: &Folder, staging: &Staging) -> Spec {
    let session = &context.session;
    // Party 0 dials everybody and listens for nobody.
    let port = session.mpyc.base_port + u16::try_from(context.me).unwrap_or(0);
    let listen = (context.me > 0).then(|| Listen {
        host: staging.host.clone(),
        port,
    });
    Spec {
        session: context.manifest,
        folder: folder.as_path().to_owned(),
        work: staging.work.clone(),
        inputs: staging.inputs.clone(),
        tls: staging.tls.as_ref().map(|tls| tls.folder.clone()),
        python: staging.python.path.clone(),
        mpyc_dir: staging.runtime.mpyc_dir.clone(),
        mpyc_version: session.mpyc.version.clone(),
        modules: session
            .modules
            .iter()
            .map(|module| module.name.clone())
            .collect(),
        flags: session.mpyc_flags(),
        args: session.program.args.clone(),
        entry: session.program.entry.clone(),
        limits: session.limits,
        listen,
    }
}

/// A signed `Ready`: opened for this party, as an envelope for the others.
pub struct Signed {
    /// What was signed.
    pub ready: Verified<Ready>,
    /// The envelope's JSON.
    pub envelope: String,
    /// When it was signed.
    at: Instant,
}

impl Signed {
    /// What time it is, by the clock that this party has told the others.
    pub fn now(&self) -> Time {
        self.ready.document.clock.plus(self.at.elapsed().as_secs())
    }
}

/// Looks at everything once more as it lies there, and signs.
///
/// What would be refused by the others is found here already.
pub fn ready(
    shared: &Shared,
    context: &Context,
    staging: &Staging,
    machine: Machine,
    port: Option<u16>,
    round_trips: &BTreeMap<usize, u64>,
) -> Result<Signed, Reason> {
    let session = &context.session;
    // Rule 11, once more: it may have expired since the session was judged, or a clock that jumps says so. Better this
    // party says that of itself than that it takes the others' clocks for wrong.
    if !shared.keeper().head_is_fresh() {
        return Err(sync::expired(shared));
    }
    let program = stage::digest_of(&staging.work)?;
    let port = port.unwrap_or(session.mpyc.base_port);
    let ready = Ready {
        manifest: context.manifest,
        party: context.me,
        program,
        // Compared byte by byte with the wheel before Python started.
        mpyc: session.mpyc.wheel.digest,
        endpoint: format!("{}:{port}", staging.host),
        certificate: staging.tls.as_ref().map(|tls| tls.certificate.clone()),
        machine,
        // By rule 10: a board without a clock has the floor, minutes old, and not 1970.
        clock: shared.keeper().now(),
        rtt_us: round_trips.clone(),
    };
    barrier::check(context, context.me, &ready).map_err(|failure| failure.reason)?;
    let unusable = |error: &dyn std::error::Error| Reason::BadReady {
        detail: crate::text::chain(error),
    };
    let envelope = Envelope::sign(&ready, &[&shared.key]).map_err(|error| unusable(&error))?;
    let ready = envelope
        .verify(&[shared.me()], 1)
        .map_err(|error| unusable(&error))?;
    let envelope = String::from_utf8_lossy(&envelope.to_bytes()).into_owned();
    Ok(Signed {
        ready,
        envelope,
        at: Instant::now(),
    })
}

/// Everybody's certificates, in order: the gate pins party i to the i-th. `None` without TLS.
pub fn authorities(readies: &[Ready]) -> Option<String> {
    let bundle: String = readies
        .iter()
        .filter_map(|ready| ready.certificate.as_deref())
        .collect();
    Some(bundle).filter(|bundle| !bundle.is_empty())
}
