//! What is accepted once, whatever comes twice or in the wrong order.

use std::sync::Arc;

use rejoinder_machine::{Context, NoBacking, Own, State};
use rejoinder_model::InteractionId;
use rejoinder_wire::event::{
    Direction, Event, InteractionReceived, MessageRef, ThreadingPolicy, event::Body, threading_policy::Account,
};

use super::*;

struct World {
    state: Ingest,
    events: Vec<Event>,
}

impl World {
    fn new() -> Self {
        Self { state: Ingest::open(Arc::new(NoBacking)), events: Vec::new() }
    }

    fn accept(&mut self, workspace: &str, id: &str, author: &str, revision: Option<Revision>) -> Outcome {
        let message =
            MessageRef { channel: "x".into(), account: "acme".into(), external_id: id.into(), global_ids: false };
        let received = InteractionReceived {
            message: Some(message),
            author_id: Some(author.into()),
            content: Some(rejoinder_wire::event::Content::default()),
            ..InteractionReceived::default()
        };
        let context = Context { partition: 2, now: 0, next_own_seq: self.events.len() as u64 + 1 };
        let mut out = Vec::new();
        let outcome = accept(&self.state, &context, workspace, Arrival { received, revision }, &mut out);
        self.commit(out);
        outcome
    }

    fn commit(&mut self, out: Vec<Event>) {
        for event in out {
            self.state.apply(Own { partition: 2, own_seq: self.events.len() as u64 + 1 }, &event);
            self.events.push(event);
        }
    }
}

#[test]
fn a_message_is_accepted_once_and_its_repeat_names_the_first() {
    let mut world = World::new();
    let id = InteractionId::new(2, 1);
    assert_eq!(world.accept("default", "m1", "a", None), Outcome::Accepted(id));
    assert_eq!(world.accept("default", "m1", "a", None), Outcome::Duplicate(Some(id)));
    assert_eq!(world.events.len(), 1);
}

#[test]
fn an_edit_counts_if_its_version_is_higher_and_may_come_first() {
    let mut world = World::new();
    let edit = |version| Some(Revision::Edit { version });
    assert_eq!(world.accept("default", "m1", "a", edit(2)), Outcome::Revised);
    assert_eq!(world.accept("default", "m1", "a", edit(1)), Outcome::Duplicate(None));
    assert!(matches!(world.accept("default", "m1", "a", None), Outcome::Accepted(_)));
    assert_eq!(world.accept("default", "m1", "a", edit(3)), Outcome::Revised);
}

#[test]
fn a_message_that_was_deleted_before_it_came_has_no_content() {
    let mut world = World::new();
    assert_eq!(world.accept("default", "m1", "a", Some(Revision::Delete)), Outcome::Revised);
    assert_eq!(world.accept("default", "m1", "a", Some(Revision::Delete)), Outcome::Duplicate(None));
    assert!(matches!(world.accept("default", "m1", "a", None), Outcome::Accepted(_)));
    let Some(Body::InteractionReceived(received)) = &world.events[1].body else { panic!("a message") };
    assert!(received.deleted && received.content.is_none());
}

#[test]
fn a_workspace_exists_once_a_policy_is_published_and_its_accounts_are_the_company() {
    let mut world = World::new();
    assert_eq!(world.accept("acme", "m1", "a", None), Outcome::UnknownWorkspace);
    let account = Account { channel: "x".into(), id: "acme-help".into(), bot: false };
    let threading = ThreadingPolicy { accounts: vec![account], ..ThreadingPolicy::default() };
    let new = NewPolicy { threading, request_id: "r1".into(), ..NewPolicy::default() };
    let mut out = Vec::new();
    let context = Context { partition: 0, now: 5, next_own_seq: 1 };
    assert_eq!(publish_policy(&world.state, &context, "acme", new.clone(), &mut out), Ok(1));
    world.commit(std::mem::take(&mut out));
    assert_eq!(publish_policy(&world.state, &context, "acme", new.clone(), &mut out), Ok(1), "a repeat");
    let late = NewPolicy { request_id: String::new(), follows: Some(0), ..new };
    assert_eq!(publish_policy(&world.state, &context, "acme", late, &mut out), Err(StalePolicy { current: 1 }));
    assert!(out.is_empty(), "neither wrote anything");
    assert_eq!(policy_version(&world.state, "acme"), 1);
    world.accept("acme", "m1", "a", None);
    world.accept("acme", "m2", "acme-help", None);
    let direction = |event: &Event| match &event.body {
        Some(Body::InteractionReceived(received)) => received.direction,
        _ => -1,
    };
    assert_eq!(direction(&world.events[1]), Direction::Inbound as i32);
    assert_eq!(direction(&world.events[2]), Direction::Outbound as i32);
}
