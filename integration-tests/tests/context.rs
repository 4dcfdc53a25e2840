//! What is shown is what was done: an offer comes with its thread's history and clocks, and who names
//! the position of an answer sees what it led to, in every service.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::{self as api, Offer};
use rejoinder_api::sla::clock::State as ClockState;
use rejoinder_api::sla::{Clock, ListClocksRequest, Metric};
use rejoinder_api::threading::{ListThreadsRequest, ResolveThreadRequest, Thread, thread::Disposition};
use rejoinder_integration_tests::desktop::Desktop;
use rejoinder_integration_tests::floor::connector::{answer, question};
use rejoinder_integration_tests::floor::line::Line;
use rejoinder_integration_tests::floor::rules;
use rejoinder_integration_tests::server::Server;

const AGENTS: &str =
    "[[agent]]\nid = \"ann\"\ntotal = 10000\nqueues = [\"default\"]\nmax = { direct_message = 1000 }\n";
const SLA: &str = "[[policy]]\nname = \"all\"\n[policy.targets]\n\
                   first_response = \"60m\"\nnext_response = \"4h\"\nqueue_wait = \"10m\"\n";

/// A running server with a policy of one agent.
struct House {
    _dir: tempfile::TempDir,
    server: Server,
    line: Line,
}

impl House {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&dir.path().join("data"), &[]);
        let line = Line::to(&server, "default").await;
        let files = [("agents.toml", AGENTS.to_owned()), ("sla.toml", SLA.to_owned())];
        rules::apply(&line, &files).await.unwrap();
        Self { _dir: dir, server, line }
    }

    async fn publish(&self, interaction: rejoinder_api::ingest::Interaction) -> String {
        let batch = rejoinder_api::ingest::PublishBatchRequest { interactions: vec![interaction] };
        self.line.ingest().publish_batch(batch).await.unwrap().into_inner().as_of
    }

    async fn newest_thread(&self, wait_for: &str) -> Thread {
        let list = ListThreadsRequest { page_size: 1_000, wait_for: wait_for.to_owned(), ..Default::default() };
        self.line.threads().list_threads(list).await.unwrap().into_inner().threads.pop().unwrap()
    }

    async fn item(&self, thread: &Thread, wait_for: &str) -> Option<api::WorkItem> {
        let (thread_id, wait_for) = (thread.thread_id.clone(), wait_for.to_owned());
        let list = api::ListItemsRequest { thread_id, wait_for, ..Default::default() };
        self.line.items().list_items(list).await.unwrap().into_inner().items.pop()
    }

    async fn clocks(&self, thread: &Thread, wait_for: &str) -> Vec<Clock> {
        let (thread_id, wait_for) = (thread.thread_id.clone(), wait_for.to_owned());
        let list = ListClocksRequest { thread_id, wait_for, ..Default::default() };
        self.line.clocks().list_clocks(list).await.unwrap().into_inner().clocks
    }
}

fn with(clocks: &[Clock], metric: Metric) -> Option<ClockState> {
    clocks.iter().find(|clock| clock.metric() == metric).map(Clock::state)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_comes_with_the_history_of_its_thread_and_its_running_clocks() {
    let house = House::open().await;
    let mut ann = Desktop::open(&house.line, "ann", true).await.unwrap();
    for customer in 0..20 {
        // Direct messages only: every third customer writes posts.
        let customer = customer * 3;
        house.publish(question(customer, 0)).await;
        let first: Offer = ann.offer().await;
        let context = ann.context().await;
        assert_eq!((&context.offer_id, &context.thread_id), (&first.offer_id, &first.thread_id));
        let texts: Vec<&str> = context.messages.iter().map(|message| message.text.as_str()).collect();
        assert_eq!(texts, [format!("q{customer}-0")]);
        let metrics: Vec<&str> = context.clocks.iter().map(|clock| clock.metric.as_str()).collect();
        assert!(metrics.contains(&"first_response") && metrics.contains(&"queue_wait"), "{metrics:?}");
        assert!(context.clocks.iter().all(|clock| clock.due_at.is_some() && !clock.breached));

        // It is answered and settled; what the customer writes next comes with all that was said.
        assert_eq!(ann.accept(&first).await.code, 0);
        house.publish(answer(&format!("r{customer}"), &format!("q{customer}-0"))).await;
        let (thread_id, disposition) = (first.thread_id.clone(), Disposition::Answered as i32);
        let resolve = ResolveThreadRequest { thread_id, disposition, ..Default::default() };
        house.line.threads().resolve_thread(resolve).await.unwrap();
        house.publish(question(customer, 1)).await;
        let next = ann.offer().await;
        assert_ne!(next.item_id, first.item_id);
        let context = ann.context().await;
        let told: Vec<(&str, bool)> =
            context.messages.iter().map(|message| (message.text.as_str(), message.outbound)).collect();
        let (asked, again) = (format!("q{customer}-0"), format!("q{customer}-1"));
        assert_eq!(told, [(asked.as_str(), false), ("an answer", true), (again.as_str(), false)]);
        let metrics: Vec<&str> = context.clocks.iter().map(|clock| clock.metric.as_str()).collect();
        assert!(metrics.contains(&"next_response") && !metrics.contains(&"first_response"), "{metrics:?}");
        assert_eq!(ann.accept(&next).await.code, 0);
    }
    assert!(house.server.stop().contains("stopping"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_names_the_position_of_an_answer_sees_what_it_led_to() {
    let house = House::open().await;
    let mut ann = None;
    for customer in (0..50).map(|customer| customer * 3) {
        // A message: its thread, item and clocks.
        let written = house.publish(question(customer, 0)).await;
        let thread = house.newest_thread(&written).await;
        let (item, clocks) = tokio::join!(house.item(&thread, &written), house.clocks(&thread, &written));
        let item = item.expect("routing has it");
        assert_eq!(with(&clocks, Metric::FirstResponse), Some(ClockState::Running));
        let queue = api::GetQueueRequest { name: "default".into(), wait_for: written.clone() };
        let queue = house.line.items().get_queue(queue).await.unwrap().into_inner().queue.unwrap();
        if customer == 0 {
            assert_eq!((item.phase(), queue.waiting), (Phase::Queued, 1), "nobody is here yet");
            assert_eq!(with(&clocks, Metric::QueueWait), Some(ClockState::Running));
            ann = Some(Desktop::open(&house.line, "ann", false).await.unwrap());
        }
        // An accept: its item and the end of the wait.
        let ann = ann.as_mut().unwrap();
        let offer = ann.offer().await;
        assert_eq!(offer.item_id, item.item_id);
        let accepted = ann.accept_at(&offer).await;
        let (item, clocks) = tokio::join!(house.item(&thread, &accepted), house.clocks(&thread, &accepted));
        assert_eq!(item.map(|item| (item.phase(), item.agent_id)), Some((Phase::Assigned, "ann".to_owned())));
        assert_eq!(with(&clocks, Metric::QueueWait), Some(ClockState::Met));
        let agent = api::GetAgentRequest { agent_id: "ann".into(), wait_for: accepted };
        let agent = house.line.agents().get_agent(agent).await.unwrap().into_inner().agent.unwrap();
        assert!(agent.held.iter().any(|held| held.item_id == offer.item_id && held.phase() == Phase::Assigned));
        // An answer: the first response is given, the item waits for the customer.
        let answered = house.publish(answer(&format!("r{customer}"), &format!("q{customer}-0"))).await;
        let (item, clocks) = tokio::join!(house.item(&thread, &answered), house.clocks(&thread, &answered));
        assert_eq!(item.map(|item| item.phase()), Some(Phase::Parked));
        assert_eq!(with(&clocks, Metric::FirstResponse), Some(ClockState::Met));
    }
    assert!(house.server.stop().contains("stopping"));
}
