//! `e3 release show`: what a release would install and who has signed it, or what the fleet has now.

use e3_client::clock;
use e3_core::envelope::Envelope;
use e3_core::limits;
use e3_core::trust::open_release;
use serde_json::json;

use super::bundle::ReleaseBundle;
use super::{folder, json_of, rows};
use crate::args::{Global, ReleaseShow};
use crate::commands::fleet::{OpenFleet, Stale};
use crate::error::Error;
use crate::manifest::summary::text;
use crate::output::Answer;

pub(super) async fn run(args: &ReleaseShow, global: &Global) -> Result<Answer, Error> {
    let now = clock::now();
    if let Some(path) = &args.release {
        let bundle = ReleaseBundle::open(path)?;
        // What lies in the folder is shown only if it is what would be signed.
        if bundle.is_folder() {
            for binary in &bundle.release.binaries {
                bundle.binary(binary)?;
            }
        }
        let role = folder(global)?.newest_root()?.document.release;
        let rows = rows(&bundle.release, &bundle.envelope, &role, now);
        let json = json_of(&bundle.release, &bundle.envelope, &role, now);
        return Ok(Answer::new(text(&rows), json));
    }
    let mut fleet = OpenFleet::open(global.fleet.as_deref()).await?;
    fleet.sync(Stale::Allow).await?;
    let Some(named) = fleet.head()?.release else {
        let text = "The fleet has released no agent: every machine runs the one it came with.\n";
        return Ok(Answer::new(text, json!({ "release": null })));
    };
    let bytes = fleet.hub.blob(&named).await?;
    let release = open_release(&fleet.trust.root, &bytes)?.document;
    let wrong = |source| Error::Envelope {
        what: "the release".to_owned(),
        source,
    };
    let envelope = Envelope::parse(&bytes, limits::ENVELOPE).map_err(wrong)?;
    let role = &fleet.trust.root.release;
    let rows = rows(&release, &envelope, role, now);
    Ok(Answer::new(
        text(&rows),
        json_of(&release, &envelope, role, now),
    ))
}
