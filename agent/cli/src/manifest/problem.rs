//! What is wrong with a file that a person wrote: all of it at once, each with its place, what was
//! expected there and what to do.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::text;

/// How many problems are shown; a file with more is the wrong file.
const SHOWN: usize = 50;
/// How much of a line is shown around the place.
const WIDTH: usize = 100;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong, without the place.
    pub message: String,
    /// What would be right; empty where the message says it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// What to do.
    pub remedy: String,
    /// Bytes of the file; none if something is missing that has no place.
    #[serde(skip)]
    at: Option<Range<usize>>,
}

/// All problems of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problems {
    /// The file, as the person called it.
    pub file: String,
    /// In the order of the file.
    pub problems: Vec<Problem>,
    #[serde(skip)]
    text: String,
}

impl Problems {
    /// No problems yet in `text`, which stands in `file`.
    pub fn new(file: &str, text: &str) -> Self {
        Self {
            file: file.to_owned(),
            problems: Vec::new(),
            text: text.to_owned(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// Adds a problem at the bytes `at`.
    pub fn add(
        &mut self,
        at: &Range<usize>,
        message: impl Into<String>,
        expected: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        let start = self.boundary(at.start);
        let end = self.boundary(at.end).max(start);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        self.problems.push(Problem {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
            expected: expected.into(),
            remedy: remedy.into(),
            at: Some(start..end),
        });
    }

    /// Adds a problem with the file as a whole.
    pub fn missing(&mut self, message: impl Into<String>, remedy: impl Into<String>) {
        let (message, remedy) = (message.into(), remedy.into());
        self.problems.push(Problem {
            line: 1,
            column: 1,
            message,
            expected: String::new(),
            remedy,
            at: None,
        });
    }

    /// The problems in the order of the file; `Ok` if there are none.
    pub fn finish(mut self) -> Result<(), Self> {
        self.problems
            .sort_by_key(|problem| (problem.line, problem.column));
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(self)
        }
    }

    /// The nearest place at or before `at` where a character starts.
    fn boundary(&self, at: usize) -> usize {
        let at = at.min(self.text.len());
        (0..=at)
            .rev()
            .find(|i| self.text.is_char_boundary(*i))
            .unwrap_or(0)
    }

    /// The line with a caret below the place.
    fn excerpt(&self, problem: &Problem, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(at) = &problem.at else { return Ok(()) };
        let line_start = self.text[..at.start]
            .rfind('\n')
            .map_or(0, |newline| newline + 1);
        let line_end = self.text[at.start..]
            .find('\n')
            .map_or(self.text.len(), |i| at.start + i);
        // One cell per character, whatever was there: the caret must stand below its place.
        let cells = |range: Range<usize>| {
            let visible = |c: char| if text::is_hidden(c) { ' ' } else { c };
            self.text[range]
                .trim_end_matches('\r')
                .chars()
                .map(visible)
                .collect::<Vec<char>>()
        };
        let before = cells(line_start..at.start);
        let marked = cells(at.start..at.end.min(line_end).max(at.start));
        let after = cells(at.end.clamp(at.start, line_end)..line_end);
        // A long line is cut so that the place is seen.
        let carets = marked.len().clamp(1, WIDTH);
        let skipped = (before.len() + carets)
            .saturating_sub(WIDTH)
            .min(before.len());
        let lead = if skipped > 0 { "…" } else { "" };
        let line: Vec<char> = [&before[skipped..], &marked, &after].concat();
        let tail = if line.len() > WIDTH { "…" } else { "" };
        let line: String = line.into_iter().take(WIDTH).collect();
        let indent = " ".repeat(before.len() - skipped + lead.chars().count());
        let number = problem.line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{margin} |")?;
        writeln!(f, "{number} | {}", format!("{lead}{line}{tail}").trim_end())?;
        writeln!(f, "{margin} | {indent}{}", "^".repeat(carets))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = text::clean(&self.file);
        for problem in self.problems.iter().take(SHOWN) {
            writeln!(
                f,
                "{file}:{}:{}: {}",
                problem.line,
                problem.column,
                text::clean(&problem.message)
            )?;
            self.excerpt(problem, f)?;
            if !problem.expected.is_empty() {
                writeln!(f, "  expected: {}", text::clean(&problem.expected))?;
            }
            writeln!(f, "  to do: {}", text::clean(&problem.remedy))?;
            writeln!(f)?;
        }
        write!(
            f,
            "{} in {file}",
            text::count(self.problems.len(), "problem")
        )?;
        if self.problems.len() > SHOWN {
            write!(f, ", of which the first {SHOWN} are shown")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_its_place() {
        let text = "a = 1\nbé\u{1b} = \"x\"\n";
        let mut problems = Problems::new("f.toml", text);
        let at = text.find("\"x\"").unwrap();
        problems.add(&(at..at + 3), "bad", "good", "write good");
        insta::assert_snapshot!(problems.finish().unwrap_err(), @r#"
        f.toml:2:7: bad
          |
        2 | bé  = "x"
          |       ^^^
          expected: good
          to do: write good

        1 problem in f.toml
        "#);
    }

    #[test]
    fn long_lines_are_cut_around_the_place() {
        let text = format!("{}X{}", "a".repeat(300), "b".repeat(300));
        let mut problems = Problems::new("f", &text);
        problems.add(&(300..301), "here", "", "look");
        let screen = problems.to_string();
        let lines: Vec<&str> = screen.lines().collect();
        let column = |line: &str, c: char| line.chars().position(|x| x == c).unwrap();
        assert_eq!(column(lines[2], 'X'), column(lines[3], '^'), "{screen}");
        assert!(lines[2].chars().count() < 110);
    }

    #[test]
    fn places_outside_the_text_or_inside_a_character_do_no_harm() {
        let mut problems = Problems::new("f", "é");
        for at in [0..1, 1..2, 1..1, 5..9, Range { start: 2, end: 0 }] {
            problems.add(&at, "m", "", "r");
        }
        assert_eq!(problems.to_string().matches("to do").count(), 5);
    }
}
