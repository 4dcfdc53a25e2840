//! What the command line writes: data on stdout, talk on stderr.

mod value;

use std::io::{self, BufWriter, Write};

use clap::ValueEnum;

pub(crate) use value::{Field, Value, points, span, time};

/// How data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// For programs, one object a line.
    Json,
    /// For programs, a header and one line each.
    Tsv,
}

impl Output {
    /// An export is for programs only: a table of everything helps nobody.
    pub(crate) fn of_export(self) -> Self {
        if self == Self::Json { Self::Json } else { Self::Tsv }
    }
}

/// Says something that is no data.
#[expect(clippy::print_stderr, reason = "the command line talks on stderr")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

/// Rows with named columns.
pub(crate) struct Rows {
    out: BufWriter<io::Stdout>,
    columns: Vec<&'static str>,
    output: Output,
    widths: Vec<usize>,
    /// Is the header written? Not before there is something to show: an error may come first.
    headed: bool,
}

impl Rows {
    pub(crate) fn new(output: Output, columns: &[&'static str], widths: &[usize]) -> io::Result<Self> {
        let (columns, widths) = (columns.to_vec(), widths.to_vec());
        Ok(Self { out: BufWriter::new(io::stdout()), columns, output, widths, headed: output == Output::Json })
    }

    fn head(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.headed, true) {
            return Ok(());
        }
        // Tables show spans of time in words.
        let unit = if self.output == Output::Table { "_ms" } else { "" };
        let names = self.columns.iter().map(|name| name.strip_suffix(unit).unwrap_or(name).to_owned());
        self.line(&names.collect::<Vec<String>>())
    }

    pub(crate) fn row<F: Field>(&mut self, fields: &[F]) -> io::Result<()> {
        if self.output == Output::Json {
            let named = self.columns.iter().zip(fields).map(|(name, field)| ((*name).to_owned(), field.json()));
            return self.json(&serde_json::Value::Object(named.collect()));
        }
        self.head()?;
        self.line(fields)
    }

    /// An object of its own shape, where JSON has more to say than a row.
    pub(crate) fn json(&mut self, object: &serde_json::Value) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, object)?;
        self.out.write_all(b"\n")
    }

    /// Lines for people, where a table says too little.
    pub(crate) fn prose(&mut self, text: &str) -> io::Result<()> {
        self.headed = true;
        text.lines().try_for_each(|line| writeln!(self.out, "{}", harmless(line).trim_end()))
    }

    fn line<F: Field>(&mut self, fields: &[F]) -> io::Result<()> {
        for (n, field) in fields.iter().enumerate() {
            let field = field.text(self.output == Output::Table);
            let last = n + 1 == fields.len();
            match self.output {
                Output::Table => {
                    let field = harmless(&field);
                    let width = if last { 0 } else { self.widths.get(n).copied().unwrap_or(10) };
                    write!(self.out, "{field:<width$}{}", if last { "" } else { "  " })?;
                }
                Output::Tsv | Output::Json => write!(self.out, "{}{}", escape(&field), if last { "" } else { "\t" })?,
            }
        }
        self.out.write_all(b"\n")
    }

    /// Lets people see what was written so far.
    pub(crate) fn show(&mut self) -> io::Result<()> {
        self.head()?;
        self.out.flush()
    }

    pub(crate) fn end(mut self) -> io::Result<()> {
        self.head()?;
        self.out.flush()
    }
}

/// What customers write must not steer somebody's terminal.
pub(crate) fn harmless(field: &str) -> String {
    field.replace(|c: char| c.is_control() || is_bidi(c), " ")
}

/// Turns the direction of what follows.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(field: &str) -> String {
    field.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_read_keeps_its_columns() {
        assert_eq!(escape("a\tb\nc\\d\r"), "a\\tb\\nc\\\\d\\r");
        assert!(is_bidi('\u{202e}') && !is_bidi('ä'));
    }
}
