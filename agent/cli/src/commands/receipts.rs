//! `e3 receipts verify`: whether a session was good for everybody, from its receipts alone.
//!
//! With a bundle and a folder of receipts nobody has to be asked: it works without a network, years
//! later, for anybody who has the fleet's folder.

use std::fmt::Write as _;
use std::path::Path;

use e3_client::files;
use e3_core::document::{Receipt, Session};
use e3_core::envelope::Verified;
use e3_core::limits;
use e3_core::session::verdict;

use crate::args::{Global, ReceiptsCommand, ReceiptsVerify};
use crate::commands::fleet::{OpenFleet, Stale};
use crate::commands::session::find::{find, is_bundle};
use crate::commands::session::list;
use crate::commands::session::verdict::conclude;
use crate::error::Error;
use crate::output::Answer;

pub(super) async fn run(command: &ReceiptsCommand, global: &Global) -> Result<Answer, Error> {
    match command {
        ReceiptsCommand::Verify(args) => verify(args, global).await,
    }
}

async fn verify(args: &ReceiptsVerify, global: &Global) -> Result<Answer, Error> {
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    let offline = args.dir.is_some() && is_bundle(&args.session);
    if !offline {
        fleet.sync(Stale::Allow).await?;
    }
    let session = find(&fleet, &args.session).await?;
    let (receipts, refused) = match &args.dir {
        Some(folder) => from_folder(folder, &session)?,
        None => list::receipts(&fleet, &session).await?,
    };
    let mut answer = conclude(&session.document, &receipts).answer(&session);
    for reason in &refused {
        let _ = writeln!(answer.text, "{reason}");
    }
    answer.json["refused"] = serde_json::json!(refused);
    Ok(answer)
}

/// Reads `0.json`, `1.json`, … as they lie on a hub under `receipts/<manifest>/`.
fn from_folder(
    folder: &Path,
    session: &Verified<Session>,
) -> Result<(Vec<Option<Receipt>>, Vec<String>), Error> {
    std::fs::read_dir(folder).map_err(|source| Error::Folder {
        action: "list",
        path: folder.to_owned(),
        source,
    })?;
    let (mut receipts, mut refused) = (Vec::new(), Vec::new());
    for (place, party) in session.document.parties.iter().enumerate() {
        let receipt =
            match files::read_bounded(&folder.join(format!("{place}.json")), limits::ENVELOPE) {
                Ok(bytes) => match verdict::open(session, place, &bytes) {
                    Ok(receipt) => Some(receipt),
                    Err(reason) => {
                        refused.push(format!(
                            "the receipt of {} is refused: {reason}",
                            party.name
                        ));
                        None
                    }
                },
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error.into()),
            };
        receipts.push(receipt);
    }
    Ok((receipts, refused))
}
