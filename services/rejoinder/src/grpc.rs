//! The gRPC edge: every service of the process on one server.

use std::sync::Arc;
use std::time::Duration;

use rejoinder_api::admin::admin_service_server::AdminServiceServer;
use rejoinder_api::feed::event_feed_service_server::EventFeedServiceServer;
use rejoinder_api::ingest::ingest_service_server::IngestServiceServer;
use rejoinder_api::ingest::policy_service_server::PolicyServiceServer;
use rejoinder_api::routing::agent_service_server::AgentServiceServer;
use rejoinder_api::routing::routing_service_server::RoutingServiceServer;
use rejoinder_api::sla::alarm_service_server::AlarmServiceServer;
use rejoinder_api::sla::clock_service_server::ClockServiceServer;
use rejoinder_api::threading::person_service_server::PersonServiceServer;
use rejoinder_api::threading::thread_service_server::ThreadServiceServer;
use rejoinder_ingest::{Admission, Ingestion, Policies};
use rejoinder_routing::{Agents, Items};
use rejoinder_sla_timer::{Alarms, Clocks};
use rejoinder_threading::{Persons, Threads};
use tonic::transport::server::{Router, Server};

use crate::admin::Administration;
use crate::context;
use crate::feed::Feed;
use crate::inside::Inside;

/// The largest message that is taken.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// A connection that does not answer for so long, twice, is gone: an agent behind it has left.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// All services, with health and reflection; and the one whose old sessions have to be ended.
pub(crate) async fn router(inside: Arc<Inside>, admission: Arc<Admission>) -> anyhow::Result<(Router, Agents)> {
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
    reporter.set_serving::<AgentServiceServer<Agents>>().await;
    reporter.set_serving::<RoutingServiceServer<Items>>().await;
    reporter.set_serving::<ClockServiceServer<Clocks>>().await;
    reporter.set_serving::<AlarmServiceServer<Alarms>>().await;
    reporter.set_serving::<AdminServiceServer<Administration>>().await;
    reporter.set_serving::<EventFeedServiceServer<Feed>>().await;
    let threads = Threads::new(inside.threading.clone(), inside.news.clone());
    let clocks = Clocks::new(inside.sla.clone());
    let agents = Agents::start(inside.routing.clone(), &inside.news, context::ask(threads.clone(), clocks.clone()));
    let alarms = Alarms::new(inside.sla.clone(), inside.news.clone());
    let router = Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(health)
        .add_service(reflection)
        .add_service(ingestion)
        .add_service(PolicyServiceServer::new(Policies::new(inside.ingest.clone())))
        .add_service(ThreadServiceServer::new(threads))
        .add_service(PersonServiceServer::new(Persons::new(inside.threading.clone())))
        .add_service(AgentServiceServer::new(agents.clone()))
        .add_service(RoutingServiceServer::new(Items::new(inside.routing.clone())))
        .add_service(ClockServiceServer::new(clocks))
        .add_service(AlarmServiceServer::new(alarms))
        .add_service(AdminServiceServer::new(Administration::new(inside.clone())))
        .add_service(EventFeedServiceServer::new(Feed::new(inside)));
    Ok((router, agents))
}
