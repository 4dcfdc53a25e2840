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
}

impl Rows {
    pub(crate) fn new(output: Output, columns: &[&'static str], widths: &[usize]) -> io::Result<Self> {
        let mut rows =
            Self { out: BufWriter::new(io::stdout()), columns: columns.to_vec(), output, widths: widths.to_vec() };
        if output != Output::Json {
            rows.line(&columns.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        }
        Ok(rows)
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
        self.line(fields)
    }

    fn line(&mut self, fields: &[String]) -> io::Result<()> {
        for (n, field) in fields.iter().enumerate() {
            let last = n + 1 == fields.len();
            match self.output {
                Output::Table => {
                    let field = field.replace(['\n', '\r', '\t'], " ");
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
        self.out.flush()
    }

    pub(crate) fn end(mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn escape(field: &str) -> String {
    field.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn time(at: Millis) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}
