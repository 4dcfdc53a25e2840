//! Reading TOML values of the wanted kinds, and saying where they are not.

use std::ops::{Range, RangeInclusive};

use rejoinder_model::Millis;
use toml_edit::{ImDocument, Item, Table, TableLike};

use crate::duration;

use crate::problem::Problems;

/// A parsed file.
pub(crate) struct File<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
    document: ImDocument<&'a str>,
}

impl<'a> File<'a> {
    pub(crate) fn parse(name: &'a str, text: &'a str, problems: &mut Problems) -> Option<Self> {
        match ImDocument::parse(text) {
            Ok(document) => Some(Self { name, text, document }),
            Err(error) => {
                // The parser is silent where a value is missing.
                let what = error.message().trim_end().replace('\n', "; ");
                let what = if what.is_empty() { "a value is missing or no TOML".to_owned() } else { what };
                problems.at(name, text, error.span(), what);
                None
            }
        }
    }

    pub(crate) fn root(&self) -> &Table {
        self.document.as_table()
    }

    pub(crate) fn problem(&self, item: &Item, message: String, problems: &mut Problems) {
        problems.at(self.name, self.text, item.span(), message);
    }

    /// Says which keys of a table are not known.
    pub(crate) fn known_keys(&self, table: &dyn TableLike, known: &[&str], problems: &mut Problems) {
        for (name, item) in table.iter() {
            if !known.contains(&name) {
                let span = table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
                let message = format!("there is no option {name:?}{}", nearest(name, known));
                problems.at(self.name, self.text, span, message);
            }
        }
    }

    /// The text of a key, where it is one.
    pub(crate) fn string<'t>(&self, table: &'t dyn TableLike, key: &str, problems: &mut Problems) -> Option<&'t str> {
        let item = table.get(key)?;
        let text = item.as_str();
        if text.is_none() {
            self.problem(item, format!("{key} is a text, like \"…\", and this is {}", kind(item)), problems);
        }
        text
    }

    /// The truth of a key, where it is one.
    pub(crate) fn boolean(&self, table: &dyn TableLike, key: &str, problems: &mut Problems) -> Option<bool> {
        let item = table.get(key)?;
        let truth = item.as_bool();
        if truth.is_none() {
            self.problem(item, format!("{key} is true or false, and this is {}", kind(item)), problems);
        }
        truth
    }

    /// The whole number of a key, where it is one within bounds.
    pub(crate) fn number(
        &self,
        table: &dyn TableLike,
        key: &str,
        bounds: RangeInclusive<u32>,
        problems: &mut Problems,
    ) -> Option<u32> {
        let item = table.get(key)?;
        let number = item.as_integer().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let (least, most) = (bounds.start(), bounds.end());
            let found = item.as_integer().map_or_else(|| kind(item).to_owned(), |number| number.to_string());
            self.problem(item, format!("{key} is a number from {least} to {most}, and this is {found}"), problems);
        }
        number
    }

    /// The duration of a key, where it is one within bounds.
    pub(crate) fn duration(
        &self,
        table: &dyn TableLike,
        key: &str,
        (least, most): (&str, &str),
        problems: &mut Problems,
    ) -> Option<Millis> {
        let text = self.string(table, key, problems)?;
        match duration::within(text, least, most) {
            Ok(duration) => Some(duration),
            Err(what) => {
                problems.at(self.name, self.text, table.get(key).and_then(Item::span), what);
                None
            }
        }
    }

    /// One of some words.
    pub(crate) fn choice<T: Copy>(
        &self,
        table: &dyn TableLike,
        key: &str,
        choices: &[(&str, T)],
        problems: &mut Problems,
    ) -> Option<T> {
        let text = self.string(table, key, problems)?;
        let chosen = choices.iter().find(|(word, _)| *word == text);
        if chosen.is_none() {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let what = format!("{key} has no {text:?}{}", nearest(text, &words));
            problems.at(self.name, self.text, table.get(key).and_then(Item::span), what);
        }
        chosen.map(|(_, choice)| *choice)
    }

    /// The texts of a list, each with its place.
    pub(crate) fn strings(
        &self,
        table: &dyn TableLike,
        key: &str,
        problems: &mut Problems,
    ) -> Vec<(String, Option<Range<usize>>)> {
        let Some(item) = table.get(key) else { return Vec::new() };
        let Some(array) = item.as_array() else {
            self.problem(item, format!("{key} is a list, like [\"…\"], and this is {}", kind(item)), problems);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for value in array {
            match value.as_str() {
                Some(text) => texts.push((text.to_owned(), value.span())),
                None => {
                    problems.at(self.name, self.text, value.span(), format!("{key} is a list of texts"));
                }
            }
        }
        texts
    }

    /// The tables of a key, `[[key]]` or a list of `{ … }`, each with its place.
    pub(crate) fn tables<'t>(
        &self,
        table: &'t dyn TableLike,
        key: &str,
        problems: &mut Problems,
    ) -> Vec<(&'t dyn TableLike, Option<Range<usize>>)> {
        let Some(item) = table.get(key) else { return Vec::new() };
        if let Some(tables) = item.as_array_of_tables() {
            return tables.iter().map(|table| (table as &dyn TableLike, table.span())).collect();
        }
        let values = item.as_array().map(|array| array.iter().collect::<Vec<_>>()).unwrap_or_default();
        let tables = values.iter().filter_map(|value| value.as_inline_table());
        let tables: Vec<_> = tables.map(|table| (table as &dyn TableLike, table.span())).collect();
        if tables.is_empty() || tables.len() != values.len() {
            self.problem(item, format!("{key} is a list of tables: [[{key}]]"), problems);
        }
        tables
    }

    /// The numbers of a table by name, like `{ spanish = 5 }`, each with its place.
    pub(crate) fn numbers(
        &self,
        table: &dyn TableLike,
        key: &str,
        bounds: RangeInclusive<u32>,
        problems: &mut Problems,
    ) -> Vec<(String, u32, Option<Range<usize>>)> {
        let Some(item) = table.get(key) else { return Vec::new() };
        let Some(named) = item.as_table_like() else {
            self.problem(item, format!("{key} is a table, like {{ name = 1 }}, and this is {}", kind(item)), problems);
            return Vec::new();
        };
        let mut numbers = Vec::new();
        for (name, item) in named.iter() {
            if let Some(number) = self.number(named, name, bounds.clone(), problems) {
                let span = named.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
                numbers.push((name.to_owned(), number, span));
            }
        }
        numbers
    }

    /// A name that a table must have: a text of 1 to 128 bytes without control characters.
    pub(crate) fn name(
        &self,
        table: &dyn TableLike,
        span: Option<Range<usize>>,
        (what, key): (&str, &str),
        problems: &mut Problems,
    ) -> Option<String> {
        match self.string(table, key, problems) {
            Some(name) if name.is_empty() || name.len() > 128 || name.chars().any(char::is_control) => {
                let message = format!("{key} has 1 to 128 bytes and no control characters");
                problems.at(self.name, self.text, table.get(key).and_then(Item::span), message);
                None
            }
            Some(name) => Some(name.to_owned()),
            None if table.contains_key(key) => None,
            None => {
                problems.at(self.name, self.text, span, format!("the {what} has no {key}"));
                None
            }
        }
    }
}

fn kind(item: &Item) -> &'static str {
    match item.type_name() {
        "string" => "a text",
        "integer" => "a number",
        "boolean" => "a truth value",
        "array" => "a list",
        "table" | "inline table" => "a table",
        "array of tables" => "a list of tables",
        _ => "something else",
    }
}

/// The nearest known name, in words, or all of them when none is near.
#[must_use]
pub fn nearest(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|other| (strsim::damerau_levenshtein(name, other), other)).min();
    match near {
        Some((distance, other)) if distance <= 1 + name.len() / 3 => format!("; did you mean {other:?}?"),
        _ => format!("; there are {}", known.join(", ")),
    }
}
