//! The QUIC endpoint: bound by the configuration, and told of no server but the fleet's own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use e3_client::clock::Clock;
use e3_core::mesh::link::{Config, Peer, Relay};
use iroh::dns::DnsResolver;
use iroh::endpoint::{PortmapperConfig, QuicTransportConfig, VarInt, presets};
use iroh::{
    Endpoint, EndpointAddr, NetReportConfig, RelayConfig, RelayMap, RelayMode, RelayUrl,
    TransportAddr,
};

use crate::error::{LinkError, detail};
use crate::key::TransportKey;
use crate::tls::{self, Trouble};
use crate::wire;

/// Streams that a peer may have open on one connection: what 16 services with all their room taken need.
const STREAMS: u32 = 512;
/// Bytes of one carried connection that may be under way: 120 Mbit/s at 100 ms. It must not be more than 2048 packets of
/// the shortest kind can bring: noq gives a whole connection up ("too many gaps in stream buffer") when a stream has
/// more pieces than that waiting, be it behind a lost one or because nobody reads.
const STREAM_WINDOW: u32 = 1536 * 1024;
/// The same for all carried connections of one connection between two machines. A service with all its room taken by
/// programs that do not read must not hold the others up.
const WINDOW: u32 = 64 * 1024 * 1024;
/// A peer that has been silent for so long is gone. What can be dead for sooner is a path, after 15 seconds; agents have
/// a heartbeat of their own.
const SILENCE: Duration = Duration::from_secs(20);

/// The endpoint, and what it knows of relays.
#[derive(Debug)]
pub(crate) struct Quic {
    pub(crate) endpoint: Endpoint,
    pub(crate) relays: Vec<Arc<RelayConfig>>,
    pub(crate) relay_trouble: Trouble,
}

impl Quic {
    /// Bound as the configuration says.
    pub(crate) async fn bind(
        config: &Config,
        key: &TransportKey,
        clock: &Clock,
    ) -> Result<Self, LinkError> {
        let (relays, relay_trouble) = (relays(config)?, Trouble::default());
        let endpoint = bind(config, key, &relays, clock, &relay_trouble).await?;
        Ok(Self {
            endpoint,
            relays,
            relay_trouble,
        })
    }
}

/// Binds the endpoint. It is not up when this returns, and need not be.
async fn bind(
    config: &Config,
    key: &TransportKey,
    relays: &[Arc<RelayConfig>],
    clock: &Clock,
    trouble: &Trouble,
) -> Result<Endpoint, LinkError> {
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(key.for_quic())
        .alpns(vec![wire::ALPN.to_vec()])
        .transport_config(transport())
        .ca_tls_config(tls::relays(config, clock, trouble)?)
        .relay_mode(relay_mode(relays))
        // The machine's own name servers or none: by default public ones are asked when these fail.
        .dns_resolver(
            DnsResolver::builder()
                .with_system_defaults()
                .disable_fallback()
                .build(),
        )
        .net_report_config(report())
        .portmapper_config(PortmapperConfig::Disabled);
    for address in &config.bind {
        builder = builder
            .bind_addr(*address)
            .map_err(|error| LinkError::Bind(detail(&error)))?;
    }
    for address in &config.external {
        builder = builder.external_addr(*address);
    }
    builder
        .bind()
        .await
        .map_err(|error| LinkError::Bind(detail(&error)))
}

/// Without the search for portals: it is made in the clear.
fn report() -> NetReportConfig {
    let mut config = NetReportConfig::default();
    config.captive_portal_check = false;
    config
}

fn transport() -> QuicTransportConfig {
    let silence = VarInt::from_u32(u32::try_from(SILENCE.as_millis()).unwrap_or(u32::MAX));
    QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(WINDOW))
        .send_window(u64::from(WINDOW))
        .max_idle_timeout(Some(silence.into()))
        .build()
}

fn relay_mode(relays: &[Arc<RelayConfig>]) -> RelayMode {
    if relays.is_empty() {
        return RelayMode::Disabled;
    }
    let map = RelayMap::empty();
    for relay in relays {
        map.insert(relay.url.clone(), relay.clone());
    }
    RelayMode::Custom(map)
}

/// The relays as the library knows them.
fn relays(config: &Config) -> Result<Vec<Arc<RelayConfig>>, LinkError> {
    let of = |relay: &Relay| {
        let url: RelayUrl = relay
            .url
            .parse()
            .map_err(|_| LinkError::RelayUrl(e3_core::text::clean(&relay.url, 120)))?;
        let mut config = RelayConfig::from(url);
        if let Some(discovery) = &mut config.quic {
            discovery.port = relay.discovery_port;
        }
        Ok(Arc::new(config))
    };
    config.relays.iter().map(of).collect()
}

/// Where a peer may be: at its known addresses, and at any of the relays.
pub(crate) fn address_of(peer: &Peer, relays: &[Arc<RelayConfig>]) -> Option<EndpointAddr> {
    let id = iroh::PublicKey::from_bytes(peer.id.as_bytes()).ok()?;
    let known = peer.addresses.iter().copied().map(TransportAddr::Ip);
    let relayed = relays
        .iter()
        .map(|relay| TransportAddr::Relay(relay.url.clone()));
    Some(EndpointAddr::from_parts(id, known.chain(relayed)))
}

/// Where others might find this machine.
pub(crate) fn own_addresses(endpoint: &Endpoint) -> Vec<SocketAddr> {
    endpoint.addr().ip_addrs().copied().collect()
}
