//! What every page has: its frame, and small words.
//!
//! `maud` escapes whatever is put into a page. What a document says is also cleaned before: nothing in it turns a line around, hides,
//! or goes on for ever. There are no scripts, styles or events in the markup, and the policy that goes with it allows none.

use std::fmt::Display;

use e3_core::key::PublicKey;
use e3_core::text::{DETAIL, clean};
use e3_core::time::Time;
use maud::{DOCTYPE, Markup, html};

use super::door::Visitor;
use super::files;

/// Text from a document.
pub(super) fn say(text: impl Display) -> String {
    clean(&text.to_string(), DETAIL)
}

/// A key as people compare it.
pub(super) fn short(key: &PublicKey) -> Markup {
    html! { code title=(key) { "…" (key.short()) } }
}

/// Seconds as people say them.
fn span(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// How long ago that was.
pub(super) fn ago(then: Time, now: Time) -> Markup {
    let seconds = now.since(then);
    html! {
        time datetime=(then) title=(then) {
            @if seconds < 1 { "now" } @else { (span(seconds)) " ago" }
        }
    }
}

/// In how long that will be.
pub(super) fn until(then: Time, now: Time) -> Markup {
    html! { time datetime=(then) title=(then) { (span(then.since(now).max(0))) } }
}

/// A state, in a word and a colour.
pub(super) fn tag(tone: &str, text: &str) -> Markup {
    html! { span .tag .(tone) { (text) } }
}

/// A count of things.
pub(super) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Who looks, and at which page.
pub(super) struct Frame<'a> {
    /// The fleet.
    pub(super) fleet: &'a str,
    /// What the page is about.
    pub(super) title: &'a str,
    /// Where it is, relative to the hub's address.
    pub(super) at: &'static str,
    /// Who is signed in.
    pub(super) visitor: Option<&'a Visitor>,
}

impl Frame<'_> {
    /// The whole page.
    pub(super) fn page(&self, main: &Markup) -> Markup {
        let current = |at: &str| (self.at == at).then_some("page");
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="robots" content="noindex";
                    title { (self.title) " · " (self.fleet) " · E3" }
                    link rel="icon" href=(files::ICON.href());
                    link rel="stylesheet" href=(files::STYLE.href());
                    script src=(files::LIVE.href()) defer {}
                }
                body {
                    a .skip href="#main" { "Skip to the content" }
                    header {
                        div .top {
                            a .brand href="./" { img src=(files::ICON.href()) alt=""; span { "E3" } }
                            nav aria-label="Pages" {
                                ul {
                                    li { a href="./" aria-current=[current("")] { "Fleet" } }
                                    li { a href="add" aria-current=[current("add")] { "Add a machine" } }
                                }
                            }
                            div .who {
                                @if let Some(visitor) = self.visitor {
                                    small { "Signed in as " (short(&visitor.key)) }
                                    form method="post" action="sign-out" {
                                        input type="hidden" name="form" value=(visitor.form);
                                        button { "Sign out" }
                                    }
                                } @else {
                                    a href="sign-in" aria-current=[current("sign-in")] { "Sign in" }
                                }
                            }
                        }
                    }
                    main #main tabindex="-1" { (main) }
                    footer { small {
                        "This page shows what the hub holds. The hub can withhold, and never forge: what counts is what "
                        code { "e3" } " verifies where your key is."
                    } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_documents_say_cannot_become_html_nor_turn_a_line_around() {
        let text = say("<script>alert('x')</script>&\"\u{202e}\n");
        let page = html! { p title=(text) { (text) } }.into_string();
        let escaped = "&lt;script&gt;alert('x')&lt;/script&gt;&amp;&quot;\u{fffd}\u{fffd}";
        assert_eq!(page, format!("<p title=\"{escaped}\">{escaped}</p>"));
        assert_eq!(say("x".repeat(1000)).chars().count(), 301);
    }

    #[test]
    fn times_are_told_as_people_do() {
        let now = Time::from_unix(1_800_000_000);
        let told = |seconds: i64| {
            let text = ago(Time::from_unix(now.unix() - seconds), now).into_string();
            let text = text.split_once('>').unwrap().1.to_owned();
            text.strip_suffix("</time>").unwrap().to_owned()
        };
        let all = [-5, 0, 1, 119, 120, 7200, 172_800].map(told);
        let words = [
            "now",
            "now",
            "1 s ago",
            "119 s ago",
            "2 min ago",
            "2 h ago",
            "2 days ago",
        ];
        assert_eq!(all, words);
    }
}
