//! The list of formats, and reading a file in one of them.

use std::io::Read;

use rejoinder_model::Millis;

use crate::interaction::Interaction;
use crate::{email, jsonl, reddit, twcs, x_api};

/// The account of records that name none, when the caller does not either.
pub const UNKNOWN_ACCOUNT: &str = "unknown";
/// The longest id that is taken.
const MAX_ID_BYTES: usize = 512;
/// The most messages that an interaction may name as answered.
const MAX_PARENTS: usize = 1_000;
/// The longest text that is taken.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// A format of `ingest` and `replay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// E-mail: mbox, a message, a Maildir, a tar of them.
    Email,
    /// One interaction a line.
    Jsonl,
    /// Things of the Reddit API.
    Reddit,
    /// "Customer Support on Twitter".
    Twcs,
    /// Posts of the X API.
    XApi,
}

impl Format {
    /// All formats by their names on the command line.
    pub const ALL: [(&'static str, Self); 5] = [
        ("email", Self::Email),
        ("jsonl", Self::Jsonl),
        ("reddit", Self::Reddit),
        ("twcs", Self::Twcs),
        ("x-api", Self::XApi),
    ];
}

impl Format {
    /// Do records say whose account they reached?
    #[must_use]
    pub fn names_account(self) -> bool {
        match self {
            Self::Jsonl | Self::Twcs => true,
            Self::Email | Self::Reddit | Self::XApi => false,
        }
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format);
        let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
        found.ok_or_else(|| format!("format {name:?} is not known: it is one of {}", names.join(", ")))
    }
}

/// What the caller knows that the file does not say.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The company's account, for formats that name none.
    pub account: Option<String>,
}

impl Options {
    pub(crate) fn account(&self) -> String {
        self.account.clone().unwrap_or_else(|| UNKNOWN_ACCOUNT.to_owned())
    }
}

/// An interaction, and where in the file it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The line, or the number of the record.
    pub line: u64,
    /// What it says.
    pub interaction: Interaction,
}

/// A record that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct Malformed {
    /// `line 7`, `record 3`, with the member of an archive.
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// Nothing more can be read.
    pub ends_here: bool,
}

impl Malformed {
    pub(crate) fn at(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), ends_here: false }
    }

    pub(crate) fn end(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self { place: place.into(), what: what.into(), ends_here: true }
    }
}

/// One record or what is wrong with it.
pub(crate) type Item = Result<Record, Malformed>;

/// Reads records of a format, as they stand, and hands each to `each`; stops when it says `false`.
/// A malformed record is handed on too and ends nothing.
pub fn read(
    format: Format,
    options: &Options,
    input: Box<dyn Read>,
    each: &mut dyn FnMut(Result<Record, Malformed>) -> bool,
) {
    let mut last_time: Option<Millis> = None;
    let mut checked = |item: Item| {
        each(item.and_then(|mut record| {
            // A record without a time takes that of the one before it.
            if record.interaction.event_time == NO_TIME {
                record.interaction.event_time = last_time.unwrap_or_default();
            }
            last_time = Some(record.interaction.event_time);
            check(&record)?;
            Ok(record)
        }))
    };
    match format {
        Format::Email => email::read(options, input, &mut checked),
        Format::Jsonl => jsonl::read(input, &mut checked),
        Format::Reddit => reddit::read(options, input, &mut checked),
        Format::Twcs => twcs::read(input, &mut checked),
        Format::XApi => x_api::read(options, input, &mut checked),
    }
}

/// The time of a record that has none.
pub(crate) const NO_TIME: Millis = Millis::MIN;

fn check(record: &Record) -> Result<(), Malformed> {
    let interaction = &record.interaction;
    let wrong = |what: String| Err(Malformed::at(format!("record {}", record.line), what));
    let required = [
        ("channel", &interaction.channel),
        ("account", &interaction.account),
        ("external_id", &interaction.external_id),
    ];
    if let Some((field, _)) = required.iter().find(|(_, id)| id.is_empty()) {
        return wrong(format!("{field} is missing"));
    }
    if interaction.parents.len() > MAX_PARENTS {
        return wrong(format!("it answers {} messages, {MAX_PARENTS} are allowed", interaction.parents.len()));
    }
    let mut ids = required.to_vec();
    ids.extend(interaction.parents.iter().map(|id| ("reply_to", id)));
    ids.extend(interaction.recipients.iter().map(|id| ("to", id)));
    ids.extend(interaction.edit_of.iter().map(|id| ("edit_of", id)));
    ids.extend(interaction.conversation.iter().map(|id| ("conversation", id)));
    ids.extend(interaction.author.iter().map(|author| ("author.id", &author.id)));
    for (field, id) in ids {
        if id.len() > MAX_ID_BYTES {
            return wrong(format!("{field} has {} bytes, {MAX_ID_BYTES} are allowed", id.len()));
        }
        if id.chars().any(char::is_control) {
            return wrong(format!("{field} has control characters"));
        }
    }
    if interaction.text.len() > MAX_TEXT_BYTES {
        return wrong(format!("text has {} bytes, {MAX_TEXT_BYTES} are allowed", interaction.text.len()));
    }
    Ok(())
}
