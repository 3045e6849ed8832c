//! The latest sessions: how far each party is, its receipt, and what the receipts say together.

use e3_core::document::{Outcome, Progress, Receipt};
use maud::{Markup, html};

use super::html::{count, say, tag};
use super::model::{End, Model, Run, Seat};

/// Parties of a session that are shown one by one.
const SEATS: usize = 12;
/// Characters of a published output.
const OUTPUT: usize = 2000;

pub(super) fn view(model: &Model, is_owner: bool) -> Markup {
    html! {
        section #sessions aria-labelledby="sessions-title" {
            h2 #sessions-title { "Sessions" }
            @if model.sessions.is_empty() {
                p .empty { "Nothing has been computed yet. " code { "e3 session new" } " writes a manifest, " code { "e3 session push" } " starts it." }
            }
            @for run in &model.sessions { (one(run, is_owner)) }
            @if model.older > 0 {
                p .soft { (count(model.older, "older session", "older sessions")) ": " code { "e3 session list" } }
            }
        }
    }
}

fn one(run: &Run, is_owner: bool) -> Markup {
    let (tone, text) = match &run.end {
        End::Good => ("green", "verified".to_owned()),
        End::Bad(_) => ("red", "failed".to_owned()),
        End::Open(missing) => (
            "blue",
            format!("{} missing", count(*missing, "receipt", "receipts")),
        ),
        End::Expired(_) => ("amber", "expired".to_owned()),
        End::Revoked => ("amber", "revoked".to_owned()),
        End::Unreadable => ("red", "not to be read".to_owned()),
    };
    let id = format!("s-{}", run.manifest.short());
    html! {
        article .card aria-labelledby=(id) {
            div .title {
                h3 id=(id) { (run.name) " #" (run.counter) }
                @if let Some(session) = &run.session {
                    small {
                        (say(&session.program.entry)) " · MPyC " (say(&session.mpyc.version)) " · "
                        code title=(run.manifest) { (run.manifest.short()) }
                    }
                }
                (tag(tone, &text))
            }
            @match &run.end {
                End::Good => p .soft {
                    "All " (run.seats.len()) " receipts are here and agree: same manifest, same program, same MPyC, everybody exited with 0"
                    @if run.session.as_ref().is_some_and(|session| !session.equal.is_empty()) { ", equal outputs" } "."
                },
                End::Unreadable => p .soft { "Its manifest is not here, or not signed by the fleet's keys." },
                End::Expired(_) => p .soft { "Nobody has signed a receipt in its time." },
                _ => {}
            }
            ul .seats {
                @for seat in run.seats.iter().take(SEATS) { (line(seat)) }
            }
            @if run.seats.len() > SEATS { small { "and " (run.seats.len() - SEATS) " more" } }
            @if let End::Bad(problems) = &run.end { (against(run, problems, is_owner)) }
            @if is_owner { (published(run, &id)) }
        }
    }
}

/// How far a party is, in seven steps.
fn line(seat: &Seat) -> Markup {
    let (steps, tone, text) = match (&seat.receipt, seat.progress) {
        (Some(receipt), _) => match &receipt.outcome {
            Outcome::Done => (6, "ok", format!("done, receipt signed{}", took(receipt))),
            Outcome::Failed { .. } => (6, "no", "failed, receipt signed".to_owned()),
        },
        (None, None) => (0, "", "has not said anything yet".to_owned()),
        (None, Some(progress)) => {
            let (steps, tone) = match progress {
                Progress::Fetched => (1, ""),
                Progress::Verified => (2, ""),
                Progress::Staged => (3, ""),
                Progress::Preflight => (4, ""),
                Progress::Running => (5, ""),
                Progress::Done => (6, "ok"),
                Progress::Failed => (6, "no"),
            };
            (steps, tone, progress.as_str().to_owned())
        }
    };
    let step = format!("p{steps}");
    html! { li { span { (seat.name) } span .bar .(step) .(tone) {} span .soft { (text) } } }
}

fn took(receipt: &Receipt) -> String {
    let told = receipt.timings.finished_ms;
    told.map_or(String::new(), |ms| {
        format!(", {}.{:02} s", ms / 1000, ms % 1000 / 10)
    })
}

/// What speaks against it, for strangers without the words of machines.
fn against(run: &Run, problems: &[(usize, String)], is_owner: bool) -> Markup {
    html! {
        @if is_owner {
            ul .soft {
                @for (party, problem) in problems.iter().take(SEATS) {
                    li { (run.seats.get(*party).map_or("?", |seat| &seat.name)) ": " (say(problem)) }
                }
            }
        } @else {
            p .soft { (count(problems.len(), "thing speaks", "things speak")) " against it; sign in to read what." }
        }
    }
}

/// What it computed, where manifest and policy publish that.
fn published(run: &Run, id: &str) -> Markup {
    let mut receipts = run.seats.iter().filter_map(|seat| seat.receipt.as_ref());
    let text = receipts.find_map(|receipt| receipt.published.as_deref());
    html! {
        @if let Some(text) = text {
            details id={ "o-" (id) } {
                summary { "Published output" }
                pre tabindex="0" { (e3_core::text::clean_lines(&text.chars().take(OUTPUT).collect::<String>())) }
            }
        }
    }
}
