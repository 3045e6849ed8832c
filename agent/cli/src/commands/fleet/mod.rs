//! `e3 fleet`, and what every command needs of a fleet: its folder, its hub, what it trusts.

pub mod accept;
mod heard;
pub mod invite;
mod invites;
pub mod new;
pub mod open;
pub mod parties;
mod pending;
pub mod publish;
pub mod push;
pub mod revoke;
pub mod rotate;
pub mod sign;
mod status;
mod trust_state;
pub mod watch;

pub use self::accept::accept;
pub use self::invite::{Invited, invite, join_file};
pub use self::new::{Created, HEAD, Plan, create, create_at};
pub use self::open::{OpenFleet, Stale};
pub use self::parties::{Enrolled, Standing, enrolled};
pub(crate) use self::status::expires_soon;

use std::path::Path;

use e3_client::clock;

use crate::args::{FleetCommand, Global};
use crate::error::Error;
use crate::fleet_file::Fleet;
use crate::output::{Answer, Output};

pub(super) async fn run(
    command: &FleetCommand,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    match command {
        FleetCommand::New(args) => new::run(args),
        FleetCommand::Invite(args) => invite::run(args, global).await,
        FleetCommand::Status(args) if args.watch => watch::run(global, output).await,
        FleetCommand::Status(_) => status::run(global).await,
        FleetCommand::Pending(_) => pending::run(global).await,
        FleetCommand::Deny(args) => pending::deny(args, global).await,
        FleetCommand::Revoke(args) => revoke::run(args, global).await,
        FleetCommand::Accept(args) => accept::run(args, global, output).await,
        FleetCommand::Rotate(args) => {
            rotate::run(args, &folder(global.fleet.as_deref())?, clock::now())
        }
        FleetCommand::Sign(args) => sign::run(args, &folder(global.fleet.as_deref())?),
        FleetCommand::Push(args) => push::run(args, global).await,
    }
}

/// The fleet's folder, for what needs no hub.
fn folder(given: Option<&Path>) -> Result<Fleet, Error> {
    let start = std::env::current_dir().map_err(|source| Error::Folder {
        action: "find",
        path: ".".into(),
        source,
    })?;
    Ok(Fleet::open(&Fleet::find(given, &start)?)?)
}
