//! First contact with a fleet: the pinned root, and the one-time token.

use e3_client::hub::{Hub, HubError};
use e3_core::document::{Enrolment, Token, TokenError};
use e3_core::envelope::Envelope;
use e3_core::key::SecretKey;
use e3_core::time::Time;
use e3_core::trust::Trust;

use crate::keeper::{Keeper, KeeperError};
use crate::ledger::Ledger;
use e3_client::join::Join;

/// Why a machine has not joined yet.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The hub.
    #[error(transparent)]
    Hub(#[from] HubError),
    /// The trust rules, or the disk.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The token.
    #[error("the token in the join file cannot be used")]
    Token(#[from] TokenError),
    /// The hub has no root.
    #[error("the hub has no root yet; start it with the fleet's folder")]
    NoRoot,
    /// The invite is for another party.
    #[error("the token is for another fleet, name or owner than the join file says")]
    OtherInvite,
}

impl EnrolError {
    /// Whether the same attempt will fail again, for as long as somebody does something about it.
    pub const fn is_final(&self) -> bool {
        match self {
            // 429: the hub only asks for patience.
            Self::Hub(HubError::Refused { status, .. }) => *status != 429,
            Self::Hub(error) => matches!(error, HubError::ReadOnly { .. }),
            Self::NoRoot => false,
            _ => true,
        }
    }
}

/// Fetches the first root and begins to trust it.
///
/// Root 1 is what the join file pins; later ones are walked to when a head names them (rule 4).
pub async fn meet(
    ledger: &Ledger,
    hub: &Hub,
    join: &Join,
    built: Time,
) -> Result<Trust, EnrolError> {
    let root = hub.root(1).await?.ok_or(EnrolError::NoRoot)?;
    Ok(Keeper::first(ledger, &root, &join.root, built)?)
}

/// Uses the token. Doing it again with the same identity is harmless, so a lost answer is, too.
pub async fn enrol(
    hub: &Hub,
    join: &Join,
    token: &str,
    key: &SecretKey,
    now: Time,
) -> Result<(), EnrolError> {
    let token = Token::from_text(token)?;
    // Not verified here: the hub and the owners do. This only finds mixed-up files.
    let invite: e3_core::document::Invite = token
        .invite
        .unverified()
        .map_err(|error| EnrolError::Token(TokenError::Invite(error)))?;
    if (&invite.fleet, &invite.name, &invite.owner) != (&join.fleet, &join.name, &join.owner) {
        return Err(EnrolError::OtherInvite);
    }
    let enrolment = Enrolment {
        fleet: join.fleet.clone(),
        invite: token.invite.digest(),
        party: key.public(),
        signed: now,
    };
    let enrolment =
        Envelope::sign(&enrolment, &[key, &token.key]).expect("an enrolment made here is valid");
    hub.enrol(&enrolment.to_bytes(), &token.invite.to_bytes())
        .await?;
    Ok(())
}
