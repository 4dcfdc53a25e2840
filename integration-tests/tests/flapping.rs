//! A thousand agents that come and go while offers flow: no item is lost, each has one owner in the end,
//! and the server stays as small as it was.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rejoinder_api::ingest::PublishBatchRequest;
use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::work_request::{AcceptOffer, Request as Up};
use rejoinder_api::routing::work_response::Response as Down;
use rejoinder_api::routing::{ListAgentsRequest, ListItemsRequest, Offer};
use rejoinder_integration_tests::client::Random;
use rejoinder_integration_tests::desktop::{Desktop, SOON};
use rejoinder_integration_tests::floor::connector::question;
use rejoinder_integration_tests::floor::line::{Line, Meaning, meaning};
use rejoinder_integration_tests::floor::rules;
use rejoinder_integration_tests::server::Server;
use rejoinder_integration_tests::{auditor, run};
use tokio::task::JoinSet;

const AGENTS: usize = 1_000;
/// Streams of one connection: a server takes some hundred.
const STREAMS: usize = 100;
const WAVES: usize = 4;
const ITEMS_A_WAVE: u64 = 150;
/// Agents who stay in the end: each holds five direct messages.
const STAYING: usize = 150;

fn policy() -> rules::Files {
    let agent = |number: usize| format!("[[agent]]\nid = \"agent{number}\"\nqueues = [\"default\"]\n");
    let routing = "give_back_after = \"1s\"\nlive_give_back_after = \"1s\"\nmax_parked = 0\n\
                   [[kind]]\nname = \"direct_message\"\noffer_timeout = \"2s\"\n";
    vec![("agents.toml", (0..AGENTS).map(agent).collect()), ("routing.toml", routing.to_owned())]
}

/// Memory of a process, in MiB.
fn resident(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

fn offer(down: &Down) -> Option<Offer> {
    if let Down::Offer(offer) = down { Some(offer.clone()) } else { None }
}

/// An agent connects, takes what comes within a moment, and drops the connection.
async fn flap(line: Line, agent: usize, moment: Duration, accepted: Arc<AtomicUsize>) {
    let name = format!("agent{agent}");
    let mut desktop = loop {
        match Desktop::open(&line, &name, false).await {
            Ok(desktop) => break desktop,
            Err(status) => assert_eq!(meaning(&status), Meaning::Unknown, "{name}: {status:?}"),
        }
    };
    let working = async {
        loop {
            let Ok(offer) = desktop.look(offer).await else { return };
            let answer = desktop.ask(Up::Accept(AcceptOffer { offer_id: offer.offer_id })).await;
            accepted.fetch_add(usize::from(answer.is_ok_and(|answer| answer.code == 0)), Ordering::Relaxed);
        }
    };
    // Whatever it was about to say is not said.
    let _ = tokio::time::timeout(moment, working).await;
}

async fn publish(line: &Line, wave: u64) {
    for customer in 0..ITEMS_A_WAVE {
        // Direct messages only: every third customer writes posts.
        let interactions = vec![question((wave * ITEMS_A_WAVE + customer) * 3, 0)];
        let answer = line.ingest().publish_batch(PublishBatchRequest { interactions }).await.unwrap().into_inner();
        assert_eq!(answer.results[0].refusal, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_agents_that_flap_lose_no_item() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let server = Server::start(&data, &[]);
    let line = Line::to(&server, "default").await;
    rules::apply(&line, &policy()).await.unwrap();
    let mut lines = Vec::new();
    for _ in 0..AGENTS / STREAMS {
        lines.push(Line::to(&server, "default").await);
    }
    let accepted = Arc::new(AtomicUsize::new(0));
    let (mut random, mut sizes) = (Random(17), Vec::new());
    for wave in 0..WAVES as u64 {
        let mut flapping = JoinSet::new();
        for agent in 0..AGENTS {
            let moment = Duration::from_millis(random.below(1_500));
            flapping.spawn(flap(lines[agent / STREAMS].clone(), agent, moment, accepted.clone()));
        }
        publish(&line, wave).await;
        while let Some(ended) = flapping.join_next().await {
            ended.unwrap();
        }
        sizes.push(resident(&server));
    }
    assert!(accepted.load(Ordering::Relaxed) > 0, "some took what they were offered");
    eprintln!("MiB after each wave: {sizes:?}, {} accepted", accepted.load(Ordering::Relaxed));
    let growth = sizes[WAVES - 1].saturating_sub(sizes[0]);
    assert!(sizes[WAVES - 1] < 1_024 && growth < 128, "MiB after each wave: {sizes:?}");

    // Now some stay, and have all.
    let mut staying = JoinSet::new();
    for agent in 0..STAYING {
        staying.spawn(flap(lines[agent / STREAMS].clone(), agent, SOON * 4, accepted.clone()));
    }
    let all = ITEMS_A_WAVE * WAVES as u64;
    let owned = async {
        loop {
            let list = ListItemsRequest { page_size: 1_000, ..ListItemsRequest::default() };
            let items = line.items().list_items(list).await.unwrap().into_inner().items;
            assert_eq!(items.len() as u64, all, "one item for each thread");
            // Who has gone gives back a second later.
            let stays =
                |agent: &str| agent.trim_start_matches("agent").parse().is_ok_and(|agent: usize| agent < STAYING);
            if items.iter().all(|item| item.phase() == Phase::Assigned && stays(&item.agent_id)) {
                return items;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let items = tokio::time::timeout(SOON * 3, owned).await;
    drop(staying);
    let items = items.expect("all find an owner");
    let owners: BTreeMap<&str, &str> =
        items.iter().map(|item| (item.item_id.as_str(), item.agent_id.as_str())).collect();
    let list = ListAgentsRequest { page_size: 1_000, ..ListAgentsRequest::default() };
    let agents = line.agents().list_agents(list).await.unwrap().into_inner().agents;
    let held =
        agents.iter().flat_map(|agent| agent.held.iter().map(|held| (held.item_id.as_str(), agent.agent_id.as_str())));
    let held: Vec<(&str, &str)> = held.collect();
    assert_eq!((held.len(), held.iter().copied().collect::<BTreeMap<_, _>>()), (owners.len(), owners.clone()));

    assert!(server.stop().contains("stopping"));
    assert_eq!(auditor::by_itself(&data), [""; 0]);
    let output = run(&["log", "rebuild", "--compare", "--data-dir", data.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
