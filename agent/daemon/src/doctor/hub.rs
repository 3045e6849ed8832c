//! The way to the hub: addresses, a way out, the name, the hub itself, and what its clock says of this one.

use std::net::IpAddr;
use std::time::Duration;

use e3_client::clock::{self, Clock};
use e3_client::hub::{Hub, HubError};
use e3_client::join::Join;
use e3_client::looks;
use e3_core::checkup::Check;
use e3_core::session::barrier::CLOCK_TOLERANCE;

use crate::address::{Place, addresses};
use crate::boot::built;
use crate::config::Settings;
use crate::text::chain;

/// For a name to be looked up.
const LOOKUP: Duration = Duration::from_secs(5);
/// For the hub to answer.
const ANSWER: Duration = Duration::from_secs(8);

pub(super) async fn way(settings: &Settings) -> Vec<Check> {
    let mut checks = vec![network()];
    match Join::find(&settings.join) {
        Ok(Some((path, join))) => {
            let clock = Clock::default();
            clock.set_floor(built());
            match join.open_hub(&path, &clock) {
                Ok(hub) => checks.extend(reach(&join.hub, &hub).await),
                Err(error) => checks.push(broken(&error)),
            }
        }
        Ok(None) => {
            let places = settings.join_places();
            let places: Vec<_> = places
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            let remedy =
                "Write one with `e3 fleet invite NAME` on the owner's machine, and put it there.";
            let found = format!("there is none at {}", places.join(" or "));
            checks.push(Check::fail("join file", found, remedy));
        }
        Err(error) => checks.push(broken(&error)),
    }
    checks
}

fn broken(error: &dyn std::error::Error) -> Check {
    let found = chain(error);
    if found.contains("ermission denied") {
        return Check::warn(
            "join file",
            found,
            "Run it as root: `sudo e3-agent doctor`.",
        );
    }
    let remedy = "Correct the file, or write a new one with `e3 fleet invite NAME`.";
    Check::fail("join file", found, remedy)
}

fn network() -> Check {
    const WHAT: &str = "network";
    let addresses: Vec<String> = addresses()
        .iter()
        .filter(|address| !address.is_loopback())
        .map(IpAddr::to_string)
        .collect();
    let found = addresses.join(" ");
    if addresses.is_empty() {
        let remedy = "Plug in the cable, or check the Wi-Fi's name and password; `ip address` shows the devices.";
        Check::fail(WHAT, "no address", remedy)
    } else if !Place::now().has_way_out() {
        let remedy = "Good if hub and parties are all in this network; otherwise set a gateway, see `ip route`.";
        Check::warn(
            WHAT,
            format!("{found}, and no way out of this network"),
            remedy,
        )
    } else {
        Check::ok(WHAT, found)
    }
}

/// Name, hub, clock; `url` is as it stands in the join file.
async fn reach(url: &str, hub: &Hub) -> Vec<Check> {
    let name = looks::name(url, "the join file", LOOKUP).await;
    let mut checks: Vec<Check> = name.into_iter().collect();
    let asked = tokio::time::timeout(ANSWER, hub.head(None)).await;
    let asked = asked.unwrap_or_else(|_| {
        Err(HubError::Unreachable {
            url: hub.url().to_owned(),
            detail: "no answer in time".to_owned(),
        })
    });
    checks.push(match asked {
        Ok(_) => Check::ok("hub", hub.url()),
        Err(error) => Check::fail("hub", chain(&error), remedy(&error)),
    });
    checks.push(time(hub.clock_ahead()));
    checks
}

fn remedy(error: &HubError) -> &'static str {
    match error {
        HubError::Unreachable { .. } => {
            "Check this machine's network and firewall, and that `e3 hub serve` runs there."
        }
        HubError::Certificate { .. } => {
            "Check the clock first. If the hub has another certificate authority now, write a new join file."
        }
        HubError::NotFound { .. } => "The owner runs `e3 hub serve` once from the fleet's folder.",
        _ => "Tell who runs the hub.",
    }
}

/// What this machine's clock is worth. Nothing is decided by what a hub says; a person may be told.
fn time(ahead: Option<i64>) -> Check {
    const WHAT: &str = "time";
    let remedy = "Turn time synchronisation on with `timedatectl set-ntp true`; without a network, `timedatectl set-time`.";
    let now = clock::now();
    if now < built() {
        return Check::fail(
            WHAT,
            format!("{now} is before this agent was built"),
            remedy,
        );
    }
    let Some(ahead) = ahead else {
        return Check::warn(
            WHAT,
            format!("{now}; no hub's clock to compare it with"),
            remedy,
        );
    };
    // Parties whose clock is further off are named, and the session does not begin.
    looks::clock(WHAT, ahead, CLOCK_TOLERANCE, remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_that_does_not_serve_is_told_from_one_that_cannot_be_reached() {
        let (url, detail) = (String::new(), String::new());
        let what = String::new();
        let told = [
            remedy(&HubError::Unreachable {
                url: url.clone(),
                detail: detail.clone(),
            }),
            remedy(&HubError::Certificate { url, detail }),
            remedy(&HubError::NotFound { what: what.clone() }),
            remedy(&HubError::NotAsNamed { what }),
        ];
        for (words, remedy) in ["firewall", "clock", "once", "who runs"].iter().zip(told) {
            assert!(remedy.contains(words), "{remedy}");
        }
    }

    #[test]
    fn a_clock_that_nothing_can_be_compared_with_is_told() {
        let check = time(None);
        assert!(
            check.found.ends_with("no hub's clock to compare it with")
                && check
                    .remedy
                    .is_some_and(|remedy| remedy.contains("set-ntp")),
        );
    }
}
