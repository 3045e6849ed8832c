//! `e3 fleet`, and what every command needs of a fleet: its folder, its hub, what it trusts.

pub mod accept;
pub mod invite;
pub mod new;
pub mod open;
pub mod parties;
pub mod publish;
mod status;
mod trust_state;

pub use self::accept::accept;
pub use self::invite::{Invited, invite, join_file};
pub use self::new::{Created, HEAD, Plan, create, create_at};
pub use self::open::{OpenFleet, Stale};
pub use self::parties::{Enrolled, Standing, enrolled};
pub(crate) use self::status::expires_soon;

use crate::args::{FleetCommand, Global};
use crate::error::Error;
use crate::output::Answer;

pub(super) async fn run(command: &FleetCommand, global: &Global) -> Result<Answer, Error> {
    match command {
        FleetCommand::New(args) => new::run(args),
        FleetCommand::Invite(args) => invite::run(args, global).await,
        FleetCommand::Status(_) => status::run(global).await,
        FleetCommand::Accept(args) => accept::run(args, global).await,
    }
}
