//! queue_wait: from the work item's entry into a queue until an agent takes it.

use rejoinder_wire::event::{Metric, clock_cancelled::Reason};

use super::{End, Instance, Terms};
use crate::record::Wait;
use crate::timeline::{Span, Timeline};

pub(super) fn plan(timeline: &Timeline<'_>, _: Terms<'_>) -> Vec<Instance> {
    waits(timeline, Metric::QueueWait)
}

/// Waits that overlap are one instance, which the first to be accepted fulfils.
pub(super) fn waits(timeline: &Timeline<'_>, metric: Metric) -> Vec<Instance> {
    let mut waits: Vec<&Wait> = timeline.thread.waits.iter().filter(|wait| wait.metric == metric as i32).collect();
    waits.sort_by_key(|wait| (wait.from, wait.seq));
    let mut groups: Vec<Vec<&Wait>> = Vec::new();
    for wait in waits {
        // Without an accept the next offer at the same moment goes on with it.
        let joins = |group: &[&Wait]| match end(group) {
            End::Met(at) => wait.from < at,
            End::Cancelled(at, _) => wait.from <= at,
            End::Running | End::Paused => true,
        };
        match groups.last_mut().filter(|group| joins(group)) {
            Some(group) => group.push(wait),
            None => groups.push(vec![wait]),
        }
    }
    groups.iter().filter_map(|group| instance(group)).collect()
}

fn end(waits: &[&Wait]) -> End {
    let accepted = waits.iter().filter(|wait| wait.accepted).filter_map(|wait| wait.to).min();
    let over = waits.iter().map(|wait| wait.to.unwrap_or(i64::MAX)).max();
    match (accepted, over) {
        (Some(accepted), _) => End::Met(accepted),
        (None, Some(over)) if over < i64::MAX => End::Cancelled(over, Reason::Over),
        (None, _) => End::Running,
    }
}

fn instance(waits: &[&Wait]) -> Option<Instance> {
    let first = waits.first()?;
    let end = end(waits);
    Some(Instance {
        opener: u128::from(first.seq),
        base: first.base,
        covers: waits.iter().map(|wait| u128::from(wait.seq)).collect(),
        start: first.from,
        spans: vec![Span { from: first.from, to: end.time() }],
        end,
        seq: waits.iter().map(|wait| wait.seq).max()?,
    })
}

#[cfg(test)]
mod tests {
    use rejoinder_wire::event::Metric;

    use crate::tests::world::{World, policy, story, target};

    #[test]
    fn it_runs_from_the_queue_to_the_agent() {
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &[]),
            ("1 queue", &["running from 1, due 61"]),
            ("5 offer 7", &["running from 1, due 61"]),
            ("6 decline 7", &["running from 1, due 61"]),
            ("6 queue", &["running from 1, due 61"]),
            ("20 assign", &["met from 1, at 20 after 19"]),
            ("30 queue", &["met from 1, at 20 after 19", "running from 30, due 90"]),
            ("40 cancel", &["met from 1, at 20 after 19", "over from 30, at 40 after 10"]),
        ];
        story(World::with(vec![target(Metric::QueueWait, 60)]), Metric::QueueWait, lines);
    }

    #[test]
    fn another_queue_may_have_another_policy() {
        let mut world = World::new();
        let mut by_queue = policy(vec![target(Metric::QueueWait, 60)]);
        let mut urgent = by_queue.rules[0].clone();
        urgent.name = "urgent".into();
        urgent.queues = vec!["urgent".into()];
        urgent.targets[0].target_ms /= 2;
        by_queue.rules.insert(0, urgent);
        world.adopt(1, by_queue);
        let lines: &[(&str, &[&str])] = &[
            ("0 customer", &[]),
            ("0 queue", &["running from 0, due 60"]),
            ("10 queue urgent", &["running from 0, due 30"]),
            ("30 tick", &["breached, running from 0, due 30"]),
        ];
        story(world, Metric::QueueWait, lines);
    }
}
