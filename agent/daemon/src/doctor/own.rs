//! What the agent says of itself: what it is doing, who it is, its head, its meshes.

use e3_core::checkup::Check;
use e3_core::document::Mesh;

use crate::config::{Settings, Supervisor};
use crate::import::Folders;
use crate::import::report::Report;
use crate::phase::Phase;
use crate::status::{Status, socket};

pub(super) async fn agent(settings: &Settings) -> Vec<Check> {
    let mut checks = match Status::ask(&settings.run).await {
        Ok(status) => said(&status),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let found = "only root and the agent's own user may ask it";
            vec![Check::warn(
                "agent",
                found,
                "Run it as root: `sudo e3-agent doctor`.",
            )]
        }
        Err(error) => {
            let found = format!(
                "no agent answers on {}: {error}",
                socket(&settings.run).display()
            );
            let remedy = match settings.supervisor {
                Supervisor::Systemd => {
                    "`systemctl start e3-agent` starts it; `journalctl -u e3-agent` says why it ended."
                }
                Supervisor::Process => "`e3-agent run` starts it, and says why it ends.",
            };
            vec![Check::fail("agent", found, remedy)]
        }
    };
    let report = Report::read(&Folders::of(settings).run).unwrap_or_default();
    let problems = report.notes.into_iter().filter(|note| note.is_problem);
    checks.extend(problems.map(|note| Check::fail("join file", note.text, note.remedy)));
    checks
}

fn said(status: &Status) -> Vec<Check> {
    let known = &status.known;
    let phase = format!("{}, {}", status.agent, status.phase);
    let remedy = status.phase.remedy();
    let mut checks = vec![match &status.phase {
        Phase::Ready => Check::ok("agent", phase),
        Phase::Starting => Check::warn("agent", phase, "Look again in some seconds."),
        _ => Check::fail("agent", phase, remedy),
    }];
    if let (Some(name), Some(party)) = (&known.name, &known.party) {
        checks.push(Check::ok("party", format!("{name}, {}", party.words())));
    }
    if let (Some(head), Some(expires)) = (known.head, known.head_expires) {
        checks.push(if expires > status.now {
            Check::ok("head", format!("{head}, expires {expires}"))
        } else {
            let remedy = "The fleet's owner signs a new one with `e3 hub renew`.";
            Check::fail("head", format!("{head} expired {expires}"), remedy)
        });
    }
    for (backend, mesh) in &known.meshes {
        checks.push(match mesh {
            Mesh::Joined { addresses, .. } => {
                Check::ok("mesh", format!("{backend}, {}", addresses.join(" ")))
            }
            Mesh::NotJoined { reason } => {
                Check::fail("mesh", format!("{backend}: {reason}"), reason.remedy())
            }
        });
    }
    if let Some(trouble) = &status.notes.update {
        let remedy = "The agent that worked before runs on; tell who releases agents.";
        checks.push(Check::warn("update", trouble.to_string(), remedy));
    }
    checks
}

#[cfg(test)]
mod tests {
    use e3_core::checkup::screen;
    use e3_core::degraded::Degraded;
    use e3_core::mesh::NotJoined;
    use e3_core::time::Time;
    use e3_core::update::Trouble;
    use serde_json::json;

    use super::*;

    #[test]
    fn each_thing_that_an_agent_says_is_wrong_has_its_remedy() {
        let status = json!({
            "agent": "0.1.0", "phase": Phase::Degraded { reason: Degraded::TrustStateMissing },
            "name": null, "party": null, "fleet": null, "owner": null, "hub": null, "addresses": [],
            "root": 1, "head": 17, "head_signed": null, "head_expires": Time::from_unix(1_795_341_600),
            "now": Time::from_unix(1_795_341_600), "notes": {"hub_error": null, "sessions": []},
        });
        let mut status: Status = serde_json::from_value(status).unwrap();
        let reason = NotJoined::NeedsApproval;
        let kept_out = Mesh::NotJoined { reason };
        status.known.meshes.insert("nebula".to_owned(), kept_out);
        status.notes.update = Some(Trouble::Failed {
            version: "0.2.0".to_owned(),
            starts: 3,
        });
        let found = said(&status);
        assert!(
            found.iter().all(|check| check.remedy.is_some()),
            "{found:?}"
        );
        insta::assert_snapshot!(screen(&found));
    }
}
