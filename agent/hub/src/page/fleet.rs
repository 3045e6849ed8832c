//! The first page: the fleet at a glance, who waits at its door, its parties.

use e3_core::document::{Mesh, Presence};
use maud::{Markup, html};
use serde::Deserialize;

use super::door::Visitor;
use super::html::{ago, count, say, short, tag, until};
use super::model::{Model, Party, Standing};

/// Parties on one page.
const PAGE: usize = 16;
/// Machines at the door that are shown with their words.
const DOOR: usize = 8;
/// Characters of a search.
const FIND: usize = 80;

/// Which parties are looked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    from: usize,
    state: String,
    find: String,
}

impl Wanted {
    fn is(&self, party: &Party) -> bool {
        let find = self.find.trim().to_lowercase();
        let is_state = self.state.is_empty() || party.state.word() == self.state;
        is_state
            && (find.is_empty()
                || party.name.contains(&find)
                || party.key.to_string().to_lowercase().contains(&find))
    }

    /// The address of the same search, from this party on.
    fn href(&self, from: usize) -> String {
        let mut text = format!("?from={from}");
        if let Some(state) = Standing::ALL
            .iter()
            .find(|state| state.word() == self.state)
        {
            text.push_str("&state=");
            text.push_str(state.word());
        }
        // Only what can stand in a name or a key: nothing has to be encoded.
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':');
        let find: String = self.find.chars().take(FIND).filter(plain).collect();
        if !find.is_empty() {
            text.push_str("&find=");
            text.push_str(&find);
        }
        text.push_str("#parties");
        text
    }
}

/// The whole of it.
pub(super) fn view(model: &Model, visitor: Option<&Visitor>, wanted: &Wanted) -> Markup {
    let is_owner = visitor.is_some();
    html! {
        (glance(model, is_owner))
        @if is_owner { (door(model)) }
        (parties(model, is_owner, wanted))
        (super::sessions::view(model, is_owner))
        (super::trips::view(model))
        (super::journal::view(model, is_owner))
    }
}

fn glance(model: &Model, is_owner: bool) -> Markup {
    let total = model.parties.len();
    let ready =
        |party: &&std::sync::Arc<Party>| matches!(party.state, Standing::Ready | Standing::Running);
    let ready = model.parties.iter().filter(ready).count();
    html! {
        div #glance {
            div .title {
                h1 { (model.root.fleet) }
                small #live .live hidden {}
            }
            p .lede {
                @if total == 0 { "No machine yet." }
                @else if ready == total { (count(total, "machine", "machines")) ", all of them well." }
                @else { (ready) " of " (count(total, "machine", "machines")) " are well." }
                " "
                @match &model.head {
                    None => "There is no head yet: nothing is current.",
                    Some(head) if head.expires <= model.now => {
                        "Head " (head.counter) " " strong { "has expired" } ": parties start nothing new until somebody runs "
                        code { "e3 hub renew" } "."
                    }
                    Some(head) => { "Head " (head.counter) " is good for another " (until(head.expires, model.now)) "." }
                }
                @if is_owner {
                    " Root " (model.root.version) "; " (model.connected) " connected to this hub."
                }
            }
            noscript { p .lede { "Without JavaScript this page stands still; load it again for news." } }
            @if !is_owner {
                p .lede {
                    a href="sign-in" { "Sign in" } " to see who waits at the door, addresses, versions, and reasons in full."
                }
            }
        }
    }
}

fn door(model: &Model) -> Markup {
    let waiting: Vec<_> = { model.parties.iter() }
        .filter(|party| party.state == Standing::Waiting)
        .collect();
    html! {
        section #door aria-labelledby="door-title" {
            @if !waiting.is_empty() {
                h2 #door-title { "At the door" }
                p .note {
                    "This page cannot let anybody in. The hub holds no owner's key, so it is not asked: compare the six words with those on "
                    "the machine's own screen, and then run the command where your key is."
                }
                ul .door {
                    @for party in waiting.iter().take(DOOR) {
                        li {
                            div .title { h3 { (party.name) } small { "enrolled " (ago(party.enrolled, model.now)) } }
                            p .words { (party.key.words()) }
                            pre { "e3 fleet accept " (party.name) }
                            small { "Not the machine you have at hand? " code { "e3 fleet deny " (party.name) } }
                        }
                    }
                }
                @if waiting.len() > DOOR {
                    p { a href="?state=waiting#parties" { "All " (waiting.len()) " who wait" } " · " code { "e3 fleet pending" } }
                }
            }
        }
    }
}

fn parties(model: &Model, is_owner: bool, wanted: &Wanted) -> Markup {
    let found: Vec<_> = model
        .parties
        .iter()
        .filter(|party| wanted.is(party))
        .collect();
    let from = if wanted.from < found.len() {
        wanted.from
    } else {
        0
    };
    let to = (from + PAGE).min(found.len());
    html! {
        section #parties aria-labelledby="parties-title" {
            div .title {
                h2 #parties-title { "Parties" }
                @if model.parties.len() > PAGE {
                    form .find role="search" {
                        input name="find" maxlength=(FIND) value=(say(&wanted.find)) aria-label="Name or key" placeholder="Name or key";
                        button { "Find" }
                    }
                }
            }
            @if model.parties.is_empty() {
                p .empty {
                    "No machine has enrolled. " a href="add" { "Add a machine" } " tells how, for each kind."
                }
            } @else {
                (chips(model, wanted))
                @if found.is_empty() {
                    p .empty { "No party is like that. " a href="./#parties" { "Show all" } }
                } @else {
                    table role="table" aria-labelledby="parties-title" {
                        thead { tr role="row" {
                            th scope="col" { "Party" }
                            th scope="col" { "Machine" }
                            th scope="col" { "Mesh" }
                            th scope="col" { "State" }
                            th scope="col" { "Seen" }
                        } }
                        tbody { @for party in &found[from..to] { (row(party, model, is_owner)) } }
                    }
                    @if found.len() > PAGE {
                        nav .pager aria-label="Pages of parties" {
                            @if from > 0 { a rel="prev" href=(wanted.href(from.saturating_sub(PAGE))) { "Previous" } }
                            span .soft { (from + 1) "–" (to) " of " (found.len()) }
                            @if to < found.len() { a rel="next" href=(wanted.href(to)) { "Next" } }
                        }
                    }
                }
            }
        }
    }
}

/// How many there are of each kind; each is a link to them.
fn chips(model: &Model, wanted: &Wanted) -> Markup {
    let of = |state| move |party: &&std::sync::Arc<Party>| party.state == state;
    let counts = Standing::ALL.map(|state| (state, model.parties.iter().filter(of(state)).count()));
    let current = |word: &str| (wanted.state == word).then_some("true");
    html! {
        ul .chips aria-label="Parties by state" {
            @if !wanted.state.is_empty() || !wanted.find.is_empty() {
                li { a .tag href="./#parties" { "All " (model.parties.len()) } }
            }
            @for (state, number) in counts.iter().filter(|(_, number)| *number > 0) {
                li {
                    a .tag .(state.tone()) href={ "?state=" (state.word()) "#parties" } aria-current=[current(state.word())] {
                        (number) " " (state.text())
                    }
                }
            }
        }
    }
}

fn row(party: &Party, model: &Model, is_owner: bool) -> Markup {
    let presence = party.presence.as_deref();
    html! {
        tr role="row" {
            th scope="row" role="rowheader" {
                (party.name)
                small { (party.key.words()) }
                @if is_owner { small { (short(&party.key)) " of " (short(&party.owner)) } }
            }
            td role="cell" data-l="Machine" { @match presence {
                Some(presence) => div {
                    (presence.image.as_deref().map_or("—".to_owned(), say))
                    @if is_owner { small { "agent " (say(&presence.agent)) } }
                },
                None => "—",
            } }
            td role="cell" data-l="Mesh" { (meshes(presence, is_owner)) }
            td role="cell" data-l="State" { div {
                (tag(party.state.tone(), party.state.text()))
                @if let Some(presence) = presence { (why(presence, is_owner)) }
            } }
            td role="cell" data-l="Seen" { @match presence {
                Some(presence) => (ago(presence.signed, model.now)),
                None => "never",
            } }
        }
    }
}

fn meshes(presence: Option<&Presence>, is_owner: bool) -> Markup {
    let Some(presence) = presence.filter(|presence| !presence.meshes.is_empty()) else {
        return html! { "—" };
    };
    html! {
        div {
            @for (backend, mesh) in &presence.meshes {
                div {
                    (say(backend))
                    @match mesh {
                        Mesh::Joined { addresses, .. } => {
                            @if is_owner { small { (say(addresses.join(" "))) } }
                        }
                        Mesh::NotJoined { reason } => {
                            small { @if is_owner { (say(reason)) } @else { "not joined" } }
                        }
                    }
                }
            }
        }
    }
}

/// Why it is in that state, and what its owner can do.
fn why(presence: &Presence, is_owner: bool) -> Markup {
    html! {
        @if let Some(reason) = &presence.degraded {
            @if is_owner { small { (say(reason)) ". " (reason.remedy()) } }
            @else { small { (reason.kind()) } }
        }
        @if let (true, Some(trouble)) = (is_owner, &presence.update) { small { "Update: " (say(trouble)) } }
    }
}
