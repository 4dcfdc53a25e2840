//! A desk as its people see it on the command line: agents, queues, items, clocks and alarms of a server
//! under the sample policy, and of its directory once it is stopped.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use prost_types::Timestamp;
use rejoinder_api::ingest::publish_result::Outcome;
use rejoinder_api::ingest::{Author, Interaction, PublishBatchRequest, Visibility};
use rejoinder_api::routing::agent_service_client::AgentServiceClient;
use rejoinder_api::routing::work_request::{AcceptOffer, DeclineOffer, Hello, Request as Up};
use rejoinder_api::routing::work_response::Response as Down;
use rejoinder_api::routing::{Offer, Presence, WorkRequest, WorkResponse};
use rejoinder_integration_tests::server::Server;
use rejoinder_integration_tests::{command, data, golden, rows, run};
use rejoinder_model::HOUR_MS;
use rejoinder_runtime::{Clock as _, SystemClock};
use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Longer than anything takes that happens at all.
const SOON: Duration = Duration::from_secs(30);

/// A server under the sample policy.
struct Desk {
    server: Server,
    dir: tempfile::TempDir,
}

impl Desk {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&dir.path().join("data"), &[]);
        let desk = Self { server, dir };
        let _ = desk.asks(&["policy", "apply", golden::path("deploy/policy").to_str().unwrap()]);
        // Routing follows ingest.
        let _ = desk.asks_until(&["agents", "list"], 4);
        desk
    }

    fn data_dir(&self) -> String {
        self.dir.path().join("data").display().to_string()
    }

    /// What a command says of the running server; it must succeed.
    fn asks(&self, args: &[&str]) -> String {
        data(&[args, &["--endpoint", &self.server.endpoint]].concat())
    }

    /// The same for its exit code and what it says on stderr.
    fn fails(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = run(&[args, &["--endpoint", &self.server.endpoint]].concat());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Asks until the answer has so many lines below its header.
    fn asks_until(&self, args: &[&str], lines: usize) -> String {
        let clock = SystemClock::new();
        let start = clock.wall_ms();
        loop {
            let answer = self.asks(&[args, &["--output", "tsv"]].concat());
            if answer.lines().count() == lines + 1 {
                return answer;
            }
            assert!(clock.wall_ms() < start + 30_000, "{args:?}: {answer}");
        }
    }

    /// A customer wrote two hours ago, and it comes only now: what was promised is broken.
    async fn hears_late_of(&self, customer: &str) {
        let written = SystemClock::new().wall_ms() - 2 * HOUR_MS;
        let event_time = Timestamp { seconds: written / 1_000, nanos: 0 };
        let interaction = Interaction {
            channel: "whatsapp".into(),
            account: "acme".into(),
            external_id: format!("from {customer}"),
            direction: 1,
            author: Some(Author { id: customer.into(), ..Author::default() }),
            text: "where is my parcel?".into(),
            event_time: Some(event_time),
            visibility: Visibility::Private as i32,
            ..Interaction::default()
        };
        let request = PublishBatchRequest { interactions: vec![interaction] };
        let answer = self.server.ingest().await.publish_batch(request).await.unwrap().into_inner();
        assert_eq!(answer.results[0].outcome(), Outcome::Accepted);
    }
}

/// An agent's desktop.
struct Desktop {
    up: mpsc::Sender<WorkRequest>,
    down: Streaming<WorkResponse>,
}

impl Desktop {
    async fn of(desk: &Desk, agent: &str) -> Self {
        let (up, requests) = mpsc::channel(16);
        let hello = Hello { agent_id: agent.into(), presence: Presence::Available as i32, with_context: false };
        let mut desktop_up = up.clone();
        say(&mut desktop_up, "hello", Up::Hello(hello)).await;
        let mut client = AgentServiceClient::new(desk.server.channel().await);
        let mut down = client.work(ReceiverStream::new(requests)).await.unwrap().into_inner();
        let first = down.message().await.unwrap().unwrap();
        assert!(matches!(first.response, Some(Down::Welcome(_))), "{first:?}");
        Self { up, down }
    }

    async fn offer(&mut self) -> Offer {
        loop {
            if let Some(Down::Offer(offer)) = self.hears().await {
                return offer;
            }
        }
    }

    /// Asks for something, which is done.
    async fn asks(&mut self, request: Up) {
        say(&mut self.up, "asked", request).await;
        loop {
            if let Some(Down::Answer(answer)) = self.hears().await {
                assert_eq!((answer.request_id.as_str(), answer.code), ("asked", 0), "{answer:?}");
                return;
            }
        }
    }

    async fn hears(&mut self) -> Option<Down> {
        tokio::time::timeout(SOON, self.down.message()).await.unwrap().unwrap().unwrap().response
    }
}

async fn say(up: &mut mpsc::Sender<WorkRequest>, request_id: &str, request: Up) {
    up.send(WorkRequest { request_id: request_id.into(), request: Some(request) }).await.unwrap();
}

/// The objects of a JSON answer, one a line.
fn objects(answer: &str) -> Vec<Json> {
    answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Ann declines, dora accepts: an item with a history, and its id.
async fn with_history(desk: &Desk) -> (Desktop, Desktop, String) {
    let mut ann = Desktop::of(desk, "ann").await;
    let mut dora = Desktop::of(desk, "dora").await;
    desk.hears_late_of("eve").await;
    let offer = ann.offer().await;
    ann.asks(Up::Decline(DeclineOffer { offer_id: offer.offer_id, reason: "lunch".into() })).await;
    let offer = dora.offer().await;
    dora.asks(Up::Accept(AcceptOffer { offer_id: offer.offer_id.clone() })).await;
    (ann, dora, offer.item_id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_sees_who_has_what_and_why() {
    let desk = Desk::open();
    let (_ann, _dora, item) = with_history(&desk).await;

    let agents = desk.asks(&["agents", "list", "--output", "tsv"]);
    let agents = rows(&agents);
    let ids: Vec<&str> = agents.iter().map(|agent| agent["agent_id"]).collect();
    assert_eq!(ids, ["ann", "bob", "carmen", "dora"]);
    let told = |agent: usize| ["presence", "connected", "used", "total", "items"].map(|column| agents[agent][column]);
    assert_eq!(told(0), ["available", "true", "0", "100", "0"]);
    assert_eq!(told(1), ["offline", "false", "0", "60", "0"]);
    assert_eq!(told(3), ["available", "true", "20", "100", "1"]);
    assert_eq!(agents[2]["queues"], "spanish,service");
    let spanish = desk.asks(&["agents", "list", "--queue", "spanish", "--output", "json"]);
    let spanish = &objects(&spanish)[0];
    assert_eq!(spanish["agent_id"], "carmen");
    assert_eq!((&spanish["connected"], &spanish["total"]), (&Json::from(false), &Json::from(100)));
    assert_eq!((&spanish["idle_since"], &spanish["queues"][0]), (&Json::Null, &Json::from("spanish")));
    let available = desk.asks(&["agents", "list", "--presence", "available"]);
    assert!(available.starts_with("agent_id") && available.lines().count() == 3, "{available}");

    let queues = desk.asks(&["queues", "list", "--output", "json"]);
    let queues = objects(&queues);
    let service = &queues[0];
    assert_eq!((&service["queue"], &service["waiting"]), (&Json::from("service"), &Json::from(0)));
    assert_eq!((&service["members"], &service["available"]), (&Json::from(4), &Json::from(2)));
    assert_eq!(service["oldest_since"], Json::Null);
    assert!(desk.asks(&["queues", "list", "--output", "tsv"]).contains("\nposts\t0\t\t2\t1\tleast_loaded\tservice\n"));

    let items = desk.asks(&["items", "list", "--output", "json", "--phase", "assigned", "--queue", "service"]);
    let of_eve = &objects(&items)[0];
    assert_eq!((&of_eve["item_id"], &of_eve["agent_id"]), (&Json::from(item.as_str()), &Json::from("dora")));
    assert_eq!((&of_eve["offers_made"], of_eve["points"].as_f64()), (&Json::from(2), Some(10.0)));
    let thread = of_eve["thread_id"].as_str().unwrap();
    assert!(desk.asks(&["items", "list", "--thread", thread]).contains(&item));
    assert_eq!(desk.asks(&["items", "list", "--phase", "queued", "--output", "tsv"]).lines().count(), 1);
    assert_eq!(desk.asks(&["items", "list", "--queue", "spanish", "--output", "json"]), "");

    let explained = desk.asks(&["explain", &item]);
    for wanted in [
        "phase       assigned with dora since 20",
        "queue       service, band normal\n",
        "priority    10 points = 10 (waiting)\n",
        "declined by ann\n",
        "Decision 1 at 20",
        "  Chosen: ann\n  2 agents could have it:\n     1. ann   idle since 20",
        "  2 agents could not:\n      2  not available",
        "  Offer to ann: declined after ",
        "Decision 2 at 20",
        "  Offer to dora: accepted after ",
    ] {
        assert!(explained.contains(wanted), "{wanted:?} is not in\n{explained}");
    }
    let explained = desk.asks(&["explain", &item, "--output", "json"]);
    let explained = &objects(&explained)[0];
    assert_eq!(explained["item"]["terms"][0]["name"], "waiting");
    let decision = &explained["decisions"][1];
    assert_eq!((&decision["chosen"][0], &decision["lost"]["declined"]), (&Json::from("dora"), &Json::from(1)));
    assert_eq!((&decision["offers"][0]["how"], &decision["policy_version"]), (&Json::from("accepted"), &Json::from(1)));
    let explained = desk.asks(&["explain", &item, "--output", "tsv"]);
    let explained = rows(&explained);
    assert_eq!((explained[0]["chosen"], explained[0]["offers"]), ("ann", "ann:declined"));
    assert_eq!((explained[1]["lost"], explained[1]["offers"]), ("not_available:2,declined:1", "dora:accepted"));

    let why = desk.asks(&["explain", &item, "--why-not", "bob"]);
    assert!(why.contains("does not wait for an agent. If it did, bob could not have it:\n  - not available"), "{why}");
    let why = desk.asks(&["explain", &item, "--why-not", "ann", "--output", "json"]);
    let why = &objects(&why)[0];
    assert_eq!((&why["reasons"][0], &why["waits"]), (&Json::from("declined"), &Json::from(false)));
    let why = desk.asks(&["explain", &item, "--why-not", "dora", "--output", "tsv"]);
    assert!(why.ends_with("\tdora\tfalse\thas_it\t1\n"), "{why}");

    let events =
        desk.asks(&["events", "tail", "--from", "start", "--until-end", "--type", "OfferAccepted", "--output", "json"]);
    let accepted = &objects(&events)[0]["body"]["offerAccepted"];
    assert_eq!((&accepted["item"], &accepted["thread"]), (&Json::from(item.as_str()), &Json::from(thread)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_and_alarms_are_listed_and_an_alarm_is_seen_once() {
    let desk = Desk::open();
    desk.hears_late_of("eve").await;
    let alarms = desk.asks_until(&["alarms", "list", "--open"], 1);
    let alarm = &rows(&alarms)[0];
    assert_eq!((alarm["kind"], alarm["metric"], alarm["policy"]), ("breach", "first_response", "chat"));
    let breached = desk.asks(&["clocks", "list", "--breached", "--output", "json"]);
    let clock = &objects(&breached)[0];
    assert_eq!(
        (&clock["clock_id"], &clock["alarm_id"]),
        (&Json::from(alarm["clock_id"]), &Json::from(alarm["alarm_id"]))
    );
    assert_eq!((&clock["breached"], &clock["target_ms"]), (&Json::from(true), &Json::from(300_000)));
    assert!(clock["elapsed_ms"].as_i64().unwrap() >= 7_200_000, "{clock}");
    let shown = desk.asks(&["clocks", "list", "--metric", "first_response", "--thread", alarm["thread_id"]]);
    assert!(shown.contains("  5m  ") && shown.contains("  2h"), "{shown}");
    let met = desk.asks(&["clocks", "list", "--state", "met", "--output", "tsv"]);
    assert_eq!(met.lines().count(), 1, "{met}");

    let seen = desk.fails(&["alarms", "ack", alarm["alarm_id"], "--by", "supervisor"]);
    assert_eq!(seen, (Some(0), format!("{} is acknowledged by supervisor\n", alarm["alarm_id"])));
    assert_eq!(desk.asks_until(&["alarms", "list", "--open"], 0).lines().count(), 1);
    let all = desk.asks(&["alarms", "list", "--output", "json"]);
    assert_eq!(objects(&all)[0]["acknowledged_by"], "supervisor");
    let (code, said) = desk.fails(&["alarms", "ack", alarm["alarm_id"], "--by", "another"]);
    assert!(code == Some(1) && said.contains("supervisor"), "{said}");

    let export = desk.asks(&["clocks", "export"]);
    let header = "thread_id\tmetric\tinstance\topened_at\tdue_at\tended_at\toutcome\telapsed_ms\n";
    assert!(export.starts_with(header), "{export}");
    let first = rows(&export).into_iter().find(|clock| clock["metric"] == "first_response").unwrap();
    assert_eq!((first["instance"], first["outcome"], first["ended_at"]), (alarm["clock_id"], "breached", ""));
    let as_json = desk.asks(&["clocks", "export", "--output", "json"]);
    assert!(objects(&as_json).iter().all(|clock| clock["elapsed_ms"].is_i64()), "{as_json}");
}

/// Columns of rows that do not change by the time at which they are asked for.
fn lasting(answer: &str) -> Vec<String> {
    let moves = ["elapsed_ms", "connected", "presence", "idle_since", "available"];
    let row = |row: std::collections::BTreeMap<&str, &str>| {
        format!("{:?}", row.into_iter().filter(|(name, _)| !moves.contains(name)).collect::<Vec<_>>())
    };
    rows(answer).into_iter().map(row).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_directory_answers_as_its_server_did() {
    let desk = Desk::open();
    let (ann, dora, item) = with_history(&desk).await;
    let _ = desk.asks_until(&["alarms", "list"], 1);
    let commands = [
        &["agents", "list"][..],
        &["queues", "list"],
        &["items", "list"],
        &["explain", &item],
        &["clocks", "list"],
        &["clocks", "export"],
        &["alarms", "list"],
    ];
    let tsv = |command: &[&str]| desk.asks(&[command, &["--output", "tsv"]].concat());
    let live: Vec<String> = commands.iter().map(|command| tsv(command)).collect();
    let data_dir = desk.data_dir();
    drop((ann, dora));
    let Desk { server, dir } = desk;
    let _ = server.stop();
    let stopped = |command: &[&str]| data(&[command, &["--output", "tsv", "--data-dir", &data_dir]].concat());
    for (command, live) in commands.iter().zip(live) {
        assert!(live.lines().count() > 1, "{command:?}: {live}");
        assert_eq!(lasting(&stopped(command)), lasting(&live), "{command:?}");
    }
    assert_eq!(
        stopped(&["clocks", "export"]),
        stopped(&["clocks", "export"]),
        "time stands still in a stopped directory"
    );
    let why = data(&["explain", &item, "--why-not", "bob", "--data-dir", &data_dir]);
    assert!(why.contains("not available"), "{why}");
    drop(dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_named_in_the_user_s_words() {
    let desk = Desk::open();
    let (_ann, _dora, item) = with_history(&desk).await;
    let failed: [(&[&str], i32, &str); 13] = [
        (&["explain", "w0000000000zzz"], 1, "rejoinder: work item \"w0000000000zzz\" does not exist"),
        (&["explain", &item, "--why-not", "nobody"], 1, "rejoinder: agent \"nobody\" does not exist"),
        (&["items", "list", "--queue", "servce"], 1, "rejoinder: queue \"servce\" does not exist"),
        (&["agents", "list", "--queue", "servce"], 1, "rejoinder: queue \"servce\" does not exist"),
        (&["clocks", "list", "--thread", "t0000000000zzz"], 1, "rejoinder: thread \"t0000000000zzz\" does not exist"),
        (&["alarms", "ack", "a0000000000zzz", "--by", "x"], 1, "rejoinder: alarm \"a0000000000zzz\" does not exist"),
        (&["alarms", "ack", "a0000000000zzz", "--by", ""], 1, "say who has seen the alarm with --by NAME"),
        (&["queues", "list", "--workspace", "other"], 1, "rejoinder: workspace \"other\" does not exist"),
        (&["explain", "nonsense"], 2, "\"nonsense\" is no work item id: want the letter 'w'"),
        (&["alarms", "ack", &item], 2, "is no alarm id: want the letter 'a'"),
        (&["threads", "show", "x"], 2, "\"x\" is no thread id"),
        (&["items", "list", "--phase", "sleeping"], 2, "possible values: queued, offered, assigned"),
        (&["alarms", "watch", "--after", "nowhere"], 1, "after: "),
    ];
    for (args, code, words) in failed {
        let (found, said) = desk.fails(args);
        assert!(found == Some(code) && said.contains(words), "{args:?}: {found:?} {said}");
    }
    drop(desk);
    for args in [&["items", "list"][..], &["alarms", "watch"], &["alarms", "ack", "a0000000000001", "--by", "x"]] {
        let output = run(&[args, &["--endpoint", "127.0.0.1:1"]].concat());
        assert_eq!(output.status.code(), Some(4), "{args:?}");
    }
}

/// A watcher of alarms, and its lines.
struct Watcher {
    child: Child,
    lines: Option<std::io::Lines<BufReader<ChildStdout>>>,
}

impl Watcher {
    /// Watches from now on.
    fn of(endpoint: &str) -> Self {
        let mut command = command();
        command.args(["alarms", "watch", "--output", "tsv", "--endpoint", endpoint]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut watcher = Self { child, lines: Some(lines) };
        assert!(watcher.line().starts_with("time\tchange\talarm_id\t"));
        watcher
    }

    fn line(&mut self) -> String {
        self.lines.as_mut().unwrap().next().unwrap().unwrap()
    }

    fn interrupted(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_are_watched_over_a_kill_of_the_server() {
    let mut desk = Desk::open();
    let mut watcher = Watcher::of(&desk.server.endpoint);
    desk.hears_late_of("eve").await;
    let first = watcher.line();
    assert!(first.contains("\traised\t") && first.contains("\tbreach\t"), "{first}");
    let endpoint = desk.server.endpoint.clone();
    let server = std::mem::replace(&mut desk.server, Server::start(&desk.dir.path().join("other"), &[]));
    server.kill();
    desk.server = Server::start_at(&endpoint, &desk.dir.path().join("data"));
    desk.hears_late_of("bob").await;
    let second = watcher.line();
    let alarm = |line: &str| line.split('\t').nth(2).unwrap().to_owned();
    assert!(second.contains("\traised\t") && alarm(&second) != alarm(&first), "{second}");
    let acknowledged = desk.fails(&["alarms", "ack", &alarm(&second), "--by", "sre"]);
    assert_eq!(acknowledged.0, Some(0));
    let third = watcher.line();
    assert!(third.contains("\tacknowledged\t") && third.ends_with("\tsre"), "{third}");
    assert_eq!(watcher.interrupted(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_whose_reader_is_gone_ends_well() {
    let desk = Desk::open();
    let mut watcher = Watcher::of(&desk.server.endpoint);
    watcher.lines = None;
    desk.hears_late_of("eve").await;
    assert_eq!(watcher.child.wait().unwrap().code(), Some(0));
}
