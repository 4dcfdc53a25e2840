//! `agents.toml`: who serves which queues, knows what, and can hold how much.

use rejoinder_wire::event::routing_policy::{Agent, Membership};
use toml_edit::{Item, TableLike};

use crate::problem::Problems;
use crate::reader::{File, nearest};
use crate::{Policy, routing};

const KEYS: [&str; 7] = ["id", "total", "skills", "queues", "max", "may_overcommit", "weight"];

pub(crate) fn read(file: &File<'_>, policy: &mut Policy, problems: &mut Problems) {
    file.known_keys(file.root(), &["agent"], problems);
    for (table, span) in file.tables(file.root(), "agent", problems) {
        file.known_keys(table, &KEYS, problems);
        let Some(id) = file.name(table, span.clone(), ("agent", "id"), problems) else { continue };
        if policy.routing.agents.iter().any(|other| other.id == id) {
            problems.at(file.name, file.text, span, format!("agent {id} is listed before"));
            continue;
        }
        let skills = file.numbers(table, "skills", 1..=100, problems);
        let max = file.numbers(table, "max", 0..=1_000, problems);
        policy.routing.agents.push(Agent {
            id,
            total: file.number(table, "total", 1..=10_000, problems).unwrap_or_default(),
            skills: skills.into_iter().map(|(name, level, _)| (name, level)).collect(),
            memberships: memberships(file, table, problems),
            max: max.into_iter().map(|(name, max, _)| (name, max)).collect(),
            may_overcommit: file.boolean(table, "may_overcommit", problems).unwrap_or_default(),
            weight: file.number(table, "weight", 1..=10_000, problems).unwrap_or_default(),
        });
    }
}

/// Queues by name, or by name with a priority and a delay.
fn memberships(file: &File<'_>, table: &dyn TableLike, problems: &mut Problems) -> Vec<Membership> {
    let Some(item) = table.get("queues") else { return Vec::new() };
    let Some(array) = item.as_array() else {
        file.problem(item, "queues is a list, like [\"default\"]".into(), problems);
        return Vec::new();
    };
    let mut memberships: Vec<Membership> = Vec::new();
    for value in array {
        let membership = match (value.as_str(), value.as_inline_table()) {
            (Some(queue), _) => Some(Membership { queue: queue.to_owned(), priority: 1, delay_ms: 0 }),
            (None, Some(table)) => {
                file.known_keys(table, &["name", "priority", "delay"], problems);
                file.name(table, value.span(), ("membership", "name"), problems).map(|queue| Membership {
                    queue,
                    priority: file.number(table, "priority", 1..=255, problems).unwrap_or(1),
                    delay_ms: file.duration(table, "delay", ("0s", "365d"), problems).unwrap_or_default(),
                })
            }
            (None, None) => {
                let what = "a queue is a text, or { name = \"…\", priority = 1, delay = \"30s\" }";
                problems.at(file.name, file.text, value.span(), what.into());
                None
            }
        };
        let Some(membership) = membership else { continue };
        if memberships.iter().any(|other| other.queue == membership.queue) {
            let what = format!("queue {} is named before", membership.queue);
            problems.at(file.name, file.text, value.span(), what);
            continue;
        }
        memberships.push(membership);
    }
    memberships
}

/// What agents say of queues, kinds and groups.
pub(crate) fn references(file: &File<'_>, policy: &Policy, problems: &mut Problems) {
    let mut silent = Problems::default();
    let kinds = policy.routing.kinds.iter().map(|kind| kind.name.as_str());
    let known: Vec<&str> = kinds.chain(policy.routing.groups.iter().map(|group| group.name.as_str())).collect();
    for (table, _) in file.tables(file.root(), "agent", &mut silent) {
        let queues = table.get("queues").and_then(Item::as_array);
        for value in queues.into_iter().flatten() {
            let named = value.as_inline_table().and_then(|table| table.get("name"));
            let name = value.as_str().or_else(|| named.and_then(toml_edit::Value::as_str));
            if let Some(name) = name {
                let span = named.and_then(toml_edit::Value::span).or_else(|| value.span());
                routing::known_queue(file, policy, name, span, problems);
            }
        }
        for (name, _, span) in file.numbers(table, "max", 0..=1_000, &mut silent) {
            if !known.contains(&name.as_str()) {
                let what = format!("there is no kind or group {name:?}{}", nearest(&name, &known));
                problems.at(file.name, file.text, span, what);
            }
        }
    }
}
