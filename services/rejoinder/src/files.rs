//! Input files: one, several, standard input, compressed or not.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

use anyhow::Context;
use rejoinder_channels::{Format, Interaction, Malformed, Options, UNKNOWN_ACCOUNT, framing, read};

use crate::table::say;

/// A file that ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CutOff(String);

/// Says it when nobody has named the account of a format that names none.
pub(crate) fn say_account(format: Format, account: Option<&str>) {
    if account.is_none() && !format.names_account() {
        say(&format!("this format names no account, and --account is not given: it is {UNKNOWN_ACCOUNT:?}"));
    }
}

/// Reads all interactions of a file; what is malformed goes to `skipped` with the file's name.
pub(crate) fn interactions(
    path: &Path,
    format: Format,
    account: Option<&str>,
    each: &mut dyn FnMut(Interaction),
    skipped: &mut dyn FnMut(&Path, &Malformed),
) -> anyhow::Result<()> {
    let input: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(stdin())
    } else {
        Box::new(File::open(path).with_context(|| format!("cannot read {}", path.display()))?)
    };
    let input = framing::decompressed(input).with_context(|| format!("cannot read {}", path.display()))?;
    let options = Options { account: account.map(ToOwned::to_owned) };
    let mut ended = None;
    read(format, &options, input, &mut |item| {
        match item {
            Ok(record) => each(record.interaction),
            Err(malformed) if malformed.ends_here => ended = Some(malformed),
            Err(malformed) => skipped(path, &malformed),
        }
        true
    });
    match ended {
        Some(malformed) => {
            skipped(path, &malformed);
            Err(CutOff(format!(
                "{} cannot be read to its end: {malformed}; what came before was taken",
                path.display()
            ))
            .into())
        }
        None => Ok(()),
    }
}
