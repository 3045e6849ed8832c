//! The mesh that the parties of a fleet meet on, as far as it needs no network: what the fleet wants, which address a party
//! has there, which keys and certificates belong to whom, and why a machine has not joined.
//!
//! The fleet's signed head carries the [`Plan`]: which backend, and which parties are its anchors. A machine makes a key for
//! that backend and names it in its presence, which its identity signs; where the backend wants a certificate, whoever may
//! sign heads signs one for that key ([`MeshGrant`]). The hub only carries both, so it can keep a machine out of the mesh, and
//! neither let one in nor see a private key.
//!
//! Being in the mesh gives nobody a right to anything but packets: agents still prove their identity to each other (preflight),
//! and sessions are open to their own parties alone.

mod address;
mod grant;
mod plan;
mod trouble;

pub use address::{PREFIX_BITS, Prefix};
pub use grant::MeshGrant;
pub(crate) use grant::check_key;
pub use plan::{Anchor, Backend, Nebula, Plan, split};
pub use trouble::NotJoined;
