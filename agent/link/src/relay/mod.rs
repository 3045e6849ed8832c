//! `e3-link relay`: the fleet's own meeting place.

mod allow;
mod certificate;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use e3_client::files;
use e3_core::mesh::link::{CONFIG, RelayConfig, RelayReady};
use iroh_relay::server::{
    CertConfig, ClientRateLimit, QuicConfig, RelayConfig as Http, Server, ServerConfig, TlsConfig,
};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::{LinkError, detail};
use crate::run::{feed, tell};
use allow::Allowed;
use certificate::Certificate;

/// How often files are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Relays until told to stop; with `attached` also until standard input ends, and says on standard output when it serves.
pub async fn run(path: &Path, attached: bool) -> Result<(), LinkError> {
    let config = load(path)?;
    let allowed = Arc::new(Allowed::new(&config.allow));
    let certificate = Arc::new(Certificate::load(&config)?);
    let mut server = spawn(&config, allowed.clone(), certificate.clone()).await?;
    let on = |kind| signal(kind).map_err(LinkError::Runtime);
    let mut terminate = on(SignalKind::terminate())?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let ready = RelayReady {
        listen: server.https_addr().unwrap_or(config.listen),
        discovery: server.quic_addr().unwrap_or(config.discovery),
    };
    tracing::info!(listen = %ready.listen, discovery = %ready.discovery, "the relay is ready");
    tell(&[NotifyState::Ready]);
    if attached {
        println!("{}", serde_json::to_string(&ready).unwrap_or_default());
    }
    let mut abandoned = std::pin::pin!(abandoned(attached));
    loop {
        tokio::select! {
            _ = look.tick() => {
                certificate.look();
                for gone in allowed.look() {
                    if let Some(service) = server.relay_service() {
                        service.clients().disconnect(gone, None);
                    }
                }
                feed();
            }
            ended = server.join() => {
                let why = match ended {
                    Ok(Ok(())) => "it has ended by itself".to_owned(),
                    Ok(Err(error)) => detail(&error),
                    Err(error) => detail(&error),
                };
                return Err(LinkError::RelayStopped(why));
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = &mut abandoned => break,
        }
    }
    tell(&[NotifyState::Stopping]);
    let _ = tokio::time::timeout(Duration::from_secs(2), server.shutdown()).await;
    Ok(())
}

/// Resolves when whoever has started this process is gone: it holds the other end of standard input, and says nothing.
async fn abandoned(attached: bool) {
    if !attached {
        return std::future::pending().await;
    }
    // A thread of its own: reading from standard input cannot be given up. It does not keep the process from ending.
    let (gone, is_gone) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(gone);
    });
    let _ = is_gone.await;
}

fn load(path: &Path) -> Result<RelayConfig, LinkError> {
    RelayConfig::parse(&files::read_bounded(path, CONFIG)?).map_err(|source| {
        LinkError::RelayConfig {
            path: path.to_owned(),
            source,
        }
    })
}

async fn spawn(
    config: &RelayConfig,
    allowed: Arc<Allowed>,
    certificate: Arc<Certificate>,
) -> Result<Server, LinkError> {
    let tls = rustls::ServerConfig::builder_with_provider(e3_client::tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| LinkError::RelayStopped(error.to_string()))?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    // The library wants to tell clients in the clear whether they are behind a portal. Ours do not ask.
    let unused = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let mut http = Http::new(unused);
    http.tls = Some(TlsConfig::new(
        config.listen,
        CertConfig::Manual { server_config: tls },
    ));
    http.access = allowed;
    http.limits.client_rx = config.bytes_per_second.map(ClientRateLimit::new);
    let mut server = ServerConfig::default();
    server.relay = Some(http);
    server.quic = Some(QuicConfig::new(config.discovery));
    Server::spawn(server)
        .await
        .map_err(|error| LinkError::Listen {
            listen: config.listen,
            why: detail(&error),
        })
}
