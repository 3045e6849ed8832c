//! What can go wrong on the way to a cloud: what happened, what to do, and what was left behind.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::answer::Way;

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

#[cfg(test)]
mod tests {
    use super::*;

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
