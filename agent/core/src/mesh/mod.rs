//! The meshes that the parties of a fleet meet on, as far as it needs no network: what the fleet wants, which address a party
//! has there, which keys and certificates belong to whom, and why a machine has not joined.
//!
//! The fleet's signed head carries a [`Plan`] for each mesh: which backend, and which parties are its anchors. A machine makes a
//! key for that backend and names it in its presence, which its identity signs. Where the backend wants a certificate, whoever
//! may sign heads signs one for that key ([`MeshGrant`]); where it has none, the head itself names who belongs to it
//! ([`Roster`]). The hub only carries all this, so it can keep a machine out of a mesh, and neither let one in nor see a private
//! key.
//!
//! A fleet has one mesh, or two while it moves from one to the other: machines stay in the old one until the head drops it.
//!
//! Being in a mesh gives nobody a right to anything but packets: agents still prove their identity to each other (preflight),
//! and sessions are open to their own parties alone.
//!
//! [`stun`] is how a machine finds out that its network lets no UDP out.
//!
//! [`link`] is what the agent and the daemon of the built-in mesh tell each other, and with few words more that of Tor.

mod address;
mod control;
mod grant;
pub mod link;
mod nebula;
mod onion;
mod plan;
mod request;
mod roster;
pub mod stun;
mod text;
mod trouble;
mod way;
pub mod wireguard;

pub use address::{PREFIX_BITS, Prefix, local};
pub use control::{Headscale, Tailscale, is_server};
pub use grant::{EARLIER, MeshGrant};
pub use nebula::Nebula;
pub use onion::{ClientKey, ClientSecret, OnionKey, OnionKeyError};
pub(crate) use plan::check_all;
pub use plan::{Anchor, Backend, MESHES, Plan, split};
pub use request::{MeshKeyRequest, REQUEST_SECONDS};
pub use roster::{Dispute, LetIn, MEMBERS, Member, Roster};
pub(crate) use text::check_key;
pub use text::is_backend;
pub use trouble::NotJoined;
pub use way::{Path, Way};
