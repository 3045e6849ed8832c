//! One connection of a program and one stream of a peer, joined until both directions have ended.
//!
//! Each direction ends by itself: a half-close is passed on. What breaks is passed on as broken, never
//! as an end: whoever reads must be able to tell "all came" from "the rest is lost".

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::add;
use super::pace::Pace;
use crate::connection::{RecvStream, SendStream};
use crate::peer::Peer;

/// Bytes moved at once.
const CHUNK: usize = 64 * 1024;

/// Bytes that are kept for a program that does not read, beside those that the system keeps and those under way.
const UNREAD: usize = 4 * 1024 * 1024;
/// What a program writes at once goes in one packet, if it is less than this.
const SMALL: usize = 1100;

/// A direction broke. Why is of no use to anybody: programs are told by a reset, as by the system.
struct Broken;

/// Joins the two until both directions have ended, one broke, or `stop` resolves.
pub(super) async fn join(
    peer: &Peer,
    mut tcp: TcpStream,
    mut send: SendStream,
    mut recv: RecvStream,
    stop: impl Future<Output = ()>,
) {
    let joined = async {
        let (mut from, mut to) = tcp.split();
        let there = async {
            let mut buffer = vec![0; CHUNK];
            let mut pace = Pace::new();
            loop {
                let count = from.read(&mut buffer).await.map_err(|_| Broken)?;
                if count == 0 {
                    return send.finish().await.map_err(|_| Broken);
                }
                if count < SMALL {
                    pace.one_more(|| round_trip(peer)).await;
                }
                let bytes = buffer.get(..count).unwrap_or_default();
                send.send(bytes).await.map_err(|_| Broken)?;
                add(&peer.sent, count);
            }
        };
        // Read at once, written when the program takes it: pieces must not wait where they came.
        let (mut unread, mut read) = tokio::io::simplex(UNREAD);
        let come = async {
            let all = recv.pass_on(&mut read, &peer.received).await;
            all.map_err(|_| Broken)?;
            read.shutdown().await.map_err(|_| Broken)
        };
        let back = async {
            let mut buffer = vec![0; CHUNK];
            loop {
                let count = unread.read(&mut buffer).await.map_err(|_| Broken)?;
                if count == 0 {
                    return to.shutdown().await.map_err(|_| Broken);
                }
                let bytes = buffer.get(..count).unwrap_or_default();
                to.write_all(bytes).await.map_err(|_| Broken)?;
            }
        };
        tokio::try_join!(there, come, back)
    };
    let is_whole = tokio::select! {
        outcome = joined => outcome.is_ok(),
        () = stop => false,
    };
    if !is_whole {
        send.reset();
        recv.stop();
        reset(tcp);
    }
}

/// How long packets take to the peer and back now, if that is known.
fn round_trip(peer: &Peer) -> Option<Duration> {
    peer.newest()?.connection.way()?.1
}

/// Ends a program's connection so that it reads an error, not an end.
pub(super) fn reset(tcp: TcpStream) {
    let _ = tcp.set_zero_linger();
    drop(tcp);
}
