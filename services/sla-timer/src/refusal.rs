//! Refusals of the core, and fields that are none, as gRPC statuses.

use std::str::FromStr;

use rejoinder_service_kit::refuse;
use rejoinder_sla_core::Refusal;
use tonic::Status;

/// The longest request id.
const MAX_REQUEST_ID_BYTES: usize = 128;

/// What a core's refusal is called outside.
pub(crate) fn status(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::NotFound(alarm) => refuse::not_found("alarm", &alarm.to_string()),
        Refusal::Stale { .. } => refuse::aborted(refusal.to_string()),
        Refusal::RequestUsed => refuse::invalid("REQUEST_ID_USED", "request_id", refusal.to_string()),
        Refusal::Acknowledged { .. } => refuse::precondition(refusal.to_string()),
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
pub(crate) fn request_id(id: &str) -> Result<(), Status> {
    if id.len() > MAX_REQUEST_ID_BYTES {
        let what = format!("it has {} bytes, {MAX_REQUEST_ID_BYTES} are allowed", id.len());
        return Err(refuse::invalid("ID_TOO_LONG", "request_id", what));
    }
    Ok(())
}

/// A place in a list ordered by thread and clock, as its page token says it.
pub(crate) fn cursor(token: &str) -> Result<(u64, u64), Status> {
    if token.is_empty() {
        return Ok((0, 0));
    }
    let parsed = token.split_once('.').and_then(|(thread, clock)| Some((thread.parse().ok()?, clock.parse().ok()?)));
    parsed.ok_or_else(|| refuse::invalid("PAGE_TOKEN_INVALID", "page_token", "no answer gave this token"))
}
