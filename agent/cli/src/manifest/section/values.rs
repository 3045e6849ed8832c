//! The values of a table: texts, numbers, words, lists. Each reader says what is wrong and returns
//! nothing then.

use std::ops::RangeInclusive;

use toml::de::DeValue;

use super::super::problem::Problems;
use super::super::text::{nearest, shown};
use super::{At, Section, Value, kind};

impl<'a> Section<'a> {
    /// A text.
    pub fn text(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        example: &str,
    ) -> Option<At<&'a str>> {
        let value = self.value(key)?;
        let name = self.name(key);
        text_of(problems, &name, value, example)
    }

    /// A text that `parse` understands; `expected` describes and `example` shows one.
    pub fn parsed<T>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        expected: &str,
        example: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<At<T>> {
        let value = self.value(key)?;
        let name = self.name(key);
        // `memory = 512`: the number is there, the unit is not.
        let Some(text) = value.get_ref().as_str() else {
            let message = format!("{name} is {}", kind(value.get_ref()));
            problems.add(
                &value.span(),
                message,
                expected,
                format!("write {key} = \"{example}\""),
            );
            return None;
        };
        if let Some(parsed) = parse(text) {
            return Some(At {
                value: parsed,
                at: value.span(),
            });
        }
        let message = format!("{name} cannot be \"{}\"", shown(text));
        problems.add(
            &value.span(),
            message,
            expected,
            format!("write for example {key} = \"{example}\""),
        );
        None
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        let text = self.text(problems, key, words[0])?;
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == text.value) {
            return Some(*choice);
        }
        let remedy = match nearest(text.value, words.iter().copied()) {
            Some(word) => format!("did you mean \"{word}\"?"),
            None => format!("write {key} = \"{}\"", words[0]),
        };
        let expected = words
            .iter()
            .map(|word| format!("\"{word}\""))
            .collect::<Vec<_>>()
            .join(" or ");
        problems.add(
            &text.at,
            format!("{} cannot be \"{}\"", self.name(key), shown(text.value)),
            expected,
            remedy,
        );
        None
    }

    /// A whole number in `range`; `example` is one.
    pub fn whole(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        range: RangeInclusive<u64>,
        example: u64,
    ) -> Option<At<u64>> {
        let value = self.value(key)?;
        let name = self.name(key);
        let expected = match *range.end() {
            u64::MAX => format!("a whole number from {}", range.start()),
            end => format!("a whole number from {} to {end}", range.start()),
        };
        let remedy = format!("write for example {key} = {example}");
        let DeValue::Integer(integer) = value.get_ref() else {
            problems.add(
                &value.span(),
                format!("{name} is {}", kind(value.get_ref())),
                expected,
                remedy,
            );
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            problems.add(
                &value.span(),
                format!("{name} cannot be {}", shown(&integer.to_string())),
                expected,
                remedy,
            );
        }
        number.map(|number_value| At {
            value: number_value,
            at: value.span(),
        })
    }

    /// `true` or `false`.
    pub fn flag(&mut self, problems: &mut Problems, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        let flag = value.get_ref().as_bool();
        if flag.is_none() {
            let message = format!("{} is {}", self.name(key), kind(value.get_ref()));
            problems.add(
                &value.span(),
                message,
                "true or false",
                format!("write {key} = true or {key} = false"),
            );
        }
        flag
    }

    /// A list of texts.
    pub fn texts(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        example: &str,
    ) -> Option<Vec<At<&'a str>>> {
        let values = self.values(problems, key, &format!("[\"{example}\"]"))?;
        let name = format!("an entry of {}", self.name(key));
        Some(
            values
                .iter()
                .filter_map(|value| text_of(problems, &name, value, example))
                .collect(),
        )
    }

    /// A list of anything; `example` is one in TOML.
    pub fn values(
        &mut self,
        problems: &mut Problems,
        key: &'static str,
        example: &str,
    ) -> Option<&'a [Value<'a>]> {
        let value = self.value(key)?;
        if let DeValue::Array(array) = value.get_ref() {
            return Some(array);
        }
        let message = format!("{} is {}", self.name(key), kind(value.get_ref()));
        problems.add(
            &value.span(),
            message,
            "a list",
            format!("write {key} = {example}"),
        );
        None
    }
}

/// `value` as a text.
pub fn text_of<'a>(
    problems: &mut Problems,
    name: &str,
    value: &'a Value<'a>,
    example: &str,
) -> Option<At<&'a str>> {
    match value.get_ref() {
        DeValue::String(text) => Some(At {
            value: text.as_ref(),
            at: value.span(),
        }),
        other => {
            let message = format!("{name} is {}", kind(other));
            problems.add(
                &value.span(),
                message,
                "a text between quotation marks",
                format!("write it like \"{example}\""),
            );
            None
        }
    }
}
