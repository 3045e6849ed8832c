//! The other parties of the fleet, as they say themselves who they are.

use e3_client::hub::HubError;
use e3_core::document::{Enrolment, Presence};
use e3_core::envelope::Envelope;
use e3_core::limits;

use crate::shared::Shared;

/// What the others say of themselves, in the hub's order. The hub's word for which party somebody is counts for nothing: each
/// presence is signed by whom it is of.
pub(super) async fn presences(
    shared: &Shared,
) -> Result<impl Iterator<Item = Presence> + use<>, HubError> {
    let parties = shared.hub.parties().await?;
    let (me, fleet) = (shared.me(), shared.join.fleet.clone());
    Ok(parties.into_iter().filter_map(move |record| {
        let enrolment = Envelope::parse(&record.enrolment, limits::ENVELOPE).ok()?;
        let party = enrolment.unverified::<Enrolment>().ok()?.party;
        let presence = record.presence.filter(|_| party != me)?;
        Presence::open(&presence, &party, &fleet)
    }))
}
