//! The gRPC edge: every service of the process on one server.

use std::sync::Arc;
use std::time::Duration;

use rejoinder_api::admin::admin_service_server::AdminServiceServer;
use rejoinder_api::cluster::peer_service_server::PeerServiceServer;
use rejoinder_api::feed::event_feed_service_server::EventFeedServiceServer;
use rejoinder_api::ingest::ingest_service_server::IngestServiceServer;
use rejoinder_api::ingest::policy_service_server::PolicyServiceServer;
use rejoinder_api::routing::agent_service_server::AgentServiceServer;
use rejoinder_api::routing::routing_service_server::RoutingServiceServer;
use rejoinder_api::sla::alarm_service_server::AlarmServiceServer;
use rejoinder_api::sla::clock_service_server::ClockServiceServer;
use rejoinder_api::threading::person_service_server::PersonServiceServer;
use rejoinder_api::threading::thread_service_server::ThreadServiceServer;
use rejoinder_forwarding::{
    CONNECTION_WINDOW_BYTES, Forwarding, ForwardingLayer, PeerAnswers, Peers, QuarantineAnywhere, STREAM_WINDOW_BYTES,
};
use rejoinder_ingest::{Admission, Ingestion, Policies};
use rejoinder_model::Service;
use rejoinder_routing::{Agents, Items};
use rejoinder_service_kit::{Quarantine, Quarantines, Upstream};
use rejoinder_sla_timer::{Alarms, Clocks};
use rejoinder_threading::{Persons, Threads};
use tonic::service::Routes;
use tonic::transport::server::{Router, Server};
use tower::layer::util::{Identity, Stack};

use crate::admin::Administration;
use crate::context;
use crate::feed::Feed;
use crate::inside::Inside;
use crate::others::Others;

/// The largest message that is taken.
const MAX_REQUEST_BYTES: usize = 16 << 20;
/// A connection that does not answer for so long, twice, is gone: an agent behind it has left.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// The services behind what forwards to other processes.
pub(crate) type Routed = Router<Stack<ForwardingLayer, Identity>>;

/// All services, with health and reflection; and the one whose old sessions have to be ended.
pub(crate) async fn router(
    peers: Arc<Peers>,
    inside: Arc<Inside>,
    admission: Arc<Admission>,
) -> anyhow::Result<(Routed, Agents)> {
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
    let policies = Policies::new(inside.ingest.clone());
    // What this process asks itself: no more than that, since the rest is made of it.
    let asked = Routes::new(ThreadServiceServer::new(threads.clone()))
        .add_service(ClockServiceServer::new(clocks.clone()))
        .add_service(PolicyServiceServer::new(policies.clone()));
    let others = Others::over(Forwarding::new(peers.clone(), asked));
    let agents = Agents::start(inside.routing.clone(), &inside.news, context::ask(others.clone()));
    let administration =
        Administration::new(inside.clone(), quarantines(&peers, &inside), others, peers.owners().clone());
    let alarms = Alarms::new(inside.sla.clone(), inside.news.clone());
    let router = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .layer(ForwardingLayer::new(peers.clone()))
        .add_service(health)
        .add_service(reflection)
        .add_service(ingestion)
        .add_service(PolicyServiceServer::new(policies))
        .add_service(ThreadServiceServer::new(threads))
        .add_service(PersonServiceServer::new(Persons::new(inside.threading.clone())))
        .add_service(AgentServiceServer::new(agents.clone()))
        .add_service(RoutingServiceServer::new(Items::new(inside.routing.clone())))
        .add_service(ClockServiceServer::new(clocks))
        .add_service(AlarmServiceServer::new(alarms))
        .add_service(AdminServiceServer::new(administration))
        .add_service(PeerServiceServer::new(answers(peers, &inside)))
        .add_service(EventFeedServiceServer::new(Feed::new(inside)));
    Ok((router, agents))
}

/// What each service has set aside here; ingest has no inputs.
fn quarantines_here(inside: &Inside) -> [Arc<dyn Quarantine>; 3] {
    [inside.threading.clone(), inside.routing.clone(), inside.sla.clone()]
}

/// What the services have set aside, wherever they are.
pub(crate) fn quarantines(peers: &Arc<Peers>, inside: &Inside) -> Quarantines {
    let anywhere = |here| -> Arc<dyn Quarantine> {
        Arc::new(QuarantineAnywhere::new(peers.clone(), here, inside.log.clone(), inside.news.clone()))
    };
    Quarantines::new(quarantines_here(inside).into_iter().map(anywhere).collect())
}

/// What this process answers to others.
fn answers(peers: Arc<Peers>, inside: &Inside) -> PeerAnswers {
    let upstreams: [(Service, Arc<dyn Upstream>); 3] = [
        (Service::Threading, inside.threading.clone()),
        (Service::Routing, inside.routing.clone()),
        (Service::SlaTimer, inside.sla.clone()),
    ];
    let (log, news) = (inside.log.clone(), inside.news.clone());
    PeerAnswers::new(peers, log, news, upstreams.into(), quarantines_here(inside).into())
}
