//! Owners that end, come back or change in the middle of a call: whoever asked may ask again, and is told so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rejoinder_api::feed::SubscribeRequest;
use rejoinder_model::Service;
use rejoinder_service_kit::Owner;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::service::Routes;

use crate::world::{Desktop, Process, SOON, get, is_retryable, two};

#[tokio::test]
async fn an_owner_that_is_dead_is_unavailable_and_found_again_when_it_is_back() {
    let (near, mut far) = two().await;
    let mut agents = near.agents().await;
    agents.get_agent(get("ann")).await.unwrap();
    far.kill();
    is_retryable(&agents.get_agent(get("ann")).await.unwrap_err(), "routing");
    is_retryable(&Desktop::open(&near, "acme").await.err().unwrap(), "routing");
    is_retryable(&near.feed().await.subscribe(SubscribeRequest::default()).await.unwrap_err(), "ingest");
    let again = Process::start_with("again", far.address, |_| Routes::default()).await;
    again.owns(Service::Routing);
    let found = async {
        loop {
            match agents.get_agent(get("ann")).await {
                Ok(answered) => return answered.into_inner().as_of,
                Err(status) => is_retryable(&status, "routing"),
            }
        }
    };
    assert_eq!(tokio::time::timeout(SOON, found).await.unwrap(), "again/default/");
}

#[tokio::test]
async fn an_owner_that_dies_in_the_middle_leaves_nobody_without_a_word() {
    let (near, mut far) = two().await;
    let mut desktop = Desktop::open(&near, "acme").await.unwrap();
    desktop.ask("1").await.unwrap();
    let types = vec![String::new(); 1_000];
    let request = SubscribeRequest { types, ..SubscribeRequest::default() };
    let mut events = near.feed().await.subscribe(request).await.unwrap().into_inner();
    events.message().await.unwrap().unwrap();
    let mut agents = near.agents().await;
    let waiting = tokio::spawn(async move { agents.get_agent(get("wait")).await });
    far.handlers.until((3, 0)).await;
    far.kill();
    is_retryable(&waiting.await.unwrap().unwrap_err(), "routing");
    is_retryable(&desktop.end().await.unwrap(), "routing");
    let ended = async {
        loop {
            // It may end inside an event, too.
            match events.message().await {
                Ok(event) => assert!(event.is_some(), "it does not end well"),
                Err(status) => return status,
            }
        }
    };
    is_retryable(&tokio::time::timeout(SOON, ended).await.unwrap(), "ingest");
}

#[tokio::test]
async fn streams_end_when_their_partition_moves_and_calls_are_finished() {
    let (near, far) = two().await;
    let next = Process::start("next").await;
    let mut at_owner = Desktop::open(&far, "acme").await.unwrap();
    let mut forwarded = Desktop::open(&near, "acme").await.unwrap();
    for desktop in [&mut at_owner, &mut forwarded] {
        assert_eq!(desktop.ask("1").await.unwrap(), "far/acme/1");
    }
    let feed = SubscribeRequest { types: vec![String::new(); 1_000], ..SubscribeRequest::default() };
    let mut events = near.feed().await.subscribe(feed).await.unwrap().into_inner();
    let mut agents = near.agents().await;
    let waiting = tokio::spawn(async move { agents.get_agent(get("wait")).await });
    far.handlers.until((4, 0)).await;

    far.view.set(Service::SlaTimer, Owner::Nobody);
    assert_eq!(forwarded.ask("2").await.unwrap(), "far/acme/2", "another service's lane is not this one's");
    next.owns(Service::Routing);
    far.sees(Service::Routing, &next);
    for desktop in [at_owner, forwarded] {
        is_retryable(&desktop.end().await.unwrap(), "routing");
    }
    far.handlers.until((4, 2)).await;
    assert!(events.message().await.unwrap().is_some(), "ingest has not moved");
    far.handlers.go_on.send(true).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().into_inner().as_of, "far/default/", "what was asked is answered");

    let status = near.agents().await.get_agent(get("ann")).await.unwrap_err();
    is_retryable(&status, "routing");
    near.sees(Service::Routing, &next);
    let mut desktop = Desktop::open(&near, "acme").await.unwrap();
    assert_eq!(desktop.ask("3").await.unwrap(), "next/acme/3");
}

/// Asks twenty times at once, and says how long it takes until all know that nobody answers.
async fn until_all_know(address: SocketAddr) -> Duration {
    let near = Arc::new(Process::start("near").await);
    near.view.set(Service::Routing, Owner::At(address.to_string()));
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let near = near.clone();
        calls.spawn(async move { near.agents().await.get_agent(get("ann")).await.unwrap_err() });
    }
    while let Some(status) = calls.join_next().await {
        is_retryable(&status.unwrap(), "routing");
    }
    began.elapsed()
}

#[tokio::test]
async fn callers_of_a_machine_that_is_gone_wait_together_and_not_one_after_the_other() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    // Nobody accepts them: those who come later hear nothing at all.
    let mut waiting = Vec::new();
    while let Ok(connected) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
        assert!(waiting.len() < 100, "it has room for all");
    }
    let took = until_all_know(address).await;
    assert!(took < Duration::from_secs(6), "{took:?}");
}

#[tokio::test]
async fn a_process_that_hangs_is_known_to_be_gone_in_seconds() {
    // It takes connections, and says nothing on them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let took = until_all_know(silent.local_addr().unwrap()).await;
    assert!(took < Duration::from_secs(16), "{took:?}");
}

#[tokio::test]
async fn what_does_not_speak_our_language_is_unavailable() {
    let near = Process::start("near").await;
    let stranger = TcpListener::bind("127.0.0.1:0").await.unwrap();
    near.view.set(Service::Routing, Owner::At(stranger.local_addr().unwrap().to_string()));
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = stranger.accept().await.unwrap();
            connection.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
        }
    });
    is_retryable(&near.agents().await.get_agent(get("ann")).await.unwrap_err(), "routing");
}
