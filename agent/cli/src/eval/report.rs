//! The page: plots and a table of medians, and what figures do not tell, which is kept by hand (`compare.html`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use super::chart::{self, Line};
use super::results::{GOOD, Row};

/// Head and style of the page. Nothing in it comes from elsewhere.
const HEAD: &str = include_str!("head.html");
/// Security, privacy and ease of use of each mesh.
const COMPARE: &str = include_str!("compare.html");

/// A figure of a measurement.
type Figure = fn(&Row) -> Option<f64>;

/// What is plotted: a title, a unit, and the figure.
const PLOTS: [(&str, &str, Figure); 3] = [
    ("computation", "ms", |row| row.mpc_ms.or(row.program_ms)),
    ("one round", "ms", |row| row.round_ms),
    ("command to result", "ms", |row| row.total_ms),
];

/// A text of somebody else in HTML.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Everything with the same place, program and size.
type Group<'a> = (&'a str, &'a str, u32);

/// The page for all results.
pub(super) fn render(rows: &[Row]) -> String {
    let mut groups: BTreeMap<Group<'_>, Vec<&Row>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.verdict == GOOD) {
        let group = (row.place.as_str(), row.program.as_str(), row.size);
        groups.entry(group).or_default().push(row);
    }
    let mut page = HEAD.to_owned();
    page.push_str("<h2>Plots</h2>\n");
    for ((place, program, size), rows) in &groups {
        let _ = writeln!(
            page,
            "<h3>{} {size}, {}</h3><div class=\"plots\">",
            Text(program),
            Text(place)
        );
        for (title, unit, figure) in PLOTS {
            let lines = lines(rows, figure);
            if !lines.is_empty() {
                let _ = writeln!(
                    page,
                    "<figure>{}</figure>",
                    chart::draw(title, unit, &lines)
                );
            }
        }
        page.push_str("</div>\n");
    }
    table(&mut page, &groups);
    ways(&mut page, rows);
    failures(&mut page, rows);
    page + COMPARE
}

/// A line for each mesh, of medians.
fn lines(rows: &[&Row], figure: Figure) -> Vec<Line> {
    let mut found: BTreeMap<&str, BTreeMap<usize, Vec<f64>>> = BTreeMap::new();
    for row in rows {
        if let Some(value) = figure(row) {
            let of_mesh = found.entry(&row.mesh).or_default();
            of_mesh.entry(row.parties).or_default().push(value);
        }
    }
    let points = |values: BTreeMap<usize, Vec<f64>>| {
        let medians = values
            .into_iter()
            .filter_map(|(parties, values)| Some((parties, median(values)?)));
        medians.collect()
    };
    found
        .into_iter()
        .map(|(mesh, values)| Line {
            name: mesh.to_owned(),
            points: points(values),
        })
        .collect()
}

/// The middle one; of an even number the lower of the two.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().checked_sub(1)? / 2).copied()
}

/// The columns of the table: a title, the figure, and its unit.
const COLUMNS: [(&str, Figure, f64); 10] = [
    ("join, ms", |row| row.join_ms, 1.0),
    ("command to result, ms", |row| row.total_ms, 1.0),
    ("start to barrier, ms", |row| row.start_ms, 1.0),
    ("program, ms", |row| row.program_ms, 1.0),
    ("computation, ms", |row| row.mpc_ms, 1.0),
    ("there and back, ms", |row| row.rtt_ms, 1.0),
    ("round, ms", |row| row.round_ms, 1.0),
    ("Mbit/s", |row| row.mbit_s, 1.0),
    ("sent, kB", |row| row.sent, 1e3),
    ("memory, MB", |row| row.memory, 1e6),
];

fn table(page: &mut String, groups: &BTreeMap<Group<'_>, Vec<&Row>>) {
    page.push_str("<h2>Medians</h2>\n<div class=\"wide\"><table><tr><th>place<th>program<th>size<th>parties<th>mesh<th>runs");
    for (title, ..) in COLUMNS {
        let _ = write!(page, "<th>{title}");
    }
    page.push('\n');
    for ((place, program, size), rows) in groups {
        let mut cells: BTreeMap<(usize, &str), Vec<&Row>> = BTreeMap::new();
        for row in rows {
            cells.entry((row.parties, &row.mesh)).or_default().push(row);
        }
        for ((parties, mesh), rows) in cells {
            let _ = write!(
                page,
                "<tr><td>{}<td>{}<td>{size}<td>{parties}<td>{}<td>{}",
                Text(place),
                Text(program),
                Text(mesh),
                rows.len()
            );
            for (_, figure, unit) in COLUMNS {
                match median(rows.iter().filter_map(|row| figure(row)).collect()) {
                    Some(value) => {
                        let _ = write!(page, "<td>{:.1}", value / unit);
                    }
                    None => page.push_str("<td>"),
                }
            }
            page.push('\n');
        }
    }
    page.push_str("</table></div>\n");
}

/// How long messages take between each two parties, by place and mesh.
fn ways(page: &mut String, rows: &[Row]) {
    let mut found: BTreeMap<(&str, &str, &str), BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.verdict == GOOD) {
        for (one, other, ms) in &row.pairs.0 {
            let of_pair = found.entry((&row.place, one, other)).or_default();
            of_pair.entry(&row.mesh).or_default().push(*ms);
        }
    }
    if found.is_empty() {
        return;
    }
    let meshes: BTreeSet<&str> = found.values().flat_map(BTreeMap::keys).copied().collect();
    page.push_str("<h2>There and back</h2>\n<p>Milliseconds that a message of a program takes from one party to another and back, medians.</p>\n<div class=\"wide\"><table><tr><th>place<th>from<th>to");
    for mesh in &meshes {
        let _ = write!(page, "<th>{}", Text(mesh));
    }
    page.push('\n');
    for ((place, one, other), by_mesh) in found {
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td>{}",
            Text(place),
            Text(one),
            Text(other)
        );
        for mesh in &meshes {
            match by_mesh.get(mesh).and_then(|values| median(values.clone())) {
                Some(ms) => {
                    let _ = write!(page, "<td>{ms:.1}");
                }
                None => page.push_str("<td>"),
            }
        }
        page.push('\n');
    }
    page.push_str("</table></div>\n");
}

/// What did not work is shown, too.
fn failures(page: &mut String, rows: &[Row]) {
    let failed: Vec<&Row> = rows.iter().filter(|row| row.verdict != GOOD).collect();
    if failed.is_empty() {
        return;
    }
    page.push_str("<h2>What failed</h2>\n<ul>\n");
    for row in failed {
        let _ = writeln!(
            page,
            "<li>{} {}, {} parties, {}, {}: {}",
            Text(&row.program),
            row.size,
            row.parties,
            Text(&row.mesh),
            Text(&row.place),
            Text(&row.verdict)
        );
    }
    page.push_str("</ul>\n");
}

#[cfg(test)]
mod tests {
    use super::super::results::{Cell, Pairs};
    use super::*;

    fn row(mesh: &str, parties: usize, mpc_ms: f64) -> Row {
        let cell = Cell {
            place: "three cities".to_owned(),
            mesh: mesh.to_owned(),
            parties,
            program: "rounds".to_owned(),
            size: 16,
            run: 1,
        };
        Row {
            join_ms: Some(412.0),
            mpc_ms: Some(mpc_ms),
            rtt_ms: Some(mpc_ms / 10.0),
            pairs: Pairs(vec![("p0".to_owned(), "p<1>".to_owned(), mpc_ms / 10.0)]),
            ..Row::of(&cell, GOOD.to_owned())
        }
    }

    #[test]
    fn the_page_shows_medians_and_what_failed() {
        let mut rows = vec![
            row("nebula", 2, 10.0),
            row("nebula", 2, 30.0),
            row("nebula", 2, 20.0),
        ];
        rows.extend([row("nebula", 3, 45.5), row("none", 2, 8.0)]);
        rows.push(Row {
            verdict: "p1: <script>alert(1)</script>".to_owned(),
            ..row("none", 3, 0.0)
        });
        let page = render(&rows);
        assert!(!page.contains("<script"), "a text of somebody else");
        let body = page
            .strip_prefix(HEAD)
            .unwrap()
            .strip_suffix(COMPARE)
            .unwrap();
        insta::assert_snapshot!("page", body);
    }

    #[test]
    fn a_page_without_results_is_one_all_the_same() {
        let page = render(&[]);
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"));
        // Self-contained: nothing is fetched when it is looked at.
        assert!(!page.contains("src=") && !page.contains("@import") && !page.contains("url("));
    }

    #[test]
    fn medians_are_values_that_were_seen() {
        assert_eq!(median(Vec::new()), None);
        assert_eq!(median(vec![3.0, 1.0]), Some(1.0));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    }
}
