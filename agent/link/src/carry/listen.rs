//! The near end: listeners that stand for a peer's services on this machine.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{Counted, open, splice};
use crate::peer::Peer;

/// Until an address is tried again that somebody else holds.
const TAKEN: Duration = Duration::from_secs(1);

/// Listens where the settings say, until it is no peer any more.
pub(crate) async fn keep(peer: Arc<Peer>) {
    let mut changes = peer.subscribe();
    let mut tasks = JoinSet::new();
    let mut running = HashMap::new();
    loop {
        let Some(settings) = changes.borrow_and_update().clone() else {
            return;
        };
        running.retain(|(listen, port), task: &mut tokio::task::AbortHandle| {
            let stays = settings.reaches(*listen, *port);
            if !stays {
                task.abort();
                peer.problems.listened(*listen, true);
            }
            stays
        });
        for (listen, port) in settings.listeners() {
            running
                .entry((listen, port))
                .or_insert_with(|| tasks.spawn(one(peer.clone(), listen, port)));
        }
        // What was aborted has let go of its address before another one is tried.
        while tasks.try_join_next().is_some() {}
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// One listener, for ever.
async fn one(peer: Arc<Peer>, listen: SocketAddr, port: u16) {
    let listener = loop {
        match TcpListener::bind(listen).await {
            Ok(listener) => break listener,
            Err(error) => {
                if peer.problems.listened(listen, false) {
                    tracing::warn!(peer = peer.id.short(), %listen, %error, "cannot listen for the peer's service");
                }
                sleep(TAKEN).await;
            }
        }
    };
    peer.problems.listened(listen, true);
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                tokio::spawn(carry(peer.clone(), tcp, listen, port));
            }
            // Out of descriptors, or gone before it was accepted.
            Err(error) => {
                tracing::debug!(%listen, %error, "a local connection was not accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Carries one local connection to the service with `port` of the peer.
async fn carry(peer: Arc<Peer>, tcp: TcpStream, listen: SocketAddr, port: u16) {
    let Some(_place) = peer.outgoing.enter(listen.port()) else {
        peer.problems.too_many();
        return splice::reset(tcp);
    };
    let Some(hold) = peer.settings().map(|settings| settings.hold) else {
        return splice::reset(tcp);
    };
    let _ = tcp.set_nodelay(true);
    let opened = {
        let _held = Counted::new(&peer.held);
        tokio::select! {
            opened = open::open(&peer, port) => opened,
            () = has_left(&tcp) => return,
            () = sleep(hold) => {
                tracing::info!(peer = peer.id.short(), port, "a local connection was held in vain");
                return splice::reset(tcp);
            }
            () = peer.until_not(|settings| settings.reaches(listen, port)) => return splice::reset(tcp),
        }
    };
    let _carried = Counted::new(&opened.live.streams);
    let stop = peer.until_not(|settings| settings.reaches(listen, port));
    splice::join(&peer, tcp, opened.send, opened.recv, stop).await;
}

/// Resolves when a program that waits has gone: it has closed without a word, or broken off. One that has said something
/// and closed its side may well wait for the answer.
async fn has_left(tcp: &TcpStream) {
    loop {
        if tcp.readable().await.is_err() {
            return;
        }
        match tcp.peek(&mut [0]).await {
            Ok(0) => return,
            Ok(_) => break,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
    let _ = tcp.ready(Interest::ERROR).await;
}
