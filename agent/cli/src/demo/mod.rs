//! `e3 demo`: a whole fleet on this machine, and one session from manifest to receipts.
//!
//! Nothing in it is made for the demo: the hub listens on a real socket, every party is an
//! `e3-agent` process with an identity, a policy and a state folder of its own, and the owner's part
//! is done by the same functions as the commands.
//!
//! - [`local`]: the fleet: hub, agents, join files, policies.
//! - [`plan`]: which program, with which inputs.
//! - [`fault`]: what `--fault` breaks, and what must then be said.
//! - [`bare`]: the same program without E3, for comparison.
//! - [`report`]: what is shown in the end.

pub mod bare;
pub mod fault;
pub mod local;
pub mod plan;
pub mod report;

use std::time::Instant;

use crate::args::{Demo, Global};
use crate::commands::session::{push, watch};
use crate::error::Error;
use crate::output::progress::{Progress, Renderer};
use crate::output::{Answer, Output};
use local::{LocalFleet, Options};
use plan::Plan;
use report::Report;

/// Runs the demo.
pub async fn run(args: &Demo, _: &Global, output: &Output) -> Result<Answer, Error> {
    let plan = Plan::of(args)?;
    let mut renderer = Renderer::new(output);
    let mut tell = |event: Progress| renderer.show(&event);
    let began = Instant::now();

    tell(Progress::going(
        "fleet",
        "keys, hub and machines are being made",
    ));
    let mut fleet = LocalFleet::start(Options {
        keep: args.keep.as_deref(),
        ..Options::from_environment(plan.parties())?
    })
    .await?;
    tell(Progress::ended(
        "fleet",
        format!(
            "hub {} and {} machines have found each other",
            fleet.hub(),
            plan.count
        ),
    ));

    let manifest = plan.write_manifest(&fleet)?;
    tell(Progress::going("session", "MPyC is being pinned"));
    let (bundle, wheel) = fleet.sign(&manifest).await?;
    tell(Progress::going(
        "session",
        "the manifest is written, checked and signed",
    ));
    plan.write_inputs(&fleet)?;
    if let Some(fault) = args.fault {
        fault::before(fault, &mut fleet, &plan, &bundle, &wheel).await?;
    }

    let pushed_at = Instant::now();
    let pushed = push::push(&mut fleet.open, &bundle, &fleet.owner, &mut tell).await?;
    let victim = fleet.parties.last().and_then(local::LocalParty::pid);
    let hub = fleet.open.hub.clone();
    let disturbing = args
        .fault
        .map(|fault| fault::during(fault, &hub, victim, &pushed.session));
    let watching = watch::watch(&mut fleet.open, &pushed.session, None, &mut tell);
    let (conclusion, ()) = tokio::join!(watching, async {
        if let Some(disturbing) = disturbing {
            disturbing.await;
        }
    });
    let conclusion = conclusion?;
    let push_to_receipts = pushed_at.elapsed();

    let results = fleet.results(&pushed.session.digest);
    let bare = if args.fault.is_none() && conclusion.verdict.good {
        tell(Progress::going(
            "bare",
            "the same program without E3, for comparison",
        ));
        bare::run(&fleet, &plan, &wheel, &pushed.session.document).await
    } else {
        None
    };
    drop(renderer);
    let kept = fleet.stop().await;
    let report = Report {
        plan: &plan,
        session: &pushed.session,
        conclusion: &conclusion,
        results,
        push_to_receipts,
        bare,
        total: began.elapsed(),
        fault: args.fault,
        kept,
    };
    Ok(report.answer())
}
