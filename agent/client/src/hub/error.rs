//! What can go wrong between a machine and its hub, with what to do about it.

use serde::Deserialize;

/// Why a hub could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HubError {
    /// The address makes no sense.
    #[error("`{0}` is not a hub's address; {how}", how = how(.0))]
    Address(String),
    /// Nobody answers.
    #[error("the hub {url} cannot be reached ({detail}); is it running, and is the address right?")]
    Unreachable {
        /// The hub.
        url: String,
        /// What the network said.
        detail: String,
    },
    /// Somebody answers, but not the hub.
    #[error(
        "the hub {url} shows a certificate that is not trusted ({detail}); give its certificate authority as `hub_ca`"
    )]
    Certificate {
        /// The hub.
        url: String,
        /// What TLS said.
        detail: String,
    },
    /// It does not have that.
    #[error("the hub does not have {what}")]
    NotFound {
        /// The path.
        what: String,
    },
    /// The head on the hub has changed since it was read.
    #[error("somebody else has published in the meantime; read the head again and retry")]
    Conflict,
    /// The hub says no, and why.
    #[error("the hub refuses: {message}{}{remedy}", if remedy.is_empty() { "" } else { " " })]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The word for scripts.
        kind: String,
        /// What happened.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// The hub is in trouble itself.
    #[error("the hub has a problem of its own (HTTP {status}): {message}")]
    Failed {
        /// The HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// More bytes than asked for (rule 3).
    #[error("the hub sends more than {limit} bytes for {what}")]
    TooLarge {
        /// The path.
        what: String,
        /// The bound.
        limit: u64,
    },
    /// Other bytes than asked for (rule 6).
    #[error("the hub sends other bytes than asked for as {what}")]
    NotAsNamed {
        /// The path.
        what: String,
    },
    /// A folder or static host takes nothing.
    #[error("{url} can only be read; publish through a running hub (`e3 hub serve`)")]
    ReadOnly {
        /// The hub.
        url: String,
    },
    /// Not what a hub answers.
    #[error("the answer to {what} is not a hub's ({detail})")]
    Malformed {
        /// The path.
        what: String,
        /// Why.
        detail: String,
    },
}

/// The body of a hub's error.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorBody {
    pub(super) error: String,
    pub(super) message: String,
    pub(super) remedy: String,
}

impl HubError {
    pub(super) fn of_status(status: u16, what: &str, body: &[u8]) -> Self {
        let body: ErrorBody = serde_json::from_slice(body).unwrap_or_default();
        let clean = |text: String| {
            text.chars()
                .filter(|c| !c.is_control())
                .take(400)
                .collect::<String>()
        };
        let message = clean(body.message);
        match status {
            404 => Self::NotFound {
                what: what.to_owned(),
            },
            412 => Self::Conflict,
            500.. => {
                let message = if message.is_empty() {
                    "no explanation".to_owned()
                } else {
                    message
                };
                Self::Failed { status, message }
            }
            _ => {
                let message = if message.is_empty() {
                    format!("HTTP {status}")
                } else {
                    message
                };
                Self::Refused {
                    status,
                    kind: clean(body.error),
                    message,
                    remedy: clean(body.remedy),
                }
            }
        }
    }

    pub(super) fn of_request(url: &str, error: &reqwest::Error) -> Self {
        use std::error::Error as _;
        let mut detail = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            detail = cause.to_string();
            source = cause.source();
        }
        let url = url.to_owned();
        if detail.contains("certificate") || detail.contains("UnknownIssuer") {
            Self::Certificate { url, detail }
        } else if error.is_timeout() {
            Self::Unreachable {
                url,
                detail: "no answer in time".to_owned(),
            }
        } else {
            Self::Unreachable { url, detail }
        }
    }

    /// Whether trying again later may help without anybody doing anything.
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Failed { .. } | Self::Conflict
        )
    }
}

/// How an address is written. Names beyond ASCII are not taken: their tables would be a fortieth of the agent.
fn how(wrong: &str) -> &'static str {
    if wrong.is_ascii() {
        "write it as https://host, http://host:port or file:///folder"
    } else {
        "write the host's name in its ASCII form, xn--…"
    }
}

#[cfg(test)]
mod tests {
    use crate::hub::Hub;

    #[test]
    fn a_name_beyond_ascii_is_taken_in_its_ascii_form_and_otherwise_it_is_said_how() {
        Hub::open("http://xn--mnchen-3ya.example:8420", None).unwrap();
        let error = Hub::open("http://münchen.example:8420", None).unwrap_err();
        assert!(error.to_string().contains("xn--"), "{error}");
        let error = Hub::open("ftp://munich.example", None).unwrap_err();
        assert!(error.to_string().contains("https://host"), "{error}");
    }
}
