//! Asking a peer for one of its services, until it is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::serve::PATIENCE;
use crate::connection::{RecvStream, SendStream};
use crate::peer::{Live, Peer};
use crate::wire::{Ask, Reply, Senseless};

/// An answer that has not come by then never comes: the far side's patience and a slow way there and back.
const ANSWER: Duration = PATIENCE.saturating_add(Duration::from_secs(5));
/// Between two attempts when the first could not know better.
const SOON: Duration = Duration::from_millis(100);
/// At most, when the far side has refused, which a new configuration there would change: often that is under way.
const LATER: Duration = Duration::from_secs(1);

/// A stream on which the service has answered, and the connection that it belongs to.
pub(super) struct Opened {
    pub(super) live: Arc<Live>,
    pub(super) send: SendStream,
    pub(super) recv: RecvStream,
}

/// Asks until the service is there. For ever: whoever waits decides how long.
pub(super) async fn open(peer: &Peer, port: u16) -> Opened {
    let mut refused = SOON / 4;
    loop {
        let live = peer.connected().await;
        let attempt = tokio::select! {
            attempt = timeout(ANSWER, ask(&live, port)) => attempt.unwrap_or(Err(Senseless)),
            // A newer connection is there, often because this one is dead.
            () = peer.superseded(&live) => continue,
        };
        let pause = match attempt {
            Ok((Reply::Open, send, recv)) => {
                peer.problems.asked(port, true);
                return Opened { live, send, recv };
            }
            Ok((Reply::NotServed, ..)) => {
                if peer.problems.asked(port, false) {
                    tracing::warn!(
                        peer = peer.id.short(),
                        port,
                        "the peer does not serve this port to us"
                    );
                }
                refused = (refused * 2).min(LATER);
                refused
            }
            Ok((Reply::TooMany, ..)) => {
                peer.problems.too_many();
                LATER
            }
            Ok((Reply::Nobody, ..)) => {
                peer.problems.asked(port, true);
                SOON
            }
            Err(Senseless) => SOON,
        };
        sleep(pause).await;
    }
}

async fn ask(live: &Live, port: u16) -> Result<(Reply, SendStream, RecvStream), Senseless> {
    let (send, recv) = live.connection.open_bi().await?;
    let mut stream = Abandoned {
        send: Some(send),
        recv: Some(recv),
    };
    let (Some(send), Some(recv)) = (&mut stream.send, &mut stream.recv) else {
        return Err(Senseless);
    };
    Ask::Connect(port).write(send).await?;
    let reply = Reply::read(recv).await?;
    match (stream.send.take(), stream.recv.take()) {
        (Some(send), Some(recv)) => Ok((reply, send, recv)),
        _ => Err(Senseless),
    }
}

/// A stream that, when nobody waits for its answer any more, says so: dropped as it is it would look as if the program had
/// nothing to say.
struct Abandoned {
    send: Option<SendStream>,
    recv: Option<RecvStream>,
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let (Some(send), Some(recv)) = (&mut self.send, &mut self.recv) {
            send.reset();
            recv.stop();
        }
    }
}
