//! Calls that another process answers look as if the asked one had.

use std::time::Duration;

use rejoinder_api::feed::SubscribeRequest;
use rejoinder_api::routing::SetPresenceRequest;
use rejoinder_forwarding::{FORWARDED, Forwarding};
use rejoinder_model::Service;
use rejoinder_service_kit::{Owner, refuse};
use tonic::service::Routes;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::world::{Desktop, Process, SOON, get, in_workspace, is_retryable, two};

#[tokio::test]
async fn a_call_goes_to_the_owner_with_all_that_it_says_and_back() {
    let (near, far) = two().await;
    let mut request = in_workspace("acme", get("ann"));
    request.metadata_mut().insert("said", "hello".parse().unwrap());
    let answered = near.agents().await.get_agent(request).await.unwrap();
    assert_eq!(answered.metadata().get("answered").unwrap(), "far");
    assert_eq!(answered.into_inner().as_of, "far/acme/hello");
    far.handlers.until((1, 1)).await;
    near.owns(Service::Routing);
    let answered = near.agents().await.get_agent(get("ann")).await.unwrap().into_inner();
    assert_eq!(answered.as_of, "near/default/");
}

#[tokio::test]
async fn a_refusal_keeps_its_details() {
    let (near, far) = two().await;
    let status = near.agents().await.set_presence(SetPresenceRequest::default()).await.unwrap_err();
    let direct = far.agents().await.set_presence(SetPresenceRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), refuse::reason(&status).as_str()), (Code::InvalidArgument, "PRESENCE_INVALID"));
    assert_eq!(status.message(), direct.message());
    assert_eq!(status.details(), direct.details());
    assert_eq!(direct.get_details_bad_request().unwrap().field_violations.len(), 20);
}

#[tokio::test]
async fn a_stream_of_answers_comes_whole_with_how_it_ended() {
    let (near, _far) = two().await;
    for until_end in [true, false] {
        let types: Vec<String> = (0..200).map(|n| n.to_string()).collect();
        let request = SubscribeRequest { types: types.clone(), until_end, ..SubscribeRequest::default() };
        let mut events = near.feed().await.subscribe(request).await.unwrap().into_inner();
        let mut told = Vec::new();
        let ended = loop {
            match events.message().await {
                Ok(Some(event)) => {
                    assert_eq!((event.service.as_str(), event.payload.len()), ("far", 64 << 10));
                    told.push(event.r#type);
                }
                Ok(None) => break None,
                Err(status) => break Some(status),
            }
        };
        assert_eq!(told, types);
        let ended = ended.map(|status| (status.code(), refuse::retry_after_ms(&status)));
        assert_eq!(ended, (!until_end).then_some((Code::ResourceExhausted, 77)));
    }
}

#[tokio::test]
async fn both_sides_of_a_stream_take_turns() {
    let (near, far) = two().await;
    let mut desktop = Desktop::open(&near, "acme").await.unwrap();
    for n in 0..50 {
        assert_eq!(desktop.ask(&n.to_string()).await.unwrap(), format!("far/acme/{n}"));
    }
    assert_eq!(desktop.close().await.unwrap(), None, "it ends well when the agent has said all");
    far.handlers.until((1, 1)).await;
}

#[tokio::test]
async fn a_call_is_forwarded_once() {
    let (one, other) = (Process::start("one").await, Process::start("other").await);
    one.sees(Service::Routing, &other);
    other.sees(Service::Routing, &one);
    is_retryable(&one.agents().await.get_agent(get("ann")).await.unwrap_err(), "routing");
    is_retryable(&Desktop::open(&other, "acme").await.err().unwrap(), "routing");
    let mut marked = get("ann");
    marked.metadata_mut().insert(FORWARDED, "1".parse().unwrap());
    one.owns(Service::Routing);
    let answered = one.agents().await.get_agent(marked).await.unwrap().into_inner();
    assert_eq!(answered.as_of, "one/default/", "the owner answers what was forwarded");
    assert_eq!(one.peers.owners().owner(Service::Routing, 0), Owner::Here);
}

#[tokio::test]
async fn what_nobody_owns_may_be_asked_again() {
    let near = Process::start("near").await;
    is_retryable(&near.agents().await.get_agent(get("ann")).await.unwrap_err(), "routing");
    is_retryable(&near.feed().await.subscribe(SubscribeRequest::default()).await.unwrap_err(), "ingest");
    near.view.set(Service::Routing, Owner::At("no address".to_owned()));
    is_retryable(&near.agents().await.get_agent(get("ann")).await.unwrap_err(), "routing");
}

#[tokio::test]
async fn a_workspace_that_has_no_name_is_refused_where_it_is_asked() {
    let (near, far) = two().await;
    for wrong in ["a b", "ünì", "", &"x".repeat(129)] {
        let mut request = get("ann");
        let name = tonic::metadata::AsciiMetadataValue::try_from(wrong.as_bytes()).unwrap();
        request.metadata_mut().insert(rejoinder_api::WORKSPACE, name);
        let status = near.agents().await.get_agent(request).await.unwrap_err();
        assert_eq!(refuse::reason(&status), "WORKSPACE_INVALID", "{wrong:?}: {status}");
    }
    assert_eq!(*far.handlers.seen.borrow(), (0, 0));
}

#[tokio::test]
async fn who_gives_up_is_given_up_by_the_owner() {
    let (near, far) = two().await;
    let mut agents = near.agents().await;
    let call = tokio::spawn(async move { agents.get_agent(get("wait")).await });
    far.handlers.until((1, 0)).await;
    call.abort();
    far.handlers.until((1, 1)).await;

    let mut desktop = Desktop::open(&near, "acme").await.unwrap();
    desktop.ask("1").await.unwrap();
    far.handlers.until((2, 1)).await;
    drop(desktop);
    far.handlers.until((2, 2)).await;

    let types = vec![String::new(); 10_000];
    let request = SubscribeRequest { types, until_end: true, ..SubscribeRequest::default() };
    let mut events = near.feed().await.subscribe(request).await.unwrap().into_inner();
    events.message().await.unwrap().unwrap();
    far.handlers.until((3, 2)).await;
    drop(events);
    far.handlers.until((3, 3)).await;
}

#[tokio::test]
async fn a_deadline_holds_at_the_owner_too() {
    let (near, far) = two().await;
    let mut request = get("wait");
    request.set_timeout(Duration::from_millis(200));
    let status = near.agents().await.get_agent(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    far.handlers.until((1, 1)).await;
}

#[tokio::test]
async fn clients_inside_a_process_ask_over_the_same_way() {
    let (near, far) = two().await;
    let services = Forwarding::new(near.peers.clone(), Routes::default());
    let mut agents = rejoinder_api::routing::agent_service_client::AgentServiceClient::new(services);
    let answered = agents.get_agent(in_workspace("acme", get("ann"))).await.unwrap().into_inner();
    assert_eq!(answered.as_of, "far/acme/");
    far.handlers.until((1, 1)).await;
}

#[tokio::test]
async fn streams_that_nobody_reads_stop_nobody_else() {
    let (near, far) = two().await;
    let mut unread = Vec::new();
    for n in 1..=100 {
        let types = vec![String::new(); 1_000];
        let request = SubscribeRequest { types, ..SubscribeRequest::default() };
        unread.push(near.feed().await.subscribe(Request::new(request)).await.unwrap().into_inner());
        far.handlers.until((n, 0)).await;
    }
    let mut desktop = Desktop::open(&near, "acme").await.unwrap();
    for n in 0..200 {
        let asked = tokio::time::timeout(SOON, desktop.ask(&n.to_string())).await.unwrap();
        assert_eq!(asked.unwrap(), format!("far/acme/{n}"));
    }
}
