//! What is reached over the network: the hub, its head, its clock, and the Python index.

use std::time::Duration;

use e3_client::clock;
use e3_client::hub::HubError;
use reqwest::header::DATE;

use super::Check;
use crate::commands::fleet::{OpenFleet, Stale};
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::index::choose;
use crate::output::table::seconds;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Seconds that two clocks may differ without a word.
const CLOCK: i64 = 60;

/// Whether the hub answers, its head holds and is fresh, and the clocks agree.
pub(super) async fn hub(fleet: Fleet) -> Vec<Check> {
    let (url, ca) = (fleet.hub.clone(), fleet.hub_ca_pem());
    let mut checks = Vec::new();
    match synced(fleet).await {
        Ok(fleet) => {
            checks.push(Check::ok("hub", url.clone()));
            checks.push(head(&fleet));
        }
        Err(error @ Error::Hub(HubError::Unreachable { .. } | HubError::Certificate { .. })) => {
            checks.push(Check::of_error("hub", &error, false));
            return checks;
        }
        Err(error) => checks.push(Check::of_error("hub", &error, false)),
    }
    if url.starts_with("http") {
        checks.extend(hub_clock(&url, ca.ok().flatten().as_deref()).await);
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

/// Compares this machine's clock with the `Date` that the hub's answers carry. Documents of a clock that
/// runs ahead are refused, and those of one that is behind expire early.
async fn hub_clock(url: &str, ca: Option<&[u8]>) -> Option<Check> {
    let mut builder = reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none());
    if let Some(pem) = ca {
        builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem).ok()?);
    }
    let answer = builder
        .build()
        .ok()?
        .get(format!("{}/head.json", url.trim_end_matches('/')))
        .send()
        .await
        .ok()?;
    let date = answer.headers().get(DATE)?.to_str().ok()?.to_owned();
    let hub = jiff::fmt::rfc2822::parse(&date)
        .ok()?
        .timestamp()
        .as_second();
    let ahead = clock::now().unix() - hub;
    let word = if ahead > 0 { "ahead of" } else { "behind" };
    let found = format!("{} s {word} the hub's", ahead.abs());
    Some(match ahead.abs() {
        0..=2 => Check::ok("clock", "agrees with the hub's"),
        3..=CLOCK => Check::ok("clock", found),
        _ => Check::warn(
            "clock",
            found,
            "Set the clock or turn on time sync, here or on the hub.",
        ),
    })
}

/// Whether the Python index answers: `e3 session sign` asks it for MPyC, once for each version.
pub(super) async fn index(named: Option<&str>) -> Check {
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
