//! What was refused, what failed, and what keeps machines from taking part.

use maud::{Markup, html};

use super::html::{ago, count, say, tag};
use super::model::{Entry, Model};

/// Entries on the page.
const SHOWN: usize = 10;

pub(super) fn view(model: &Model, is_owner: bool) -> Markup {
    let all = &model.journal;
    html! {
        section #journal aria-labelledby="journal-title" {
            h2 #journal-title { "Refusals and failures" }
            @if all.is_empty() {
                p .empty { "Nobody has refused anything lately, and nothing has failed." }
            } @else if is_owner {
                ul .log { @for entry in all.iter().take(SHOWN) { (one(entry, model)) } }
                @if all.len() > SHOWN { p .soft { (all.len() - SHOWN) " more in " code { "e3 fleet status" } " and " code { "e3 session show" } } }
                p .note {
                    "As machines tell it in their presences and receipts. Each keeps a journal of its own that cannot be edited unnoticed: "
                    code { "e3-agent journal verify" } "."
                }
            } @else {
                p .soft { (count(all.len(), "entry", "entries")) ". Sign in to read them." }
            }
        }
    }
}

fn one(entry: &Entry, model: &Model) -> Markup {
    html! {
        li {
            small { (ago(entry.at, model.now)) }
            div {
                strong { (entry.by) } " "
                @if entry.is_refusal { (tag("amber", "refused")) }
                @if let Some(about) = &entry.about { " " (about) }
                ": "
                @if let Some(culprit) = &entry.culprit { "because of " strong { (culprit) } ", " }
                (say(&entry.text))
                @if !entry.remedy.is_empty() { ". " span .soft { (entry.remedy) } }
            }
        }
    }
}
