//! Refusals of the core as gRPC statuses.

use rejoinder_routing_core::Refusal;
use rejoinder_service_kit::refuse;
use tonic::Status;

/// What a core's refusal is called outside.
pub(crate) fn status(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::NotFound { kind, id } => refuse::not_found(kind, id),
        Refusal::Stale { .. } => refuse::aborted(refusal.to_string()),
        Refusal::OfferOver { .. } => refuse::over("OFFER_OVER", refusal.to_string()),
        Refusal::DeadSession { .. } => refuse::precondition_of("DEAD_SESSION", refusal.to_string()),
        Refusal::Precondition(what) => refuse::precondition(what),
        Refusal::Invalid { field: field @ "request_id", what } => refuse::invalid("REQUEST_ID_USED", field, what),
        Refusal::Invalid { field, what } => refuse::invalid("INVALID", field, what),
    }
}
