//! The public API over the real binary: what a desktop and a connector do.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use prost_types::Timestamp;
use rejoinder_api::ingest::publish_result::Outcome;
use rejoinder_api::ingest::{Author, Interaction, PublishBatchRequest, ReportCursorRequest};
use rejoinder_api::threading::person_service_client::PersonServiceClient;
use rejoinder_api::threading::thread::{Disposition, State};
use rejoinder_api::threading::thread_service_client::ThreadServiceClient;
use rejoinder_api::threading::timeline_entry::Entry;
use rejoinder_api::threading::watch_threads_response::Change;
use rejoinder_api::threading::{
    AddNoteRequest, GetConversationRequest, GetPersonRequest, GetThreadRequest, HoldThreadRequest, LinkHandleRequest,
    ListMessagesRequest, ListThreadsRequest, ListTimelineRequest, MergeThreadsRequest, ReopenThreadRequest,
    ResolveThreadRequest, SplitThreadRequest, Thread, UnlinkHandleRequest, UnmergeThreadsRequest, WatchThreadsRequest,
};
use rejoinder_integration_tests::server::Server;
use tonic::transport::Channel;
use tonic::{Code, Request};

/// A server on a directory of its own, and clients of it.
struct World {
    server: Server,
    channel: Channel,
    threads: ThreadServiceClient<Channel>,
    persons: PersonServiceClient<Channel>,
    dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&dir.path().join("data"), &[]);
        let channel = server.channel().await;
        let (threads, persons) = (ThreadServiceClient::new(channel.clone()), PersonServiceClient::new(channel.clone()));
        Self { server, channel, threads, persons, dir }
    }

    /// Publishes, which must be accepted, and returns where that stands.
    async fn publish(&self, interactions: Vec<Interaction>) -> String {
        let mut ingest = rejoinder_api::ingest::ingest_service_client::IngestServiceClient::new(self.channel.clone());
        let answer = ingest.publish_batch(PublishBatchRequest { interactions }).await.unwrap().into_inner();
        let outcomes: Vec<Outcome> = answer.results.iter().map(|result| result.outcome()).collect();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Accepted), "{:?}", answer.results);
        answer.as_of
    }

    async fn listed(&mut self, wait_for: &str) -> Vec<Thread> {
        let request = ListThreadsRequest { wait_for: wait_for.to_owned(), ..ListThreadsRequest::default() };
        self.threads.list_threads(request).await.unwrap().into_inner().threads
    }

    async fn texts(&mut self, thread_id: &str) -> Vec<String> {
        let request = ListMessagesRequest { thread_id: thread_id.to_owned(), ..ListMessagesRequest::default() };
        let messages = self.threads.list_messages(request).await.unwrap().into_inner().messages;
        messages.into_iter().map(|message| message.text).collect()
    }

    fn end(self) {
        assert!(self.server.stop().contains("stopping"));
        drop(self.dir);
    }
}

fn said(id: &str, author: &str, second: i64, text: &str) -> Interaction {
    Interaction {
        channel: "x".into(),
        account: "acme".into(),
        external_id: id.into(),
        author: Some(Author { id: author.into(), name: format!("Name of {author}"), ..Author::default() }),
        direction: if author == "acme" { 2 } else { 1 },
        text: text.into(),
        event_time: Some(Timestamp { seconds: 1_800_000_000 + second, nanos: 0 }),
        ..Interaction::default()
    }
}

fn reply(to: &str, interaction: Interaction) -> Interaction {
    Interaction { reply_to: vec![to.into()], ..interaction }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_reads_what_a_connector_wrote_and_acts_on_it() {
    let mut world = World::new().await;
    let as_of = world
        .publish(vec![
            said("1", "ann", 0, "My parcel has not come. \u{202e}bidi\u{0007}"),
            reply("1", said("2", "acme", 60, "We look into it.")),
            reply("2", said("3", "ann", 120, "Thank you!")),
            said("4", "bob", 30, "Where is the manual?"),
        ])
        .await;
    let threads = world.listed(&as_of).await;
    assert_eq!(threads.len(), 2, "{threads:?}");
    let (ann, bob) = (threads[0].clone(), threads[1].clone());
    assert_eq!((ann.state(), ann.message_count), (State::AwaitingAgent, 3));
    let texts = world.texts(&ann.thread_id).await;
    assert_eq!(texts, ["My parcel has not come. \u{202e}bidi\u{0007}", "We look into it.", "Thank you!"]);

    // Edits and deletes keep the place.
    let edit = Interaction { edit_of: "3".into(), ..said("3-edit", "ann", 130, "Thank you, Acme!") };
    let delete = Interaction { deleted: true, ..said("4", "bob", 140, "") };
    let as_of = world.publish(vec![edit, delete]).await;
    let _ = world.listed(&as_of).await;
    assert_eq!(world.texts(&ann.thread_id).await[2], "Thank you, Acme!");
    assert_eq!(world.texts(&bob.thread_id).await, [""]);

    // A command, its repeat, and one that comes too late.
    let resolve = ResolveThreadRequest {
        thread_id: ann.thread_id.clone(),
        request_id: "r1".into(),
        etag: world.get(&ann.thread_id).await.etag,
        disposition: Disposition::Answered as i32,
        ..ResolveThreadRequest::default()
    };
    let resolved = world.threads.resolve_thread(resolve.clone()).await.unwrap().into_inner().thread.unwrap();
    assert_eq!((resolved.state(), resolved.disposition()), (State::Resolved, Disposition::Answered));
    let repeated = world.threads.resolve_thread(resolve.clone()).await.unwrap().into_inner().thread.unwrap();
    assert_eq!(repeated.etag, resolved.etag, "a repeat does nothing");
    let stale = world.threads.resolve_thread(ResolveThreadRequest { request_id: "r2".into(), ..resolve }).await;
    assert_eq!(stale.unwrap_err().code(), Code::Aborted);
    let reopen = ReopenThreadRequest { thread_id: ann.thread_id.clone(), ..ReopenThreadRequest::default() };
    let reopened = world.threads.reopen_thread(reopen).await.unwrap().into_inner().thread.unwrap();
    assert_eq!((reopened.state(), reopened.reopen_count), (State::AwaitingAgent, 1));
    let hold = HoldThreadRequest { thread_id: ann.thread_id.clone(), ..HoldThreadRequest::default() };
    assert_eq!(world.threads.hold_thread(hold).await.unwrap().into_inner().thread.unwrap().state(), State::OnHold);

    // Merge, redirect, unmerge; split.
    let merge = MergeThreadsRequest {
        thread_id: ann.thread_id.clone(),
        from_thread_id: bob.thread_id.clone(),
        ..MergeThreadsRequest::default()
    };
    assert_eq!(world.threads.merge_threads(merge).await.unwrap().into_inner().thread.unwrap().message_count, 4);
    assert_eq!(world.get(&bob.thread_id).await.thread_id, ann.thread_id, "a merged thread redirects");
    let unmerge = UnmergeThreadsRequest {
        thread_id: ann.thread_id.clone(),
        from_thread_id: bob.thread_id.clone(),
        ..UnmergeThreadsRequest::default()
    };
    world.threads.unmerge_threads(unmerge).await.unwrap();
    assert_eq!(world.get(&bob.thread_id).await.thread_id, bob.thread_id);
    let messages = ListMessagesRequest { thread_id: ann.thread_id.clone(), ..ListMessagesRequest::default() };
    let messages = world.threads.list_messages(messages).await.unwrap().into_inner().messages;
    let split = SplitThreadRequest {
        thread_id: ann.thread_id.clone(),
        interaction_ids: vec![messages[2].interaction_id.clone()],
        ..SplitThreadRequest::default()
    };
    let other = world.threads.split_thread(split).await.unwrap().into_inner().thread.unwrap();
    assert_eq!((other.message_count, other.split_from.as_str()), (1, ann.thread_id.as_str()));

    // The person's whole history, page by page.
    let note = AddNoteRequest {
        thread_id: ann.thread_id.clone(),
        author: "eve".into(),
        text: "VIP".into(),
        ..Default::default()
    };
    world.threads.add_note(note).await.unwrap();
    let mut entries = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTimelineRequest {
            person_id: ann.person_id.clone(),
            page_size: 2,
            page_token,
            ..ListTimelineRequest::default()
        };
        let page = world.persons.list_timeline(request).await.unwrap().into_inner();
        assert!(page.entries.len() <= 2);
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let times: Vec<_> = entries.iter().map(|entry| entry.time.map(|at| (at.seconds, at.nanos))).collect();
    assert!(times.windows(2).all(|pair| pair[0] >= pair[1]), "the newest first");
    let messages = entries.iter().filter(|entry| matches!(entry.entry, Some(Entry::Message(_)))).count();
    let notes = entries.iter().filter(|entry| matches!(&entry.entry, Some(Entry::Note(note)) if note.text == "VIP"));
    assert_eq!((messages, notes.count()), (3, 1));
    world.end();
}

impl World {
    async fn get(&mut self, thread_id: &str) -> Thread {
        let request = GetThreadRequest { thread_id: thread_id.to_owned(), wait_for: String::new() };
        self.threads.get_thread(request).await.unwrap().into_inner().thread.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn persons_are_linked_and_parted_and_conversations_have_many() {
    let mut world = World::new().await;
    let mail = Interaction { channel: "email".into(), ..said("m1", "ann@example.org", 10, "Again by mail.") };
    let as_of = world
        .publish(vec![
            said("1", "acme", 0, "News!"),
            reply("1", said("2", "ann", 1, "Nice")),
            reply("1", said("3", "bob", 2, "Not nice")),
            mail,
        ])
        .await;
    let threads = world.listed(&as_of).await;
    assert_eq!(threads.len(), 3);
    let conversation =
        GetConversationRequest { conversation_id: threads[0].conversation_id.clone(), ..Default::default() };
    let conversation = world.threads.get_conversation(conversation).await.unwrap().into_inner();
    assert_eq!((conversation.message_count, conversation.threads.len()), (3, 2));
    let person_id = threads[0].person_id.clone();
    let link = LinkHandleRequest {
        person_id: person_id.clone(),
        channel: "email".into(),
        author_id: "ann@example.org".into(),
        ..LinkHandleRequest::default()
    };
    let linked = world.persons.link_handle(link).await.unwrap().into_inner().person.unwrap();
    assert_eq!(linked.thread_count, 2);
    let names: Vec<&str> = linked.handles.iter().map(|handle| handle.name.as_str()).collect();
    assert_eq!(names, ["Name of ann", "Name of ann@example.org"]);
    let unlink = UnlinkHandleRequest {
        person_id: person_id.clone(),
        channel: "email".into(),
        author_id: "ann@example.org".into(),
        ..UnlinkHandleRequest::default()
    };
    let parted = world.persons.unlink_handle(unlink).await.unwrap().into_inner().person.unwrap();
    assert_ne!(parted.person_id, person_id);
    let request = GetPersonRequest { person_id, ..GetPersonRequest::default() };
    assert_eq!(world.persons.get_person(request).await.unwrap().into_inner().person.unwrap().handles.len(), 1);
    world.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_messages_are_listed_also_those_in_no_thread_by_a_server_and_by_a_stopped_directory() {
    let mut world = World::new().await;
    let delete = Interaction { deleted: true, ..said("1", "acme", 5, "") };
    world
        .publish(vec![
            said("1", "acme", 0, "Our own news"),
            reply("1", said("2", "ann", 1, "Nice")),
            said("3", "bob", 2, "Where is it?"),
            delete,
        ])
        .await;
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListMessagesRequest { page_size: 2, page_token, ..ListMessagesRequest::default() };
        let page = world.threads.list_messages(request).await.unwrap().into_inner();
        listed.extend(page.messages);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let ids: Vec<&str> = listed.iter().map(|message| message.external_id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "3"], "in the order of acceptance");
    assert_eq!((listed[0].thread_id.as_str(), listed[0].text.as_str(), listed[0].deleted), ("", "", true));
    assert_eq!(listed[0].conversation_id, listed[1].conversation_id);
    let (thread, person) = (listed[1].thread_id.clone(), listed[1].person_id.clone());
    let endpoint = world.server.endpoint.clone();
    let ask = |source: [&str; 2]| {
        let ask =
            |args: &[&str]| rejoinder_integration_tests::data(&[args, &source[..], &["--output", "tsv"]].concat());
        [
            ask(&["threads", "export"]),
            ask(&["threads", "list"]),
            ask(&["threads", "show", &thread]),
            ask(&["persons", "show", &person]),
            ask(&["persons", "timeline", &person]),
            ask(&["quarantine", "list"]),
        ]
    };
    let by_server = tokio::task::block_in_place(|| ask(["--endpoint", &endpoint]));
    let World { server, dir, .. } = world;
    assert!(server.stop().contains("stopping"));
    let data_dir = dir.path().join("data");
    assert_eq!(by_server, ask(["--data-dir", data_dir.to_str().unwrap()]), "one way to ask, one answer");
    assert!(by_server[0].lines().count() == 4 && by_server[2].contains("Nice") && by_server[3].contains("Name of ann"));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_cannot_be_right_are_refused_and_the_lane_goes_on() {
    let mut world = World::new().await;
    let as_of = world.publish(vec![said("1", "ann", 0, "one"), said("2", "bob", 1, "two")]).await;
    let threads = world.listed(&as_of).await;
    let (ann, bob) = (threads[0].clone(), threads[1].clone());
    let reopen = ReopenThreadRequest {
        thread_id: ann.thread_id.clone(),
        reason: "x".repeat(600 << 10),
        ..ReopenThreadRequest::default()
    };
    let status = world.threads.reopen_thread(reopen).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("reason"), "{status:?}");

    // One request id, two commands.
    let note = AddNoteRequest {
        thread_id: ann.thread_id.clone(),
        request_id: "r".into(),
        author: "eve".into(),
        text: "VIP".into(),
        ..Default::default()
    };
    world.threads.add_note(note.clone()).await.unwrap();
    world.threads.add_note(note).await.unwrap();
    let resolve = ResolveThreadRequest {
        thread_id: bob.thread_id.clone(),
        request_id: "r".into(),
        disposition: Disposition::Answered as i32,
        ..ResolveThreadRequest::default()
    };
    let status = world.threads.resolve_thread(resolve).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("request_id"), "{status:?}");

    // Persons have etags too.
    let link = LinkHandleRequest {
        person_id: ann.person_id.clone(),
        etag: "999".into(),
        channel: "x".into(),
        author_id: "bob".into(),
        ..LinkHandleRequest::default()
    };
    assert_eq!(world.persons.link_handle(link).await.unwrap_err().code(), Code::Aborted);

    // A merge is undone by the ids that it was made with.
    let (thread_id, from_thread_id) = (bob.thread_id.clone(), ann.thread_id.clone());
    let merge = MergeThreadsRequest { thread_id, from_thread_id, ..MergeThreadsRequest::default() };
    let merged = world.threads.merge_threads(merge).await.unwrap().into_inner().thread.unwrap();
    assert_eq!(merged.thread_id, ann.thread_id, "the earlier stays");
    let (thread_id, from_thread_id) = (bob.thread_id.clone(), ann.thread_id.clone());
    let unmerge = UnmergeThreadsRequest { thread_id, from_thread_id, ..UnmergeThreadsRequest::default() };
    world.threads.unmerge_threads(unmerge).await.unwrap();
    assert_eq!(world.get(&bob.thread_id).await.thread_id, bob.thread_id);

    let mut watch = Request::new(WatchThreadsRequest::default());
    watch.metadata_mut().insert("rejoinder-workspace", "nobody".parse().unwrap());
    assert_eq!(world.threads.watch_threads(watch).await.unwrap_err().code(), Code::NotFound);
    world.end();
}

#[test]
fn what_operators_look_at_can_be_moved_to_an_address_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let server = Server::start(&dir.path().join("data"), &[("REJOINDER_ADMIN_ADDR".into(), free.clone())]);
    let status = |address: &str, path: &str| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        std::io::Write::write_all(&mut stream, format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
        std::io::read_to_string(stream).unwrap()
    };
    assert!(status(&free, "/readyz").starts_with("HTTP/1.0 200"));
    assert!(status(&free, "/metrics").contains("rejoinder_lane_live"));
    assert!(status(&server.http, "/metrics").starts_with("HTTP/1.0 404"));
    assert!(server.stop().contains("stopping"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_sees_each_change_once_and_goes_on_where_it_was() {
    let mut world = World::new().await;
    let request = WatchThreadsRequest::default();
    let mut watch = world.threads.watch_threads(request).await.unwrap().into_inner();
    world.publish(vec![said("1", "ann", 0, "one")]).await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(watch.message().await.unwrap().unwrap());
    }
    let placed = seen.iter().filter(|change| matches!(change.change, Some(Change::Placed(_)))).count();
    assert_eq!(placed, 1);
    drop(watch);
    world.publish(vec![said("2", "ann", 1, "two")]).await;
    let after = seen.last().unwrap().position.clone();
    let request = WatchThreadsRequest { after: after.clone(), thread_id: String::new() };
    let mut watch = world.threads.watch_threads(request).await.unwrap().into_inner();
    let next = watch.message().await.unwrap().unwrap();
    let index = |position: &str| position.split_once('/').unwrap().1.parse::<u64>().unwrap();
    assert!(index(&next.position) > index(&after));
    drop(watch);
    world.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_and_nothing_is_lost() {
    let mut world = World::new().await;
    let as_of = world.publish(vec![said("1", "ann", 0, "one")]).await;
    let mut get = async |thread_id: &str, wait_for: &str, workspace: &'static str| {
        let request = GetThreadRequest { thread_id: thread_id.to_owned(), wait_for: wait_for.to_owned() };
        let mut request = Request::new(request);
        request.metadata_mut().insert("rejoinder-workspace", workspace.parse().unwrap());
        world.threads.get_thread(request).await.unwrap_err()
    };
    for (thread_id, wait_for, workspace, code, word) in [
        ("t0000000000000", "", "default", Code::InvalidArgument, "thread_id"),
        ("p123", "", "default", Code::InvalidArgument, "thread_id"),
        ("", "", "default", Code::InvalidArgument, "thread_id"),
        ("t1000000000001", "", "default", Code::NotFound, "t1000000000001"),
        ("t1000000000001", "nowhere", "default", Code::InvalidArgument, "PARTITION/INDEX"),
        ("t1000000000001", "10/999999999", "default", Code::InvalidArgument, "ends at"),
        ("t1000000000001", "", "with space", Code::InvalidArgument, "rejoinder-workspace"),
    ] {
        let status = get(thread_id, wait_for, workspace).await;
        assert_eq!(status.code(), code, "{thread_id:?}: {status:?}");
        assert!(status.message().contains(word), "{thread_id:?}: {status:?}");
    }

    let mut ingest = rejoinder_api::ingest::ingest_service_client::IngestServiceClient::new(world.channel.clone());
    let long = Interaction { text: "x".repeat(65_537), ..said("long", "ann", 1, "") };
    let timeless = Interaction { event_time: None, ..said("timeless", "ann", 1, "") };
    let absurd =
        Interaction { event_time: Some(Timestamp { seconds: -62_135_596_800, nanos: 0 }), ..said("0", "ann", 0, "") };
    let batch = PublishBatchRequest { interactions: vec![long, said("1", "ann", 0, "one"), timeless, absurd] };
    let answer = ingest.publish_batch(batch).await.unwrap().into_inner();
    let outcomes: Vec<Outcome> = answer.results.iter().map(|result| result.outcome()).collect();
    assert_eq!(outcomes, [Outcome::Refused, Outcome::Duplicate, Outcome::Refused, Outcome::Accepted]);
    let fields: Vec<&str> = answer
        .results
        .iter()
        .filter_map(|result| result.refusal.as_ref())
        .map(|refusal| refusal.field.as_str())
        .collect();
    assert_eq!(fields, ["text", "event_time"]);
    let mut elsewhere = Request::new(PublishBatchRequest { interactions: vec![said("1", "ann", 0, "one")] });
    elsewhere.metadata_mut().insert("rejoinder-workspace", "nobody".parse().unwrap());
    let refused = ingest.publish_batch(elsewhere).await.unwrap_err();
    assert_eq!((refused.code(), refused.message().contains("nobody")), (Code::NotFound, true));
    let flood = PublishBatchRequest { interactions: vec![said("1", "ann", 0, "one"); 10_001] };
    assert_eq!(ingest.publish_batch(flood).await.unwrap_err().code(), Code::InvalidArgument);

    // A cursor is kept.
    let report = |cursor: &str| ReportCursorRequest { connector: "c".into(), cursor: cursor.into(), caught_up: false };
    ingest.report_cursor(report("page-7")).await.unwrap();
    assert_eq!(ingest.report_cursor(report("")).await.unwrap().into_inner().cursor, "page-7");
    assert_eq!(world.listed(&as_of).await.len(), 2, "ann's post, and the absurd one");
    world.end();
}

#[test]
fn a_port_or_a_directory_in_use_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let second = Server::try_start(&dir.path().join("data"), &[]).err().unwrap();
    assert!(second.contains("in use by another process"), "{second}");
    let path = dir.path().join("other");
    let taken = rejoinder_integration_tests::run(&[
        "up",
        "--data-dir",
        path.to_str().unwrap(),
        "--grpc-addr",
        &server.endpoint,
    ]);
    let said = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(said.contains(&server.endpoint) && said.contains("--grpc-addr"), "{said}");
    assert!(!path.exists(), "nothing was made");
    assert!(server.stop().contains("stopping"));
}
