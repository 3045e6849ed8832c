//! Columns of text, as wide as what stands in them. No lines, no colours: it is read in terminals,
//! in logs and in mails.

/// Lays out `rows` under `titles`; the last column is never padded.
pub fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = titles.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let titles = titles.map(str::to_owned);
    for row in std::iter::once(&titles).chain(rows) {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A length of time in the largest unit that says enough: `12 s`, `3 min`, `5 h`, `13 days`.
pub fn seconds(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{} s", seconds.max(0)),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_clean() {
        let rows = [
            ["alice".to_owned(), String::new()],
            ["b".to_owned(), "é x".to_owned()],
        ];
        assert_eq!(
            table(["NAME", "STATE"], &rows),
            "NAME   STATE\nalice\nb      é x\n"
        );
    }

    #[test]
    fn times_are_told_in_one_unit() {
        let told: Vec<_> = [-5, 119, 120, 7200, 172_800].map(seconds).into();
        assert_eq!(told, ["0 s", "119 s", "2 min", "2 h", "2 days"]);
    }
}
