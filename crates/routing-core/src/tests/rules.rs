//! The rules of the domain pages, one by one, with their vectors.

use rejoinder_machine::quarantine;
use rejoinder_model::{DAY_MS, HOUR_MS, MINUTE_MS};
use rejoinder_wire::event::decision_explained::Reason;
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::{
    Band, Presence, RoutingPolicy, ThreadState, ThreadsMerged, ThreadsUnmerged, agent_load_changed::Load,
    offer_revoked, overcommitted, routing_policy as wire, threads_unmerged::Part, work_item_cancelled,
};

use super::world::{START, World, agent, with_agents};
use crate::command::{Asked, Command, Done, Refusal, Session};
use crate::explain::why_not;
use crate::policy;
use crate::record::{OfferState, Phase};

/// A policy whose kinds cost so much, with so many at most.
fn kinds(table: &[(&str, u32, u32)], agents: Vec<wire::Agent>) -> RoutingPolicy {
    let mut policy = RoutingPolicy { agents, ..policy::defaults() };
    for (name, cost, max) in table {
        let kind = policy.kinds.iter_mut().find(|kind| kind.name == *name).expect("a kind");
        (kind.cost, kind.max) = (*cost, *max);
    }
    policy
}

fn one(id: &str) -> Vec<wire::Agent> {
    vec![agent(id, &[], &[("default", 1, 0)])]
}

/// Opens threads of (channel, private) one after the other and accepts what is offered to `id`.
fn load_up(world: &mut World, id: &str, wanted: &[(&str, bool)]) -> Vec<bool> {
    let opened = wanted.iter().zip(1000_u64..).map(|((channel, private), thread)| {
        world.thread_of(channel, *private, thread, ThreadState::AwaitingAgent);
        world.accept(id).is_ok()
    });
    opened.collect()
}

#[test]
fn a_thread_is_queued_offered_accepted_answered_and_parked() {
    let mut world = World::of(with_agents(&["ann"]));
    world.comes("ann");
    world.asks(1);
    assert_eq!(world.phase(1), Some(Phase::Offered));
    world.accept("ann").unwrap();
    assert_eq!(world.phase(1), Some(Phase::Assigned));
    world.replied(1);
    assert_eq!(world.phase(1), Some(Phase::Parked));
    assert_eq!(world.agent("ann").held.len(), 1, "parked with its agent");
    world.thread(1, ThreadState::Resolved);
    assert_eq!(world.phase(1), None);
    let names: Vec<String> = world.names().iter().map(|n| n.split('(').next().unwrap_or_default().into()).collect();
    let of_item = names.iter().filter(|n| n.starts_with("WorkItem") || n.starts_with("Offer"));
    let expected =
        ["WorkItemQueued", "OfferMade", "OfferAccepted", "WorkItemAssigned", "WorkItemParked", "WorkItemCancelled"];
    assert_eq!(of_item.collect::<Vec<_>>(), expected);
}

#[test]
fn each_change_of_load_tells_before_and_after() {
    let mut world = World::of(with_agents(&["ann"]));
    world.comes("ann");
    world.asks(1);
    world.accept("ann").unwrap();
    world.replied(1);
    let loads: Vec<(Option<Load>, Option<Load>)> = world
        .events
        .iter()
        .filter_map(|event| match &event.body {
            Some(Body::AgentLoadChanged(changed)) => Some((changed.before, changed.after)),
            _ => None,
        })
        .collect();
    let load = |used, items, parked| Some(Load { used, total: 100, items, parked });
    assert_eq!(loads, [(load(0, 0, 0), load(20, 1, 0)), (load(20, 1, 0), load(0, 0, 1))]);
}

#[test]
fn one_accept_wins_and_a_late_one_is_told() {
    let mut policy = with_agents(&["ann", "bob"]);
    policy.queues[0].parallel_offers = 2;
    let mut world = World::of(policy);
    world.comes("ann");
    world.comes("bob");
    world.asks(1);
    let late = world.offers_to("bob")[0];
    assert_eq!(world.with(1), ["ann", "bob"].map(String::from).to_vec().tap_sorted());
    world.accept("ann").unwrap();
    let refused = world.command(&Command::Accept { by: world.by("bob"), offer: late });
    assert_eq!(refused, Err(Refusal::OfferOver { offer: late, how: "was taken back" }));
    let other =
        |body: &Body| matches!(body, Body::OfferRevoked(r) if r.reason == offer_revoked::Reason::OtherAccepted as i32);
    assert_eq!(world.count(other), 1);
    assert_eq!(world.item(1).agent, "ann");
}

trait TapSorted {
    fn tap_sorted(self) -> Self;
}

impl TapSorted for Vec<String> {
    fn tap_sorted(mut self) -> Self {
        self.sort();
        self
    }
}

#[test]
fn an_accept_that_is_repeated_by_its_agent_is_one() {
    let mut world = World::of(with_agents(&["ann"]));
    world.comes("ann");
    world.asks(1);
    let offer = world.offers_to("ann")[0];
    let first = world.command(&Command::Accept { by: world.by("ann"), offer });
    let events = world.events.len();
    assert_eq!(world.command(&Command::Accept { by: world.by("ann"), offer }), first);
    assert_eq!(world.events.len(), events);
}

#[test]
fn a_declined_item_goes_to_others_for_half_an_hour() {
    let mut policy = with_agents(&["ann", "bob"]);
    policy.kinds[2].max = 1;
    let mut world = World::of(policy);
    world.comes("ann");
    world.comes("bob");
    world.asks(1);
    assert_eq!(world.with(1), ["ann"]);
    let offer = world.offers_to("ann")[0];
    world.decline("ann").unwrap();
    assert_eq!(world.with(1), ["bob"], "the other is asked");
    let twice = world.command(&Command::Decline { by: world.by("ann"), offer, reason: String::new() });
    assert!(matches!(twice, Err(Refusal::Precondition(_))), "{twice:?}");
    world.accept("bob").unwrap();
    world.asks(2);
    world.decline("ann").unwrap();
    assert_eq!(world.phase(2), Some(Phase::Queued), "bob is at his maximum, and can take it later");
    world.wait(30 * MINUTE_MS - 1);
    assert_eq!(world.phase(2), Some(Phase::Queued));
    world.wait(1);
    assert_eq!(world.with(2), ["ann"]);
}

#[test]
fn a_declined_item_comes_back_at_once_when_nobody_else_can_take_it() {
    let mut policy = with_agents(&["ann", "bob"]);
    policy.kinds[2].max = 1;
    let mut world = World::of(policy);
    world.comes("ann");
    world.asks(1);
    world.decline("ann").unwrap();
    assert_eq!(world.with(1), ["ann"], "she is alone");
    world.comes("bob");
    world.decline("ann").unwrap();
    world.accept("bob").unwrap();
    world.asks(2);
    world.decline("ann").unwrap();
    assert_eq!(world.phase(2), Some(Phase::Queued));
    world.presence("bob", Presence::Away).unwrap();
    assert_eq!(world.with(2), ["ann"], "bob left: nobody else can");
}

#[test]
fn offers_time_out_and_make_an_agent_not_responding() {
    // (channel, private, seconds)
    for (channel, private, seconds) in [("chat", true, 30), ("x", true, 120), ("email", true, 120)] {
        let mut world = World::of(with_agents(&["ann"]));
        world.comes("ann");
        world.thread_of(channel, private, 1, ThreadState::AwaitingAgent);
        world.wait(seconds * 1_000 - 1);
        assert_eq!(world.phase(1), Some(Phase::Offered), "{channel}");
        world.wait(1);
        assert_eq!(world.phase(1), Some(Phase::Queued));
        assert_eq!(world.agent("ann").presence(), Presence::NotResponding);
        assert_eq!(world.item(1).eligible_since, START, "its age stays");
        let offer = world.state.offers.page(&rejoinder_model::OfferId(0), 1)[0].0;
        let late = world.command(&Command::Accept { by: world.by("ann"), offer });
        assert_eq!(late, Err(Refusal::OfferOver { offer, how: "was not answered in time" }));
        world.presence("ann", Presence::Available).unwrap();
        assert_eq!(world.phase(1), Some(Phase::Offered), "she is back");
    }
}

#[test]
fn capacity_is_a_total() {
    // Total 100, voice 100, direct messages 20: one call or five messages.
    let policy = kinds(&[("voice", 100, 9), ("direct_message", 20, 9)], one("ann"));
    let mut world = World::of(policy.clone());
    world.comes("ann");
    let calls = load_up(&mut world, "ann", &[("voice", true), ("voice", true), ("x", true)]);
    assert_eq!(calls, [true, false, false]);
    let mut world = World::of(policy);
    world.comes("ann");
    assert_eq!(load_up(&mut world, "ann", &[("x", true); 6]), [true, true, true, true, true, false]);
    world.thread_of("voice", true, 99, ThreadState::AwaitingAgent);
    assert_eq!(world.phase(99), Some(Phase::Queued));
}

#[test]
fn capacity_has_maxima_by_kind() {
    // Total 100, voice 60, chat and e-mail 10 with two each: one call, two chats, two mails.
    let mut world = World::of(kinds(&[("voice", 60, 9), ("live_chat", 10, 2), ("email", 10, 2)], one("ann")));
    world.comes("ann");
    let wanted = [
        ("voice", true),
        ("chat", true),
        ("chat", true),
        ("chat", true),
        ("email", true),
        ("email", true),
        ("email", true),
        ("voice", true),
    ];
    let got = load_up(&mut world, "ann", &wanted);
    assert_eq!(got, [true, true, true, false, true, true, false, false]);
}

#[test]
fn the_third_goes_to_the_other_when_the_first_has_two_at_most() {
    let mut agents = vec![agent("ann", &[], &[("default", 1, 0)]), agent("bob", &[], &[("default", 2, 0)])];
    agents[0].max.insert("direct_message".into(), 2);
    let mut world = World::of(kinds(&[], agents));
    world.comes("ann");
    world.comes("bob");
    assert_eq!(load_up(&mut world, "ann", &[("x", true), ("x", true), ("x", true)]), [true, true, false]);
    assert_eq!(world.with(1002), ["bob"]);
}

#[test]
fn a_group_has_a_maximum() {
    let mut policy = kinds(&[("direct_message", 10, 9), ("email", 10, 9)], one("ann"));
    policy.groups.push(wire::Group { name: "text".into(), max: 6 });
    for kind in policy.kinds.iter_mut().filter(|kind| ["direct_message", "email"].contains(&kind.name.as_str())) {
        kind.group = "text".into();
    }
    let mut world = World::of(policy);
    world.comes("ann");
    let mut wanted = vec![("x", true); 4];
    wanted.extend([("email", true), ("email", true), ("x", true), ("x", false)]);
    let got = load_up(&mut world, "ann", &wanted);
    assert_eq!(got, [true, true, true, true, true, true, false, true], "posts are no text of this group");
    let item = world.item_of(1006).0;
    let why = why_not(&world.state, "w", item, "ann", world.now).unwrap();
    assert_eq!(why.reasons, [Reason::MaxOfGroup]);
}

#[test]
fn what_may_not_stand_beside_waits() {
    let mut policy = kinds(&[("voice", 50, 1), ("live_chat", 10, 3)], one("ann"));
    policy.kinds[0].beside = vec!["email".into()];
    let mut world = World::of(policy);
    world.comes("ann");
    let got = load_up(&mut world, "ann", &[("voice", true), ("chat", true), ("email", true)]);
    assert_eq!(got, [true, false, true]);
    world.finish("ann", 1000).unwrap();
    assert_eq!(world.phase(1001), Some(Phase::Offered), "the call is over");
}

#[test]
fn skills_relax_with_time() {
    let mut policy = policy::defaults();
    let relax = |after_s: i64, level| wire::Relaxation { after_ms: after_s * 1_000, level };
    policy.queues[0].required = vec!["spanish".into()];
    policy.queues[0].skills =
        vec![wire::Skill { name: "billing".into(), level: 7, relaxations: vec![relax(60, 5), relax(120, 0)] }];
    let queues: &[(&str, u32, i64)] = &[("default", 1, 0)];
    let who = [
        ("both", vec![("spanish", 5), ("billing", 5)], Some(60)),
        ("spanish", vec![("spanish", 1)], Some(120)),
        ("neither", vec![("billing", 9)], None),
    ];
    for (name, skills, from) in who {
        policy.agents = vec![agent(name, &skills, queues)];
        let mut world = World::of(policy.clone());
        world.comes(name);
        world.asks(1);
        let seconds = from.unwrap_or(3_600);
        world.wait(seconds * 1_000 - 1);
        assert_eq!(world.phase(1), Some(Phase::Queued), "{name} before second {seconds}");
        world.wait(1);
        assert_eq!(world.phase(1) == Some(Phase::Offered), from.is_some(), "{name} at second {seconds}");
    }
}

#[test]
fn the_last_step_takes_anybody_or_another_queue_or_stays() {
    for (last, expected) in [
        (wire::LastStep::AnyInQueue, Some("ann")),
        (wire::LastStep::OverflowQueue, Some("far")),
        (wire::LastStep::Stay, None),
    ] {
        let mut policy = policy::defaults();
        policy.queues.push(policy::queue("second"));
        policy.queues[0].skills = vec![wire::Skill { name: "billing".into(), level: 7, relaxations: Vec::new() }];
        policy.queues[0].overflow = "second".into();
        policy.queues[0].last_step = last as i32;
        policy.queues[0].last_step_after_ms = 90_000;
        policy.agents = vec![agent("ann", &[], &[("default", 1, 0)]), agent("far", &[], &[("second", 1, 0)])];
        let mut world = World::of(policy);
        world.comes("ann");
        world.comes("far");
        world.asks(1);
        world.wait(89_999);
        assert_eq!(world.phase(1), Some(Phase::Queued));
        world.wait(1);
        assert_eq!(world.with(1).first().map(String::as_str), expected, "{last:?}");
        assert_eq!(world.item(1).eligible_since, START, "its age stays");
    }
}

#[test]
fn a_membership_may_have_a_delay() {
    let mut policy = policy::defaults();
    policy.agents = vec![agent("late", &[], &[("default", 2, 30_000)])];
    let mut world = World::of(policy);
    world.comes("late");
    world.asks(1);
    let item = world.item_of(1).0;
    assert_eq!(why_not(&world.state, "w", item, "late", world.now).unwrap().reasons, [Reason::TooEarly]);
    world.wait(29_999);
    assert_eq!(world.phase(1), Some(Phase::Queued));
    world.wait(1);
    assert_eq!(world.with(1), ["late"]);
}

#[test]
fn the_agent_who_knows_the_customer_is_waited_for_a_minute() {
    let mut policy = kinds(&[("direct_message", 20, 1)], Vec::new());
    policy.agents = vec![agent("ann", &[], &[("default", 1, 0)]), agent("bob", &[], &[("default", 1, 0)])];
    let served_by_ann = |policy: &RoutingPolicy| {
        let mut world = World::of(policy.clone());
        world.comes("ann");
        world.asks(1);
        world.accept("ann").unwrap();
        world.finish("ann", 1).unwrap();
        world.asks(2);
        world.accept("ann").unwrap();
        world.comes("bob");
        world
    };
    let mut world = served_by_ann(&policy);
    world.thread(1, ThreadState::AwaitingAgent);
    assert_eq!(world.phase(1), Some(Phase::Queued), "ann is busy, bob is free and not asked");
    world.wait(59_999);
    assert_eq!(world.phase(1), Some(Phase::Queued));
    world.wait(1);
    assert_eq!(world.with(1), ["bob"]);

    let mut world = served_by_ann(&policy);
    world.thread(1, ThreadState::AwaitingAgent);
    world.finish("ann", 2).unwrap();
    assert_eq!(world.with(1), ["ann"], "she is free before");

    let mut world = served_by_ann(&policy);
    world.thread(1, ThreadState::AwaitingAgent);
    world.drops("ann");
    assert_eq!(world.with(1), ["bob"], "nobody waits for who is gone");

    policy.queues[0].preferred_wait_ms = 0;
    let mut world = served_by_ann(&policy);
    world.thread(1, ThreadState::AwaitingAgent);
    assert_eq!(world.with(1), ["bob"]);
}

#[test]
fn a_queue_goes_by_band_then_priority_and_age_then_number() {
    let mut policy = with_agents(&["ann"]);
    policy.kinds[2].max = 1;
    let band = |channel: &str, band: Band| wire::Route {
        channel: channel.into(),
        queue: "default".into(),
        band: band as i32,
        ..wire::Route::default()
    };
    policy.routes = vec![band("sos", Band::Safety), band("blog", Band::Listen)];
    let mut world = World::of(policy);
    world.thread_of("blog", true, 1, ThreadState::AwaitingAgent);
    world.wait(5_000);
    world.thread_of("x", true, 2, ThreadState::AwaitingAgent);
    world.thread_of("x", true, 3, ThreadState::AwaitingAgent);
    world.wait(1_000);
    world.thread_of("x", true, 4, ThreadState::AwaitingAgent);
    world.thread_of("sos", true, 5, ThreadState::AwaitingAgent);
    // A message of an hour ago arrives late in the newest of them.
    world.writes(4, START - HOUR_MS, false);
    world.comes("ann");
    let mut served = Vec::new();
    for _ in 0..5 {
        let thread = (1..=5).find(|thread| world.phase(*thread) == Some(Phase::Offered)).expect("an offer");
        served.push(thread);
        world.accept("ann").unwrap();
        world.finish("ann", thread).unwrap();
    }
    assert_eq!(served, [5, 4, 2, 3, 1]);
}

#[test]
fn a_score_takes_force_when_it_differs_by_five_points() {
    let mut world = World::of(with_agents(&[]));
    world.asks(1);
    world.wait(49 * MINUTE_MS);
    assert_eq!(world.item(1).milli_points, 0);
    world.wait(MINUTE_MS);
    assert_eq!(world.item(1).milli_points, 5_000);
    assert_eq!(world.item(1).waiting.order, START - 5 * MINUTE_MS);
    world.wait(3 * HOUR_MS);
    assert_eq!(world.item(1).milli_points, 10_000);
}

#[test]
fn a_parked_item_wakes_with_its_agent_within_a_day() {
    let parked = || {
        let mut world = World::of(with_agents(&["ann", "bob"]));
        world.comes("ann");
        world.asks(1);
        world.accept("ann").unwrap();
        world.replied(1);
        world.comes("bob");
        world
    };
    let mut world = parked();
    world.wait(DAY_MS);
    world.asks(1);
    assert_eq!((world.phase(1), world.item(1).agent.as_str()), (Some(Phase::Assigned), "ann"));
    assert_eq!(world.item(1).eligible_since, START + DAY_MS, "a new question has an age of its own");

    let mut world = parked();
    world.wait(DAY_MS + 1);
    world.asks(1);
    assert_eq!(world.phase(1), Some(Phase::Offered));

    let mut world = parked();
    world.drops("ann");
    world.asks(1);
    assert_eq!((world.phase(1), world.with(1)), (Some(Phase::Offered), vec!["bob".to_owned()]));
}

#[test]
fn a_woken_item_may_exceed_the_total_by_one() {
    let mut policy = kinds(&[("direct_message", 50, 9)], one("ann"));
    policy.agents.push(agent("bob", &[], &[("default", 2, 0)]));
    let mut world = World::of(policy);
    world.comes("ann");
    for thread in [1, 2] {
        world.asks(thread);
        world.accept("ann").unwrap();
        world.replied(thread);
    }
    for thread in [3, 4] {
        world.asks(thread);
        world.accept("ann").unwrap();
    }
    world.comes("bob");
    world.asks(1);
    assert_eq!(world.item(1).agent, "ann", "one item above");
    let woken = |body: &Body| matches!(body, Body::Overcommitted(o) if (o.used, o.total) == (150, 100));
    assert_eq!(world.count(woken), 1);
    world.asks(2);
    assert_eq!(world.with(2), ["bob"], "beyond that somebody else");
}

#[test]
fn taking_by_hand_above_capacity_needs_permission() {
    let mut policy = kinds(&[("direct_message", 100, 1)], one("ann"));
    policy.agents.push(agent("chief", &[], &[("default", 2, 0)]));
    policy.agents[1].may_overcommit = true;
    let mut world = World::of(policy);
    for id in ["ann", "chief"] {
        world.comes(id);
    }
    for (thread, id) in [(1, "ann"), (2, "chief")] {
        world.asks(thread);
        world.accept(id).unwrap();
    }
    world.asks(3);
    let item = world.item_of(3);
    let refused = world.command(&Command::Take { item, agent: "ann".into() });
    assert!(matches!(refused, Err(Refusal::Precondition(_))), "{refused:?}");
    world.command(&Command::Take { item, agent: "chief".into() }).unwrap();
    assert_eq!(world.item(3).agent, "chief");
    let taken = |body: &Body| matches!(body, Body::Overcommitted(o) if o.cause == overcommitted::Cause::Taken as i32);
    assert_eq!(world.count(taken), 1);
}

#[test]
fn parked_items_have_a_limit_of_their_own() {
    let mut policy = with_agents(&["ann"]);
    policy.max_parked = 2;
    let mut world = World::of(policy);
    world.comes("ann");
    for thread in 1..=3 {
        world.asks(thread);
        world.accept("ann").unwrap();
        world.replied(thread);
    }
    assert_eq!(world.agent("ann").held.len(), 2);
    assert_eq!((world.phase(3), world.item(3).agent.as_str()), (Some(Phase::Parked), ""));
    world.asks(3);
    assert_eq!(world.with(3), ["ann"], "she is asked, as who knows the customer");
}

#[test]
fn a_live_item_is_parked_when_its_customer_is_silent() {
    let mut world = World::of(with_agents(&["ann"]));
    world.comes("ann");
    world.thread_of("chat", true, 1, ThreadState::AwaitingAgent);
    world.accept("ann").unwrap();
    world.thread_of("chat", true, 1, ThreadState::AwaitingCustomer);
    world.wait(9 * MINUTE_MS);
    world.thread_of("chat", true, 1, ThreadState::AwaitingAgent);
    world.wait(20 * MINUTE_MS);
    assert_eq!(world.phase(1), Some(Phase::Assigned), "the customer was not silent");
    world.thread_of("chat", true, 1, ThreadState::AwaitingCustomer);
    world.wait(10 * MINUTE_MS - 1);
    assert_eq!(world.phase(1), Some(Phase::Assigned));
    world.wait(1);
    assert_eq!(world.phase(1), Some(Phase::Parked));
}

#[test]
fn wrap_up_ends_by_command_or_at_its_limit() {
    let mut policy = with_agents(&["ann"]);
    policy.kinds[2].wrap_up_ms = 60_000;
    let assigned = |policy: &RoutingPolicy| {
        let mut world = World::of(policy.clone());
        world.comes("ann");
        world.asks(1);
        world.accept("ann").unwrap();
        world
    };
    let mut world = assigned(&policy);
    let item = world.item_of(1).0;
    world.finish("ann", 1).unwrap();
    assert_eq!(world.phase(1), Some(Phase::Wrapping));
    assert_eq!(world.agent("ann").held.len(), 1, "it still takes her capacity");
    world.wait(60_000);
    assert_eq!(world.state.item(item).unwrap().phase, Phase::Done);

    let mut world = assigned(&policy);
    world.replied(1);
    world.wait(59_999);
    assert_eq!(world.phase(1), Some(Phase::Assigned), "answered, and winding up");
    world.wait(1);
    assert_eq!(world.phase(1), Some(Phase::Parked));

    policy.kinds[2].wrap_up_ms = policy::MANUAL;
    let mut world = assigned(&policy);
    let item = world.item_of(1).0;
    world.finish("ann", 1).unwrap();
    world.wait(DAY_MS);
    assert_eq!(world.phase(1), Some(Phase::Wrapping));
    world.finish("ann", 1).unwrap();
    assert_eq!(world.state.item(item).unwrap().phase, Phase::Done);
}

#[test]
fn a_lost_agent_gives_live_items_back_after_a_minute_and_others_later() {
    let mut world = World::of(with_agents(&["ann", "bob"]));
    world.comes("ann");
    world.thread_of("chat", true, 1, ThreadState::AwaitingAgent);
    world.accept("ann").unwrap();
    world.asks(2);
    world.accept("ann").unwrap();
    world.asks(3);
    world.drops("ann");
    assert_eq!(world.phase(3), Some(Phase::Queued), "offers end at once");
    world.comes("bob");
    world.wait(59_999);
    assert_eq!(world.with(1), ["ann"]);
    world.wait(1);
    assert_eq!(world.with(1), ["bob"]);
    while world.accept("bob").is_ok() {}
    assert_eq!(world.with(2), ["ann"]);
    assert_eq!(world.item(1).eligible_since, START, "its age stays");
    world.wait(14 * MINUTE_MS);
    assert_eq!(world.with(2), ["bob"]);
    assert!(world.agent("ann").held.is_empty());
}

#[test]
fn an_agent_who_comes_back_in_time_keeps_everything() {
    let mut world = World::of(with_agents(&["ann"]));
    world.comes("ann");
    world.thread_of("chat", true, 1, ThreadState::AwaitingAgent);
    world.accept("ann").unwrap();
    world.drops("ann");
    world.wait(59_000);
    world.connects("ann");
    world.wait(HOUR_MS);
    assert_eq!((world.phase(1), world.item(1).agent.as_str()), (Some(Phase::Assigned), "ann"));
    assert!(world.agent("ann").is_available(), "she need not say again that she is here");
}

#[test]
fn a_dead_stream_says_nothing() {
    let mut world = World::of(with_agents(&["ann"]));
    world.comes("ann");
    let old = world.by("ann");
    world.connects("ann");
    world.asks(1);
    let offer = world.offers_to("ann")[0];
    let item = world.item_of(1);
    let commands = [
        Command::SetPresence { by: old.clone(), presence: Presence::Offline },
        Command::Accept { by: old.clone(), offer },
        Command::Decline { by: old.clone(), offer, reason: String::new() },
        Command::Finish { by: old.clone(), item },
        Command::Disconnect(old.clone()),
    ];
    for command in commands {
        let dead = Refusal::DeadSession { agent: "ann".into(), session: old.session };
        assert_eq!(world.command(&command), Err(dead), "{command:?}");
    }
    assert!(world.agent("ann").is_available());
    world.accept("ann").unwrap();
}

#[test]
fn imported_messages_queue_nothing_until_a_live_one_comes() {
    let mut world = World::of(with_agents(&["ann"]));
    world.comes("ann");
    world.feed(Body::ThreadStateChanged(rejoinder_wire::event::ThreadStateChanged {
        thread: 1,
        to: ThreadState::AwaitingAgent as i32,
        quiet: true,
        ..Default::default()
    }));
    world.writes(1, START - DAY_MS, true);
    assert_eq!(world.phase(1), None);
    world.writes(1, START, false);
    assert_eq!(world.phase(1), Some(Phase::Offered));
}

#[test]
fn what_needs_nobody_any_more_is_cancelled() {
    let reason = |world: &World| {
        world.events.iter().rev().find_map(|event| match &event.body {
            Some(Body::WorkItemCancelled(cancelled)) => Some(cancelled.reason),
            _ => None,
        })
    };
    use work_item_cancelled::Reason as Why;
    for (to, expected) in [
        (ThreadState::AwaitingCustomer, Why::Answered),
        (ThreadState::Resolved, Why::Resolved),
        (ThreadState::OnHold, Why::OnHold),
    ] {
        let mut world = World::of(with_agents(&["ann"]));
        world.comes("ann");
        world.asks(1);
        world.thread(1, to);
        assert_eq!((world.phase(1), reason(&world)), (None, Some(expected as i32)));
        assert!(world.agent("ann").held.is_empty());
    }
}

#[test]
fn a_question_that_is_held_or_parked_keeps_its_age() {
    let mut world = World::of(with_agents(&["ann"]));
    world.comes("ann");
    for thread in [1, 2] {
        world.asks(thread);
        world.accept("ann").unwrap();
    }
    world.wait(5_000);
    world.thread(1, ThreadState::OnHold);
    assert_eq!(world.phase(1), Some(Phase::Parked));
    world.command(&Command::Park { by: world.by("ann"), item: world.item_of(2) }).unwrap();
    world.wait(HOUR_MS);
    world.thread(1, ThreadState::AwaitingAgent);
    world.asks(2);
    for thread in [1, 2] {
        assert_eq!((world.phase(thread), world.item(thread).eligible_since), (Some(Phase::Assigned), START));
    }
}

#[test]
fn threads_that_merge_have_one_item_and_the_elder_age() {
    let mut world = World::of(with_agents(&["ann"]));
    world.asks(1);
    world.wait(5_000);
    world.comes("ann");
    world.accept("ann").unwrap();
    world.asks(2);
    let state = ThreadState::AwaitingAgent as i32;
    world.feed(Body::ThreadsMerged(ThreadsMerged { into: 2, from: 1, state, ..ThreadsMerged::default() }));
    assert_eq!((world.phase(1), world.phase(2)), (None, Some(Phase::Assigned)), "who has an agent stays");
    assert_eq!(world.item(2).eligible_since, START);
    let parts = vec![
        Part { thread: 2, state, bases: vec![2], silent_at: 0 },
        Part { thread: 1, state, bases: vec![1], silent_at: 0 },
    ];
    world.feed(Body::ThreadsUnmerged(ThreadsUnmerged { thread: 2, parts, ..ThreadsUnmerged::default() }));
    assert_eq!((world.phase(1), world.phase(2)), (Some(Phase::Offered), Some(Phase::Assigned)));
}

#[test]
fn waiting_items_follow_a_new_policy() {
    let mut policy = policy::defaults();
    policy.queues = vec![policy::queue("old")];
    policy.agents = vec![agent("ann", &[], &[("new", 1, 0)])];
    let mut world = World::of(policy.clone());
    world.comes("ann");
    for thread in 1..=200 {
        world.asks(thread);
    }
    policy.queues = vec![policy::queue("new")];
    world.adopt(policy);
    let version = world.state.policy("w").version;
    for thread in 1..=200 {
        let item = world.item(thread);
        assert_eq!((item.queue.as_str(), item.policy_version, item.eligible_since), ("new", version, START));
    }
    assert_eq!(world.offers_to("ann").len(), 5, "as many as she can hold");
    assert_eq!(world.state.queue_view("w", "new").waiting, 195);
}

#[test]
fn a_capacity_lowered_below_what_is_held_takes_nothing_away() {
    let mut policy = kinds(&[("direct_message", 50, 9)], one("ann"));
    let mut world = World::of(policy.clone());
    world.comes("ann");
    assert_eq!(load_up(&mut world, "ann", &[("x", true), ("x", true)]), [true, true]);
    policy.agents[0].total = 40;
    world.adopt(policy);
    let over = |body: &Body| matches!(body, Body::Overcommitted(o) if o.cause == overcommitted::Cause::Policy as i32);
    assert_eq!((world.count(over), world.agent("ann").held.len()), (1, 2));
    world.asks(1);
    world.finish("ann", 1000).unwrap();
    assert_eq!(world.phase(1), Some(Phase::Queued), "50 of 40 are still held");
}

#[test]
fn an_agent_whom_the_policy_drops_gives_everything_back() {
    let mut world = World::of(with_agents(&["ann"]));
    world.comes("ann");
    world.asks(1);
    world.accept("ann").unwrap();
    world.asks(2);
    world.adopt(with_agents(&["bob"]));
    assert_eq!((world.phase(1), world.phase(2)), (Some(Phase::Queued), Some(Phase::Queued)));
    assert!(world.agent("ann").held.is_empty());
    let gone = world.presence("ann", Presence::Available);
    assert_eq!(gone, Err(Refusal::NotFound { kind: "agent", id: "ann".into() }));
}

#[test]
fn a_transfer_keeps_age_and_exclusions() {
    let mut policy = with_agents(&["ann", "bob"]);
    policy.queues.push(policy::queue("second"));
    for agent in &mut policy.agents {
        agent.memberships.push(wire::Membership { queue: "second".into(), priority: 1, delay_ms: 0 });
    }
    let mut world = World::of(policy);
    world.comes("ann");
    world.comes("bob");
    world.asks(1);
    world.decline("ann").unwrap();
    world.wait(10_000);
    world.accept("bob").unwrap();
    let item = world.item_of(1);
    let transfer = |queue: &str, agent: &str| Command::Transfer { item, queue: queue.into(), agent: agent.into() };
    world.command(&transfer("second", "")).unwrap();
    assert_eq!((world.item(1).queue.as_str(), world.with(1)), ("second", vec!["bob".to_owned()]));
    assert_eq!(world.item(1).eligible_since, START);
    world.command(&transfer("", "ann")).unwrap();
    assert_eq!(world.with(1), ["ann"], "somebody says that it is hers");
    world.command(&transfer("default", "")).unwrap();
    assert_eq!(world.with(1), ["bob"], "she is still one who declined it");
    for (queue, agent, kind) in [("nowhere", "", "queue"), ("", "nobody", "agent")] {
        let refused = world.command(&transfer(queue, agent));
        assert!(matches!(refused, Err(Refusal::NotFound { kind: k, .. }) if k == kind), "{refused:?}");
    }
}

#[test]
fn requests_are_remembered_for_a_day_and_etags_kept() {
    let mut policy = with_agents(&["ann"]);
    policy.queues.push(policy::queue("second"));
    let mut world = World::of(policy);
    world.asks(1);
    let (item, version) = (world.item_of(1), world.item(1).version);
    let transfer = Command::Transfer { item, queue: "second".into(), agent: String::new() };
    let asked = Asked { actor: "chief", request_id: "r1", etag: version };
    assert_eq!(world.command_as(asked, &transfer), Ok(Done::Item(item)));
    let events = world.events.len();
    world.wait(DAY_MS - HOUR_MS);
    let waited = world.events.len();
    assert_eq!(world.command_as(asked, &transfer), Ok(Done::Item(item)), "a repeat, whatever its etag");
    assert_eq!(world.events.len(), waited);
    assert!(waited >= events);
    let stale = world.command_as(Asked { request_id: "r2", ..asked }, &transfer);
    assert!(matches!(stale, Err(Refusal::Stale { .. })), "{stale:?}");
}

#[test]
fn a_repeat_of_any_command_is_answered_as_the_first_time() {
    let mut policy = with_agents(&["ann"]);
    policy.kinds[2].wrap_up_ms = 30_000;
    let mut world = World::of(policy);
    world.comes("ann");
    let mut requests = 0;
    let mut twice = |world: &mut World, command: Command| {
        requests += 1;
        let request_id = format!("r{requests}");
        let asked = Asked { request_id: &request_id, ..Asked::default() };
        let first = world.command_as(asked, &command);
        assert!(first.is_ok(), "{command:?}: {first:?}");
        let events = world.events.len();
        assert_eq!(world.command_as(asked, &command), first, "{command:?}");
        assert_eq!(world.events.len(), events, "{command:?}");
    };
    world.asks(1);
    let (item, by) = (world.item_of(1), world.by("ann"));
    let offer = world.offers_to("ann")[0];
    twice(&mut world, Command::Accept { by: by.clone(), offer });
    twice(&mut world, Command::Park { by: by.clone(), item });
    world.asks(1);
    twice(&mut world, Command::Release { by: by.clone(), item });
    let offer = world.offers_to("ann")[0];
    twice(&mut world, Command::Decline { by: by.clone(), offer, reason: String::new() });
    twice(&mut world, Command::Take { item, agent: "ann".into() });
    twice(&mut world, Command::Finish { by: by.clone(), item });
    twice(&mut world, Command::Finish { by, item });
}

#[test]
fn what_does_not_exist_is_named() {
    let mut world = World::of(with_agents(&["ann"]));
    world.comes("ann");
    let nobody = Session { agent: "nobody".into(), session: 7 };
    let (item, offer) = (rejoinder_model::WorkItemId(99), rejoinder_model::OfferId(99));
    let table = [
        (Command::Connect { agent: "nobody".into() }, "agent"),
        (Command::SetPresence { by: nobody.clone(), presence: Presence::Available }, "agent"),
        (Command::Accept { by: nobody, offer }, "agent"),
        (Command::Accept { by: world.by("ann"), offer }, "offer"),
        (Command::Finish { by: world.by("ann"), item }, "work item"),
        (Command::Take { item, agent: "ann".into() }, "work item"),
    ];
    for (command, kind) in table {
        let refused = world.command(&command);
        assert!(matches!(refused, Err(Refusal::NotFound { kind: k, .. }) if k == kind), "{command:?}: {refused:?}");
    }
}

#[test]
fn a_decision_says_why() {
    let mut policy = with_agents(&["ann", "bob", "cid"]);
    policy.kinds[2].max = 1;
    policy.queues[0].required = vec!["spanish".into()];
    for agent in &mut policy.agents[..2] {
        agent.skills.insert("spanish".into(), 1);
    }
    let mut world = World::of(policy);
    world.comes("cid");
    world.wait(1_000);
    world.comes("bob");
    world.asks(1);
    let decision = world.state.decisions(world.item_of(1).0).pop().unwrap();
    assert_eq!(decision.chosen, ["bob"]);
    assert_eq!((decision.eligible, decision.policy_version), (1, 1));
    assert_eq!(decision.lost, [(Reason::NotAvailable as i32, 1), (Reason::Skills as i32, 1)]);
    assert_eq!(decision.best[0].agent, "bob");
    world.accept("bob").unwrap();
    world.asks(2);
    let item = world.item_of(2).0;
    let decision = world.state.decisions(item).pop().unwrap();
    assert!(decision.chosen.is_empty());
    let why = |agent: &str| why_not(&world.state, "w", item, agent, world.now).unwrap().reasons;
    assert_eq!(why("ann"), [Reason::NotAvailable]);
    assert_eq!(why("bob"), [Reason::MaxOfKind]);
    assert_eq!(why("cid"), [Reason::Skills]);
    assert_eq!(why("eve"), [Reason::NotAvailable, Reason::UnknownAgent]);
    assert_eq!(why_not(&world.state, "other", item, "ann", world.now), None);
}

#[test]
fn a_decision_knows_what_became_of_its_offers() {
    let mut policy = with_agents(&["ann", "bob", "cid"]);
    policy.queues[0].parallel_offers = 2;
    let mut world = World::of(policy);
    for agent in ["ann", "bob"] {
        world.comes(agent);
    }
    world.asks(1);
    let item = world.item_of(1).0;
    let of = |world: &World, nth: usize| {
        let ids = world.state.decisions(item)[nth].offers.clone();
        let offers = ids.iter().map(|id| world.state.offers.get(&rejoinder_model::OfferId(*id)).unwrap());
        offers.map(|offer| (offer.agent.clone(), offer.state, offer.because)).collect::<Vec<_>>()
    };
    let (ann, bob) = ("ann".to_owned(), "bob".to_owned());
    let (pending, taken) = (OfferState::Pending, OfferState::Revoked);
    assert_eq!(of(&world, 0), [(ann.clone(), pending, 0), (bob.clone(), pending, 0)]);
    world.wait(1_000);
    world.decline("ann").unwrap();
    world.accept("bob").unwrap();
    assert_eq!(of(&world, 0), [(ann, OfferState::Declined, 0), (bob.clone(), OfferState::Accepted, 0)]);
    let offer = world.state.decisions(item)[0].offers[0];
    let offer = world.state.offers.get(&rejoinder_model::OfferId(offer)).unwrap();
    assert_eq!(offer.ended_at - offer.made_at, 1_000);
    world.asks(2);
    let second = world.item_of(2).0;
    world.thread(2, ThreadState::Resolved);
    let offer = world.state.decisions(second)[0].offers[0];
    let offer = world.state.offers.get(&rejoinder_model::OfferId(offer)).unwrap();
    assert_eq!((offer.state, offer.because), (taken, offer_revoked::Reason::ItemCancelled as i32));
}

#[test]
fn the_longest_idle_of_many_is_found_without_a_look_at_all() {
    let ids: Vec<String> = (0..100).map(|n| format!("agent{n:02}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut world = World::of(with_agents(&ids));
    for id in ids.iter().rev() {
        world.comes(id);
        world.wait(10);
    }
    world.asks(1);
    assert_eq!(world.with(1), ["agent99"], "she came first");
    let decision = world.state.decisions(world.item_of(1).0).pop().unwrap();
    assert_eq!((decision.eligible, decision.not_looked_at), (16, 84));
    let best: Vec<&str> = decision.best.iter().map(|candidate| candidate.agent.as_str()).collect();
    assert_eq!(best[..3], ["agent99", "agent98", "agent97"]);
}

#[test]
fn agents_who_flap_leave_nothing_behind() {
    let ids: Vec<String> = (0..200).map(|n| format!("agent{n:04}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut policy = with_agents(&ids);
    policy.queues[0].required = vec!["nothing-they-know".into()];
    let mut world = World::of(policy);
    world.asks(1);
    let before = world.events.len();
    for id in &ids[..60] {
        world.comes(id);
        world.drops(id);
    }
    let by_agent = (world.events.len() - before) / 60;
    assert!(by_agent <= 6, "{by_agent} events for one agent who comes and goes");
    world.wait(HOUR_MS);
    assert_eq!(world.state.queue_view("w", "default").available, 0);
    assert_eq!(world.digest(), world.rebuilt());
}

#[test]
fn what_was_set_aside_is_decided_on_again_or_given_up() {
    let mut world = World::of(with_agents(&["ann"]));
    world.comes("ann");
    let input = rejoinder_machine::event(
        "w",
        Body::ThreadStateChanged(rejoinder_wire::event::ThreadStateChanged {
            thread: 1,
            to: ThreadState::AwaitingAgent as i32,
            channel: "x".into(),
            ..Default::default()
        }),
    );
    let aside = |world: &mut World| {
        let quarantined = rejoinder_wire::event::Quarantined { source_index: 7, ..Default::default() };
        world.take(vec![rejoinder_machine::event("w", Body::Quarantined(quarantined))]);
        world.events.len() as u64
    };
    let (first, second) = (aside(&mut world), aside(&mut world));
    world.decide(|state, _, out| quarantine::skip(state, first, out));
    assert!(world.state.quarantine.get(&first).is_none());
    assert_eq!(world.phase(1), None);
    world.decide(|state, context, out| quarantine::retry(state, context, second, &input, out).unwrap());
    assert!(world.state.quarantine.get(&second).is_none());
    assert_eq!(world.phase(1), Some(Phase::Offered));
}
