//! `explain`: a work item, its priority term by term, and each decision on it with its reasons.

mod prose;

use rejoinder_api::routing::decision::{Candidate, Offered};
use rejoinder_api::routing::routing_service_client::RoutingServiceClient;
use rejoinder_api::routing::{Decision, ExplainRequest, ExplainResponse, WhyNotRequest, WhyNotResponse, WorkItem};
use rejoinder_service_kit::millis;
use serde_json::{Value as Json, json};

use crate::Ended;
use crate::cli::{Cli, ExplainArgs};
use crate::query::items::{band_name, phase_name};
use crate::remote::{Remote, refused};
use crate::table::{Field as _, Output, Rows, Value, time};

const COLUMNS: [&str; 10] =
    ["time", "queue", "strategy", "policy_version", "state_own_seq", "chosen", "eligible", "best", "lost", "offers"];
const WHY_COLUMNS: [&str; 5] = ["item_id", "agent_id", "waits", "reasons", "place_in_last_decision"];

pub(crate) async fn command(args: &ExplainArgs, cli: &Cli) -> anyhow::Result<Ended> {
    let remote = args.source.open(&cli.workspace).await?;
    match &args.agent {
        Some(agent) => why_not(&remote, args.item.to_string(), agent.clone(), cli.output).await,
        None => item(&remote, args.item.to_string(), cli.output).await,
    }
}

/// Why an item is where it is.
pub(crate) async fn item(remote: &Remote, item_id: String, output: Output) -> anyhow::Result<Ended> {
    let explained = ask(remote, item_id).await?;
    let mut rows = Rows::new(output, &COLUMNS, &[])?;
    match output {
        Output::Table => rows.prose(&prose::explained(&explained))?,
        Output::Json => rows.json(&object(&explained))?,
        Output::Tsv => explained.decisions.iter().try_for_each(|decision| rows.row(&row(decision)))?,
    }
    rows.end()?;
    Ok(Ended::Well)
}

/// The same as a text for people.
pub(crate) async fn in_words(remote: &Remote, item_id: String) -> anyhow::Result<String> {
    Ok(prose::explained(&ask(remote, item_id).await?))
}

async fn ask(remote: &Remote, item_id: String) -> anyhow::Result<ExplainResponse> {
    let request = ExplainRequest { item_id, wait_for: String::new() };
    let answer = RoutingServiceClient::new(remote.channel.clone()).explain(remote.request(request)).await;
    Ok(answer.map_err(|status| refused(&status))?.into_inner())
}

/// Why an agent has not got it.
pub(crate) async fn why_not(
    remote: &Remote,
    item_id: String,
    agent_id: String,
    output: Output,
) -> anyhow::Result<Ended> {
    let request = WhyNotRequest { item_id: item_id.clone(), agent_id: agent_id.clone(), wait_for: String::new() };
    let answer = RoutingServiceClient::new(remote.channel.clone()).why_not(remote.request(request)).await;
    let why = answer.map_err(|status| refused(&status))?.into_inner();
    let mut rows = Rows::new(output, &WHY_COLUMNS, &[])?;
    match output {
        Output::Table => rows.prose(&prose::why_not(&item_id, &agent_id, &why))?,
        Output::Json | Output::Tsv => rows.row(&why_row(item_id, agent_id, why))?,
    }
    rows.end()?;
    Ok(Ended::Well)
}

fn why_row(item_id: String, agent_id: String, why: WhyNotResponse) -> [Value; 5] {
    let WhyNotResponse { reasons, waits, place_in_last_decision, .. } = why;
    [Value::name(item_id), Value::name(agent_id), waits.into(), Value::Names(reasons), place_in_last_decision.into()]
}

/// A decision in one line: `agent:score`, `reason:agents` and `agent:how` in its lists.
fn row(decision: &Decision) -> [Value; 10] {
    let best = decision.best.iter().map(|best| format!("{}:{}", best.agent_id, best.score));
    let lost = decision.lost.iter().map(|lost| format!("{}:{}", lost.reason, lost.agents));
    let offers = decision.offers.iter().map(|offer| {
        let how = if offer.how.is_empty() { "stands" } else { &offer.how };
        format!("{}:{how}", offer.agent_id)
    });
    [
        Value::time(decision.time.as_ref()),
        Value::name(&decision.queue),
        Value::name(&decision.strategy),
        decision.policy_version.into(),
        decision.state_own_seq.into(),
        Value::Names(decision.chosen_agent_ids.clone()),
        decision.eligible.into(),
        Value::Names(best.collect()),
        Value::Names(lost.collect()),
        Value::Names(offers.collect()),
    ]
}

fn moment(at: Option<&prost_types::Timestamp>) -> Json {
    at.map(|at| time(millis(at))).into()
}

fn object(explained: &ExplainResponse) -> Json {
    json!({
        "item": explained.item.as_ref().map(item_object),
        "decisions": explained.decisions.iter().map(decision_object).collect::<Vec<Json>>(),
        "as_of": explained.as_of,
    })
}

fn item_object(item: &WorkItem) -> Json {
    let priority = item.priority.clone().unwrap_or_default();
    let term = |term: &rejoinder_api::routing::priority::Term| json!({"name": term.name, "points": Value::Points(term.milli_points).json()});
    json!({
        "item_id": item.item_id,
        "thread_id": item.thread_id,
        "phase": phase_name(item.phase),
        "queue": item.queue,
        "band": band_name(item.band),
        "channel": item.channel,
        "kind": item.kind,
        "private": item.private,
        "person_id": Value::name(&item.person_id).json(),
        "points": Value::Points(priority.milli_points).json(),
        "terms": priority.terms.iter().map(term).collect::<Vec<Json>>(),
        "agent_id": Value::name(&item.agent_id).json(),
        "eligible_since": moment(item.eligible_since.as_ref()),
        "offers_made": item.offers_made,
        "preferred_agent_id": Value::name(&item.preferred_agent_id).json(),
        "preferred_until": moment(item.preferred_until.as_ref()),
        "declined_by": item.declined_by,
        "opened_at": moment(item.opened_at.as_ref()),
        "changed_at": moment(item.changed_at.as_ref()),
        "policy_version": item.policy_version,
        "etag": item.etag,
    })
}

fn decision_object(decision: &Decision) -> Json {
    let best = |best: &Candidate| {
        json!({
            "agent_id": best.agent_id,
            "score": best.score,
            "idle_since": moment(best.idle_since.as_ref()),
            "last_assigned": moment(best.last_assigned.as_ref()),
            "membership_priority": best.membership_priority,
        })
    };
    let offer = |offer: &Offered| {
        json!({
            "offer_id": offer.offer_id,
            "agent_id": offer.agent_id,
            "made_at": moment(offer.made_at.as_ref()),
            "expires_at": moment(offer.expires_at.as_ref()),
            "ended_at": moment(offer.ended_at.as_ref()),
            "how": Value::name(&offer.how).json(),
        })
    };
    let lost = decision.lost.iter().map(|lost| (lost.reason.clone(), lost.agents.into()));
    json!({
        "time": moment(decision.time.as_ref()),
        "queue": decision.queue,
        "strategy": decision.strategy,
        "policy_version": decision.policy_version,
        "state_own_seq": decision.state_own_seq,
        "chosen": decision.chosen_agent_ids,
        "eligible": decision.eligible,
        "not_looked_at": decision.not_looked_at,
        "best": decision.best.iter().map(best).collect::<Vec<Json>>(),
        "lost": lost.collect::<serde_json::Map<String, Json>>(),
        "offers": decision.offers.iter().map(offer).collect::<Vec<Json>>(),
    })
}
