//! Round trips between parties as a picture: who measured how long to whom before the newest session that tells it.

use maud::{Markup, html};

use super::html::say;
use super::model::{Model, RoundTrips};

/// Sizes in the picture's own units.
const CELL: (usize, usize) = (52, 28);
const LETTER: usize = 7;
/// Letters of a name.
const NAME: usize = 14;

pub(super) fn view(model: &Model) -> Markup {
    html! {
        section #round-trips aria-labelledby="round-trips-title" {
            h2 #round-trips-title { "Round trips" }
            @match &model.round_trips {
                None => p .empty { "Parties measure them before a session starts. None of the newest sessions tells any." },
                Some(trips) => {
                    p .soft { (summary(trips)) }
                    div .scroll tabindex="0" role="region" aria-label="Round trips between parties" { (picture(trips)) }
                }
            }
        }
    }
}

fn milliseconds(us: u64) -> String {
    match us {
        ..10_000 => format!("{}.{}", us / 1000, us % 1000 / 100),
        _ => format!("{}", us / 1000),
    }
}

/// The same in words, for whoever does not see the picture.
fn summary(trips: &RoundTrips) -> String {
    let all = trips.times.iter().enumerate().flat_map(|(of, row)| {
        let told = row.iter().enumerate();
        told.filter_map(move |(to, us)| Some(((*us)?, of, to)))
    });
    let all: Vec<_> = all.filter(|(_, of, to)| of != to).collect();
    let tell = |found: Option<&(u64, usize, usize)>| {
        found.map_or(String::new(), |(us, of, to)| {
            format!(
                "{} – {}, {} ms",
                trips.names[*of],
                trips.names[*to],
                milliseconds(*us)
            )
        })
    };
    format!(
        "In milliseconds, as measured before {}. Shortest: {}. Longest: {}.",
        trips.session,
        tell(all.iter().min()),
        tell(all.iter().max())
    )
}

/// A colour for a distance: one building, one country, one continent, farther.
const fn tone(us: u64) -> &'static str {
    match us {
        ..5_000 => "t0",
        5_000..40_000 => "t1",
        40_000..120_000 => "t2",
        _ => "t3",
    }
}

fn picture(trips: &RoundTrips) -> Markup {
    let names: Vec<String> = { trips.names.iter() }
        .map(|name| e3_core::text::clean(name, NAME))
        .collect();
    let letters = names
        .iter()
        .map(|name| name.chars().count())
        .max()
        .unwrap_or(0);
    // Names stand upright on the left, and slanted above.
    let left = letters * LETTER + 10;
    let top = letters * LETTER * 7 / 10 + 16;
    let (wide, high) = (
        left + names.len() * CELL.0 + top,
        top + names.len() * CELL.1 + 2,
    );
    html! {
        svg .trips xmlns="http://www.w3.org/2000/svg" width=(wide) height=(high) viewBox={ "0 0 " (wide) " " (high) }
            role="img" aria-label=(say(summary(trips))) {
            @for (to, name) in names.iter().enumerate() {
                @let x = left + to * CELL.0 + CELL.0 / 2;
                text x=(x) y=(top - 6) transform={ "rotate(-40 " (x) " " (top - 6) ")" } { (name) }
            }
            @for (of, name) in names.iter().enumerate() {
                @let y = top + of * CELL.1;
                text x=(left - 8) y=(y + 18) text-anchor="end" { (name) }
                @for (to, us) in trips.times[of].iter().enumerate() {
                    @let x = left + to * CELL.0;
                    @let tone = us.filter(|_| of != to).map_or("tx", tone);
                    rect .(tone) x=(x + 1) y=(y + 1) width=(CELL.0 - 2) height=(CELL.1 - 2) rx="4" {}
                    @if let (Some(us), true) = (us, of != to) {
                        text x=(x + CELL.0 / 2) y=(y + 18) text-anchor="middle" { (milliseconds(*us)) }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_has_words_and_escapes_names() {
        let trips = RoundTrips {
            session: "salary #1".to_owned(),
            names: vec!["alice".to_owned(), "<b>bob".to_owned()],
            times: vec![vec![None, Some(2_130)], vec![Some(180_000), None]],
        };
        let words = "In milliseconds, as measured before salary #1. Shortest: alice – <b>bob, 2.1 ms. Longest: <b>bob – alice, 180 ms.";
        assert_eq!(summary(&trips), words);
        let picture = picture(&trips).into_string();
        assert!(
            !picture.contains("<b>")
                && picture.contains(">2.1<")
                && picture.contains("class=\"t3\""),
            "{picture}"
        );
    }
}
