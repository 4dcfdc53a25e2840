//! Planted faults: the auditor finds each, and nothing in a day as it should be.

use rejoinder_event_log::PartitionFold;
use rejoinder_model::{Millis, OfferId};
use rejoinder_wire::event::agent_load_changed::Load;
use rejoinder_wire::event::event::Body;
use rejoinder_wire::event::routing_policy::{Agent, Kind, Membership};
use rejoinder_wire::event::{
    AgentLoadChanged, AgentPresenceChanged, AlarmCleared, AlarmRaised, ClockBreached, ClockFigures, ClockMet,
    ClockOpened, Direction, MessagePlaced, Metric, OfferAccepted, OfferMade, OfferRevoked, OfferTimedOut,
    Overcommitted, Presence, RoutingPolicy, RoutingPolicyAdopted, Source, WorkItemAssigned, WorkItemQueued,
    work_item_assigned,
};

use super::clocks::Clocks;
use super::items::Items;
use super::ticks::Ticks;

const W: &str = "w";

fn rules() -> Body {
    let agent = |id: &str| Agent {
        id: id.into(),
        memberships: vec![Membership { queue: "q".into(), ..Membership::default() }],
        ..Agent::default()
    };
    let kind = Kind { name: "dm".into(), cost: 60, max: 5, ..Kind::default() };
    let policy =
        RoutingPolicy { total: 100, agents: vec![agent("ann"), agent("bob")], kinds: vec![kind], ..Default::default() };
    Body::RoutingPolicyAdopted(RoutingPolicyAdopted { version: 1, policy: Some(policy), at: 0 })
}

fn here(agent: &str, own_seq: u64) -> Body {
    let (session, to) = (OfferId::new(0, own_seq).0, Presence::Available as i32);
    Body::AgentPresenceChanged(AgentPresenceChanged { agent: agent.into(), to, session, ..Default::default() })
}

fn opened(item: u64) -> Body {
    let (kind, queue) = ("dm".into(), "q".into());
    let queued = WorkItemQueued { item, thread: item, queue, kind, opened: true, ..WorkItemQueued::default() };
    Body::WorkItemQueued(Box::new(queued))
}

fn made(offer: u64, item: u64, agent: &str) -> Body {
    let (agent, queue, kind) = (agent.into(), "q".into(), "dm".into());
    Body::OfferMade(OfferMade { offer, item, agent, queue, kind, cost: 60, expires_at: 50, ..OfferMade::default() })
}

fn load(agent: &str, item: u64, before: u32, after: u32) -> Body {
    let load = |used: u32| Some(Load { used, total: 100, items: used / 60, parked: 0 });
    let (before, after) = (load(before), load(after));
    Body::AgentLoadChanged(AgentLoadChanged { agent: agent.into(), item, before, after, at: 0 })
}

fn accepted(offer: u64, item: u64, agent: &str) -> Body {
    Body::OfferAccepted(OfferAccepted { offer, item, agent: agent.into(), ..OfferAccepted::default() })
}

fn assigned(item: u64, agent: &str, cause: work_item_assigned::Cause) -> Body {
    let (agent, cause) = (agent.into(), cause as i32);
    Body::WorkItemAssigned(WorkItemAssigned { item, agent, cause, cost: 60, ..WorkItemAssigned::default() })
}

/// What is found in frames of events, each one index after the other.
fn found(frames: Vec<Vec<Body>>, ticks: &Ticks, settled: u64) -> Vec<String> {
    let (mut items, mut own_seq) = (Items::default(), 0);
    for (index, frame) in (0..).zip(frames) {
        for body in frame {
            own_seq += 1;
            items.event(index, own_seq, W, &body);
        }
        items.end_of_frame(index);
    }
    items.conclude(ticks, &settled_up_to(settled), None);
    items.findings
}

fn settled_up_to(index: u64) -> PartitionFold {
    let mut fold = PartitionFold::default();
    for service in [rejoinder_model::Service::Routing, rejoinder_model::Service::SlaTimer] {
        let claim = rejoinder_wire::log::Claim { lane_is_new: true, ..Default::default() };
        fold.fold(fold.next_index, service, &rejoinder_wire::log::Header { claim: Some(claim), ..Default::default() });
        let header = rejoinder_wire::log::Header {
            epoch: fold.next_index - 1,
            frame_no: 1,
            first_own_seq: 1,
            settled_index: index,
            ..Default::default()
        };
        fold.fold(fold.next_index, service, &header);
    }
    fold
}

/// A day as it should be: offered to both, accepted by one.
fn day() -> Vec<Vec<Body>> {
    let revoked = OfferRevoked { offer: 21, item: 10, agent: "bob".into(), ..OfferRevoked::default() };
    vec![
        vec![rules(), here("ann", 2), here("bob", 3)],
        vec![opened(10)],
        vec![made(20, 10, "ann"), load("ann", 10, 0, 60), made(21, 10, "bob"), load("bob", 10, 0, 60)],
        vec![
            accepted(20, 10, "ann"),
            Body::OfferRevoked(revoked),
            load("bob", 10, 60, 0),
            assigned(10, "ann", work_item_assigned::Cause::Accepted),
        ],
    ]
}

#[test]
fn faults_of_items_and_offers_are_found() {
    use work_item_assigned::Cause::{Accepted, Taken};
    let none = Ticks::default();
    assert_eq!(found(day(), &none, 0), [""; 0]);
    let timed_out = OfferTimedOut { offer: 20, item: 10, agent: "ann".into(), ..OfferTimedOut::default() };
    let over = Overcommitted { agent: "ann".into(), item: 11, used: 120, total: 100, ..Overcommitted::default() };
    let table: [(Vec<Body>, &str); 9] = [
        (vec![accepted(21, 10, "bob"), assigned(10, "bob", Accepted)], "was Revoked"),
        (vec![Body::OfferTimedOut(timed_out)], "was Accepted"),
        (vec![assigned(10, "bob", Taken)], "is assigned to bob"),
        (vec![made(22, 10, "bob")], "is offered while it is Assigned"),
        (vec![opened(10)], "a thread has"),
        (vec![opened(11), made(22, 11, "ann"), load("ann", 11, 60, 120)], "is above its capacity"),
        (vec![opened(11), made(22, 11, "ann"), load("ann", 11, 0, 60)], "the load of ann was 60, not 0"),
        (vec![opened(11), made(22, 11, "eve")], "eve does not serve q"),
        (vec![accepted(99, 10, "ann")], "ends and was never made"),
    ];
    for (frame, what) in table {
        let mut frames = day();
        frames.push(frame);
        let findings = found(frames, &none, 0);
        assert!(findings.iter().any(|finding| finding.contains(what)), "{what}: {findings:?}");
    }
    let mut frames = day();
    frames.push(vec![opened(11), made(22, 11, "ann"), load("ann", 11, 60, 120), Body::Overcommitted(over)]);
    assert_eq!(found(frames, &none, 0), [""; 0], "by a rule that allows it");
}

#[test]
fn an_offer_that_should_have_timed_out_is_found() {
    let mut ticks = Ticks::default();
    let mut frames = day();
    frames.truncate(3);
    ticks.push(1, 60);
    ticks.push(3, 40);
    assert_eq!(found(frames, &ticks, 9), [""; 0], "no tick after it says that it is due");
    let mut frames = day();
    frames.truncate(3);
    ticks.push(4, 60);
    assert_eq!(found(frames, &ticks, 9).len(), 2);
}

fn figures(due_at: Millis) -> Option<ClockFigures> {
    let metric = Metric::FirstResponse as i32;
    Some(ClockFigures { clock: 7, thread: 1, metric, opened_at: 10, due_at, ..ClockFigures::default() })
}

fn clock_opened() -> Body {
    Body::ClockOpened(ClockOpened { figures: figures(100), terms: None, base: 1 })
}

fn breached() -> Body {
    Body::ClockBreached(ClockBreached { figures: figures(100), late_by_ms: 0 })
}

/// What is found when these stand at these indexes, with a tick at 5 that says 100.
fn found_of_clocks(events: Vec<(u64, Body)>, settled: u64) -> Vec<String> {
    let (mut clocks, mut ticks) = (Clocks::default(), Ticks::default());
    ticks.push(5, 100);
    for (index, body) in events {
        if matches!(body, Body::MessagePlaced(_)) {
            clocks.placed(&body);
        } else {
            clocks.event(index, index, &ticks, W, &body);
            clocks.end_of_frame(index);
        }
    }
    clocks.conclude(&ticks, &settled_up_to(settled), None);
    clocks.findings
}

#[test]
fn faults_of_clocks_and_alarms_are_found() {
    let reply = |received: u64, sent: Millis| {
        let (direction, source) = (Direction::Outbound as i32, Some(Source { index: received, event: 0, own_seq: 1 }));
        let placed = MessagePlaced { root: 1, direction, source, clock_time: sent, ..MessagePlaced::default() };
        Body::MessagePlaced(Box::new(placed))
    };
    let raised = || Body::AlarmRaised(AlarmRaised { alarm: 3, clock: 7, ..AlarmRaised::default() });
    let cleared = || Body::AlarmCleared(AlarmCleared { alarm: 3, ..AlarmCleared::default() });
    let met = || Body::ClockMet(ClockMet { figures: figures(100), overdue_ms: 0 });
    let late = {
        let figures = figures(100).map(|figures| ClockFigures { retroactive: true, silent: true, ..figures });
        Body::ClockBreached(ClockBreached { figures, late_by_ms: 0 })
    };
    let right = [
        vec![(1, clock_opened()), (6, breached()), (6, raised()), (8, met()), (8, cleared())],
        // Sent too late, received too late, and after what was promised had passed.
        vec![(1, clock_opened()), (4, reply(3, 101)), (6, breached())],
        vec![(1, clock_opened()), (6, reply(5, 90)), (6, breached())],
        vec![(1, clock_opened()), (3, met())],
    ];
    for events in right {
        assert_eq!(found_of_clocks(events, 9), [""; 0]);
    }
    let table: [(Vec<(u64, Body)>, &str); 9] = [
        (vec![(1, clock_opened()), (4, reply(3, 90)), (6, breached())], "the reply at 3 was in time"),
        (vec![(1, clock_opened()), (6, breached()), (7, breached())], "is breached twice"),
        (vec![(1, clock_opened()), (4, breached())], "no tick says so"),
        (vec![(5, clock_opened()), (6, breached())], "no tick says so"),
        (vec![(1, clock_opened()), (4, late)], "and goes on"),
        (vec![(1, clock_opened())], "has not fired it"),
        (vec![(1, clock_opened()), (6, breached()), (6, raised()), (7, raised())], "is raised twice"),
        (vec![(1, clock_opened()), (6, breached()), (6, raised()), (7, cleared()), (8, cleared())], "cleared twice"),
        (vec![(1, clock_opened()), (6, breached()), (6, raised()), (7, met())], "is not cleared"),
    ];
    for (events, what) in table {
        let findings = found_of_clocks(events, 9);
        assert!(findings.iter().any(|finding| finding.contains(what)), "{what}: {findings:?}");
    }
}
