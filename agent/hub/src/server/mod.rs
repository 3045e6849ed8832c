//! The accept loop: connections in, bounded in number and in time, and a stop that loses nothing.
//!
//! What is answered is [`crate::api`]'s business; here is everything below HTTP.

mod cap;
mod io;
mod udp;

use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use self::cap::Cap;
use self::io::Careful;
use crate::api::{FromStore, Hub, router};
use crate::page::From;

/// After an accept that failed because of this machine (no file handles left), so that the loop does
/// not spin.
const BREATH: Duration = Duration::from_millis(100);
/// A peer that has acknowledged nothing for so long is gone, whatever TCP still hopes.
const UNACKNOWLEDGED: Duration = Duration::from_mins(1);
/// Keep-alive comments are spread over steps of this length.
const STEP: Duration = Duration::from_secs(1);
/// The largest request header, and the unit of reading.
const HEADER: usize = 16 * 1024;

/// Runs until `shutdown`, then ends the push streams and waits for what is under way.
pub(crate) async fn run(
    hub: Arc<Hub>,
    listener: TcpListener,
    udp: Option<UdpSocket>,
    tls: Option<TlsAcceptor>,
    shutdown: impl Future<Output = ()>,
) {
    let router = router(Arc::clone(&hub));
    let cap = Cap::new(hub.limits.connections, hub.limits.connections_per_address);
    let (stop, stopping) = watch::channel(false);
    let background = [
        tokio::spawn(tick(Arc::clone(&hub))),
        tokio::spawn(udp::answer(Arc::clone(&hub), udp)),
    ];
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(BREATH).await;
                continue;
            }
        };
        let Some(place) = cap.enter(peer.ip()) else {
            // Closing at once costs least; the peer sees a closed connection and tries again later.
            hub.metrics.turned_away.add(1);
            continue;
        };
        let connection = Connection {
            hub: Arc::clone(&hub),
            router: router.clone(),
            stopping: stopping.clone(),
        };
        let tls = tls.clone();
        tokio::spawn(async move {
            connection.hub.metrics.connections.add(1);
            connection.serve(stream, peer, tls).await;
            connection.hub.metrics.connections.lower();
            drop(place);
        });
    }
    drop(listener);
    hub.subscribers.close();
    let _ = stop.send(true);
    // Every connection holds a receiver; the last one to go ends the wait.
    drop(stopping);
    if timeout(hub.limits.drain, stop.closed()).await.is_err() {
        tracing::warn!("some answers were cut off because they took too long");
    }
    for task in background {
        task.abort();
    }
}

/// Keeps idle streams open, and looks for what other hubs have published.
async fn tick(hub: Arc<Hub>) {
    let step = STEP.min(hub.limits.refresh).min(hub.limits.keep_alive);
    let turns = hub.limits.keep_alive.as_millis() / step.as_millis().max(1);
    let turns = u64::try_from(turns).unwrap_or(u64::MAX).max(1);
    let mut looked = Instant::now();
    for turn in 0_u64.. {
        sleep(step).await;
        if hub.subscribers.count() == 0 {
            continue;
        }
        hub.subscribers.keep_alive(turn, turns);
        if looked.elapsed() >= hub.limits.refresh {
            looked = Instant::now();
            if let Err(error) = hub.refresh_head().await {
                hub.metrics.store_errors.add(1);
                tracing::error!(%error, "the head cannot be read");
            }
        }
    }
}

struct Connection {
    hub: Arc<Hub>,
    router: Router,
    stopping: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(&self, stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
        let socket = socket2::SockRef::from(&stream);
        let _ = socket.set_tcp_nodelay(true);
        // A half-open peer: its silence is noticed by the keep-alive comments that it does not
        // acknowledge.
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let stall = self.hub.limits.write_stall;
        let Some(tls) = tls else {
            return self.http(Careful::new(stream, stall), peer).await;
        };
        match timeout(
            self.hub.limits.handshake,
            tls.accept(Careful::new(stream, stall)),
        )
        .await
        {
            Ok(Ok(stream)) => self.http(Careful::new(stream, stall), peer).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "the TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
        }
    }

    async fn http(&self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr) {
        let network = network(peer.ip());
        let service = hyper::service::service_fn(|request| self.answer(request, network));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.hub.limits.header)
            .max_buf_size(HEADER)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let mut stopping = self.stopping.clone();
        let stopped = async { drop(stopping.wait_for(|stop| *stop).await) };
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }

    async fn answer(
        &self,
        mut request: Request<Incoming>,
        network: IpAddr,
    ) -> Result<axum::response::Response, Infallible> {
        use hyper::service::Service as _;
        request.extensions_mut().insert(From(network));
        let service = hyper_util::service::TowerToHyperService::new(self.router.clone());
        let response = service.call(request.map(Body::new)).await?;
        let class = usize::from(response.status().as_u16() / 100);
        if let Some(counter) = self.hub.metrics.requests.get(class) {
            counter.add(1);
        }
        if response.extensions().get::<FromStore>().is_some() {
            self.hub.metrics.store_errors.add(1);
        }
        Ok(response)
    }
}

/// What counts as one address: an IPv6 host owns a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_host_is_its_network() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            network(address("2001:db8:1:2:3:4:5:6")),
            address("2001:db8:1:2::")
        );
        assert_eq!(network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
