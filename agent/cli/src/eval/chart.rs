//! A plot as SVG: lines over the number of parties, on a logarithmic scale, since meshes differ by factors.

use std::fmt::Write as _;

use super::report::Text;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 260.0;
/// Room for the scales' words: left, right, top and bottom.
const ROOM: (f64, f64, f64, f64) = (52.0, 12.0, 26.0, 30.0);
/// Colours that people tell apart, also who see few of them, on white and on black.
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#777777",
];

/// One line: its name, and a value for each number of parties.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<(usize, f64)>,
}

/// The plot.
pub(super) fn draw(title: &str, unit: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let values = || points().map(|(_, value)| value.max(0.01).log10());
    let low = values().fold(f64::INFINITY, f64::min).floor();
    let high = values()
        .fold(f64::NEG_INFINITY, f64::max)
        .ceil()
        .max(low + 1.0);
    let most = points()
        .map(|(parties, _)| *parties)
        .max()
        .unwrap_or(1)
        .max(2);
    let (left, right, top, bottom) = ROOM;
    let x = |parties: usize| {
        let part = small(parties - 1) / small(most - 1);
        (WIDTH - left - right).mul_add(part, left)
    };
    let y = |power: f64| (HEIGHT - top - bottom).mul_add((high - power) / (high - low), top);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\"><text x=\"{left}\" y=\"16\" class=\"title\">{title}</text>",
        title = Text(title)
    );
    let mut power = low;
    while power <= high {
        let _ = write!(
            svg,
            "<line x1=\"{left}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" class=\"grid\"/><text x=\"{}\" y=\"{:.1}\" class=\"end\">{} {unit}</text>",
            WIDTH - right,
            left - 6.0,
            y(power) + 4.0,
            10_f64.powf(power),
            y = y(power),
        );
        power += 1.0;
    }
    for parties in 1..=most {
        let _ = write!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" class=\"middle\">{parties}</text>",
            x(parties),
            HEIGHT - 10.0
        );
    }
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let path: Vec<String> = line
            .points
            .iter()
            .map(|(parties, value)| format!("{:.1},{:.1}", x(*parties), y(value.max(0.01).log10())))
            .collect();
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (point, (parties, value)) in path.iter().zip(&line.points) {
            let (x, y) = point.split_once(',').unwrap_or_default();
            let _ = write!(
                svg,
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"><title>{}, {parties} parties: {value:.1} {unit}</title></circle>",
                Text(&line.name)
            );
        }
    }
    svg.push_str("</svg><p class=\"legend\">");
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let _ = write!(
            svg,
            "<span style=\"color:{colour}\">&#9632;</span> {} ",
            Text(&line.name)
        );
    }
    svg + "</p>"
}

/// Numbers of parties are small.
fn small(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
