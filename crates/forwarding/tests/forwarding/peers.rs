//! What processes ask each other: waiting for a service elsewhere, and what it has set aside.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use rejoinder_api::cluster::peer_service_server::PeerServiceServer;
use rejoinder_event_log::{EventLog, MemoryLog, record::FrameBuilder};
use rejoinder_forwarding::{PeerAnswers, QuarantineAnywhere, UpstreamAnywhere};
use rejoinder_machine::event;
use rejoinder_machine::quarantine::SetAside;
use rejoinder_model::{Position, Service, partition_of};
use rejoinder_service_kit::{LogNews, Owner, Quarantine, Quarantines, Upstream, refuse};
use rejoinder_wire::event::{Event, NoteAdded, event::Body};
use rejoinder_wire::log::Header;
use tonic::service::Routes;
use tonic::{Code, Status};

use crate::world::{PARTITIONS, Process, is_retryable};

const ACME: &str = "acme";

/// Lanes that have considered all, and name their process's number.
struct Considers(u64);

impl Upstream for Considers {
    fn considered<'a>(
        &'a self,
        workspace: &'a str,
        index: u64,
    ) -> Pin<Box<dyn Future<Output = Result<u64, Status>> + Send + 'a>> {
        assert_eq!(workspace, ACME);
        Box::pin(std::future::ready(Ok(index + self.0)))
    }
}

/// What a process has set aside.
struct Aside {
    service: Service,
    inputs: Mutex<Vec<(u64, Arc<SetAside>)>>,
}

impl Aside {
    fn new(service: Service, numbers: &[u64]) -> Arc<Self> {
        let set_aside = |number: &u64| {
            let (workspace, reason) = (ACME.to_owned(), format!("defect {number}"));
            let found = SetAside { workspace, index: 0, event: 1, own_seq: 2, reason, at: 1_700_000_000_123 };
            (*number, Arc::new(found))
        };
        Arc::new(Self { service, inputs: Mutex::new(numbers.iter().map(set_aside).collect()) })
    }

    fn remove(&self, number: u64) -> Position {
        self.inputs.lock().unwrap().retain(|(other, _)| *other != number);
        Position { partition: partition_of(ACME, PARTITIONS), index: 40 + number }
    }
}

#[tonic::async_trait]
impl Quarantine for Aside {
    fn of(&self) -> Service {
        self.service
    }

    async fn list(&self, workspace: &str, from: u64, limit: usize) -> Result<Vec<(u64, Arc<SetAside>)>, Status> {
        let inputs = self.inputs.lock().unwrap();
        let wanted = inputs.iter().filter(|(number, found)| *number >= from && found.workspace == workspace);
        Ok(wanted.take(limit).cloned().collect())
    }

    async fn count(&self, _: u16) -> Result<u64, Status> {
        Ok(self.inputs.lock().unwrap().len() as u64)
    }

    async fn input(&self, workspace: &str, number: u64) -> Result<Option<Event>, Status> {
        let found = self.list(workspace, number, 1).await?;
        Ok(found.first().filter(|(found, _)| *found == number).map(|_| note("the owner's")))
    }

    async fn retry(&self, _: &str, number: u64, input: Event) -> Result<Position, Status> {
        assert_eq!(input, note("the owner's"), "the owner read it itself");
        if number == 13 {
            return Err(refuse::precondition("it failed again: a defect"));
        }
        Ok(self.remove(number))
    }

    async fn skip(&self, _: &str, number: u64) -> Result<Position, Status> {
        Ok(self.remove(number))
    }
}

fn note(text: &str) -> Event {
    event(ACME, Body::NoteAdded(NoteAdded { author: text.to_owned(), ..NoteAdded::default() }))
}

fn log() -> Arc<dyn EventLog> {
    let log = MemoryLog::new(PARTITIONS);
    let mut frame = FrameBuilder::default();
    frame.push(&note("first"));
    frame.push(&note("in the log"));
    log.append(
        partition_of(ACME, PARTITIONS),
        frame.finish(&Header { service: Service::Ingest.number(), ..Header::default() }),
    )
    .unwrap();
    log
}

async fn process(name: &'static str, number: u64, of: &[Arc<Aside>]) -> Process {
    let (log, of) = (log(), of.to_vec());
    Process::start_with(name, "127.0.0.1:0".parse().unwrap(), |peers| {
        let news = LogNews::of(&*log);
        let considers: Arc<dyn Upstream> = Arc::new(Considers(number));
        let quarantines = of.into_iter().map(|aside| aside as Arc<dyn Quarantine>).collect();
        let upstreams = vec![(Service::Threading, considers)];
        let answers = PeerAnswers::new(peers.clone(), log, news, upstreams, quarantines);
        Routes::new(PeerServiceServer::new(answers))
    })
    .await
}

#[tokio::test]
async fn who_waits_for_a_service_waits_at_its_owner() {
    let (near, far) = (process("near", 100, &[]).await, process("far", 200, &[]).await);
    let upstream = UpstreamAnywhere::new(Service::Threading, Arc::new(Considers(100)));
    assert_eq!(upstream.considered(ACME, 1).await.unwrap(), 101, "without others it is this process's");
    upstream.connect(&near.peers);
    is_retryable(&upstream.considered(ACME, 1).await.unwrap_err(), "threading");
    near.owns(Service::Threading);
    assert_eq!(upstream.considered(ACME, 1).await.unwrap(), 101);
    near.sees(Service::Threading, &far);
    is_retryable(&upstream.considered(ACME, 1).await.unwrap_err(), "threading");
    far.owns(Service::Threading);
    assert_eq!(upstream.considered(ACME, 1).await.unwrap(), 201);
    assert_eq!(upstream.considered(ACME, 0).await.unwrap(), 200, "nothing to wait for");
    let beyond = upstream.considered(ACME, 2).await.unwrap_err();
    is_retryable(&beyond, "threading");
    assert!(beyond.message().contains("has not come to 1 here"), "{beyond}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_aside_is_one_list_wherever_it_is() {
    let threading = Aside::new(Service::Threading, &[3, 13]);
    let (routing, at_near) = (Aside::new(Service::Routing, &[5, 7, 9]), Aside::new(Service::Routing, &[1]));
    let near = process("near", 0, &[threading.clone(), at_near.clone()]).await;
    let far = process("far", 0, std::slice::from_ref(&routing)).await;
    near.owns(Service::Threading);
    near.sees(Service::Routing, &far);
    far.owns(Service::Routing);
    let log = log();
    let anywhere = |here: Arc<dyn Quarantine>| {
        let news = LogNews::of(&*log);
        Arc::new(QuarantineAnywhere::new(near.peers.clone(), here, log.clone(), news)) as Arc<dyn Quarantine>
    };
    let all = Quarantines::new(vec![anywhere(threading), anywhere(at_near)]);
    let partition = partition_of(ACME, PARTITIONS);

    let (mut paged, mut token) = (Vec::new(), String::new());
    loop {
        let (page, next) = all.page(ACME, 2, &token).await.unwrap();
        for (service, number, found) in page {
            assert_eq!((found.reason.as_str(), found.at), (format!("defect {number}").as_str(), 1_700_000_000_123));
            assert_eq!((found.workspace.as_str(), found.index, found.event, found.own_seq), (ACME, 0, 1, 2));
            paged.push((service, number));
        }
        token = next;
        if token.is_empty() {
            break;
        }
    }
    let expected =
        [(2, 3), (2, 13), (3, 5), (3, 7), (3, 9)].map(|(n, number)| (Service::from_number(n).unwrap(), number));
    assert_eq!(paged, expected);

    let found = all.find(ACME, partition, &format!("routing/{partition}/7")).await.unwrap();
    assert_eq!(found.input, note("in the log"), "every process reads the log");
    let at = found.quarantine.retry(ACME, found.number, found.input).await.unwrap();
    assert_eq!(at, Position { partition, index: 47 });
    assert_eq!(found.quarantine.skip(ACME, 9).await.unwrap(), Position { partition, index: 49 });
    assert_eq!(routing.inputs.lock().unwrap().len(), 1);
    let gone = all.find(ACME, partition, &format!("routing/{partition}/6")).await.map(|found| found.number);
    assert_eq!(gone.unwrap_err().code(), Code::NotFound);
    let twice = found.quarantine.retry(ACME, 7, note("x")).await.unwrap_err();
    assert_eq!(twice.code(), Code::NotFound, "{twice}");
    is_retryable(&found.quarantine.count(partition).await.unwrap_err(), "routing");

    near.view.set(Service::Routing, Owner::Nobody);
    is_retryable(&all.page(ACME, 100, "").await.unwrap_err(), "routing");
    near.sees(Service::Routing, &far);
    far.view.set(Service::Routing, Owner::Nobody);
    is_retryable(&all.page(ACME, 100, "").await.unwrap_err(), "routing");
}
