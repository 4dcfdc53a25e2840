//! A state of a thread that was set aside is let in only while it stands.

use rejoinder_api::ingest::policy_service_server::PolicyServiceServer;
use rejoinder_api::threading::thread_service_server::ThreadServiceServer;
use rejoinder_event_log::{EventLog, RecordView};
use rejoinder_event_log_embedded::{EmbeddedLog, Options as LogOptions};
use rejoinder_forwarding::{Forwarding, Peers};
use rejoinder_ingest::Policies;
use rejoinder_ingest_core::{Arrival, Ingest, accept};
use rejoinder_machine::event;
use rejoinder_projection_store::ProjectionStore;
use rejoinder_routing_core::Routing;
use rejoinder_runtime::{Clock, Options as LaneOptions, SystemClock, Workers};
use rejoinder_threading::Threads;
use rejoinder_wire::event::{
    Direction, InteractionReceived, MessageRef, Quarantined as SetAsideInput, Structure, ThreadState, Visibility,
};
use tonic::service::Routes;

use super::*;
use crate::grpc;
use crate::inside::Over;

struct World {
    inside: Arc<Inside>,
    administration: Administration,
    _workers: Workers,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log =
            EmbeddedLog::open(&dir.path().join("log"), LogOptions { partitions: 1, ..LogOptions::default() }).unwrap();
        let store = ProjectionStore::open(&dir.path().join("state"), 8 << 20).unwrap();
        let shared: Arc<dyn EventLog> = log.clone();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let over = Over {
            options: LaneOptions::default(),
            queue_bytes: 16 << 20,
            workers: 1,
            memory: None,
            services: Service::ALL.to_vec(),
            group: None,
        };
        let (inside, lanes) = Inside::open(log, &store, clock, &over).unwrap();
        let workers = Workers::start(lanes, &shared).unwrap();
        let inside = Arc::new(inside);
        let peers = Peers::alone(1);
        let asked = Routes::new(PolicyServiceServer::new(Policies::new(inside.ingest.clone())))
            .add_service(ThreadServiceServer::new(Threads::new(inside.threading.clone(), inside.news.clone())));
        let others = Others::over(Forwarding::new(peers.clone(), asked));
        let administration =
            Administration::new(inside.clone(), grpc::quarantines(&peers, &inside), others, peers.owners().clone());
        Self { administration, inside, _workers: workers, _dir: dir }
    }

    /// A message from ann, or to her, once routing has heard of it.
    async fn says(&self, id: &str, direction: Direction) {
        while !self.inside.is_ready() {
            tokio::task::yield_now().await;
        }
        let now = self.inside.clock.wall_ms();
        let message =
            MessageRef { channel: "x".into(), account: "acme".into(), external_id: id.into(), global_ids: false };
        let received = InteractionReceived {
            message: Some(message),
            direction: direction as i32,
            visibility: Visibility::Private as i32,
            structure: Structure::Direct as i32,
            author_id: (direction == Direction::Inbound).then(|| "ann".to_owned()),
            recipients: (direction == Direction::Outbound).then(|| "ann".to_owned()).into_iter().collect(),
            event_time: now,
            received_at: now,
            clock_time: now,
            ..InteractionReceived::default()
        };
        let decision = move |state: &Ingest, context: &_, out: &mut Vec<_>| {
            accept(state, context, "default", Arrival { received, revision: None }, out);
        };
        let ((), as_of) = self.inside.ingest.decide("default", decision).await.unwrap();
        self.inside.routing.ask("default", &as_of.to_string(), |_| ()).await.unwrap();
    }

    /// Where threading says that a thread is in a state.
    fn place(&self, to: ThreadState) -> (u64, u32) {
        let records = self.inside.log.read(0, 0, usize::MAX).unwrap();
        let all = records.iter().flat_map(|record| {
            let events = RecordView::verify(&record.bytes).unwrap().events().unwrap();
            (0_u32..).zip(events).map(|(number, event)| ((record.index, number), event)).collect::<Vec<_>>()
        });
        let said = |bytes: bytes::Bytes| match <Event as prost::Message>::decode(bytes).unwrap().body {
            Some(Body::ThreadStateChanged(changed)) => changed.to == to as i32,
            _ => false,
        };
        all.filter(|(_, event)| said(event.clone())).map(|(place, _)| place).last().unwrap()
    }

    /// Sets that aside for routing; answers with its id.
    async fn set_aside(&self, (source_index, source_event): (u64, u32)) -> String {
        let decision = move |_: &Routing, context: &rejoinder_machine::Context, out: &mut Vec<_>| {
            let aside = SetAsideInput { source_index, source_event, reason: "a defect".into(), ..Default::default() };
            out.push(event("default", Body::Quarantined(aside)));
            context.next_own_seq
        };
        let (number, _) = self.inside.routing.decide("default", decision).await.unwrap();
        format!("routing/0/{number}")
    }

    async fn retry(&self, quarantine_id: &str) -> Result<(), Status> {
        let request = RetryQuarantinedRequest { quarantine_id: quarantine_id.to_owned() };
        self.administration.retry_quarantined(Request::new(request)).await.map(|_| ())
    }

    async fn listed(&self) -> Vec<(String, String)> {
        let request = Request::new(ListQuarantineRequest::default());
        let answer = self.administration.list_quarantine(request).await.unwrap().into_inner();
        answer.quarantined.into_iter().map(|found| (found.quarantine_id, found.source)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_the_thread_has_left_is_not_let_in_any_more() {
    let world = World::new();
    world.says("1", Direction::Inbound).await;
    let waits = world.place(ThreadState::AwaitingAgent);
    let first = world.set_aside(waits).await;
    assert_eq!(world.listed().await, [(first.clone(), format!("0/{}", waits.0))]);
    world.retry(&first).await.unwrap();
    let second = world.set_aside(waits).await;
    world.says("2", Direction::Outbound).await;
    let status = world.retry(&second).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert!(status.message().contains("skip"), "{status}");
    assert_eq!(world.listed().await.len(), 1, "it stays for a person to decide");
    let request = SkipQuarantinedRequest { quarantine_id: second };
    world.administration.skip_quarantined(Request::new(request)).await.unwrap();
    assert!(world.listed().await.is_empty());
}
