//! `queues.toml`: where items wait, for whom, and which threads go where.

use std::collections::{BTreeMap, BTreeSet};

use rejoinder_wire::event::Band;
use rejoinder_wire::event::routing_policy::{LastStep, Order, Privacy, Queue, Relaxation, Route, Skill, Strategy};
use toml_edit::{Item, TableLike};

use crate::problem::Problems;
use crate::reader::File;
use crate::{Policy, routing};

const QUEUE_KEYS: [&str; 11] = [
    "name",
    "order",
    "strategy",
    "parallel_offers",
    "overflow",
    "overflow_after",
    "preferred_wait",
    "required",
    "skills",
    "last_step",
    "last_step_after",
];
const ROUTE_KEYS: [&str; 5] = ["channel", "kind", "visibility", "queue", "band"];
const ORDERS: [(&str, Order); 2] = [("priority", Order::Priority), ("due", Order::Due)];
const STRATEGIES: [(&str, Strategy); 3] = [
    ("longest_idle", Strategy::LongestIdle),
    ("least_loaded", Strategy::LeastLoaded),
    ("best_skill", Strategy::BestSkill),
];
const LAST_STEPS: [(&str, LastStep); 3] =
    [("stay", LastStep::Stay), ("any_in_queue", LastStep::AnyInQueue), ("overflow_queue", LastStep::OverflowQueue)];
const BANDS: [(&str, Band); 4] =
    [("safety", Band::Safety), ("crisis", Band::Crisis), ("normal", Band::Normal), ("listen", Band::Listen)];
const VISIBILITIES: [(&str, Privacy); 2] = [("public", Privacy::Public), ("private", Privacy::Private)];

pub(crate) fn read(file: &File<'_>, policy: &mut Policy, problems: &mut Problems) {
    file.known_keys(file.root(), &["queue", "route"], problems);
    let tables = file.tables(file.root(), "queue", problems);
    if !tables.is_empty() {
        // The file's queues stand instead of the built-in one.
        policy.routing.queues.clear();
    }
    for (table, span) in tables {
        let Some(name) = file.name(table, span.clone(), ("queue", "name"), problems) else { continue };
        if policy.routing.queues.iter().any(|other| other.name == name) {
            problems.at(file.name, file.text, span, format!("queue {name} is listed before"));
            continue;
        }
        policy.routing.queues.push(queue(file, table, name, problems));
    }
    for (table, span) in file.tables(file.root(), "route", problems) {
        file.known_keys(table, &ROUTE_KEYS, problems);
        let Some(queue) = file.name(table, span, ("route", "queue"), problems) else { continue };
        let text = |key: &str, problems: &mut Problems| file.string(table, key, problems).unwrap_or("").to_owned();
        let (channel, kind) = (text("channel", problems), text("kind", problems));
        let privacy = file.choice(table, "visibility", &VISIBILITIES, problems).unwrap_or_default();
        let band = file.choice(table, "band", &BANDS, problems).unwrap_or(Band::Normal);
        let route = Route { channel, kind, privacy: privacy as i32, queue, band: band as i32 };
        policy.routing.routes.push(route);
    }
}

fn queue(file: &File<'_>, table: &dyn TableLike, name: String, problems: &mut Problems) -> Queue {
    file.known_keys(table, &QUEUE_KEYS, problems);
    let mut queue = routing::queue(&name);
    let mut set = |key: &str, to: &mut i64, bounds: (&str, &str)| {
        if let Some(duration) = file.duration(table, key, bounds, problems) {
            *to = duration;
        }
    };
    set("overflow_after", &mut queue.overflow_after_ms, ("1s", "365d"));
    set("preferred_wait", &mut queue.preferred_wait_ms, ("0s", "60s"));
    set("last_step_after", &mut queue.last_step_after_ms, ("0s", "365d"));
    if let Some(order) = file.choice(table, "order", &ORDERS, problems) {
        queue.order = order as i32;
    }
    if let Some(strategy) = file.choice(table, "strategy", &STRATEGIES, problems) {
        queue.strategy = strategy as i32;
    }
    if let Some(last_step) = file.choice(table, "last_step", &LAST_STEPS, problems) {
        queue.last_step = last_step as i32;
    }
    if let Some(offers) = file.number(table, "parallel_offers", 1..=10, problems) {
        queue.parallel_offers = offers;
    }
    file.string(table, "overflow", problems).unwrap_or("").clone_into(&mut queue.overflow);
    queue.required = file.strings(table, "required", problems).into_iter().map(|(name, _)| name).collect();
    for (skill, span) in file.tables(table, "skills", problems) {
        file.known_keys(skill, &["name", "level", "relax"], problems);
        let Some(name) = file.name(skill, span, ("skill", "name"), problems) else { continue };
        let level = file.number(skill, "level", 1..=100, problems).unwrap_or(1);
        let mut relaxations: Vec<Relaxation> = Vec::new();
        for (step, span) in file.tables(skill, "relax", problems) {
            file.known_keys(step, &["after", "level"], problems);
            let after_ms = file.duration(step, "after", ("1s", "365d"), problems);
            let level = file.number(step, "level", 0..=100, problems);
            let (Some(after_ms), Some(level)) = (after_ms, level) else {
                if !step.contains_key("after") || !step.contains_key("level") {
                    problems.at(file.name, file.text, span, "a relaxation has an after and a level".into());
                }
                continue;
            };
            if relaxations.last().is_some_and(|last| after_ms <= last.after_ms) {
                let at = step.get("after").and_then(Item::span);
                problems.at(file.name, file.text, at, "relaxations come one after the other".into());
            }
            relaxations.push(Relaxation { after_ms, level });
        }
        queue.skills.push(Skill { name, level, relaxations });
    }
    queue
}

/// What queues say of other queues and kinds.
pub(crate) fn references(file: &File<'_>, policy: &Policy, problems: &mut Problems) {
    let mut silent = Problems::default();
    let routing = &policy.routing;
    let circular = circular(&routing.queues);
    // Without agents nobody has a skill yet; with some, one that none has keeps items waiting for ever.
    let skills: Vec<&str> = routing.agents.iter().flat_map(|agent| agent.skills.keys().map(String::as_str)).collect();
    for (table, span) in file.tables(file.root(), "queue", &mut silent) {
        let Some(name) = file.string(table, "name", &mut silent) else { continue };
        for (skill, at) in file.strings(table, "required", &mut silent) {
            if !routing.agents.is_empty() && !skills.contains(&skill.as_str()) {
                let what = format!("no agent has the skill {skill:?}{}", crate::reader::nearest(&skill, &skills));
                problems.at(file.name, file.text, at, what);
            }
        }
        if let Some(overflow) = file.string(table, "overflow", &mut silent) {
            let at = table.get("overflow").and_then(Item::span);
            routing::known_queue(file, policy, overflow, at.clone(), problems);
            if circular.contains(name) {
                let what = format!("queue {name} overflows into itself by {overflow}");
                problems.at(file.name, file.text, at, what);
            }
        } else if table.contains_key("overflow_after")
            || file.string(table, "last_step", &mut silent) == Some("overflow_queue")
        {
            problems.at(file.name, file.text, span, format!("queue {name} names no overflow queue"));
        }
    }
    for (table, _) in file.tables(file.root(), "route", &mut silent) {
        if let Some(queue) = file.string(table, "queue", &mut silent) {
            routing::known_queue(file, policy, queue, table.get("queue").and_then(Item::span), problems);
        }
        if let Some(kind) = file.string(table, "kind", &mut silent)
            && !routing.kinds.iter().any(|known| known.name == kind)
        {
            let names: Vec<&str> = routing.kinds.iter().map(|kind| kind.name.as_str()).collect();
            let what = format!("there is no kind {kind:?}{}", crate::reader::nearest(kind, &names));
            problems.at(file.name, file.text, table.get("kind").and_then(Item::span), what);
        }
    }
}

/// The queues that overflow into themselves, over however many others.
fn circular(queues: &[Queue]) -> BTreeSet<String> {
    let next: BTreeMap<&str, &str> =
        queues.iter().map(|queue| (queue.name.as_str(), queue.overflow.as_str())).collect();
    let (mut seen, mut circular) = (BTreeSet::new(), BTreeSet::new());
    for start in next.keys() {
        let (mut path, mut at) = (Vec::new(), *start);
        while next.contains_key(at) && seen.insert(at) {
            path.push(at);
            at = next[at];
        }
        // Back on the way that was just gone.
        if let Some(from) = path.iter().position(|name| *name == at) {
            circular.extend(path[from..].iter().map(ToString::to_string));
        }
    }
    circular
}
