//! What is wrong, and where.

use std::ops::Range;

/// Something wrong in a policy file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file; empty: all together.
    pub file: String,
    /// From 1; 0: the file as a whole.
    pub line: u32,
    /// In characters, from 1; 0: the file as a whole.
    pub column: u32,
    /// What, and the way out.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.file.as_str(), self.line) {
            ("", _) => write!(f, "{}", self.message),
            (file, 0) => write!(f, "{file}: {}", self.message),
            (file, line) => write!(f, "{file}:{line}:{}: {}", self.column, self.message),
        }
    }
}

/// Problems as they are found.
#[derive(Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn at(&mut self, file: &str, text: &str, span: Option<Range<usize>>, message: String) {
        let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
        let number = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
        let line = number(before.matches('\n').count());
        let column = number(before.rsplit('\n').next().unwrap_or_default().chars().count());
        self.0.push(Problem { file: file.to_owned(), line, column, message });
    }

    pub(crate) fn of_file(&mut self, file: &str, message: String) {
        self.0.push(Problem { file: file.to_owned(), line: 0, column: 0, message });
    }

    pub(crate) fn of_all(&mut self, message: String) {
        self.of_file("", message);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_vec(self) -> Vec<Problem> {
        self.0
    }
}
