//! One decision in full: why an item was offered to whom it was.

use rejoinder_api::routing::decision::{Candidate, Lost};
use rejoinder_api::routing::routing_service_client::RoutingServiceClient;
use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::{Decision, ExplainRequest, ExplainResponse};
use rejoinder_service_kit::millis;

use crate::remote::{Remote, refused};
use crate::table::time;

/// What the decisions on an item say.
pub(super) async fn of(remote: &Remote, item_id: &str) -> anyhow::Result<Vec<String>> {
    let request = ExplainRequest { item_id: item_id.to_owned(), wait_for: String::new() };
    let answer = RoutingServiceClient::new(remote.channel.clone()).explain(remote.request(request)).await;
    Ok(lines(&answer.map_err(|status| refused(&status))?.into_inner()))
}

fn lines(explained: &ExplainResponse) -> Vec<String> {
    let item = explained.item.clone().unwrap_or_default();
    let phase = Phase::try_from(item.phase).unwrap_or_default().as_str_name().trim_start_matches("PHASE_");
    let mut lines = vec![format!(
        "item {} of thread {}: {} on {}, queue {}, {} offers, now {}",
        item.item_id,
        item.thread_id,
        item.kind,
        item.channel,
        item.queue,
        item.offers_made,
        phase.to_lowercase()
    )];
    explained.decisions.iter().for_each(|decision| lines.extend(told(decision)));
    lines
}

fn told(decision: &Decision) -> Vec<String> {
    let at = decision.time.as_ref().map(|at| time(millis(at))).unwrap_or_default();
    let chosen = if decision.chosen_agent_ids.is_empty() {
        "nobody: it waits".to_owned()
    } else {
        decision.chosen_agent_ids.join(" and ")
    };
    let lost = |lost: &Lost| format!("{} {}", lost.agents, lost.reason);
    let lost: Vec<String> = decision.lost.iter().map(lost).collect();
    let best = |(n, agent): (usize, &Candidate)| {
        let idle = agent.idle_since.as_ref().map(|at| time(millis(at))).unwrap_or_default();
        let score = agent.score;
        format!(
            "      {}. {} score {score}, membership {}, idle since {idle}",
            n + 1,
            agent.agent_id,
            agent.membership_priority
        )
    };
    let mut lines = vec![
        format!("  {at} in queue {}: offered to {chosen}", decision.queue),
        format!(
            "    by {} among {} eligible agents; policy {}, state {}",
            decision.strategy, decision.eligible, decision.policy_version, decision.state_own_seq
        ),
    ];
    if !lost.is_empty() {
        lines.push(format!("    not eligible: {}", lost.join(", ")));
    }
    lines.extend(decision.best.iter().enumerate().map(best));
    lines
}
