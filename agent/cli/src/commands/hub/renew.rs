//! `e3 hub renew`: the same head, signed again, with a later expiry. A timer of an owner runs it: a
//! head that expires means that somebody holds back news (rule 5, freeze).

use serde_json::json;

use crate::args::{Global, HubRenew};
use crate::commands::fleet::OpenFleet;
use crate::commands::fleet::publish::publish;
use crate::commands::key;
use crate::error::Error;
use crate::output::Answer;

pub(super) async fn run(args: &HubRenew, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let key = key::read(args.key.as_deref())?;
    publish(&mut fleet, &key, u64::from(args.days) * 86_400, |_| {
        Ok(true)
    })
    .await?;
    let head = fleet.head()?;
    let (counter, sessions) = (head.counter, head.sessions.len());
    let text = format!(
        "Head {counter} is published: {sessions} session(s), good until {}\n",
        head.expires
    );
    let json = json!({"head": counter, "expires": head.expires, "sessions": sessions});
    Ok(Answer::new(text, json))
}
