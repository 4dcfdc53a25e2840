//! Pages of lists, as AIP-158 has them.

use tonic::Status;

use crate::refuse;

/// The largest page.
const MAX: usize = 1_000;
/// The page of who does not say.
const DEFAULT: usize = 100;

/// What a page may have in bytes: clients take messages of 4 MiB unless told otherwise.
pub const MAX_PAGE_BYTES: usize = 3 << 20;

/// How many of the entries a page may have, one at least.
pub fn fitting<T: prost::Message>(entries: &[T]) -> usize {
    let mut bytes = 0;
    let fit = entries.iter().take_while(|entry| {
        bytes += entry.encoded_len();
        bytes <= MAX_PAGE_BYTES
    });
    fit.count().max(1)
}

/// A page that a caller asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many entries at most.
    pub size: usize,
    /// The entry to begin with, as the token before it said.
    pub from: u64,
}

/// The page of a request.
///
/// # Errors
/// INVALID_ARGUMENT for a negative size, one above 1,000 or a token that no answer gave.
pub fn page(size: i32, token: &str) -> Result<Page, Status> {
    let size = match usize::try_from(size) {
        Ok(0) => DEFAULT,
        Ok(size) if size <= MAX => size,
        _ => return Err(refuse::invalid("PAGE_SIZE_INVALID", "page_size", format!("{size} is not within 0 to {MAX}"))),
    };
    let from = if token.is_empty() { Ok(0) } else { token.parse() };
    let from = from.map_err(|_| refuse::invalid("PAGE_TOKEN_INVALID", "page_token", "no answer gave this token"))?;
    Ok(Page { size, from })
}
