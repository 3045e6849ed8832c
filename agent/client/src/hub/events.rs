//! A hub's push stream: server-sent events (WHATWG HTML, section 9.2), so that a session starts at
//! once. Whoever loses the stream polls; nothing depends on an event arriving.

use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use e3_core::limits;
use serde::Deserialize;

use super::lines::Since;
use super::{Hub, HubError, Way};

/// What to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// New heads.
    Head,
    /// New receipts.
    Receipt,
    /// Changed presences.
    Presence,
}

impl Topic {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Receipt => "receipt",
            Self::Presence => "presence",
        }
    }
}

/// Something new on the hub. Nothing of it is verified.
#[derive(Debug, Clone)]
pub enum HubEvent {
    /// The envelope of the current head.
    Head(Vec<u8>),
    /// A receipt is there.
    Receipt {
        /// The session.
        manifest: Digest,
        /// The party's place.
        party: usize,
    },
    /// The envelope of a presence.
    Presence(Vec<u8>),
    /// Somebody asks this party something. Told to whoever wants heads.
    Asked(PublicKey),
}

/// An open stream.
#[derive(Debug)]
pub struct Events {
    response: reqwest::Response,
    since: Since,
    url: String,
    /// Bytes of a line that has not ended yet.
    line: Vec<u8>,
    /// Whole chunks not looked at yet.
    rest: bytes::Bytes,
    kind: String,
    data: String,
}

impl Hub {
    /// Opens the push stream. A folder or static host has none: [`HubError::ReadOnly`].
    pub async fn events(&self, topics: &[Topic]) -> Result<Events, HubError> {
        let Way::Http { base, lines, .. } = &self.way else {
            return Err(HubError::ReadOnly {
                url: self.url.clone(),
            });
        };
        let topics: Vec<&str> = topics.iter().map(|topic| topic.as_str()).collect();
        let path = format!("v1/events?topics={}", topics.join(","));
        let since = lines.since_now();
        let sent = lines.events().get(format!("{base}/{path}")).send();
        let response = since.unless_moved(&self.url, sent).await?;
        self.note_date(&response);
        let status = response.status().as_u16();
        match status {
            200 => Ok(Events {
                response,
                since,
                url: self.url.clone(),
                line: Vec::new(),
                rest: bytes::Bytes::new(),
                kind: String::new(),
                data: String::new(),
            }),
            404 | 405 | 501 => Err(HubError::ReadOnly {
                url: self.url.clone(),
            }),
            _ => Err(HubError::of_status(
                status,
                &path,
                &self.body(response, &path, 65_536).await?,
            )),
        }
    }
}

impl Events {
    /// The next event. May be dropped while waiting: nothing is lost.
    pub async fn next(&mut self) -> Result<HubEvent, HubError> {
        loop {
            while let Some(line) = self.take_line()? {
                if let Some(event) = self.feed(&line)? {
                    return Ok(event);
                }
            }
            let ended = || HubError::Unreachable {
                url: self.url.clone(),
                detail: "the stream has ended".to_owned(),
            };
            let chunk = self.response.chunk();
            let chunk = self.since.unless_moved(&self.url, chunk).await?;
            self.rest = chunk.ok_or_else(ended)?;
        }
    }

    /// Takes a whole line from what has come in, without its end.
    fn take_line(&mut self) -> Result<Option<String>, HubError> {
        let end = self.rest.iter().position(|byte| *byte == b'\n');
        let part = self.rest.split_to(end.unwrap_or(self.rest.len()));
        self.line.extend_from_slice(&part);
        if self.line.len() > limits::ENVELOPE + 16 {
            return Err(HubError::TooLarge {
                what: "v1/events".to_owned(),
                limit: limits::ENVELOPE as u64,
            });
        }
        if end.is_none() {
            return Ok(None);
        }
        let _ = self.rest.split_to(1);
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8(line).map_err(|_| malformed("it is not UTF-8"))?;
        Ok(Some(line.trim_end_matches('\r').to_owned()))
    }

    /// Takes a line in; an empty line ends an event.
    fn feed(&mut self, line: &str) -> Result<Option<HubEvent>, HubError> {
        if !line.is_empty() {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.kind),
                "data" => value.clone_into(&mut self.data),
                _ => {}
            }
            return Ok(None);
        }
        let (kind, data) = (
            std::mem::take(&mut self.kind),
            std::mem::take(&mut self.data),
        );
        match kind.as_str() {
            "head" => Ok(Some(HubEvent::Head(data.into_bytes()))),
            "presence" => Ok(Some(HubEvent::Presence(data.into_bytes()))),
            "receipt" => {
                #[derive(Deserialize)]
                struct Place {
                    manifest: Digest,
                    party: usize,
                }
                let place: Place =
                    serde_json::from_str(&data).map_err(|error| malformed(&error.to_string()))?;
                Ok(Some(HubEvent::Receipt {
                    manifest: place.manifest,
                    party: place.party,
                }))
            }
            "request" => {
                #[derive(Deserialize)]
                struct To {
                    party: PublicKey,
                }
                let to: To =
                    serde_json::from_str(&data).map_err(|error| malformed(&error.to_string()))?;
                Ok(Some(HubEvent::Asked(to.party)))
            }
            // A later hub may know more.
            _ => Ok(None),
        }
    }
}

fn malformed(detail: &str) -> HubError {
    HubError::Malformed {
        what: "v1/events".to_owned(),
        detail: detail.to_owned(),
    }
}
