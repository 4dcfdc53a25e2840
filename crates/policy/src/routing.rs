//! `routing.toml`: what items of each kind of channel ask of an agent, and the times of routing.

use std::ops::Range;

use rejoinder_model::{DAY_MS, MINUTE_MS, Millis};
use rejoinder_wire::event::RoutingPolicy;
use rejoinder_wire::event::routing_policy::{Group, Kind, LastStep, Order, Queue, Strategy};
use toml_edit::{Item, TableLike};

use crate::problem::Problems;
use crate::reader::{File, nearest};
use crate::{Policy, duration};

const KEYS: [&str; 10] = [
    "total",
    "max_parked",
    "not_responding_after",
    "declined_for",
    "live_give_back_after",
    "give_back_after",
    "wake_within",
    "live_silence",
    "kind",
    "group",
];
const KIND_KEYS: [&str; 11] = [
    "name",
    "channels",
    "cost",
    "max",
    "group",
    "beside",
    "live",
    "offer_timeout",
    "wrap_up",
    "reply_window",
    "parked_cost",
];
/// A wrap-up that only the agent ends.
const MANUAL: Millis = -1;

/// The built-in kinds: name, channels, cost, max, live, offer timeout in seconds.
type BuiltIn = (&'static str, &'static [&'static str], u32, u32, bool, Millis);
const KINDS: [BuiltIn; 5] = [
    ("voice", &["voice"], 100, 1, true, 30),
    ("live_chat", &["chat"], 33, 3, true, 30),
    ("direct_message", &[], 20, 5, false, 120),
    ("public_post", &[], 10, 10, false, 120),
    ("email", &["email"], 10, 10, false, 120),
];

/// The built-in rules: one queue, no agents.
pub(crate) fn defaults() -> RoutingPolicy {
    let kind = |(name, channels, cost, max, live, seconds): BuiltIn| Kind {
        name: name.to_owned(),
        channels: channels.iter().map(ToString::to_string).collect(),
        cost,
        max,
        live,
        offer_timeout_ms: seconds * 1_000,
        ..Kind::default()
    };
    RoutingPolicy {
        queues: vec![queue("default")],
        kinds: KINDS.map(kind).to_vec(),
        total: 100,
        max_parked: 30,
        not_responding_after: 1,
        declined_ms: 30 * MINUTE_MS,
        live_give_back_ms: MINUTE_MS,
        give_back_ms: 15 * MINUTE_MS,
        wake_ms: DAY_MS,
        live_silence_ms: 10 * MINUTE_MS,
        ..RoutingPolicy::default()
    }
}

/// A queue with the built-in settings.
pub(crate) fn queue(name: &str) -> Queue {
    Queue {
        name: name.to_owned(),
        order: Order::Priority as i32,
        strategy: Strategy::LongestIdle as i32,
        parallel_offers: 1,
        preferred_wait_ms: MINUTE_MS,
        last_step: LastStep::Stay as i32,
        ..Queue::default()
    }
}

pub(crate) fn read(file: &File<'_>, policy: &mut Policy, problems: &mut Problems) {
    let root = file.root();
    file.known_keys(root, &KEYS, problems);
    let routing = &mut policy.routing;
    for (key, to, bounds) in [
        ("total", &mut routing.total, 1..=10_000),
        ("max_parked", &mut routing.max_parked, 0..=10_000),
        ("not_responding_after", &mut routing.not_responding_after, 1..=100),
    ] {
        if let Some(number) = file.number(root, key, bounds, problems) {
            *to = number;
        }
    }
    for (key, to, bounds) in [
        ("declined_for", &mut routing.declined_ms, ("0s", "30d")),
        ("live_give_back_after", &mut routing.live_give_back_ms, ("1s", "1d")),
        ("give_back_after", &mut routing.give_back_ms, ("1s", "30d")),
        ("wake_within", &mut routing.wake_ms, ("0s", "365d")),
        ("live_silence", &mut routing.live_silence_ms, ("1s", "30d")),
    ] {
        if let Some(duration) = file.duration(root, key, bounds, problems) {
            *to = duration;
        }
    }
    let mut named = Vec::new();
    for (table, span) in file.tables(root, "kind", problems) {
        file.known_keys(table, &KIND_KEYS, problems);
        let Some(name) = file.name(table, span.clone(), ("kind", "name"), problems) else { continue };
        if named.contains(&name) {
            problems.at(file.name, file.text, span, format!("kind {name} is listed before"));
            continue;
        }
        // A built-in kind keeps what the table does not say.
        let known = routing.kinds.iter().position(|kind| kind.name == name);
        let fresh =
            || Kind { name: name.clone(), cost: 10, max: 10, offer_timeout_ms: 2 * MINUTE_MS, ..Kind::default() };
        let mut kind = known.map_or_else(fresh, |at| routing.kinds.remove(at));
        set_kind(file, table, &mut kind, problems);
        routing.kinds.insert(known.unwrap_or(routing.kinds.len()), kind);
        named.push(name);
    }
    for (table, span) in file.tables(root, "group", problems) {
        file.known_keys(table, &["name", "max"], problems);
        let Some(name) = file.name(table, span.clone(), ("group", "name"), problems) else { continue };
        let max = file.number(table, "max", 1..=1_000, problems);
        if max.is_none() && !table.contains_key("max") {
            problems.at(file.name, file.text, span, format!("group {name} has no max"));
        }
        routing.groups.push(Group { name, max: max.unwrap_or_default() });
    }
}

fn set_kind(file: &File<'_>, table: &dyn TableLike, kind: &mut Kind, problems: &mut Problems) {
    let texts = |key: &str, problems: &mut Problems| -> Vec<String> {
        file.strings(table, key, problems).into_iter().map(|(text, _)| text).collect()
    };
    if table.contains_key("channels") {
        kind.channels = texts("channels", problems);
    }
    if table.contains_key("beside") {
        kind.beside = texts("beside", problems);
    }
    if let Some(group) = file.string(table, "group", problems) {
        group.clone_into(&mut kind.group);
    }
    if let Some(live) = file.boolean(table, "live", problems) {
        kind.live = live;
    }
    for (key, to, bounds) in [
        ("cost", &mut kind.cost, 0..=10_000),
        ("max", &mut kind.max, 1..=1_000),
        ("parked_cost", &mut kind.parked_cost, 0..=10_000),
    ] {
        if let Some(number) = file.number(table, key, bounds, problems) {
            *to = number;
        }
    }
    for (key, to, bounds) in [
        ("offer_timeout", &mut kind.offer_timeout_ms, ("1s", "1d")),
        ("reply_window", &mut kind.reply_window_ms, ("1m", "365d")),
    ] {
        if let Some(duration) = file.duration(table, key, bounds, problems) {
            *to = duration;
        }
    }
    match file.string(table, "wrap_up", problems) {
        None => {}
        Some("none") => kind.wrap_up_ms = 0,
        Some("manual") => kind.wrap_up_ms = MANUAL,
        Some(text) => match duration::within(text, "1s", "1d") {
            Ok(duration) => kind.wrap_up_ms = duration,
            Err(what) => {
                let what = format!("{what}, nor \"none\", nor \"manual\"");
                problems.at(file.name, file.text, table.get("wrap_up").and_then(Item::span), what);
            }
        },
    }
}

/// What kinds say of groups and each other.
pub(crate) fn references(file: &File<'_>, policy: &Policy, problems: &mut Problems) {
    let mut silent = Problems::default();
    let routing = &policy.routing;
    let kinds: Vec<&str> = routing.kinds.iter().map(|kind| kind.name.as_str()).collect();
    let groups: Vec<&str> = routing.groups.iter().map(|group| group.name.as_str()).collect();
    let mut channels: Vec<String> = Vec::new();
    for (table, _) in file.tables(file.root(), "kind", &mut silent) {
        if let Some(group) = file.string(table, "group", &mut silent)
            && !groups.contains(&group)
        {
            let what = format!("there is no group {group:?}{}", nearest(group, &groups));
            problems.at(file.name, file.text, table.get("group").and_then(Item::span), what);
        }
        for (kind, span) in file.strings(table, "beside", &mut silent) {
            if !kinds.contains(&kind.as_str()) {
                let what = format!("there is no kind {kind:?}{}", nearest(&kind, &kinds));
                problems.at(file.name, file.text, span, what);
            }
        }
        for (channel, span) in file.strings(table, "channels", &mut silent) {
            if channels.contains(&channel) {
                problems.at(file.name, file.text, span, format!("channel {channel} has a kind before"));
            }
            channels.push(channel);
        }
    }
}

/// Says when there is no such queue.
pub(crate) fn known_queue(
    file: &File<'_>,
    policy: &Policy,
    queue: &str,
    span: Option<Range<usize>>,
    problems: &mut Problems,
) {
    let names: Vec<&str> = policy.routing.queues.iter().map(|queue| queue.name.as_str()).collect();
    if !names.contains(&queue) {
        problems.at(file.name, file.text, span, format!("there is no queue {queue:?}{}", nearest(queue, &names)));
    }
}
