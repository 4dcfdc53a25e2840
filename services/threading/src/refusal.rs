//! Refusals of the core, and ids that are none, as gRPC statuses.

use std::str::FromStr;

use rejoinder_service_kit::refuse;
use rejoinder_threading_core::Refusal;
use tonic::Status;

/// The longest request id.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// What a core's refusal is called outside.
pub(crate) fn status(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::NotFound { kind, id } => refuse::not_found(kind, id),
        Refusal::Stale { .. } => refuse::aborted(refusal.to_string()),
        Refusal::Precondition(what) => refuse::precondition(what),
        Refusal::Invalid { field, what } => refuse::invalid("INVALID", field, what),
    }
}

/// An id of a request.
pub(crate) fn id<T: FromStr<Err: std::fmt::Display>>(field: &str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|error: T::Err| refuse::invalid("ID_INVALID", field, error.to_string()))
}

/// An etag; 0: any.
pub(crate) fn etag(text: &str) -> Result<u64, Status> {
    let parsed = if text.is_empty() { Ok(0) } else { text.parse() };
    parsed.map_err(|_| refuse::invalid("ETAG_INVALID", "etag", "no answer gave this etag"))
}

/// A request's id within its limit.
pub(crate) fn request_id(id: String) -> Result<String, Status> {
    if id.len() > MAX_REQUEST_ID_BYTES {
        let what = format!("it has {} bytes, {MAX_REQUEST_ID_BYTES} are allowed", id.len());
        return Err(refuse::invalid("ID_TOO_LONG", "request_id", what));
    }
    Ok(id)
}

/// A place in a list ordered by time and number, as its page token says it.
pub(crate) fn cursor(token: &str) -> Result<Option<(i64, u64)>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let parsed = token.split_once('.').and_then(|(time, number)| Some((time.parse().ok()?, number.parse().ok()?)));
    let wrong = || refuse::invalid("PAGE_TOKEN_INVALID", "page_token", "no answer gave this token");
    parsed.map(Some).ok_or_else(wrong)
}

/// The token of a place.
pub(crate) fn token((time, number): (i64, u64)) -> String {
    format!("{time}.{number}")
}
