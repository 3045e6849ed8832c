//! The far end: streams of a peer that become connections to this machine's services.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::rooms::Place;
use super::{Counted, splice};
use crate::connection::{RecvStream, SendStream};
use crate::mesh::Shared;
use crate::peer::{Live, Peer};
use crate::wire::{self, Ask, Reply, Senseless};

/// How long a service may take to appear before the asker is told that nobody is there, and asks again.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts at a service that is not there yet.
const RETRY: Duration = Duration::from_millis(50);
/// One attempt: the service is on this machine.
const ATTEMPT: Duration = Duration::from_secs(2);

/// Serves what comes by one connection, until it ends.
pub(crate) async fn all(shared: Arc<Shared>, peer: Arc<Peer>, live: Arc<Live>) {
    while let Some((send, recv)) = live.connection.accept_bi().await {
        tokio::spawn(stream(
            shared.clone(),
            peer.clone(),
            live.clone(),
            send,
            recv,
        ));
    }
    let why = live.connection.closed().await.detail;
    peer.dismiss(&live);
    tracing::info!(peer = peer.id.short(), why, "a connection has ended");
}

async fn stream(
    shared: Arc<Shared>,
    peer: Arc<Peer>,
    live: Arc<Live>,
    mut send: SendStream,
    mut recv: RecvStream,
) {
    let ask = timeout(wire::ASK, Ask::read(&mut recv)).await;
    match ask.unwrap_or(Err(Senseless)) {
        Ok(Ask::Connect(port)) => one(&peer, &live.streams, port, send, recv).await,
        Ok(Ask::Hello(run)) => {
            peer.met(&live, run);
            let _ = send.write_all(&shared.run.to_be_bytes()).await;
        }
        Err(Senseless) => send.reset(),
    }
}

/// Serves one stream by which the peer asks for a service, and counts it.
pub(crate) async fn one(
    peer: &Peer,
    streams: &AtomicUsize,
    port: u16,
    mut send: SendStream,
    recv: RecvStream,
) {
    let _carried = Counted::new(streams);
    let (reply, tcp) = decide(peer, port, &mut send).await;
    if reply.write(&mut send).await.is_err() {
        return;
    }
    if let Some((tcp, _place)) = tcp {
        let stop = peer.until_not(|settings| settings.serves(port).is_some());
        splice::join(peer, tcp, send, recv, stop).await;
    }
}

type Connected<'a> = Option<(TcpStream, Place<'a>)>;

/// Whether the peer may reach the service, and the connection to it if it may and is there.
async fn decide<'a>(peer: &'a Peer, port: u16, send: &mut SendStream) -> (Reply, Connected<'a>) {
    let settings = peer.settings();
    let Some((target, local)) =
        settings.and_then(|settings| Some((settings.serves(port)?, settings.peer.local)))
    else {
        tracing::warn!(
            peer = peer.id.short(),
            port,
            "the peer asks for what it may not reach"
        );
        return (Reply::NotServed, None);
    };
    let Some(place) = peer.incoming.enter(port) else {
        return (Reply::TooMany, None);
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(Ok(tcp)) = timeout(ATTEMPT, connect(target, local.into())).await {
            let _ = tcp.set_nodelay(true);
            return (Reply::Open, Some((tcp, place)));
        }
        if Instant::now() >= deadline {
            return (Reply::Nobody, None);
        }
        tokio::select! {
            () = sleep(RETRY) => {}
            // Whoever asked has gone.
            () = send.stopped() => return (Reply::Nobody, None),
        }
    }
}

/// Reaches a service from the address that stands for the peer, so that the service can tell who comes.
async fn connect(target: SocketAddr, local: IpAddr) -> std::io::Result<TcpStream> {
    let socket = if target.is_ipv4() {
        let socket = TcpSocket::new_v4()?;
        socket.bind((local, 0).into())?;
        socket
    } else {
        TcpSocket::new_v6()?
    };
    socket.connect(target).await
}
