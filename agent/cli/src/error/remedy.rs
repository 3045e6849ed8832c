//! What follows from an error: the exit code, the word for scripts, what to do.

use e3_client::files::FileError;
use e3_client::hub::HubError;
use e3_core::document::AskRefusal;
use e3_core::trust::TrustError;
use e3_image::ImageError;
use e3_image::flash::FlashError;
use e3_image::upload::Fault;

use super::{Error, Exit};
use crate::fleet_file::FleetError;
use crate::manifest::ManifestError;
use crate::manifest::problem::Problems;

impl Error {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Hub(
                HubError::Unreachable { .. }
                | HubError::Certificate { .. }
                | HubError::Failed { .. },
            )
            | Self::NoAnswer { .. } => Exit::Unreachable,
            Self::Manifest(error) if error.is_unreachable() => Exit::Unreachable,
            Self::Image(ImageError::Upload(error)) => of_upload(&error.fault),
            Self::Image(ImageError::Published(error)) if error.is_unreachable() => {
                Exit::Unreachable
            }
            Self::Image(ImageError::Published(error)) if error.is_refusal() => Exit::Refused,
            Self::Hub(HubError::Address(_)) => Exit::Input,
            Self::Hub(_)
            | Self::Trust(_)
            | Self::Session { .. }
            | Self::Envelope { .. }
            | Self::NotAllowed { .. }
            | Self::Unsigned { .. }
            | Self::MoreSignatures { .. }
            | Self::HeadFull { .. }
            | Self::Declined { .. }
            | Self::BadAnswer { .. }
            | Self::Image(ImageError::Device(_)) => Exit::Refused,
            Self::NoVerdict { .. }
            | Self::Image(ImageError::Flash(FlashError::Mismatch { .. })) => Exit::Failed,
            Self::Runtime(_) | Self::Agent { .. } => Exit::Internal,
            Self::Interrupted | Self::Image(ImageError::Stopped { .. }) => Exit::Interrupted,
            _ => Exit::Input,
        }
    }

    /// The word for scripts.
    pub fn kind(&self) -> String {
        let kind = match self {
            Self::File(FileError::Exposed { .. }) => "key-exposed",
            Self::Exists { .. } | Self::File(FileError::Exists { .. }) => "exists",
            Self::File(error) if error.is_disk_full() => "disk-full",
            Self::File(_) | Self::Folder { .. } => "file",
            Self::NoKey { .. } | Self::NoHome => "no-key",
            Self::NoCache => "no-cache",
            Self::Fleet(FleetError::NotFound { .. } | FleetError::NoFleet { .. }) => "no-fleet",
            Self::Fleet(FleetError::Root { .. }) => "root-chain",
            Self::Fleet(_) => "fleet-file",
            Self::Manifest(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::TrustState { .. } | Self::TrustStateGone { .. } | Self::OtherRoot { .. } => {
                "trust-state"
            }
            Self::Hub(error) => return hub_kind(error),
            Self::Trust(error) => trust_kind(error),
            Self::Session { .. } => "session-refused",
            Self::Envelope { .. } => "not-signed",
            Self::Document { .. } => "document",
            Self::NotAllowed { .. } => "key-not-allowed",
            Self::Unsigned { .. } | Self::MoreSignatures { .. } => "signatures-missing",
            Self::NoSuchSession(..) => "no-such-session",
            Self::NoSuchParty(..) => "no-such-party",
            Self::HeadFull { .. } => "head-full",
            Self::NoVerdict { .. } => "no-verdict",
            Self::Usage { .. } => "usage",
            Self::NoAnswer { .. } => "no-answer",
            Self::Declined { .. } => "declined",
            Self::BadAnswer { .. } => "bad-answer",
            Self::NoCertificate { .. } => "no-certificate",
            Self::Program { .. } => "program",
            Self::Build { .. } => "build",
            Self::Serve { .. } => "serve",
            Self::NoLinkBinary { .. } => "no-link",
            Self::Relay { .. } | Self::OtherAuthority { .. } => "relay",
            Self::NoAgentBinary => "no-agent",
            Self::Agent { .. } => "agent",
            Self::Interrupted => "interrupted",
            Self::Runtime(_) => "internal",
        };
        kind.to_owned()
    }

    /// What to do, where the message does not say it already.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Manifest(error) => return error.remedy(),
            Self::Image(error) => return error.remedy(),
            Self::File(error) if error.is_disk_full() => {
                Some("Make room on the disk and run the command again.")
            }
            Self::NoKey { .. } => {
                Some("Make one with `e3 key new`, or name yours with --key FILE or E3_KEY.")
            }
            Self::NoCache => Some("Set one of them."),
            Self::NoHome => Some("Set HOME, or name the key file with --key FILE or E3_KEY."),
            Self::Exists { .. } => Some("Choose another name, or move it away first."),
            Self::TrustState { .. } | Self::TrustStateGone { .. } | Self::OtherRoot { .. } => Some(
                "Restore it from a copy. Only if you know why it changed: remove the folder .e3, and e3 starts again from root/1.json.",
            ),
            Self::Hub(error) => hub_remedy(error),
            Self::Trust(TrustError::Rollback {
                document: "release",
                ..
            }) => Some(
                "Make the release again: its counter is the time unless --counter says otherwise.",
            ),
            Self::Trust(TrustError::Envelope {
                document: "release",
                ..
            }) => Some(
                "Let the other holders of release keys run `e3 release sign RELEASE` on it, then push it again.",
            ),
            Self::Trust(error) => trust_remedy(error),
            Self::NotAllowed {
                role: "releases", ..
            } => Some("Use one of the fleet's release keys, with --key FILE or E3_RELEASE_KEY."),
            Self::NotAllowed { .. } => {
                Some("Use the key of an owner of the fleet, with --key FILE or E3_KEY.")
            }
            Self::MoreSignatures { .. } => Some(
                "Let other head signers run `e3 fleet sign FILE` on that file, then `e3 fleet push FILE`.",
            ),
            Self::Unsigned { .. } => Some(
                "Let the other signers run `e3 session sign BUNDLE` on the same file, then push it again.",
            ),
            Self::NoSuchSession(..) => Some(
                "`e3 session list` shows the current sessions; one that is over is found by its bundle.",
            ),
            Self::NoSuchParty(..) => Some("`e3 fleet status` shows who has enrolled."),
            Self::HeadFull { .. } => Some(
                "Revoke sessions that are over with `e3 session stop NAME`, or wait until some expire.",
            ),
            Self::NoVerdict { .. } => Some(
                "`e3 fleet status` tells how each party is; `e3 session watch` goes on waiting.",
            ),
            Self::NoAnswer { .. } => Some(
                "It may be off, without its hub, still coming up, or set to answer nobody. Who sits before it runs `e3-agent doctor`.",
            ),
            Self::Declined {
                reason: AskRefusal::NotAllowed,
                ..
            } => Some(
                "Ask its owner; answers = \"signers\" in its agent.toml would let others ask whom its policy names.",
            ),
            Self::Declined {
                times: (there, here),
                ..
            } => {
                return Some(format!(
                    "It is {there} on the machine, and {here} here; set the clock that is wrong. Who sits before the machine runs `e3-agent doctor`."
                ));
            }
            Self::NoAgentBinary => {
                Some("Build it with `cargo build -p e3-agent`, or name it with E3_AGENT.")
            }
            Self::Agent { .. } => {
                Some("Run the demo with --keep DIR and look at DIR/NAME/agent.log.")
            }
            Self::Usage { remedy, .. } => Some(*remedy),
            Self::NoCertificate { .. } => {
                Some("Nothing has to be taken back; `e3 mesh sign` would give it one.")
            }
            Self::Build { .. } => Some(
                "images/README.md says which computer can build which image; `nix log` has the whole of what it said.",
            ),
            Self::NoLinkBinary { .. } => Some(
                "The relay is a program of its own: install e3-link, or name it by --relay-program.",
            ),
            Self::OtherAuthority { .. } => Some(
                "Copy that folder from where the fleet was made, or give the relay a certificate of that authority: --relay-cert, --relay-key.",
            ),
            Self::Relay { .. } => Some(
                "If a port is taken, or below 1024 and you are not root, choose another one: --relay=HOST:PORT, --relay-discovery PORT.",
            ),
            Self::Program { .. } => {
                Some("Check that it is installed and in PATH; E3's development shell has it.")
            }
            _ => None,
        };
        remedy.map(str::to_owned)
    }

    /// What a script can use besides: each problem of a manifest or fleet file with its place.
    pub fn problems(&self) -> Option<&Problems> {
        match self {
            Self::Fleet(FleetError::Problems(problems))
            | Self::Manifest(
                ManifestError::Problems(problems)
                | ManifestError::Fleet(FleetError::Problems(problems)),
            ) => Some(problems),
            _ => None,
        }
    }

    /// The causes, outermost first, without the message itself.
    pub fn causes(&self) -> Vec<String> {
        use std::error::Error as _;
        let mut causes = Vec::new();
        let mut cause = self.source();
        let mut last = self.to_string();
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries print their source too; saying it twice helps nobody.
            if !last.contains(&text) {
                causes.push(text.clone());
            }
            last = text;
            cause = error.source();
        }
        causes
    }
}

const fn of_upload(fault: &Fault) -> Exit {
    match fault {
        Fault::Unreachable { .. } | Fault::Failed { .. } | Fault::NotTheApi { .. } => {
            Exit::Unreachable
        }
        Fault::Refused { .. } | Fault::Space { .. } | Fault::Busy => Exit::Refused,
        Fault::Import { .. } | Fault::Slow { .. } | Fault::Transfer { .. } => Exit::Failed,
        _ => Exit::Input,
    }
}

fn hub_kind(error: &HubError) -> String {
    let kind = match error {
        HubError::Address(_) => "hub-address",
        HubError::Unreachable { .. } => "hub-unreachable",
        HubError::Certificate { .. } => "hub-certificate",
        HubError::NotFound { .. } => "not-found",
        HubError::Conflict => "conflict",
        HubError::Refused { kind, .. } if !kind.is_empty() => return kind.clone(),
        HubError::Refused { .. } => "hub-refused",
        HubError::Failed { .. } => "hub-failed",
        HubError::TooLarge { .. } => "hub-too-large",
        HubError::NotAsNamed { .. } => "hub-not-as-named",
        HubError::ReadOnly { .. } => "hub-read-only",
        HubError::Malformed { .. } => "hub-malformed",
    };
    kind.to_owned()
}

const fn hub_remedy(error: &HubError) -> Option<&'static str> {
    match error {
        HubError::Unreachable { .. } => Some(
            "Start it with `e3 hub serve`, or correct `hub` in fleet.toml. `e3 doctor` looks closer.",
        ),
        HubError::Certificate { .. } => {
            Some("Put the authority's PEM file beside fleet.toml and name it as `hub_ca`.")
        }
        HubError::Failed { .. } => {
            Some("Look at the hub's own log, then run the command again: nothing is done twice.")
        }
        HubError::Conflict => Some("Run the command again: nothing is done twice."),
        HubError::NotFound { .. } => Some(
            "Has this hub been started for this fleet? `e3 hub serve` fills it from the fleet's folder.",
        ),
        HubError::TooLarge { .. } | HubError::NotAsNamed { .. } | HubError::Malformed { .. } => {
            Some(
                "Is it really the hub of this fleet that answers there, and no proxy? `e3 doctor` looks closer.",
            )
        }
        _ => None,
    }
}

const fn trust_kind(error: &TrustError) -> &'static str {
    match error {
        TrustError::Envelope { .. } => "not-signed",
        TrustError::OtherFleet { .. } => "other-fleet",
        TrustError::RootVersion { .. } | TrustError::RootEpoch { .. } => "root-chain",
        TrustError::RootPin { .. } => "root-pin",
        TrustError::OtherRoot { .. } => "other-root",
        TrustError::Rollback { .. } => "rollback",
        TrustError::Equivocation { .. } => "equivocation",
        TrustError::Expired { .. } => "expired",
        TrustError::FromTheFuture { .. } => "from-the-future",
        TrustError::StateMissing => "trust-state",
    }
}

const fn trust_remedy(error: &TrustError) -> Option<&'static str> {
    match error {
        TrustError::Expired { .. } => {
            Some("Sign a new one with `e3 hub renew`, and let a timer do it from now on.")
        }
        TrustError::Rollback { .. } => Some(
            "The hub shows an older state than this folder has seen. Was it restored from a backup? Then publish the newest head again; otherwise somebody holds back news.",
        ),
        TrustError::Equivocation { .. } => Some(
            "Two owners signed at the same time past the hub, or a head key is stolen. Compare what the owners published before anything else.",
        ),
        TrustError::FromTheFuture { .. } => Some("Is this machine's clock right?"),
        TrustError::RootPin { .. } | TrustError::OtherFleet { .. } => {
            Some("Does `hub` in fleet.toml lead to this fleet's hub?")
        }
        _ => None,
    }
}
