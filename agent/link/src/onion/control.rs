//! Tor's control protocol (control-spec), on the socket that Tor was born with: whoever holds the other end owns it, and Tor ends when that
//! is closed. There is no socket in the file system that somebody else could use, and no key in any file.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use data_encoding::BASE32_NOPAD;
use e3_core::key::SecretKey;
use e3_core::mesh::link::Id;
use e3_core::mesh::{ClientKey, ClientSecret};
use sha2::{Digest as _, Sha512};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zeroize::Zeroizing;

use super::address;
use super::state::State;

/// The conversation with one Tor.
pub(super) struct Control<'a> {
    lines: Lines<BufReader<OwnedReadHalf>>,
    write: OwnedWriteHalf,
    state: &'a State,
}

/// Why Tor has not done something.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    /// It has ended.
    #[error("Tor has closed its control connection")]
    Closed,
    /// The system's word.
    #[error("Tor cannot be told anything")]
    Io(#[from] io::Error),
    /// It does not want to.
    #[error("Tor refuses {command}: {answer}")]
    Refused {
        /// The first word of what it was told.
        command: String,
        /// What it says.
        answer: String,
    },
}

impl<'a> Control<'a> {
    /// Begins one; what Tor tells by itself goes to `state`.
    pub(super) async fn begin(stream: UnixStream, state: &'a State) -> Result<Self, ControlError> {
        let (read, write) = stream.into_split();
        let lines = BufReader::new(read).lines();
        let mut control = Self {
            lines,
            write,
            state,
        };
        control
            .tell("SETEVENTS STATUS_CLIENT STATUS_GENERAL HS_DESC")
            .await?;
        for line in control.tell("GETINFO status/bootstrap-phase").await? {
            if let Some(phase) = line.strip_prefix("status/bootstrap-phase=") {
                state.hear(&format!("STATUS_CLIENT {phase}"));
            }
        }
        Ok(control)
    }

    /// Says one thing, and returns what comes back, without the codes.
    pub(super) async fn tell(&mut self, command: &str) -> Result<Vec<String>, ControlError> {
        let line = Zeroizing::new(format!("{command}\r\n"));
        self.write.write_all(line.as_bytes()).await?;
        let mut answers = Vec::new();
        loop {
            let line = self.line().await?;
            let (code, rest) = line.split_at_checked(3).unwrap_or((&line, ""));
            let (mark, text) = rest.split_at_checked(1).unwrap_or((rest, ""));
            match (code, mark) {
                ("650", _) => self.state.hear(text),
                // 251: it was so already; 252: and something that was waiting for it can be read now.
                ("250" | "251" | "252", " ") => {
                    answers.push(text.to_owned());
                    return Ok(answers);
                }
                ("250", _) => answers.push(text.to_owned()),
                _ => {
                    let command = command.split(' ').next().unwrap_or_default().to_owned();
                    let answer = e3_core::text::clean(&line, e3_core::text::DETAIL);
                    return Err(ControlError::Refused { command, answer });
                }
            }
        }
    }

    /// Hears what Tor tells by itself, until it ends. May be dropped at any time.
    pub(super) async fn listen(&mut self) -> ControlError {
        loop {
            match self.line().await {
                Ok(line) => self.state.hear(line.get(4..).unwrap_or_default()),
                Err(error) => return error,
            }
        }
    }

    async fn line(&mut self) -> Result<String, ControlError> {
        self.lines.next_line().await?.ok_or(ControlError::Closed)
    }

    /// Has Tor know what to show to this service.
    pub(super) async fn know(
        &mut self,
        service: &Id,
        secret: &ClientSecret,
    ) -> Result<(), ControlError> {
        let secret = Zeroizing::new(STANDARD.encode(secret.as_bytes()));
        let command = format!(
            "ONION_CLIENT_AUTH_ADD {} x25519:{}",
            address::of(service),
            secret.as_str()
        );
        self.tell(&Zeroizing::new(command)).await.map(drop)
    }

    /// Has it forget that.
    pub(super) async fn forget(&mut self, service: &Id) -> Result<(), ControlError> {
        let command = format!("ONION_CLIENT_AUTH_REMOVE {}", address::of(service));
        self.tell(&command).await.map(drop)
    }

    /// Has Tor serve this machine's onion service for these clients, in the place of the one before: what that carries goes
    /// on. `target` is where its streams come out.
    pub(super) async fn serve(
        &mut self,
        key: &SecretKey,
        clients: &[ClientKey],
        port: u16,
        target: &str,
        before: bool,
    ) -> Result<(), ControlError> {
        if before {
            let own = address::of(&key.public().into());
            self.tell(&format!("DEL_ONION {own}")).await?;
        }
        if clients.is_empty() {
            return Ok(());
        }
        let blob = Zeroizing::new(STANDARD.encode(&expanded(key)[..]));
        let mut command = Zeroizing::new(format!(
            "ADD_ONION ED25519-V3:{} Flags=V3Auth Port={port},{target}",
            blob.as_str()
        ));
        for client in clients {
            command.push_str(" ClientAuthV3=");
            command.push_str(&BASE32_NOPAD.encode(client.as_bytes()));
        }
        self.tell(&command).await.map(drop)
    }
}

/// A secret key as Tor takes it: what RFC 8032 makes of the seed.
fn expanded(key: &SecretKey) -> Zeroizing<[u8; 64]> {
    let mut bytes = Zeroizing::new(<[u8; 64]>::from(Sha512::digest(&key.seed()[..])));
    bytes[0] &= 0xf8;
    bytes[31] = bytes[31] & 0x7f | 0x40;
    bytes
}
