//! `org.e3.Agent1` on the system bus: how the agent stands, for every program and user of the machine.
//!
//! It only tells. The bus's policy (`agent/dist/dbus-1/system.d/org.e3.Agent1.conf`) lets the agent's
//! user alone own the name. Without a bus the agent does without, and after a restart of the bus it
//! is there again.
//!
//! The few messages are answered here: zbus' object server would make the agent a third of a MiB
//! larger.

use std::collections::BTreeMap;
use std::time::Duration;

use e3_core::digest::Digest;
use e3_core::update::Stage;
use futures_util::StreamExt as _;
use zbus::message::{Message, Type};

use zbus::{Connection, MessageStream, Variant};

use crate::board::Board;
use crate::status::Status;

/// The name on the bus, and its interface.
pub const NAME: &str = "org.e3.Agent1";
/// The one object.
pub const PATH: &str = "/org/e3/Agent1";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
/// Between attempts to get onto the bus, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// What introspection shows of the object.
const INTROSPECTION: &str = include_str!("dbus/org.e3.Agent1.xml");

/// A session as the bus carries it: name, manifest, progress, and why it failed or nothing.
type Row = (String, String, String, String);

/// The properties, taken once for each change, so that all of them fit together.
type Properties = BTreeMap<&'static str, Variant<'static>>;

fn properties(board: &Board) -> Properties {
    let Status {
        phase,
        known,
        notes,
        release,
        ..
    } = Status::of(board);
    let text = |value: Option<String>| Variant::from(value.unwrap_or_default());
    let digest = |file: Option<Digest>| file.map_or_else(String::new, |file| file.to_string());
    let candidate = release.candidate.map(|candidate| {
        let stage = match candidate.stage {
            Stage::Wanted => "wanted",
            Stage::Ready => "ready",
            Stage::Trying => "trying",
        };
        (candidate.version, digest(Some(candidate.sha256)), stage)
    });
    let origin = release.origin.as_str();
    let release = (release.version, digest(release.sha256), origin);
    let sessions: Vec<Row> = notes
        .sessions
        .iter()
        .map(|note| {
            let failure = note
                .failure
                .as_ref()
                .map(|failure| failure.reason.to_string());
            let progress = note.progress.as_str().to_owned();
            (
                note.name.to_string(),
                note.manifest.to_string(),
                progress,
                failure.unwrap_or_default(),
            )
        })
        .collect();
    BTreeMap::from([
        ("Version", Variant::from(env!("CARGO_PKG_VERSION"))),
        ("Release", Variant::from(release)),
        ("Candidate", Variant::from(candidate.unwrap_or_default())),
        ("Phase", Variant::from(phase.name())),
        (
            "Reason",
            Variant::from(e3_core::text::clean(&phase.reason(), 600)),
        ),
        ("Remedy", Variant::from(phase.remedy())),
        ("Identity", text(known.party.map(|party| party.to_string()))),
        ("Fleet", text(known.fleet.as_ref().map(ToString::to_string))),
        ("Sessions", Variant::from(sessions)),
    ])
}

/// Stands on the system bus for ever; `address` is another one, for tests.
pub async fn run(board: Board, address: Option<String>) {
    let mut pause = RETRY.0;
    loop {
        match connect(address.as_deref()).await {
            Ok((connection, messages)) => {
                pause = RETRY.0;
                if let Err(error) = serve(&board, &connection, messages).await {
                    tracing::debug!(%error, "off the system bus");
                }
            }
            Err(error) => tracing::debug!(%error, "not on the system bus"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RETRY.1);
    }
}

async fn connect(address: Option<&str>) -> zbus::Result<(Connection, MessageStream)> {
    let connection = match address {
        Some(address) => zbus::connection::Builder::address(address).build().await?,
        None => Connection::system().await?,
    };
    // Before the name: nobody may call and get no answer.
    let messages = MessageStream::from(&connection);
    connection.request_name(NAME).await?;
    Ok((connection, messages))
}

/// Answers calls and tells changes, until the connection breaks.
async fn serve(
    board: &Board,
    connection: &Connection,
    mut messages: MessageStream,
) -> zbus::Result<()> {
    let mut changes = board.subscribe();
    let mut told = properties(board);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => answer(board, connection, &message?).await?,
                None => return Ok(()),
            },
            changed = changes.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let now = properties(board);
                let changed: Properties = now
                    .iter()
                    .filter(|(name, value)| told.get(*name) != Some(*value))
                    .map(|(name, value)| (*name, value.try_clone()))
                    .filter_map(|(name, value)| Some((name, value.ok()?)))
                    .collect();
                told = now;
                if !changed.is_empty() {
                    let body = (NAME, changed, Vec::<&str>::new());
                    let nobody = None::<&str>;
                    connection.emit_signal(nobody, PATH, PROPERTIES, "PropertiesChanged", &body).await?;
                }
            }
        }
    }
}

async fn answer(board: &Board, connection: &Connection, message: &Message) -> zbus::Result<()> {
    if message.message_type() != Type::MethodCall {
        return Ok(());
    }
    let header = message.header();
    let interface = header.interface().map_or("", |name| name.as_str());
    let member = header.member().map_or("", |name| name.as_str());
    let path = header.path().map_or("", |path| path.as_str());
    let body = message.body();
    let unknown = |what: &str| {
        (
            format!("org.freedesktop.DBus.Error.{what}"),
            format!("{path} has no {interface}.{member}"),
        )
    };
    let (name, text) = match (path, interface, member) {
        (_, "org.freedesktop.DBus.Peer", "Ping") => return connection.reply(&header, &()).await,
        (PATH, "org.freedesktop.DBus.Introspectable", "Introspect") => {
            return connection.reply(&header, &INTROSPECTION).await;
        }
        (PATH, NAME | "", "StatusJson") => {
            let status = serde_json::to_string(&Status::of(board)).unwrap_or_default();
            return connection.reply(&header, &status).await;
        }
        (PATH, PROPERTIES, "GetAll")
            if body.deserialize::<&str>().is_ok_and(|name| name == NAME) =>
        {
            return connection.reply(&header, &properties(board)).await;
        }
        (PATH, PROPERTIES, "Get") => match body.deserialize::<(&str, &str)>() {
            Ok((NAME, name)) if let Some(value) = properties(board).remove(name) => {
                return connection.reply(&header, &value).await;
            }
            _ => unknown("UnknownProperty"),
        },
        (PATH, PROPERTIES, "Set") => unknown("PropertyReadOnly"),
        (PATH, ..) => unknown("UnknownMethod"),
        _ => unknown("UnknownObject"),
    };
    connection.reply_error(&header, name, &text).await
}

#[cfg(test)]
mod tests;
