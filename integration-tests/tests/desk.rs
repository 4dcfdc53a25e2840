//! Bad input at the desk over the real sockets: each thing that is wrong has its code and details, costs
//! nothing else, and what is promised about it holds.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::fs;

use rejoinder_api::ingest::{CheckPolicyRequest, GetPolicyRequest, PolicyFile};
use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::work_request::{AcceptOffer, ParkItem, Request as Up};
use rejoinder_api::routing::{self as api, Offer, Presence};
use rejoinder_api::sla::{
    AcknowledgeAlarmRequest, GetClockRequest, ListAlarmsRequest, ListClocksRequest, Metric, WatchAlarmsRequest,
};
use rejoinder_api::threading::{ListThreadsRequest, ResolveThreadRequest, Thread, thread::Disposition};
use rejoinder_integration_tests::desktop::{Desktop, SOON};
use rejoinder_integration_tests::floor::connector::{answer, question};
use rejoinder_integration_tests::floor::line::Line;
use rejoinder_integration_tests::floor::rules;
use rejoinder_integration_tests::server::Server;
use rejoinder_integration_tests::{auditor, run};
use rejoinder_service_kit::refuse;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

const QUEUES: &str = "[[queue]]\nname = \"service\"\nparallel_offers = 2\n[[queue]]\nname = \"second\"\n";
const AGENTS: &str = "[[agent]]\nid = \"ann\"\nqueues = [\"service\", \"second\"]\n\
                      [[agent]]\nid = \"bob\"\nqueues = [\"service\"]\n";
const SLA: &str = "[[policy]]\nname = \"all\"\n[policy.targets]\nfirst_response = \"60m\"\nresolution = \"1d\"\n";

/// A running server with a policy.
struct House {
    dir: tempfile::TempDir,
    server: Server,
    line: Line,
}

impl House {
    async fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&dir.path().join("data"), &[]);
        let line = Line::to(&server, "default").await;
        let house = Self { dir, server, line };
        house.apply(AGENTS, SLA).await;
        house
    }

    async fn apply(&self, agents: &str, sla: &str) -> String {
        let files = [("agents.toml", agents), ("queues.toml", QUEUES), ("sla.toml", sla)];
        rules::apply(&self.line, &files.map(|(name, text)| (name, text.to_owned()))).await.unwrap()
    }

    /// A customer's message, or our answer; answers with where it stands.
    async fn publish(&self, interaction: rejoinder_api::ingest::Interaction) -> String {
        let batch = rejoinder_api::ingest::PublishBatchRequest { interactions: vec![interaction] };
        let answer = self.line.ingest().publish_batch(batch).await.unwrap().into_inner();
        assert_eq!(answer.results[0].refusal, None);
        answer.as_of
    }

    /// The newest thread, as of a position.
    async fn thread(&self, wait_for: String) -> Thread {
        let list = ListThreadsRequest { page_size: 1_000, wait_for, ..Default::default() };
        self.line.threads().list_threads(list).await.unwrap().into_inner().threads.pop().unwrap()
    }

    async fn item(&self, item_id: &str) -> api::WorkItem {
        let get = api::GetItemRequest { item_id: item_id.to_owned(), wait_for: String::new() };
        self.line.items().get_item(get).await.unwrap().into_inner().item.unwrap()
    }

    async fn agent(&self, agent_id: &str) -> api::Agent {
        let get = api::GetAgentRequest { agent_id: agent_id.to_owned(), wait_for: String::new() };
        self.line.agents().get_agent(get).await.unwrap().into_inner().agent.unwrap()
    }

    /// Waits for something that happens by itself.
    async fn until<R>(&self, mut look: impl AsyncFnMut() -> Option<R>) -> R {
        let looking = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, looking).await.expect("it happens soon")
    }

    /// Stops the server; its log must hold in itself, and a rebuild equal the state.
    fn close(self) {
        assert!(self.server.stop().contains("stopping"));
        let data = self.dir.path().join("data");
        assert_eq!(auditor::by_itself(&data), [""; 0]);
        for command in [&["log", "verify"][..], &["log", "rebuild", "--compare"]] {
            let output = run(&[command, &["--data-dir", data.to_str().unwrap()]].concat());
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// Events of a type, as `events tail` tells them.
fn events(house: &House, of: &str) -> Vec<String> {
    let endpoint = &house.server.endpoint;
    let from = ["events", "tail", "--until-end", "--from", "start", "--output", "tsv", "--endpoint", endpoint];
    let output = run(&[&from[..], &["--type", of]].concat());
    String::from_utf8_lossy(&output.stdout).lines().skip(1).map(ToOwned::to_owned).collect()
}

/// A refusal has this code and reason; answers with it.
fn refused<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, code: Code, reason: &str) -> Status {
    let status = answer.expect_err("it is refused");
    assert_eq!((status.code(), refuse::reason(&status).as_str()), (code, reason), "{status}");
    assert!(!status.message().is_empty());
    status
}

/// A thing that does not exist is named.
fn unknown<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, kind: &str, id: &str) {
    let status = refused(answer, Code::NotFound, "NOT_FOUND");
    let info = status.get_details_resource_info().expect("it says what does not exist");
    assert_eq!((info.resource_type.as_str(), info.resource_name.as_str()), (kind, id));
}

/// A field that cannot be right is named.
fn invalid<T: std::fmt::Debug>(answer: Result<Response<T>, Status>, reason: &str, field: &str) {
    let status = refused(answer, Code::InvalidArgument, reason);
    let fields = status.get_details_bad_request().expect("it says which field").field_violations;
    assert!(fields.iter().any(|wrong| wrong.field == field && !wrong.description.is_empty()), "{fields:?}");
}

fn take(item_id: &str, agent_id: &str, etag: &str) -> api::TakeItemRequest {
    let request_id = String::new();
    api::TakeItemRequest { item_id: item_id.into(), request_id, etag: etag.into(), agent_id: agent_id.into() }
}

fn transfer(item_id: &str, queue: &str, agent_id: &str, etag: &str) -> api::TransferItemRequest {
    let (item_id, request_id, etag) = (item_id.into(), String::new(), etag.into());
    api::TransferItemRequest { item_id, request_id, etag, queue: queue.into(), agent_id: agent_id.into() }
}

fn presence(agent_id: &str, presence: i32, etag: &str) -> api::SetPresenceRequest {
    api::SetPresenceRequest { agent_id: agent_id.into(), presence, request_id: String::new(), etag: etag.into() }
}

fn why_not(item_id: &str, agent_id: &str) -> api::WhyNotRequest {
    api::WhyNotRequest { item_id: item_id.into(), agent_id: agent_id.into(), wait_for: String::new() }
}

const NO_ITEM: &str = "w0000000000zzz";

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_exist_is_named_by_every_call() {
    let house = House::open().await;
    let (mut items, mut agents) = (house.line.items(), house.line.agents());
    let mut ann = Desktop::open(&house.line, "ann", false).await.unwrap();
    house.publish(question(0, 0)).await;
    let item = ann.offer().await.item_id;

    unknown(
        items.get_item(api::GetItemRequest { item_id: NO_ITEM.into(), ..Default::default() }).await,
        "work item",
        NO_ITEM,
    );
    unknown(
        items.explain(api::ExplainRequest { item_id: NO_ITEM.into(), ..Default::default() }).await,
        "work item",
        NO_ITEM,
    );
    unknown(items.take_item(take(NO_ITEM, "ann", "")).await, "work item", NO_ITEM);
    unknown(items.take_item(take(&item, "nobody", "")).await, "agent", "nobody");
    unknown(items.transfer_item(transfer(NO_ITEM, "second", "", "")).await, "work item", NO_ITEM);
    unknown(items.transfer_item(transfer(&item, "nowhere", "", "")).await, "queue", "nowhere");
    unknown(items.transfer_item(transfer(&item, "", "nobody", "")).await, "agent", "nobody");
    unknown(items.why_not(why_not(&item, "nobody")).await, "agent", "nobody");
    unknown(items.why_not(why_not(NO_ITEM, "ann")).await, "work item", NO_ITEM);
    unknown(
        items.get_queue(api::GetQueueRequest { name: "nowhere".into(), ..Default::default() }).await,
        "queue",
        "nowhere",
    );
    unknown(
        agents.get_agent(api::GetAgentRequest { agent_id: "nobody".into(), ..Default::default() }).await,
        "agent",
        "nobody",
    );
    unknown(agents.set_presence(presence("nobody", 2, "")).await, "agent", "nobody");
    let stranger = Desktop::open(&house.line, "nobody", false).await.map(|_| Response::new(()));
    unknown(stranger, "agent", "nobody");
    let clock_id = "k0000000000zzz".to_owned();
    unknown(
        house.line.clocks().get_clock(GetClockRequest { clock_id, ..Default::default() }).await,
        "clock",
        "k0000000000zzz",
    );
    let alarm_id = "a0000000000zzz".to_owned();
    let acknowledge = AcknowledgeAlarmRequest { alarm_id, by: "eve".into(), ..Default::default() };
    unknown(house.line.alarms().acknowledge_alarm(acknowledge).await, "alarm", "a0000000000zzz");
    let thread_id = "t0000000000zzz".to_owned();
    let of_thread = ListClocksRequest { thread_id, ..Default::default() };
    unknown(house.line.clocks().list_clocks(of_thread).await, "thread", "t0000000000zzz");

    let answers = [
        ann.ask(Up::Accept(AcceptOffer { offer_id: "o0000000000zzz".into() })).await.unwrap(),
        ann.ask(Up::Park(ParkItem { item_id: NO_ITEM.into() })).await.unwrap(),
    ];
    for answer in answers {
        assert_eq!((answer.code, answer.reason.as_str()), (i32::from(Code::NotFound), "NOT_FOUND"), "{answer:?}");
    }

    let elsewhere = Line::to(&house.server, "nowhere").await;
    let (mut items, mut agents) = (elsewhere.items(), elsewhere.agents());
    unknown(items.list_items(api::ListItemsRequest::default()).await, "workspace", "nowhere");
    unknown(items.list_queues(api::ListQueuesRequest::default()).await, "workspace", "nowhere");
    unknown(items.take_item(take(&item, "ann", "")).await, "workspace", "nowhere");
    unknown(agents.list_agents(api::ListAgentsRequest::default()).await, "workspace", "nowhere");
    unknown(agents.set_presence(presence("ann", 2, "")).await, "workspace", "nowhere");
    unknown(elsewhere.clocks().list_clocks(ListClocksRequest::default()).await, "workspace", "nowhere");
    unknown(elsewhere.alarms().list_alarms(ListAlarmsRequest::default()).await, "workspace", "nowhere");
    unknown(Desktop::open(&elsewhere, "ann", false).await.map(|_| Response::new(())), "workspace", "nowhere");
    // One workspace's item is none of another's.
    rules::apply(&elsewhere, &[("queues.toml", QUEUES.to_owned())]).await.unwrap();
    unknown(items.take_item(take(&item, "ann", "")).await, "work item", &item);
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_right_is_named_by_its_field() {
    let house = House::open().await;
    let (mut items, mut agents) = (house.line.items(), house.line.agents());
    let long = "r".repeat(129);
    let list = api::ListItemsRequest::default();
    invalid(
        items.get_item(api::GetItemRequest { item_id: "t0000000000001".into(), ..Default::default() }).await,
        "ID_INVALID",
        "item_id",
    );
    invalid(items.take_item(take("", "ann", "")).await, "ID_INVALID", "item_id");
    invalid(items.take_item(take(NO_ITEM, "ann", "x")).await, "ETAG_INVALID", "etag");
    let mut too_long = take(NO_ITEM, "ann", "");
    too_long.request_id.clone_from(&long);
    invalid(items.take_item(too_long).await, "ID_TOO_LONG", "request_id");
    invalid(items.transfer_item(transfer(NO_ITEM, "", "", "")).await, "TARGET_MISSING", "queue");
    let page = api::ListItemsRequest { page_token: "x".into(), ..list.clone() };
    invalid(items.list_items(page).await, "PAGE_TOKEN_INVALID", "page_token");
    let later = api::ListItemsRequest { wait_for: "10/99999999".into(), ..list.clone() };
    invalid(items.list_items(later).await, "POSITION_INVALID", "wait_for");
    invalid(items.list_items(api::ListItemsRequest { thread_id: "x".into(), ..list }).await, "ID_INVALID", "thread_id");
    for wrong in [0, 4, 99] {
        let set = agents.set_presence(presence("ann", wrong, "")).await;
        let status = set.expect_err("it is refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{wrong}: {status}");
        assert_eq!(status.get_details_bad_request().unwrap().field_violations[0].field, "presence");
    }
    let watch = WatchAlarmsRequest { after: "nowhere".into() };
    invalid(house.line.alarms().watch_alarms(watch).await, "POSITION_INVALID", "after");
    let acknowledge =
        AcknowledgeAlarmRequest { alarm_id: "a0000000000zzz".into(), by: "a\nb".into(), ..Default::default() };
    invalid(house.line.alarms().acknowledge_alarm(acknowledge).await, "INVALID", "by");
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_etag_changes_nothing() {
    let house = House::open().await;
    let mut items = house.line.items();
    let as_of = house.publish(question(0, 0)).await;
    let thread = house.thread(as_of.clone()).await.thread_id;
    let list = api::ListItemsRequest { wait_for: as_of, ..Default::default() };
    let before = items.list_items(list).await.unwrap().into_inner().items.pop().unwrap();
    let moved = items.transfer_item(transfer(&before.item_id, "second", "", &before.etag)).await.unwrap();
    let after = moved.into_inner().item.unwrap();
    assert_ne!(before.etag, after.etag);
    refused(
        items.transfer_item(transfer(&before.item_id, "service", "", &before.etag)).await,
        Code::Aborted,
        "STALE_ETAG",
    );
    refused(items.take_item(take(&before.item_id, "ann", &before.etag)).await, Code::Aborted, "STALE_ETAG");
    assert_eq!(house.item(&before.item_id).await, after);

    let mut agents = house.line.agents();
    let set = agents.set_presence(presence("ann", Presence::Available as i32, "")).await.unwrap();
    let seen = set.into_inner().agent.unwrap().etag;
    agents.set_presence(presence("ann", Presence::Away as i32, &seen)).await.unwrap();
    let again = agents.set_presence(presence("ann", Presence::Available as i32, &seen)).await;
    refused(again, Code::Aborted, "STALE_ETAG");
    assert_eq!(house.agent("ann").await.presence(), Presence::Away);

    let resolve = |etag: &str| ResolveThreadRequest {
        thread_id: thread.clone(),
        etag: etag.to_owned(),
        disposition: Disposition::Answered as i32,
        ..ResolveThreadRequest::default()
    };
    refused(house.line.threads().resolve_thread(resolve("1")).await, Code::Aborted, "STALE_ETAG");
    let mut policy = rules::request(&[("queues.toml", QUEUES.to_owned())]);
    policy.etag = "17".into();
    refused(house.line.policies().apply_policy(policy).await, Code::Aborted, "STALE_ETAG");
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_id_is_for_one_command() {
    let house = House::open().await;
    let (mut items, mut agents) = (house.line.items(), house.line.agents());
    let mut waiting = Vec::new();
    for customer in [0, 1] {
        let wait_for = house.publish(question(customer, 0)).await;
        let list = api::ListItemsRequest { wait_for, ..Default::default() };
        waiting.push(items.list_items(list).await.unwrap().into_inner().items.pop().unwrap().item_id);
    }
    let with = |item: &str, queue: &str| {
        let request_id = "r1".to_owned();
        api::TransferItemRequest { request_id, ..transfer(item, queue, "", "") }
    };
    let first = items.transfer_item(with(&waiting[0], "second")).await.unwrap().into_inner().item;
    let again = items.transfer_item(with(&waiting[0], "second")).await.unwrap().into_inner().item;
    assert_eq!(again, first, "a repeat does nothing");
    invalid(items.transfer_item(with(&waiting[1], "second")).await, "REQUEST_ID_USED", "request_id");
    invalid(items.transfer_item(with(&waiting[0], "service")).await, "REQUEST_ID_USED", "request_id");
    let take = api::TakeItemRequest { request_id: "r1".into(), ..take(&waiting[0], "ann", "") };
    invalid(items.take_item(take).await, "REQUEST_ID_USED", "request_id");
    let set = api::SetPresenceRequest { request_id: "r1".into(), ..presence("ann", 2, "") };
    invalid(agents.set_presence(set).await, "REQUEST_ID_USED", "request_id");
    assert_eq!(house.item(&waiting[1]).await.queue, "service");
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offer_is_accepted_by_one_and_declined_once() {
    let house = House::open().await;
    let mut ann = Desktop::open(&house.line, "ann", false).await.unwrap();
    let mut bob = Desktop::open(&house.line, "bob", false).await.unwrap();
    house.publish(question(0, 0)).await;
    let (to_ann, to_bob) = (ann.offer().await, bob.offer().await);
    assert_eq!(to_ann.item_id, to_bob.item_id);
    assert_eq!(ann.accept(&to_bob).await.reason, "NOT_FOUND", "it is not hers");
    assert_eq!(bob.accept(&to_bob).await.code, 0);
    let late = ann.accept(&to_ann).await;
    assert_eq!((late.code, late.reason.as_str()), (i32::from(Code::Aborted), "OFFER_OVER"), "{late:?}");
    let late = ann.decline(&to_ann).await;
    assert_eq!((late.code, late.reason.as_str()), (i32::from(Code::Aborted), "OFFER_OVER"), "{late:?}");
    assert_eq!(bob.accept(&to_bob).await.code, 0, "the answer may have been lost");
    let item = house.item(&to_bob.item_id).await;
    assert_eq!((item.phase(), item.agent_id.as_str()), (Phase::Assigned, "bob"));
    refused(
        house.line.items().take_item(take(&item.item_id, "ann", "")).await,
        Code::FailedPrecondition,
        "FAILED_PRECONDITION",
    );
    assert_eq!(house.item(&to_bob.item_id).await, item, "nothing has changed it");

    house.publish(question(1, 0)).await;
    let offer: Offer = ann.offer().await;
    assert_eq!(ann.decline(&offer).await.code, 0);
    let twice = ann.decline(&offer).await;
    let expected = (i32::from(Code::FailedPrecondition), "FAILED_PRECONDITION");
    assert_eq!((twice.code, twice.reason.as_str()), expected, "{twice:?}");
    let late = ann.accept(&offer).await;
    assert_eq!((late.code, late.reason.as_str()), (i32::from(Code::Aborted), "OFFER_OVER"), "{late:?}");
    assert_eq!(house.item(&offer.item_id).await.declined_by, ["ann"]);
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_stream_speaks_for_nobody() {
    let house = House::open().await;
    for _ in 0..20 {
        let mut first = Desktop::open(&house.line, "ann", false).await.unwrap();
        let second = Desktop::open(&house.line, "ann", false).await.unwrap();
        // Either the stream has ended when this is said, or it is told that it speaks for nobody.
        match first.ask(Desktop::presence(Presence::Away)).await {
            Ok(answer) => {
                let expected = (i32::from(Code::FailedPrecondition), "DEAD_SESSION");
                assert_eq!((answer.code, answer.reason.as_str()), expected, "{answer:?}");
                assert_eq!(first.end().await.code(), Code::Aborted);
            }
            Err(status) => {
                assert_eq!(
                    (status.code(), refuse::reason(&status).as_str()),
                    (Code::Aborted, "SESSION_OVER"),
                    "{status}"
                );
            }
        }
        let agent = house.agent("ann").await;
        assert_eq!((agent.presence(), agent.connected), (Presence::Available, true), "the newest stream speaks");
        drop(second);
    }
    house.until(async || (!house.agent("ann").await.connected).then_some(())).await;
    house.close();
}

/// A policy file that is wrong, where, and what is said.
const WRONG: [(&str, &str, u32, u32, &str); 9] = [
    (
        "queues.toml",
        "[[queue]]\nname = \"a\"\noverflow = \"b\"\n[[queue]]\nname = \"b\"\noverflow = \"a\"\n",
        3,
        12,
        "queue a overflows into itself by b",
    ),
    ("queues.toml", "[[queue]]\nname = \"a\"\noverflow = \"c\"\n", 3, 12, "there is no queue \"c\""),
    (
        "calendars.toml",
        "[[calendar]]\nname = \"never\"\ntime_zone = \"UTC\"\n[calendar.hours]\n",
        4,
        1,
        "the calendar is never open",
    ),
    (
        "calendars.toml",
        "[[calendar]]\nname = \"a\"\ntime_zone = \"Mars/Olympus\"\nhours = { mon = [\"09:00-17:00\"] }\n",
        3,
        13,
        "there is no time zone \"Mars/Olympus\"",
    ),
    (
        "sla.toml",
        "[[policy]]\nname = \"p\"\n[policy.targets]\nfirst_response = \"0s\"\n",
        4,
        18,
        "\"0s\" is not within 1s to 3650d",
    ),
    (
        "sla.toml",
        "[[policy]]\nname = \"p\"\n[policy.targets]\nresolution = { within = \"36500d\" }\n",
        4,
        25,
        "\"36500d\" is not within 1s to 3650d",
    ),
    (
        "sla.toml",
        "[[policy]]\nname = \"p\"\ncalendar = \"ofice\"\n[policy.targets]\nresolution = \"1d\"\n",
        3,
        12,
        "has no calendar \"ofice\"",
    ),
    ("agents.toml", "[[agent]]\nid = \"ann\"\nqueues = [\"nowhere\"]\n", 3, 11, "there is no queue \"nowhere\""),
    ("routing.toml", "[[kind]]\nname = \"email\"\ngroup = \"text\"\n", 3, 9, "there is no group \"text\""),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_be_right_is_named_by_file_line_and_column_and_not_taken() {
    let house = House::open().await;
    let mut policies = house.line.policies();
    let before = policies.get_policy(GetPolicyRequest {}).await.unwrap().into_inner();
    for (file, text, line, column, what) in WRONG {
        let files = [(file, text.to_owned())];
        let file_of = PolicyFile { name: file.into(), text: text.into() };
        let checked = policies.check_policy(CheckPolicyRequest { files: vec![file_of] }).await.unwrap().into_inner();
        let problem = &checked.problems[0];
        assert_eq!((problem.file.as_str(), problem.line, problem.column), (file, line, column), "{problem:?}");
        assert!(problem.message.contains(what), "{problem:?}");

        let place = format!("{file}:{line}:{column}");
        for validate_only in [true, false] {
            let request = rejoinder_api::ingest::ApplyPolicyRequest { validate_only, ..rules::request(&files) };
            let status = refused(policies.apply_policy(request).await, Code::InvalidArgument, "POLICY_INVALID");
            assert!(status.message().contains(&format!("{place}: ")) && status.message().contains(what), "{status}");
            let wrong = &status.get_details_bad_request().unwrap().field_violations[0];
            assert!(wrong.field == place && wrong.description.contains(what), "{wrong:?}");
        }

        let dir = house.dir.path().join("policy");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join(file), text).unwrap();
        let dir = dir.to_str().unwrap();
        for args in [&["policy", "check", dir][..], &["policy", "apply", dir, "--endpoint", &house.server.endpoint]] {
            let output = run(args);
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{args:?}: {said}");
            assert!(said.contains(&format!("policy/{place}: ")) && said.contains(what), "{args:?}: {said}");
        }
        fs::remove_dir_all(dir).unwrap();
    }
    let after = policies.get_policy(GetPolicyRequest {}).await.unwrap().into_inner();
    assert_eq!((after.version, after.files), (before.version, before.files));

    // However much is wrong, the answer arrives.
    let many: String = (0..2_000).map(|n| format!("[[agent]]\nid = \"a{n}\"\nqueues = [\"nowhere\"]\n")).collect();
    let much = policies.apply_policy(rules::request(&[("agents.toml", many)])).await;
    let status = refused(much, Code::InvalidArgument, "POLICY_INVALID");
    assert!(status.message().contains("agents.toml:3:11: ") && status.message().contains("and 1980 more"), "{status}");
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_skill_that_nobody_has_is_a_reason() {
    let house = House::open().await;
    // Nobody with the skill: wanted levels fall, required ones never; without agents nobody says it is wrong.
    let queues = "[[queue]]\nname = \"service\"\nskills = [{ name = \"klingon\", level = 3 }]\n";
    let agents = "[[agent]]\nid = \"ann\"\nqueues = [\"service\"]\n";
    let files = [("agents.toml", agents.to_owned()), ("queues.toml", queues.to_owned())];
    rules::apply(&house.line, &files).await.unwrap();
    let _ann = Desktop::open(&house.line, "ann", false).await.unwrap();
    let wait_for = house.publish(question(0, 0)).await;
    let list = api::ListItemsRequest { wait_for, ..Default::default() };
    let item = house.line.items().list_items(list).await.unwrap().into_inner().items.pop().unwrap();
    assert_eq!(item.phase(), Phase::Queued);
    let why = house.line.items().why_not(why_not(&item.item_id, "ann")).await.unwrap().into_inner();
    assert_eq!((why.reasons, why.waits), (vec!["skills".to_owned()], true));
    let explain = async || {
        let explain = api::ExplainRequest { item_id: item.item_id.clone(), ..Default::default() };
        house.line.items().explain(explain).await.unwrap().into_inner().decisions.pop()
    };
    let decision = house.until(explain).await;
    assert_eq!(decision.chosen_agent_ids, [""; 0]);
    assert_eq!((decision.lost[0].reason.as_str(), decision.lost[0].agents), ("skills", 1));
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capacity_lowered_below_what_is_held_takes_nothing_away_and_gives_nothing_more() {
    let house = House::open().await;
    let mut ann = Desktop::open(&house.line, "ann", false).await.unwrap();
    let mut held = Vec::new();
    for customer in [0, 1, 3] {
        house.publish(question(customer, 0)).await;
        let offer = ann.offer().await;
        assert_eq!(ann.accept(&offer).await.code, 0);
        held.push(offer.item_id);
    }
    house.apply(&AGENTS.replace("id = \"ann\"", "id = \"ann\"\ntotal = 30"), SLA).await;
    let load = async || house.agent("ann").await.load.filter(|load| load.total == 30);
    let load = house.until(load).await;
    assert_eq!((load.used, load.items), (60, 3), "direct messages cost 20");
    let item = house.publish(question(4, 0)).await;
    let list = api::ListItemsRequest { wait_for: item, phase: Phase::Queued as i32, ..Default::default() };
    let waiting = house.line.items().list_items(list).await.unwrap().into_inner().items.pop().unwrap();
    for (n, item_id) in held.iter().enumerate() {
        assert_eq!(house.item(item_id).await.phase(), Phase::Assigned);
        let why = house.line.items().why_not(why_not(&waiting.item_id, "ann")).await.unwrap().into_inner();
        assert_eq!(why.reasons, ["no_capacity"], "with {} items", held.len() - n);
        assert_eq!(ann.finish(item_id).await.code, 0);
    }
    assert_eq!(ann.offer().await.item_id, waiting.item_id, "now there is room");
    let told = events(&house, "Overcommitted");
    assert!(told.len() == 1 && told[0].contains("CAUSE_POLICY"), "said once: {told:?}");
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn due_times_that_are_past_when_applied_are_breached_once_and_said_to_be_late() {
    let house = House::open().await;
    let start = house.line.alarms().list_alarms(ListAlarmsRequest::default()).await.unwrap().into_inner().as_of;
    let watch = WatchAlarmsRequest { after: start };
    let mut alarms = house.line.alarms().watch_alarms(watch).await.unwrap().into_inner();
    let mut overdue = question(0, 0);
    let minutes = 20 * 60;
    overdue.event_time.as_mut().unwrap().seconds -= minutes;
    let wait_for = house.publish(overdue).await;
    let thread = house.thread(wait_for.clone()).await.thread_id;
    let first = async || {
        let list = ListClocksRequest {
            thread_id: thread.clone(),
            metric: Metric::FirstResponse as i32,
            wait_for: wait_for.clone(),
            ..Default::default()
        };
        house.line.clocks().list_clocks(list).await.unwrap().into_inner().clocks.pop().unwrap()
    };
    let clock = first().await;
    assert!(!clock.breached && !clock.retroactive, "20 of 60 minutes are over: {clock:?}");

    let tight = SLA.replace("60m", "5m");
    for _ in 0..2 {
        house.apply(AGENTS, &tight).await;
    }
    let breached = house.until(async || Some(first().await).filter(|clock| clock.breached)).await;
    assert!(breached.retroactive, "{breached:?}");
    let (opened, due) = (breached.opened_at.unwrap(), breached.due_at.unwrap());
    assert_eq!(due.seconds - opened.seconds, 5 * 60);
    // A message that is overdue when it comes.
    let mut late = question(1, 0);
    late.event_time.as_mut().unwrap().seconds -= minutes;
    house.publish(late).await;
    let mut raised = Vec::new();
    for _ in 0..2 {
        raised.push(tokio::time::timeout(SOON, alarms.message()).await.unwrap().unwrap().unwrap().alarm_id);
    }
    house.publish(answer("r0", "q0-0")).await;
    house.publish(answer("r1", "q1-0")).await;
    // Nothing rings in between, and each is cleared by its answer.
    for alarm in raised {
        let cleared = tokio::time::timeout(SOON, alarms.message()).await.unwrap().unwrap().unwrap();
        assert_eq!(cleared.alarm_id, alarm, "{cleared:?}");
        assert!(matches!(cleared.change, Some(rejoinder_api::sla::watch_alarms_response::Change::Cleared(_))));
    }
    drop(alarms);
    let told = events(&house, "ClockBreached");
    assert_eq!(told.len(), 2, "each once: {told:?}");
    assert!(told.iter().all(|told| told.contains("\"lateByMs\":\"9")), "by a quarter of an hour, about: {told:?}");
    house.close();
}
