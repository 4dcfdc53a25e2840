//! Where a call belongs: a service and a partition, from its path and its workspace.

use std::collections::HashSet;
use std::sync::LazyLock;

use http::HeaderMap;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use rejoinder_model::{Service, partition_of};
use rejoinder_service_kit::{named, refuse};
use tonic::Status;

/// Paths of the methods that answer with streams.
static STREAMS: LazyLock<HashSet<String>> = LazyLock::new(|| {
    let files = FileDescriptorSet::decode(rejoinder_api::DESCRIPTORS).unwrap_or_default().file;
    let methods = files.iter().flat_map(|file| {
        file.service.iter().flat_map(move |service| {
            let streams = service.method.iter().filter(|method| method.server_streaming());
            streams.map(move |method| format!("/{}.{}/{}", file.package(), service.name(), method.name()))
        })
    });
    methods.collect()
});

/// A service in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) service: Service,
    pub(crate) partition: u16,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of partition {}", self.service.name(), self.partition)
    }
}

/// While a partition moves.
const MOVES_MS: u64 = 200;
/// While an owner is missing: another takes over once that is known.
const IS_MISSING_MS: u64 = 1_000;

impl Place {
    pub(crate) fn new(service: Service, workspace: &str, partitions: u16) -> Self {
        Self { service, partition: partition_of(workspace, partitions) }
    }

    /// Where a call belongs; `None`: whoever is asked answers.
    pub(crate) fn of(path: &str, headers: &HeaderMap, partitions: u16) -> Result<Option<Self>, Status> {
        let Some(service) = service(path) else { return Ok(None) };
        let workspace = named(headers.get(rejoinder_api::WORKSPACE).map(http::HeaderValue::as_bytes))?;
        Ok(Some(Self::new(service, workspace, partitions)))
    }

    pub(crate) fn moved(self) -> Status {
        refuse::unavailable(format!("{self} moves to another process: ask again"), MOVES_MS)
    }

    pub(crate) fn nobodys(self) -> Status {
        refuse::unavailable(format!("{self} has no owner now: ask again"), IS_MISSING_MS)
    }

    /// The other process has read the log further than this one.
    pub(crate) fn ahead(self, index: u64) -> Status {
        refuse::unavailable(format!("{self}: the log has not come to {index} here: ask again"), MOVES_MS)
    }

    pub(crate) fn counted_elsewhere(self) -> Status {
        refuse::unavailable(format!("{self}: its owner counts what is set aside"), IS_MISSING_MS)
    }

    pub(crate) fn unreachable(self, why: &str) -> Status {
        let what = format!("the owner of {self} does not answer ({why}): the outcome is not known; ask again");
        refuse::unavailable(what, IS_MISSING_MS)
    }
}

/// The service whose owner answers the calls of a path. The feed is any process's to read, but whether a
/// workspace exists is for ingest to say.
fn service(path: &str) -> Option<Service> {
    let (area, _) = path.strip_prefix("/rejoinder.")?.split_once('.')?;
    match area {
        "ingest" | "feed" => Some(Service::Ingest),
        "threading" => Some(Service::Threading),
        "routing" => Some(Service::Routing),
        "sla" => Some(Service::SlaTimer),
        _ => None,
    }
}

/// Is a call of this path answered with a stream?
pub(crate) fn streams(path: &str) -> bool {
    STREAMS.contains(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_area_of_the_api_has_its_service() {
        let files = FileDescriptorSet::decode(rejoinder_api::DESCRIPTORS).unwrap().file;
        let with_services = files.iter().filter(|file| !file.service.is_empty());
        let mut found: Vec<(&str, Option<&str>)> = with_services
            .map(|file| (file.package(), service(&format!("/{}.X/Y", file.package()))))
            .collect::<Vec<_>>()
            .into_iter()
            .map(|(package, service)| (package, service.map(Service::name)))
            .collect();
        found.sort_unstable();
        found.dedup();
        let expected = [
            ("rejoinder.admin.v1", None),
            ("rejoinder.cluster.v1", None),
            ("rejoinder.feed.v1", Some("ingest")),
            ("rejoinder.ingest.v1", Some("ingest")),
            ("rejoinder.routing.v1", Some("routing")),
            ("rejoinder.sla.v1", Some("sla-timer")),
            ("rejoinder.threading.v1", Some("threading")),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn only_methods_that_answer_with_streams_are_streams() {
        for path in [
            "/rejoinder.ingest.v1.IngestService/Publish",
            "/rejoinder.feed.v1.EventFeedService/Subscribe",
            "/rejoinder.threading.v1.ThreadService/WatchThreads",
            "/rejoinder.routing.v1.AgentService/Work",
            "/rejoinder.sla.v1.AlarmService/WatchAlarms",
        ] {
            assert!(streams(path), "{path}");
        }
        for path in ["/rejoinder.ingest.v1.IngestService/PublishBatch", "/rejoinder.routing.v1.AgentService/X", ""] {
            assert!(!streams(path), "{path}");
        }
    }

    #[test]
    fn what_is_no_workspace_is_refused_and_nothing_of_others_is_looked_at() {
        let mut headers = HeaderMap::new();
        let path = "/rejoinder.routing.v1.AgentService/GetAgent";
        let place = Place::of(path, &headers, 16).unwrap().unwrap();
        assert_eq!(place, Place::new(Service::Routing, "default", 16));
        headers.insert(rejoinder_api::WORKSPACE, http::HeaderValue::from_static("a b"));
        assert_eq!(Place::of(path, &headers, 16).unwrap_err().code(), tonic::Code::InvalidArgument);
        for other in ["/grpc.health.v1.Health/Check", "/rejoinder.admin.v1.AdminService/GetStatus", "/", "x"] {
            assert_eq!(Place::of(other, &headers, 16).unwrap(), None, "{other}");
        }
    }
}
