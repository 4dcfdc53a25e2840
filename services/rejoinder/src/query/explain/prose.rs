//! An explanation for people, in their words.

use std::fmt::Write as _;

use rejoinder_api::routing::decision::{Candidate, Offered};
use rejoinder_api::routing::priority::Term;
use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::{Decision, ExplainResponse, WhyNotResponse, WorkItem};
use rejoinder_service_kit::millis;

use crate::query::items::{band_name, phase_name};
use crate::table::{points, span, time};

/// Scores of the longest idle from here on are of agents with work: the time of their last item follows.
const WITH_WORK: i64 = 1 << 61;

fn at(moment: Option<&prost_types::Timestamp>) -> String {
    moment.map(|at| time(millis(at))).unwrap_or_default()
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn spaced(word: &str) -> String {
    word.replace('_', " ")
}

/// What a reason says of an agent; one of a newer server in its own word.
fn in_words(reason: &str) -> String {
    match reason {
        "not_available" => "not available: offline, away, not responding, or without a session",
        "not_in_queue" => "does not serve the queue",
        "too_early" => "serves the queue only once an item has waited longer",
        "max_of_kind" => "holds as many of this kind as allowed",
        "max_of_group" => "holds as many of this group of kinds as allowed",
        "no_capacity" => "has not enough capacity left",
        "not_beside" => "holds something that allows nothing of this kind beside it",
        "skills" => "lacks a skill that is wanted, or its level",
        "declined" => "declined it a while ago",
        "waits_for_other" => "comes after the agent who knows the customer, who is waited for",
        "has_it" => "has it already, or an offer of it",
        "unknown_agent" => "is not in the policy",
        other => return spaced(other),
    }
    .to_owned()
}

/// An item and the decisions on it.
pub(super) fn explained(explained: &ExplainResponse) -> String {
    let mut text = String::new();
    if let Some(item) = &explained.item {
        describe(item, &mut text);
    }
    if explained.decisions.is_empty() {
        text.push_str("\nNo decision has been made on it.\n");
    }
    for (n, decision) in explained.decisions.iter().enumerate() {
        text.push('\n');
        decide(n + 1, decision, &mut text);
    }
    text
}

fn describe(item: &WorkItem, text: &mut String) {
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            // Writing to a text does not fail.
            let _ = writeln!(text, "{name:<12}{value}");
        }
    };
    line("work item", format!("{} of thread {}", item.item_id, item.thread_id));
    let privacy = if item.private { "private" } else { "public" };
    line("channel", format!("{}, {privacy}, handled as {}", item.channel, spaced(&item.kind)));
    let held = if item.agent_id.is_empty() { String::new() } else { format!(" with {}", item.agent_id) };
    line("phase", format!("{}{held} since {}", phase_name(item.phase), at(item.changed_at.as_ref())));
    line("queue", format!("{}, band {}", item.queue, band_name(item.band)));
    if !matches!(item.phase(), Phase::Parked | Phase::Done | Phase::Cancelled) {
        line("unanswered", format!("since {}", at(item.eligible_since.as_ref())));
    }
    line("priority", priority(item));
    if !item.preferred_agent_id.is_empty() {
        line("waits for", format!("{} until {}", item.preferred_agent_id, at(item.preferred_until.as_ref())));
    }
    line("declined by", item.declined_by.join(", "));
    line("offers made", item.offers_made.to_string());
    line("policy", format!("version {}", item.policy_version));
}

fn priority(item: &WorkItem) -> String {
    let priority = item.priority.clone().unwrap_or_default();
    let mut sum = String::new();
    for Term { name, milli_points } in &priority.terms {
        let sign = if *milli_points < 0 { "- " } else { "+ " };
        let _ = write!(sum, "{sign}{} ({}) ", points(milli_points.abs()), spaced(name));
    }
    let sum = sum.strip_prefix("+ ").unwrap_or(&sum).trim_end();
    let total = format!("{} points", points(priority.milli_points));
    if sum.is_empty() { total } else { format!("{total} = {sum}") }
}

fn decide(number: usize, decision: &Decision, text: &mut String) {
    let mut line = |words: String| {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{words}");
    };
    let strategy = spaced(&decision.strategy);
    line(format!("Decision {number} at {}", at(decision.time.as_ref())));
    line(format!(
        "  in queue {} by {strategy}, policy version {}, on the state after event {} of routing",
        decision.queue, decision.policy_version, decision.state_own_seq
    ));
    if decision.chosen_agent_ids.is_empty() {
        line("  Nobody was chosen: the item went on waiting.".to_owned());
    } else {
        line(format!("  Chosen: {}", decision.chosen_agent_ids.join(", ")));
    }
    let eligible = counted(decision.eligible as usize, "agent", "agents");
    if !decision.best.is_empty() {
        let shown = decision.best.len();
        let which = if shown < decision.eligible as usize { format!("; the best {shown}") } else { String::new() };
        line(format!("  {eligible} could have it{which}:"));
        let width = decision.best.iter().map(|best| best.agent_id.chars().count()).max().unwrap_or_default();
        let best = decision.best.iter().zip(1..);
        best.for_each(|(best, n)| line(format!("    {n:>2}. {}", candidate(best, &decision.strategy, width))));
    }
    if decision.not_looked_at > 0 {
        let more = counted(decision.not_looked_at as usize, "more was", "more were");
        line(format!("  {more} not looked at: enough could have it."));
    }
    let lost: u32 = decision.lost.iter().map(|lost| lost.agents).sum();
    if lost > 0 {
        line(format!("  {} could not:", counted(lost as usize, "agent", "agents")));
    }
    let mut reasons: Vec<_> = decision.lost.iter().filter(|lost| lost.agents > 0).collect();
    reasons.sort_by_key(|lost| std::cmp::Reverse(lost.agents));
    reasons.iter().for_each(|lost| line(format!("    {:>3}  {}", lost.agents, in_words(&lost.reason))));
    decision.offers.iter().for_each(|offer| line(format!("  Offer to {}: {}", offer.agent_id, ending(offer))));
}

/// A candidate with what the strategy measured.
fn candidate(best: &Candidate, strategy: &str, width: usize) -> String {
    let since = |ms: i64| if ms > 0 { time(ms) } else { "ever".to_owned() };
    let score = match strategy {
        "longest_idle" if best.score >= WITH_WORK => format!("at work, last item at {}", time(best.score - WITH_WORK)),
        "longest_idle" => format!("idle since {}", since(best.score)),
        "least_loaded" => format!("load {} %", points(best.score * 100)),
        "best_skill" => format!("skill {}", -best.score),
        _ => format!("score {}", best.score),
    };
    let idle = match (strategy, best.idle_since.as_ref()) {
        ("longest_idle", _) | (_, None) => String::new(),
        (_, idle) => format!(", idle since {}", at(idle)),
    };
    let membership = match best.membership_priority {
        0 | 1 => String::new(),
        lower => format!(", priority {lower} in the queue"),
    };
    format!("{:<width$}  {score}{idle}{membership}", best.agent_id)
}

fn ending(offer: &Offered) -> String {
    let how = match offer.how.as_str() {
        "" => return format!("stands until {}", at(offer.expires_at.as_ref())),
        "timed_out" => "not answered in time",
        "other_accepted" => "taken back, somebody else accepted",
        "item_cancelled" => "taken back, the item is not needed any more",
        "agent_lost" => "taken back, the agent has left",
        "policy" => "taken back by a new policy",
        "moved" => "taken back, the item was moved or taken by hand",
        how => how,
    };
    let took = offer.ended_at.as_ref().zip(offer.made_at.as_ref()).map(|(end, made)| millis(end) - millis(made));
    format!("{how} after {}", span(took.unwrap_or_default()))
}

/// What stands between an agent and an item.
pub(super) fn why_not(item_id: &str, agent_id: &str, why: &WhyNotResponse) -> String {
    let mut lines = match (why.waits, why.reasons.is_empty()) {
        (true, true) => vec![format!("Nothing stands between {agent_id} and {item_id}: others may come first.")],
        (true, false) => vec![format!("{agent_id} cannot have {item_id} now:")],
        (false, true) => vec![format!("{item_id} does not wait for an agent. If it did, {agent_id} could have it.")],
        (false, false) => {
            vec![format!("{item_id} does not wait for an agent. If it did, {agent_id} could not have it:")]
        }
    };
    lines.extend(why.reasons.iter().map(|reason| format!("  - {}", in_words(reason))));
    if let place @ 1.. = why.place_in_last_decision {
        lines.push(format!("In the last decision {agent_id} was number {place} of those who could have it."));
    }
    lines.push(format!("This holds for the state at {}.", why.as_of));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use rejoinder_api::routing::decision::Lost;
    use rejoinder_api::routing::{Band, Priority};
    use rejoinder_service_kit::timestamp;

    use super::*;

    fn moment(seconds: i64) -> Option<prost_types::Timestamp> {
        Some(timestamp(1_767_600_000_000 + seconds * 1_000))
    }

    #[test]
    fn an_explanation_reads_like_a_report() {
        let term = |name: &str, milli_points| Term { name: name.into(), milli_points };
        let item = WorkItem {
            item_id: "w0000000000007".into(),
            thread_id: "t0000000000003".into(),
            phase: Phase::Assigned as i32,
            queue: "service".into(),
            band: Band::Normal as i32,
            channel: "whatsapp".into(),
            kind: "direct_message".into(),
            private: true,
            priority: Some(Priority {
                milli_points: 9_500,
                terms: vec![term("influence", 6_000), term("waiting", 5_000), term("clamp", -1_500)],
            }),
            eligible_since: moment(0),
            agent_id: "bob".into(),
            offers_made: 2,
            changed_at: moment(70),
            policy_version: 3,
            declined_by: vec!["ann".into()],
            ..WorkItem::default()
        };
        let best = |agent: &str, score| Candidate {
            agent_id: agent.into(),
            score,
            membership_priority: 1,
            ..Candidate::default()
        };
        let offer = |agent: &str, how: &str| Offered {
            agent_id: agent.into(),
            how: how.into(),
            made_at: moment(60),
            ended_at: moment(63),
            ..Offered::default()
        };
        let lost = |reason: &str, agents| Lost { reason: reason.into(), agents };
        let decision = Decision {
            time: moment(60),
            queue: "service".into(),
            policy_version: 3,
            state_own_seq: 41,
            chosen_agent_ids: vec!["ann".into(), "bob".into()],
            strategy: "longest_idle".into(),
            lost: vec![lost("skills", 1), lost("not_available", 4)],
            best: vec![best("ann", 1_767_599_000_000), best("bob", WITH_WORK + 1_767_599_500_000)],
            eligible: 2,
            offers: vec![offer("ann", "declined"), offer("bob", "accepted")],
            ..Decision::default()
        };
        let answer = ExplainResponse { item: Some(item), decisions: vec![decision], as_of: "0/99".into() };
        let wanted = "\
work item   w0000000000007 of thread t0000000000003
channel     whatsapp, private, handled as direct message
phase       assigned with bob since 2026-01-05T08:01:10.000Z
queue       service, band normal
unanswered  since 2026-01-05T08:00:00.000Z
priority    9.5 points = 6 (influence) + 5 (waiting) - 1.5 (clamp)
declined by ann
offers made 2
policy      version 3

Decision 1 at 2026-01-05T08:01:00.000Z
  in queue service by longest idle, policy version 3, on the state after event 41 of routing
  Chosen: ann, bob
  2 agents could have it:
     1. ann  idle since 2026-01-05T07:43:20.000Z
     2. bob  at work, last item at 2026-01-05T07:51:40.000Z
  5 agents could not:
      4  not available: offline, away, not responding, or without a session
      1  lacks a skill that is wanted, or its level
  Offer to ann: declined after 3s
  Offer to bob: accepted after 3s
";
        assert_eq!(explained(&answer), wanted);
    }

    #[test]
    fn why_not_says_what_stands_between_them() {
        let why = |waits, reasons: &[&str], place_in_last_decision| {
            let reasons = reasons.iter().map(ToString::to_string).collect();
            let why = WhyNotResponse { reasons, waits, place_in_last_decision, as_of: "0/9".into() };
            why_not("w1", "ann", &why)
        };
        let text = why(true, &["no_capacity", "new_reason"], 0);
        assert!(
            text.starts_with("ann cannot have w1 now:\n  - has not enough capacity left\n  - new reason\n"),
            "{text}"
        );
        assert!(why(true, &[], 2).contains("number 2 of those"));
        assert!(why(false, &[], 1).starts_with("w1 does not wait for an agent. If it did, ann could have it."));
    }
}
