//! One connection to one party of one session: frames in, frames out, heartbeats.

use std::net::IpAddr;
use std::time::Duration;

use e3_core::digest::Digest;
use e3_core::key::PublicKey;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at, timeout};

use super::frame::{self, Frame};
use super::tls::Identity;

/// How often each side says that it is alive.
pub const BEAT: Duration = Duration::from_secs(1);
/// How often the ends of a connection say that they are alive, and after which silence the other one counts as lost.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two signs of life.
    pub beat: Duration,
    /// At least three beats.
    pub silence: Duration,
    /// How long the other end may take to prove who it is.
    pub handshake: Duration,
}

/// Of a session's connections: three beats and some room for a busy machine.
pub const SESSION: Pace = Pace {
    beat: BEAT,
    silence: Duration::from_secs(4),
    handshake: Duration::from_secs(5),
};

/// The same by Tor, where a circuit stands still for seconds now and then, and has to be found first.
pub const BY_TOR: Pace = Pace {
    beat: BEAT,
    silence: Duration::from_secs(20),
    handshake: Duration::from_secs(20),
};

/// The same by Tailscale and Headscale. When a machine has moved, the others send to its old place for as long as that is trusted there,
/// 6.5 s (`trustUDPAddrDuration` in Tailscale's magicsock), and TCP tries again up to 6.2 s later.
pub const BY_TAILSCALE: Pace = Pace {
    silence: Duration::from_secs(15),
    ..SESSION
};

/// How long one address may take to answer.
const CONNECT: Duration = Duration::from_secs(3);
/// Between attempts, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// Frames waiting to be sent; a session needs a handful.
const QUEUE: usize = 64;

/// What comes from one party.
#[derive(Debug)]
pub enum LinkEvent {
    /// Connected: frames for it go here.
    Up(mpsc::Sender<Frame>, Peer),
    /// It said something.
    Frame(Frame),
    /// The connection broke, fell silent, or carried nonsense. With the way that `Up` gave: if nobody holds it any
    /// more, another connection has come in its place.
    Down(mpsc::WeakSender<Frame>),
}

/// What is known of the party at the other end of a link.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Its place.
    pub party: usize,
    /// The address that its packets come from: not always one that it knows of itself.
    pub address: Option<IpAddr>,
    /// What connecting took, if this side did it.
    pub round_trip: Option<Duration>,
}

/// Events of all links of a session, each with the party's place.
pub type LinkEvents = mpsc::Sender<(usize, LinkEvent)>;

/// Serves an established connection until it breaks, then says `Down`.
pub async fn serve<S>(stream: S, peer: Peer, pace: Pace, events: LinkEvents)
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let party = peer.party;
    let Pace { beat, silence, .. } = pace;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (sender, mut outgoing) = mpsc::channel::<Frame>(QUEUE);
    let way = sender.downgrade();
    if events
        .send((party, LinkEvent::Up(sender, peer)))
        .await
        .is_err()
    {
        return;
    }
    let write = async {
        let mut beats = interval_at(Instant::now() + beat, beat);
        loop {
            let next = tokio::select! {
                frame = outgoing.recv() => {
                    let Some(frame) = frame else {
                        // The session is over here: everything has been said, and must arrive. Whoever just closes a
                        // connection on which something is still to be read takes back what was sent.
                        let _ = timeout(silence, writer.shutdown()).await;
                        return tokio::time::sleep(silence).await;
                    };
                    frame
                }
                _ = beats.tick() => Frame::Beat,
            };
            if !matches!(
                timeout(silence, frame::write(&mut writer, &next)).await,
                Ok(Ok(()))
            ) {
                return;
            }
        }
    };
    let read = async {
        while let Ok(Ok(frame)) = timeout(silence, frame::read(&mut reader)).await {
            if frame != Frame::Beat {
                // An error means that the session is over here; the other side may still have to hear so.
                let _ = events.send((party, LinkEvent::Frame(frame))).await;
            }
        }
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
    // Nobody listens any more if the session is over.
    let _ = events.send((party, LinkEvent::Down(way))).await;
}

/// Where a party may be found; asked again before each attempt, as it may have moved.
pub trait Addresses: Send + Sync {
    /// `host:port`, best first; empty if nothing is known yet.
    fn of(&self, party: PublicKey, fresh: bool) -> impl Future<Output = Vec<String>> + Send;
}

/// Dials a party, and again whenever the connection breaks, until the session is dropped.
pub async fn dial<A: Addresses>(
    identity: Identity,
    manifest: Digest,
    party: usize,
    key: PublicKey,
    addresses: A,
    pace: Pace,
    events: LinkEvents,
) {
    let mut pause = RETRY.0;
    let mut fresh = false;
    while !events.is_closed() {
        for address in addresses.of(key, fresh).await {
            if let Some((stream, round_trip)) =
                attempt(&identity, manifest, key, &address, pace).await
            {
                let peer = Peer {
                    party,
                    address: address_of(stream.get_ref().0),
                    round_trip: Some(round_trip),
                };
                // A task of its own: what was said last is sent although nobody dials any more.
                let _ = tokio::spawn(serve(stream, peer, pace, events.clone())).await;
                pause = RETRY.0;
            }
        }
        fresh = true;
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = events.closed() => return,
        }
        pause = (pause * 2).min(RETRY.1);
    }
}

/// The other end's address.
pub fn address_of(stream: &TcpStream) -> Option<IpAddr> {
    // A socket for both families shows IPv4 in the guise of IPv6.
    stream
        .peer_addr()
        .ok()
        .map(|address| address.ip().to_canonical())
}

async fn attempt(
    identity: &Identity,
    manifest: Digest,
    key: PublicKey,
    address: &str,
    pace: Pace,
) -> Option<(tokio_rustls::client::TlsStream<TcpStream>, Duration)> {
    let began = Instant::now();
    let stream = timeout(CONNECT, TcpStream::connect(address))
        .await
        .ok()?
        .ok()?;
    // TCP is connected after exactly one round trip.
    let round_trip = began.elapsed();
    let mut stream = identity.connect(stream, key, pace.handshake).await.ok()?;
    frame::write(&mut stream, &Frame::Hello { manifest })
        .await
        .ok()?;
    Some((stream, round_trip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_word_arrives_although_the_session_is_over_and_the_other_side_is_speaking() {
        // So small that nothing is sent which is not read.
        let (ours, mut theirs) = tokio::io::duplex(8);
        let (events, mut heard) = mpsc::channel(1);
        let peer = Peer {
            party: 1,
            address: None,
            round_trip: None,
        };
        let serving = tokio::spawn(serve(ours, peer, SESSION, events));
        let Some((1, LinkEvent::Up(say, _))) = heard.recv().await else {
            panic!("not up")
        };
        let last = Frame::Hello {
            manifest: Digest::of(b"the last word"),
        };
        for _ in 0..3 {
            say.send(last.clone()).await.unwrap();
        }
        drop((say, heard));
        let (mut reader, mut writer) = tokio::io::split(&mut theirs);
        let speak = async { frame::write(&mut writer, &last).await.unwrap() };
        let hear = async {
            for _ in 0..3 {
                assert_eq!(frame::read(&mut reader).await.unwrap(), last);
            }
            assert!(frame::read(&mut reader).await.is_err(), "the end");
        };
        tokio::join!(speak, hear);
        drop(theirs);
        serving.await.unwrap();
    }
}
