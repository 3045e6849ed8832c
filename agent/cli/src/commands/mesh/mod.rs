//! `e3 mesh`: what the fleet's head says of its meshes, and how parties are let into them.

pub(super) mod admit;
mod authority;
mod control;
pub(super) mod default;
mod grants;
mod issued;
mod link;
mod set;
mod sign;
mod waiting;

pub(super) use self::set::{certificates, take_out};

use e3_core::mesh::Backend;

use crate::args::{Global, MeshCommand};
use crate::error::Error;
use crate::output::{Answer, Output};

pub(super) async fn run(
    command: &MeshCommand,
    global: &Global,
    output: &Output,
) -> Result<Answer, Error> {
    match command {
        MeshCommand::Nebula(args) => set::nebula(args, global).await,
        MeshCommand::Wireguard(args) => set::listed(args, global, Backend::Wireguard).await,
        MeshCommand::Openvpn(args) => set::listed(args, global, Backend::Openvpn).await,
        MeshCommand::Tinc(args) => set::listed(args, global, Backend::Tinc).await,
        MeshCommand::Link(args) => link::run(args, global).await,
        MeshCommand::Headscale(args) => control::headscale(args, global).await,
        MeshCommand::Tailscale(args) => control::tailscale(args, global).await,
        MeshCommand::Tor(args) => set::tor(args, global).await,
        MeshCommand::Sign(args) => sign::run(args, global, output).await,
        MeshCommand::Revoke(args) => set::revoke(args, global).await,
        MeshCommand::Drop(args) => set::drop(args, global).await,
        MeshCommand::Off(args) => set::off(args, global).await,
    }
}
