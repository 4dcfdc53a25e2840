//! The public gRPC API as generated from `proto/`: clients, servers, and descriptors for reflection.
#![allow(clippy::all, clippy::pedantic, unreachable_pub)]

/// Packages by area.
pub mod admin {
    tonic::include_proto!("rejoinder.admin.v1");
}
pub mod cluster {
    tonic::include_proto!("rejoinder.cluster.v1");
}
pub mod feed {
    tonic::include_proto!("rejoinder.feed.v1");
}
pub mod ingest {
    tonic::include_proto!("rejoinder.ingest.v1");
}
pub mod routing {
    tonic::include_proto!("rejoinder.routing.v1");
}
pub mod sla {
    tonic::include_proto!("rejoinder.sla.v1");
}
pub mod threading {
    tonic::include_proto!("rejoinder.threading.v1");
}

/// Descriptors of all services, for the reflection service.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/api.bin"));
/// Descriptors of the events that the feed carries.
pub const EVENT_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/events.bin"));

/// The metadata key that names the workspace.
pub const WORKSPACE: &str = "rejoinder-workspace";
