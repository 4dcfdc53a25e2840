//! Fields that many requests have: ids, etags, request ids.

use std::str::FromStr;

use tonic::Status;

use crate::refuse;

/// The longest request id.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// An id.
///
/// # Errors
/// INVALID_ARGUMENT when it is none of its kind.
pub fn id<T: FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|error: T::Err| refuse::invalid("ID_INVALID", field, error.to_string()))
}

/// An etag; 0: any.
///
/// # Errors
/// INVALID_ARGUMENT when no answer gave it.
pub fn etag(text: &str) -> Result<u64, Status> {
    let parsed = if text.is_empty() { Ok(0) } else { text.parse() };
    parsed.map_err(|_| refuse::invalid("ETAG_INVALID", "etag", "no answer gave this etag"))
}

/// A request's id.
///
/// # Errors
/// INVALID_ARGUMENT when it is too long.
pub fn request_id(id: String) -> Result<String, Status> {
    if id.len() > MAX_REQUEST_ID_BYTES {
        let what = format!("it has {} bytes, {MAX_REQUEST_ID_BYTES} are allowed", id.len());
        return Err(refuse::invalid("ID_TOO_LONG", "request_id", what));
    }
    Ok(id)
}
