//! `e3 login`: an owner signs in to the fleet's page.
//!
//! The key signs a challenge of that hub, by the name that fleet.toml has for it. What comes back opens the page once; it stands
//! behind the # of the link, which browsers send to nobody, and no log of a hub or proxy sees.

use e3_client::hub::HubError;
use e3_core::document::Login;
use e3_core::envelope::Envelope;
use serde_json::json;

use super::fleet::{OpenFleet, Stale};
use super::key;
use crate::args::{Global, Login as Args};
use crate::error::Error;
use crate::output::Answer;

pub(super) async fn run(args: &Args, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    // Its hub shows what this fleet's keys have signed, or this goes no further.
    fleet.sync(Stale::Allow).await?;
    if !Login::may(&key.public(), &fleet.next_trust().await?.root) {
        return Err(Error::NotAllowed {
            key: key.public().to_string(),
            role: "login",
        });
    }
    let origin = fleet.hub.origin().ok_or_else(|| HubError::ReadOnly {
        url: fleet.hub.url().to_owned(),
    })?;
    let login = Login {
        fleet: fleet.file.name.clone(),
        root: fleet.file.root,
        hub: origin.clone(),
        challenge: fleet.hub.login_challenge().await?,
        key: key.public(),
    };
    let envelope = Envelope::sign(&login, &[&key]).map_err(|source| Error::Document {
        what: "login",
        source,
    })?;
    let (code, seconds) = fleet.hub.login(envelope.to_bytes()).await?;
    let link = format!("{}/sign-in#{}", fleet.hub.url(), *code);
    let mut text = format!("Open this within {seconds} seconds; it works once:\n\n  {link}\n");
    if is_readable(&origin) {
        text.push_str(
            "\nwarning: the hub is reached without TLS, so whoever sees your network traffic can take the sign-in over, and read what you read there.\n",
        );
    }
    Ok(Answer::new(
        text,
        json!({"hub": fleet.hub.url(), "key": key.public(), "link": link, "seconds": seconds}),
    ))
}

/// Whether what goes to this hub crosses a network as it is.
fn is_readable(origin: &str) -> bool {
    let Some(host) = origin.strip_prefix("http://") else {
        return false;
    };
    let here = ["127.", "localhost", "[::1]"];
    !here.iter().any(|here| host.starts_with(here))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_comes_where_the_network_can_listen() {
        assert!(is_readable("http://hub.example:8420"));
        for safe in [
            "https://hub.example",
            "http://127.0.0.1:8420",
            "http://localhost:1",
            "http://[::1]:1",
        ] {
            assert!(!is_readable(safe), "{safe}");
        }
    }
}
