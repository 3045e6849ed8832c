//! `e3 fleet sign`: one more signature on the next root or head, which lies in a file.
//!
//! Like a session's, such a file goes from signer to signer, in any order and without a network;
//! copies that were signed side by side are merged.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use e3_client::files::{read_bounded, write_atomic};
use e3_core::document::{Head, Role, Root};
use e3_core::envelope::{Envelope, EnvelopeError};
use e3_core::key::SecretKey;
use e3_core::limits;
use serde_json::json;

use crate::args::FleetSign;
use crate::commands::key;
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::manifest::text::word;
use crate::output::Answer;

/// A root or head in a file, and the root that it follows or stands on.
#[derive(Debug, Clone)]
pub struct Paper {
    /// The file.
    pub path: PathBuf,
    /// The envelope. Its signatures are not weighed yet: see [`Self::signatures`].
    pub envelope: Envelope,
    /// What is in it.
    pub content: Content,
    current: Root,
}

/// What waits for signatures.
#[derive(Debug, Clone)]
pub enum Content {
    /// The next root.
    Root(Root),
    /// The next head.
    Head(Head),
}

/// How many of a role's keys have signed, and must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// Of whom, in words.
    pub of: &'static str,
    /// Keys that have signed.
    pub valid: usize,
    /// Keys that must.
    pub threshold: usize,
}

impl Paper {
    /// Opens a file. `current` is the newest root.
    pub fn open(path: &Path, current: &Root) -> Result<Self, Error> {
        let refused = |source: EnvelopeError| Error::Envelope {
            what: path.display().to_string(),
            source,
        };
        let bytes = read_bounded(path, limits::ENVELOPE)?;
        let envelope = Envelope::parse(&bytes, limits::ENVELOPE).map_err(refused)?;
        let head = envelope.unverified::<Head>().map(Content::Head);
        let content = head.or_else(|_| envelope.unverified::<Root>().map(Content::Root));
        let content = content.map_err(refused)?;
        let fits = match &content {
            Content::Root(root) => {
                root.fleet == current.fleet && root.version == current.version.saturating_add(1)
            }
            Content::Head(head) => {
                head.fleet == current.fleet
                    && (head.root.version, head.epoch) == (current.version, current.epoch)
            }
        };
        if !fits {
            return Err(Error::Usage {
                message: format!(
                    "{} does not follow root {} of the fleet {}",
                    path.display(),
                    current.version,
                    current.fleet
                ),
                remedy: "Fetch the newest root with `e3 fleet status`, and make the file again.",
            });
        }
        Ok(Self {
            path: path.to_owned(),
            envelope,
            content,
            current: current.clone(),
        })
    }

    /// `root 2` or `head 7`.
    pub fn name(&self) -> String {
        match &self.content {
            Content::Root(root) => format!("root {}", root.version),
            Content::Head(head) => format!("head {}", head.counter),
        }
    }

    /// The roles whose signatures it needs. A root needs its predecessor's and its own (rule 4).
    fn roles(&self) -> Vec<(&'static str, &Role)> {
        match &self.content {
            Content::Root(root) => vec![
                ("root keys so far", &self.current.root),
                ("new root keys", &root.root),
            ],
            Content::Head(_) => vec![("head keys", &self.current.head)],
        }
    }

    /// What it has and what it needs.
    pub fn signatures(&self) -> Vec<Count> {
        let count = |(of, role): (&'static str, &Role)| Count {
            of,
            valid: self.envelope.signers(&role.keys).len(),
            threshold: role.threshold,
        };
        self.roles().into_iter().map(count).collect()
    }

    /// Whether it can be pushed.
    pub fn is_complete(&self) -> bool {
        self.signatures().iter().all(|it| it.valid >= it.threshold)
    }

    /// Adds a signature and writes the file.
    pub fn sign(&mut self, key: &SecretKey) -> Result<(), Error> {
        let public = key.public();
        if !self
            .roles()
            .iter()
            .any(|(_, role)| role.keys.contains(&public))
        {
            return Err(Error::NotAllowed {
                key: public.to_string(),
                role: match self.content {
                    Content::Root(_) => "root",
                    Content::Head(_) => "head",
                },
            });
        }
        self.envelope.add_signature(key);
        self.save()
    }

    /// Takes over the signatures of another copy and writes the file.
    pub fn merge(&mut self, other: &Self) -> Result<(), Error> {
        if !self.envelope.merge(&other.envelope) {
            return Err(Error::Usage {
                message: format!(
                    "{} and {} hold different documents",
                    self.path.display(),
                    other.path.display()
                ),
                remedy: "Merge copies of one file: a document made anew needs every signature anew.",
            });
        }
        self.save()
    }

    fn save(&self) -> Result<(), Error> {
        Ok(write_atomic(&self.path, &self.envelope.to_bytes())?)
    }

    /// What it is, what it says, what it lacks, and what to do next.
    pub fn answer(&self, what: &str) -> Answer {
        let path = word(&self.path);
        let mut text = format!("{what} {} in {path}\n\n", self.name());
        for line in self.lines() {
            let _ = writeln!(text, "  {line}");
        }
        for count in self.signatures() {
            let Count {
                of,
                valid,
                threshold,
            } = count;
            let _ = writeln!(text, "  {valid} of {threshold} {of} have signed");
        }
        let next = if self.is_complete() {
            format!("Publish it with `e3 fleet push {path}`.")
        } else {
            format!("Hand it to the other signers; each runs `e3 fleet sign {path}`.")
        };
        let _ = writeln!(text, "\n{next}");
        let signatures = self.signatures();
        let signatures = signatures
            .iter()
            .map(|it| json!({"of": it.of, "valid": it.valid, "threshold": it.threshold}));
        let json = json!({
            "file": crate::output::named(&self.path), "document": self.name(), "digest": self.envelope.digest(),
            "complete": self.is_complete(), "signatures": signatures.collect::<Vec<_>>(),
        });
        Answer::new(text, json)
    }

    /// What whoever signs it must know.
    fn lines(&self) -> Vec<String> {
        match &self.content {
            Content::Root(root) => {
                e3_core::document::RoleName::ALL
                    .into_iter()
                    .flat_map(|name| {
                        let (old, new) = (self.current.role(name), root.role(name));
                        let name = name.as_str();
                        let gone = old.keys.iter().filter(|key| !new.keys.contains(key));
                        let come = new.keys.iter().filter(|key| !old.keys.contains(key));
                        let threshold = (old.threshold != new.threshold).then(|| {
                            format!("{name}: {} must sign, not {}", new.threshold, old.threshold)
                        });
                        gone.map(|key| format!("{name}: without {key}"))
                            .chain(come.map(|key| format!("{name}: with {key}")))
                            .chain(threshold)
                            .collect::<Vec<_>>()
                    })
                    .chain((root.epoch != self.current.epoch).then(|| {
                        format!("epoch {}: every session must be signed again", root.epoch)
                    }))
                    .collect()
            }
            Content::Head(head) => {
                let session = |it: &e3_core::document::SessionRef| {
                    let revoked = if head.revoked.contains(&it.manifest) {
                        ", revoked"
                    } else {
                        ""
                    };
                    format!("session {} ({}){revoked}", it.name, it.manifest)
                };
                let mut lines = vec![format!("good until {}", head.expires)];
                lines.extend(head.sessions.iter().map(session));
                lines
            }
        }
    }
}

pub(super) fn run(args: &FleetSign, fleet: &Fleet) -> Result<Answer, Error> {
    let root = fleet.newest_root()?.document;
    let mut paper = Paper::open(&args.file, &root)?;
    for other in &args.merge {
        paper.merge(&Paper::open(other, &root)?)?;
    }
    if args.no_sign {
        return Ok(paper.answer("Merged the signatures of"));
    }
    paper.sign(&key::read(args.key.as_deref())?)?;
    Ok(paper.answer("Signed"))
}
