//! Reading TOML values of the wanted kinds, and saying where they are not.

use toml_edit::{ImDocument, Item, Table, TableLike, Value};

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

    /// The texts of a list, where it is one, with where they stand.
    pub(crate) fn strings<'t>(
        &self,
        table: &'t dyn TableLike,
        key: &str,
        problems: &mut Problems,
    ) -> Vec<(&'t str, &'t Value)> {
        let Some(item) = table.get(key) else { return Vec::new() };
        let Some(list) = item.as_array() else {
            self.problem(item, format!("{key} is a list of texts, like [\"…\"], and this is {}", kind(item)), problems);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for value in list {
            match value.as_str() {
                Some(text) => texts.push((text, value)),
                None => self.problem_of(value, format!("{key} has texts only, like \"…\""), problems),
            }
        }
        texts
    }

    pub(crate) fn problem_of(&self, value: &Value, message: String, problems: &mut Problems) {
        problems.at(self.name, self.text, value.span(), message);
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
