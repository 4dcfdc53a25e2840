//! Refusals as gRPC statuses with details: what is wrong, where, and when to try again.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

/// Who names the reasons.
const DOMAIN: &str = "rejoinder.dev";

/// Violations in one status: it travels in headers, whose size is limited.
const MAX_VIOLATIONS: usize = 20;

fn status(code: Code, reason: &str, message: String, mut details: ErrorDetails) -> Status {
    details.set_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}

/// A field that cannot be taken as it is.
#[must_use]
pub fn invalid(reason: &str, field: &str, message: impl Into<String>) -> Status {
    let message = message.into();
    let details = ErrorDetails::with_bad_request_violation(field, message.clone());
    status(Code::InvalidArgument, reason, format!("{field}: {message}"), details)
}

/// Much that cannot be taken as it is: each with its place, as far as a status has room.
#[must_use]
pub fn invalid_in(reason: &str, wrong: impl IntoIterator<Item = (String, String)>) -> Status {
    let mut wrong = wrong.into_iter();
    let told = wrong.by_ref().take(MAX_VIOLATIONS);
    let mut violations: Vec<FieldViolation> = told.map(|(place, what)| FieldViolation::new(place, what)).collect();
    let more = wrong.count();
    if more > 0 {
        violations.push(FieldViolation::new("", format!("and {more} more")));
    }
    let line = |wrong: &FieldViolation| match wrong.field.as_str() {
        "" => wrong.description.clone(),
        place => format!("{place}: {}", wrong.description),
    };
    let message: Vec<String> = violations.iter().map(line).collect();
    status(Code::InvalidArgument, reason, message.join("\n"), ErrorDetails::with_bad_request(violations))
}

/// A thing that does not exist.
#[must_use]
pub fn not_found(kind: &str, id: &str) -> Status {
    let way_out = if kind == "workspace" { ": it does once a policy is applied to it" } else { "" };
    let message = format!("{kind} {id:?} does not exist{way_out}");
    let mut details = ErrorDetails::new();
    details.set_resource_info(kind, id, "", message.clone());
    status(Code::NotFound, "NOT_FOUND", message, details)
}

/// The thing has changed since the caller looked.
#[must_use]
pub fn aborted(message: impl Into<String>) -> Status {
    status(Code::Aborted, "STALE_ETAG", message.into(), ErrorDetails::new())
}

/// Somebody else was first, or the time for it is over; `reason` says which.
#[must_use]
pub fn over(reason: &str, message: impl Into<String>) -> Status {
    status(Code::Aborted, reason, message.into(), ErrorDetails::new())
}

/// The thing is not in a state for this; `reason` names the state.
#[must_use]
pub fn precondition_of(reason: &str, message: impl Into<String>) -> Status {
    status(Code::FailedPrecondition, reason, message.into(), ErrorDetails::new())
}

/// The reason that a status names; empty: none.
#[must_use]
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// The thing is not in a state for this.
#[must_use]
pub fn precondition(message: impl Into<String>) -> Status {
    status(Code::FailedPrecondition, "FAILED_PRECONDITION", message.into(), ErrorDetails::new())
}

/// No room now.
#[must_use]
pub fn exhausted(message: impl Into<String>, retry_after_ms: u64) -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(retry_after_ms)));
    status(Code::ResourceExhausted, "TOO_MUCH", message.into(), details)
}

/// The outcome is not known, or there is nobody to ask; the caller may ask again.
#[must_use]
pub fn unavailable(message: impl Into<String>, retry_after_ms: u64) -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_millis(retry_after_ms)));
    status(Code::Unavailable, "UNAVAILABLE", message.into(), details)
}

/// The delay that a status names; 0: none.
#[must_use]
pub fn retry_after_ms(status: &Status) -> u64 {
    let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
    delay.map_or(0, |delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
}
