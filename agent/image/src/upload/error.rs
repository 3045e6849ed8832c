//! What can go wrong on the way to a cloud: what happened, what to do, and what was left behind.

use std::fmt;
use std::io;
use std::path::PathBuf;

use e3_core::text;

/// Characters of what a server says.
const SAID: usize = 300;

/// Why an image is not in the cloud, and what there is of it now.
#[derive(Debug)]
pub struct UploadError {
    /// What happened.
    pub fault: Fault,
    /// What is in the Space or at the cloud now, in full sentences; empty if nothing is.
    pub left: String,
}

/// What happened.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// An image that no droplet starts from.
    #[error("{path} cannot become an image at DigitalOcean: {what}")]
    Format {
        /// Which file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Not the address of a Space.
    #[error("`{text}` is not the address of a Space")]
    SpaceAddress {
        /// What was written.
        text: String,
    },
    /// Not the address of an API.
    #[error("`{text}` is not an address that a token may be sent to")]
    ApiAddress {
        /// What was written.
        text: String,
    },
    /// Not a region's name.
    #[error("`{text}` is no region")]
    Region {
        /// What was written.
        text: String,
    },
    /// Not an image's name.
    #[error("`{text}` is no name for an image")]
    Name {
        /// What was written.
        text: String,
    },
    /// A secret that is needed and not there.
    #[error("{name} is neither in the environment nor in a credentials file")]
    NoCredential {
        /// The variable.
        name: &'static str,
    },
    /// A token that cannot be sent.
    #[error("the token for DigitalOcean has characters that no token has")]
    Token,
    /// A credentials file that is none.
    #[error("line {line} of the credentials is not one of {names}, followed by = and a value")]
    Credentials {
        /// Which line.
        line: usize,
        /// What is known.
        names: &'static str,
    },
    /// The API says no.
    #[error("DigitalOcean refuses to {action} ({})", answer(*.status, .said))]
    Refused {
        /// `list the images`, …
        action: &'static str,
        /// The HTTP status.
        status: u16,
        /// What it says.
        said: String,
        /// How many seconds it asks to wait.
        wait: Option<u64>,
    },
    /// The API has a problem of its own.
    #[error("DigitalOcean could not {action} ({})", answer(*.status, .said))]
    Failed {
        /// `list the images`, …
        action: &'static str,
        /// The HTTP status.
        status: u16,
        /// What it says.
        said: String,
    },
    /// Nobody answers.
    #[error("{host} cannot be reached: {why}")]
    Unreachable {
        /// Who.
        host: String,
        /// Why.
        why: Way,
    },
    /// Somebody else answers.
    #[error("what {host} answers is not what DigitalOcean's API answers")]
    NotTheApi {
        /// Who.
        host: String,
    },
    /// The Space says no.
    #[error("the Space {space} refuses to {action} ({})", answer(*.status, .said))]
    Space {
        /// Which.
        space: String,
        /// `take a part of the image`, …
        action: &'static str,
        /// The HTTP status; 0 if what it answered made no sense.
        status: u16,
        /// What it says.
        said: String,
    },
    /// The cloud could not use the image.
    #[error("DigitalOcean did not import the image{}", told(.said))]
    Import {
        /// What it says.
        said: String,
    },
    /// The cloud takes very long.
    #[error("DigitalOcean has not imported the image {id} within {minutes} minutes")]
    Slow {
        /// Its number.
        id: u64,
        /// How long it was waited for.
        minutes: u64,
    },
    /// One region did not get it.
    #[error("the image {id} did not get to the region {region}{}", told(.said))]
    Transfer {
        /// Its number.
        id: u64,
        /// Where it should be.
        region: String,
        /// What the cloud says.
        said: String,
    },
    /// Two commands at once.
    #[error("another e3 is uploading this image to this Space")]
    Busy,
    /// The image is not what it was.
    #[error("{path} was changed while it was uploaded")]
    Changed {
        /// Which file.
        path: PathBuf,
    },
    /// A file of this computer.
    #[error("cannot {action} {path}")]
    Io {
        /// `open`, `read`, `write`
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A careful file of this computer.
    #[error(transparent)]
    File(#[from] e3_client::files::FileError),
}

/// Why nobody answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The name leads nowhere.
    Name,
    /// No connection.
    Connection,
    /// No answer in time.
    Time,
    /// A certificate that is not trusted.
    Certificate,
    /// The connection broke.
    Broken,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "its name leads to no address",
            Self::Connection => "there is no connection",
            Self::Time => "it does not answer in time",
            Self::Certificate => "its certificate is not trusted",
            Self::Broken => "the connection breaks off",
        })
    }
}

impl Way {
    /// Reads it from what a library says, outermost first. They have no types for all of it, so their words have to do.
    pub(super) fn of(error: &(dyn std::error::Error + 'static), is_timeout: bool) -> Self {
        let mut way = if is_timeout { Self::Time } else { Self::Broken };
        let mut cause = Some(error);
        while let Some(error) = cause {
            let text = error.to_string();
            if text.contains("dns error") || text.contains("failed to lookup address") {
                return Self::Name;
            } else if text.contains("certificate") || text.contains("UnknownIssuer") {
                return Self::Certificate;
            } else if way == Self::Broken && text.contains("tcp connect error") {
                way = Self::Connection;
            }
            cause = error.source();
        }
        way
    }
}

impl Fault {
    /// Whether the same command may succeed later, so that what was uploaded is kept for it.
    pub(super) const fn is_passing(&self) -> bool {
        match self {
            // A token that has expired meanwhile is replaced by another one.
            Self::Refused { status, .. } => matches!(status, 401 | 403 | 408 | 429),
            Self::Import { .. } | Self::Changed { .. } | Self::Name { .. } => false,
            _ => true,
        }
    }

    /// Whether what was asked for may have happened all the same.
    pub(super) const fn is_unclear(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. } | Self::NotTheApi { .. } | Self::Unreachable { .. }
        )
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Format { .. } => "not-an-image",
            Self::SpaceAddress { .. } => "space-address",
            Self::ApiAddress { .. } => "api-address",
            Self::Region { .. } => "no-such-region",
            Self::Name { .. } => "image-name",
            Self::NoCredential { .. } => "no-credentials",
            Self::Token | Self::Credentials { .. } => "credentials",
            Self::Refused { status: 401, .. } => "token-refused",
            Self::Refused { status: 403, .. } => "token-scope",
            Self::Refused { status: 404, .. } => "not-found",
            Self::Refused { status: 429, .. } => "rate-limited",
            Self::Refused { .. } => "cloud-refused",
            Self::Failed { .. } => "cloud-failed",
            Self::Unreachable { .. } => "unreachable",
            Self::NotTheApi { .. } => "not-the-api",
            Self::Space { status: 404, .. } => "no-such-space",
            Self::Space {
                status: 500..=599, ..
            } => "space-failed",
            Self::Space { .. } => "space-refused",
            Self::Import { .. } => "import-failed",
            Self::Slow { .. } => "import-slow",
            Self::Transfer { .. } => "transfer-failed",
            Self::Busy => "busy",
            Self::Changed { .. } => "image-changed",
            Self::Io { .. } | Self::File(_) => "file",
        }
    }

    fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Format { remedy, .. } => remedy,
            Self::SpaceAddress { .. } => {
                "Write it as DigitalOcean shows it, NAME.REGION.digitaloceanspaces.com, or as http(s)://HOST/BUCKET for another object storage."
            }
            Self::ApiAddress { .. } => {
                "It must begin with https://, or with http:// on this computer."
            }
            Self::Region { .. } => {
                "Regions have names like ams3; https://docs.digitalocean.com/platform/regional-availability/ lists them."
            }
            Self::Name { .. } => "It has 1 to 200 characters on one line.",
            Self::NoCredential {
                name: "DIGITALOCEAN_TOKEN",
            } => {
                "Make a token with the scopes image and tag at https://cloud.digitalocean.com/account/api/tokens, and put it into that variable, or a line DIGITALOCEAN_TOKEN=… into a file for --credentials."
            }
            Self::NoCredential { .. } => {
                "Make an access key for the Space at https://cloud.digitalocean.com/spaces/access_keys, and give both halves as SPACES_ACCESS_KEY_ID and SPACES_SECRET_ACCESS_KEY, in the environment or in a file for --credentials."
            }
            Self::Token => "Was it copied whole, and nothing else with it?",
            Self::Credentials { .. } => "Correct that line; the rest of the file was not used.",
            Self::Refused { status: 401, .. } => {
                "The token is wrong, or has expired: make a new one at https://cloud.digitalocean.com/account/api/tokens"
            }
            Self::Refused { status: 403, .. } => {
                "The token lacks a right: it needs the scopes image (create, read, update) and tag (create)."
            }
            Self::Refused { status: 404, .. } => {
                "Has somebody deleted the image meanwhile? The same command begins anew."
            }
            Self::Refused {
                status: 429, wait, ..
            } => {
                return Some(match wait {
                    Some(wait) => format!(
                        "Too many requests were made with this account. Run the command again in {}.",
                        e3_client::human::time(*wait)
                    ),
                    None => "Too many requests were made with this account. Run the command again in an hour.".to_owned(),
                });
            }
            Self::Refused { .. } => {
                "Correct what it names (--name, --region, the image), then run the command again."
            }
            Self::Failed { .. } => {
                "It was tried several times. https://status.digitalocean.com tells of larger troubles; run the command again later."
            }
            Self::Unreachable { why: Way::Name, .. } => {
                "Is this computer online, and the address right?"
            }
            Self::Unreachable {
                why: Way::Certificate,
                ..
            } => {
                "Is this computer's clock right? Otherwise somebody stands between, perhaps a company's proxy."
            }
            Self::Unreachable { .. } => {
                "It was tried several times. Check the network, then run the command again."
            }
            Self::NotTheApi { .. } => "Is there a proxy between, or is DIGITALOCEAN_API_URL set?",
            Self::Space { status: 403, .. } => {
                "Is it the right key, for this Space, with the right to read and write, and is this computer's clock right?"
            }
            Self::Space { status: 404, .. } => {
                "Make a Space at https://cloud.digitalocean.com/spaces (e3 makes none), or correct --space."
            }
            Self::Space { .. } => {
                "It was tried several times. Check the network and https://status.digitalocean.com, then run the command again."
            }
            Self::Import { .. } => {
                "It takes disks for x86_64 in raw or qcow2 format, plain or packed with gzip or bzip2, of less than 100 GB."
            }
            Self::Slow { .. } => "The same command goes on waiting.",
            Self::Transfer { .. } => {
                "The same command tries it again; where the image is already, it can be used."
            }
            Self::Busy => "Wait for it to end.",
            Self::Changed { .. } => "Run the command again when nobody writes to it any more.",
            Self::Io { .. } | Self::File(_) => return None,
        };
        Some(remedy.to_owned())
    }
}

impl UploadError {
    /// The word for scripts.
    pub const fn kind(&self) -> &'static str {
        self.fault.kind()
    }

    /// What to do, and what was left behind.
    pub fn remedy(&self) -> Option<String> {
        let parts = [self.fault.remedy().unwrap_or_default(), self.left.clone()];
        let parts: Vec<_> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for UploadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.source()
    }
}

impl From<Fault> for UploadError {
    fn from(fault: Fault) -> Self {
        let left = String::new();
        Self { fault, left }
    }
}

fn answer(status: u16, said: &str) -> String {
    match (status, said) {
        (0, "") => "what it answers makes no sense".to_owned(),
        (0, said) => said.to_owned(),
        (status, "") => format!("HTTP {status}"),
        (status, said) => format!("HTTP {status}: {said}"),
    }
}

fn told(said: &str) -> String {
    if said.is_empty() {
        String::new()
    } else {
        format!(": {said}")
    }
}

/// What a server says, for a terminal: without control characters, and without what signs an address.
pub(super) fn said(words: &str) -> String {
    let plain = text::clean(words.trim(), SAID);
    let kept = plain.split(' ').map(|word| match word.split_once('?') {
        Some((address, query)) if query.contains("X-Amz-") => address,
        _ => word,
    });
    kept.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say_acts_on_no_terminal_and_gives_no_signature_away() {
        let words = "cannot fetch https://s.ams3.digitaloceanspaces.com/x?X-Amz-Signature=abc&X-Amz-Date=1 \x1b[2Jnow";
        assert_eq!(
            said(words),
            "cannot fetch https://s.ams3.digitaloceanspaces.com/x \u{fffd}[2Jnow"
        );
    }

    #[test]
    fn only_what_may_pass_keeps_what_was_uploaded() {
        let refused = |status| Fault::Refused {
            action: "import the image",
            status,
            said: String::new(),
            wait: None,
        };
        for (status, passing) in [(401, true), (404, false), (422, false), (429, true)] {
            assert_eq!(refused(status).is_passing(), passing, "{status}");
        }
        let failed = Fault::Failed {
            action: "import the image",
            status: 503,
            said: String::new(),
        };
        assert!(failed.is_passing() && failed.is_unclear());
        assert!(!refused(422).is_unclear());
    }
}
