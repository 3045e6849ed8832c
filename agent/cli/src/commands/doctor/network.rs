//! What is reached over the network: the hub, its head, its clock, and the Python index.

use std::time::Duration;

use e3_client::hub::{Hub, HubError};
use e3_client::looks;
use e3_core::checkup::Check;
use e3_core::document::FRESH;
use e3_core::mesh::Backend;

use super::of_error;
use crate::commands::fleet::{OpenFleet, Stale};
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::index::choose;
use crate::output::table::seconds;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether the hub answers, its head holds and is fresh, and the clocks agree.
pub(super) async fn hub(fleet: Fleet) -> Vec<Check> {
    let (url, ca) = (fleet.hub.clone(), fleet.hub_ca_pem());
    let name = looks::name(&url, "fleet.toml", PATIENCE).await;
    let mut checks: Vec<Check> = name.into_iter().collect();
    match synced(fleet).await {
        Ok(fleet) => {
            checks.push(Check::ok("hub", url.clone()));
            checks.push(head(&fleet));
            checks.extend(relays(&fleet).await);
        }
        Err(error @ Error::Hub(HubError::Unreachable { .. } | HubError::Certificate { .. })) => {
            checks.push(of_error("hub", &error, false));
            return checks;
        }
        Err(error) => checks.push(of_error("hub", &error, false)),
    }
    checks.extend(hub_clock(&url, ca.ok().flatten().as_deref()).await);
    checks
}

/// Whether the relays that the head names for the built-in mesh can be reached: machines that cannot reach each other meet there.
async fn relays(fleet: &OpenFleet) -> Vec<Check> {
    const WHAT: &str = "mesh";
    let plans = fleet.head().map(|head| head.meshes.as_slice());
    let links = plans
        .unwrap_or_default()
        .iter()
        .filter_map(|plan| match &plan.backend {
            Backend::Link(link) => Some(link),
            _ => None,
        });
    let mut checks = Vec::new();
    for relay in links.flat_map(|link| &link.relays) {
        let url = &relay.url;
        let parsed = reqwest::Url::parse(url).ok();
        let place = parsed.as_ref().and_then(|url| {
            let host = url.host_str()?.trim_matches(['[', ']']);
            Some((host, url.port_or_known_default()?))
        });
        let Some((host, port)) = place else {
            continue;
        };
        let connected = async {
            let address = looks::lookup(host, port, PATIENCE).await?;
            let stream = tokio::net::TcpStream::connect(address).await;
            stream.map_err(|error| error.to_string())
        };
        let connected = tokio::time::timeout(PATIENCE, connected).await;
        checks.push(match connected.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(_) => Check::ok(WHAT, format!("the relay {url} answers")),
            Err(problem) => {
                let remedy = "Open its port in the hub's firewall, and see what `e3 hub serve` says of the relay.";
                Check::warn(WHAT, format!("the relay {url} cannot be reached: {problem}"), remedy)
            }
        });
    }
    checks
}

async fn synced(fleet: Fleet) -> Result<OpenFleet, Error> {
    let mut fleet = OpenFleet::at(fleet).await?;
    fleet.sync(Stale::Allow).await?;
    Ok(fleet)
}

fn head(fleet: &OpenFleet) -> Check {
    const WHAT: &str = "head";
    let Ok(head) = fleet.head() else {
        return Check::fail(
            WHAT,
            "the hub has none",
            "Run `e3 hub serve` once from the fleet's folder.",
        );
    };
    let left = head.expires.since(fleet.now());
    let found = format!(
        "head {}, {} session(s), expires in {}",
        head.counter,
        head.sessions.len(),
        seconds(left)
    );
    if left <= 0 {
        let found = format!("head {} expired at {}", head.counter, head.expires);
        Check::fail(
            WHAT,
            found,
            "Sign a new one with `e3 hub renew`: no party starts anything until then.",
        )
    } else if crate::commands::fleet::expires_soon(fleet.now(), head.signed, head.expires) {
        Check::warn(
            WHAT,
            found,
            "Sign a new one with `e3 hub renew`, and let a timer do it.",
        )
    } else {
        Check::ok(WHAT, found)
    }
}

/// Compares this machine's clock with the hub's. Documents of a clock that runs ahead are refused, and those of one that is
/// behind expire early.
async fn hub_clock(url: &str, ca: Option<&[u8]>) -> Option<Check> {
    let hub = Hub::open(url, ca).ok()?;
    // Whatever it answers has a date.
    let _ = tokio::time::timeout(PATIENCE, hub.head(None)).await;
    let remedy = "Set the clock or turn on time sync, here or on the hub.";
    // What is asked of hub and machines is refused when it is further off.
    Some(looks::clock("clock", hub.clock_ahead()?, FRESH, remedy))
}

/// Whether the Python index answers: `e3 session sign` asks it for MPyC, once for each version.
pub(super) async fn index(named: Option<&str>) -> Vec<Check> {
    vec![ask_index(named).await]
}

async fn ask_index(named: Option<&str>) -> Check {
    const WHAT: &str = "python index";
    let pip = std::env::var("PIP_INDEX_URL").ok();
    let index = match choose(named, pip.as_deref()) {
        Ok(index) => index.to_string(),
        Err(error) => return Check::warn(WHAT, error.message(), error.remedy()),
    };
    let remedy = "Without it MPyC must be in the cache, or given with wheel = \"…\" in the manifest. Another index: E3_INDEX or PIP_INDEX_URL.";
    let page = format!("{index}mpyc/");
    let client = reqwest::Client::builder().timeout(PATIENCE).build();
    match client.map(|client| client.get(page)) {
        Ok(request) => match request.send().await {
            // An index that wants a password has answered all the same.
            Ok(answer) if answer.status().is_success() || answer.status().as_u16() == 401 => {
                Check::ok(WHAT, index)
            }
            Ok(answer) => Check::warn(
                WHAT,
                format!("{index} answers with {}", answer.status()),
                remedy,
            ),
            Err(error) => Check::warn(
                WHAT,
                format!(
                    "{index} cannot be reached: {}",
                    deepest(&error.without_url())
                ),
                remedy,
            ),
        },
        Err(error) => Check::warn(WHAT, error.to_string(), remedy),
    }
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
