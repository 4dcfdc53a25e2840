//! What the command line writes: data on stdout, talk on stderr.

use std::io::{self, BufWriter, Write};

use clap::ValueEnum;
use jiff::Timestamp;
use rejoinder_model::Millis;

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
        self.line(&self.columns.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    pub(crate) fn row(&mut self, fields: &[String]) -> io::Result<()> {
        if self.output == Output::Json {
            let object: serde_json::Map<String, serde_json::Value> = self
                .columns
                .iter()
                .zip(fields)
                .map(|(name, field)| ((*name).to_owned(), field.clone().into()))
                .collect();
            serde_json::to_writer(&mut self.out, &object)?;
            return self.out.write_all(b"\n");
        }
        self.head()?;
        self.line(fields)
    }

    fn line(&mut self, fields: &[String]) -> io::Result<()> {
        for (n, field) in fields.iter().enumerate() {
            let last = n + 1 == fields.len();
            match self.output {
                Output::Table => {
                    // What customers write must not steer somebody's terminal.
                    let field = field.replace(|c: char| c.is_control() || is_bidi(c), " ");
                    let width = if last { 0 } else { self.widths.get(n).copied().unwrap_or(10) };
                    write!(self.out, "{field:<width$}{}", if last { "" } else { "  " })?;
                }
                Output::Tsv | Output::Json => write!(self.out, "{}{}", escape(field), if last { "" } else { "\t" })?,
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

/// Turns the direction of what follows.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(field: &str) -> String {
    field.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn time(at: Millis) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
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
