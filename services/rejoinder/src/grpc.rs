//! The gRPC edge: every service of the process on one server.

use std::sync::Arc;

use rejoinder_api::admin::admin_service_server::AdminServiceServer;
use rejoinder_api::feed::event_feed_service_server::EventFeedServiceServer;
use rejoinder_api::ingest::ingest_service_server::IngestServiceServer;
use rejoinder_api::ingest::policy_service_server::PolicyServiceServer;
use rejoinder_api::threading::person_service_server::PersonServiceServer;
use rejoinder_api::threading::thread_service_server::ThreadServiceServer;
use rejoinder_ingest::{Admission, Ingestion, Policies};
use rejoinder_threading::{Persons, Threads};
use tonic::transport::server::{Router, Server};

use crate::admin::Administration;
use crate::feed::Feed;
use crate::inside::Inside;

/// The largest message that is taken.
const MAX_REQUEST_BYTES: usize = 16 << 20;

/// All services, with health and reflection.
pub(crate) async fn router(inside: Arc<Inside>, admission: Arc<Admission>) -> anyhow::Result<Router> {
    let ingestion = Ingestion::new(inside.ingest.clone(), admission, inside.clock.clone());
    let ingestion = IngestServiceServer::new(ingestion).max_decoding_message_size(MAX_REQUEST_BYTES);
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(rejoinder_api::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_serving::<IngestServiceServer<Ingestion>>().await;
    reporter.set_serving::<PolicyServiceServer<Policies>>().await;
    reporter.set_serving::<ThreadServiceServer<Threads>>().await;
    reporter.set_serving::<PersonServiceServer<Persons>>().await;
    reporter.set_serving::<AdminServiceServer<Administration>>().await;
    reporter.set_serving::<EventFeedServiceServer<Feed>>().await;
    let router = Server::builder()
        .add_service(health)
        .add_service(reflection)
        .add_service(ingestion)
        .add_service(PolicyServiceServer::new(Policies::new(inside.ingest.clone())))
        .add_service(ThreadServiceServer::new(Threads::new(inside.threading.clone(), inside.news.clone())))
        .add_service(PersonServiceServer::new(Persons::new(inside.threading.clone())))
        .add_service(AdminServiceServer::new(Administration::new(inside.clone())))
        .add_service(EventFeedServiceServer::new(Feed::new(inside)));
    Ok(router)
}
