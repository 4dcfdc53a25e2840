//! `clocks list`, and `clocks export`: one line for each clock of a workspace, with what became of it.

use rejoinder_api::sla::clock::State;
use rejoinder_api::sla::clock_service_client::ClockServiceClient;
use rejoinder_api::sla::{Clock, ListClocksRequest, Metric};

use crate::Ended;
use crate::cli::{Cli, Clocks};
use crate::query::{PAGE, pages, word};
use crate::remote::{Remote, refused};
use crate::table::{Output, Rows, Value};

const COLUMNS: [&str; 14] = [
    "clock_id",
    "thread_id",
    "metric",
    "state",
    "breached",
    "due_at",
    "elapsed_ms",
    "target_ms",
    "policy",
    "opened_at",
    "ended_at",
    "calendar",
    "alarm_id",
    "cancelled_because",
];
const WIDTHS: [usize; 14] = [14, 14, 15, 9, 8, 24, 12, 12, 12, 24, 24, 10, 14, 0];
const EXPORT_COLUMNS: [&str; 8] =
    ["thread_id", "metric", "instance", "opened_at", "due_at", "ended_at", "outcome", "elapsed_ms"];

/// Which clocks are listed.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) thread: Option<String>,
    /// Unspecified: all.
    pub(crate) metric: Metric,
    /// Unspecified: all.
    pub(crate) state: State,
    /// Only those whose breach stands.
    pub(crate) breached: bool,
}

pub(crate) async fn command(clocks: &Clocks, cli: &Cli) -> anyhow::Result<Ended> {
    match clocks {
        Clocks::List { thread, metric, state, breached, source } => {
            let wanted = Wanted {
                thread: thread.map(|thread| thread.to_string()),
                metric: metric.unwrap_or_default(),
                state: state.unwrap_or_default(),
                breached: *breached,
            };
            list(&source.open(&cli.workspace).await?, &wanted, cli.output).await
        }
        Clocks::Export(source) => export(&source.open(&cli.workspace).await?, cli.output).await,
    }
}

/// Clocks in the order of their threads, then of their opening.
pub(crate) async fn list(remote: &Remote, wanted: &Wanted, output: Output) -> anyhow::Result<Ended> {
    each(remote, wanted, Rows::new(output, &COLUMNS, &WIDTHS)?, row).await
}

/// All of them, for programs.
pub(crate) async fn export(remote: &Remote, output: Output) -> anyhow::Result<Ended> {
    each(remote, &Wanted::default(), Rows::new(output.of_export(), &EXPORT_COLUMNS, &[])?, exported).await
}

async fn each<const N: usize>(
    remote: &Remote,
    wanted: &Wanted,
    mut rows: Rows,
    line: impl Fn(Clock) -> [Value; N],
) -> anyhow::Result<Ended> {
    let mut client = ClockServiceClient::new(remote.channel.clone());
    pages(async |page_token| {
        let request = ListClocksRequest {
            page_size: PAGE,
            page_token,
            thread_id: wanted.thread.clone().unwrap_or_default(),
            metric: wanted.metric as i32,
            state: wanted.state as i32,
            breached_only: wanted.breached,
            wait_for: String::new(),
        };
        let answer = client.list_clocks(remote.request(request)).await.map_err(|status| refused(&status))?;
        let page = answer.into_inner();
        page.clocks.into_iter().try_for_each(|clock| rows.row(&line(clock)))?;
        Ok(page.next_page_token)
    })
    .await?;
    rows.end()?;
    Ok(Ended::Well)
}

/// A metric as people say it.
pub(crate) fn metric_name(metric: i32) -> String {
    word(Metric::try_from(metric).unwrap_or_default().as_str_name(), "METRIC_")
}

fn row(clock: Clock) -> [Value; 14] {
    let state = word(clock.state().as_str_name(), "STATE_");
    [
        Value::name(clock.clock_id),
        Value::name(clock.thread_id),
        Value::name(metric_name(clock.metric)),
        Value::name(state),
        clock.breached.into(),
        Value::time(clock.due_at.as_ref()),
        Value::Span(clock.elapsed_ms),
        Value::Span(clock.target_ms),
        Value::name(clock.policy),
        Value::time(clock.opened_at.as_ref()),
        Value::time(clock.ended_at.as_ref()),
        Value::name(clock.calendar),
        Value::name(clock.alarm_id),
        Value::name(clock.cancelled_because),
    ]
}

/// What became of a clock: a breach that stands outlasts what came after it.
fn outcome(clock: &Clock) -> &'static str {
    match clock.state() {
        _ if clock.breached => "breached",
        State::Met => "met",
        State::Cancelled => "cancelled",
        State::Running | State::Paused | State::Unspecified => "running",
    }
}

fn exported(clock: Clock) -> [Value; 8] {
    let outcome = outcome(&clock);
    [
        Value::name(clock.thread_id),
        Value::name(metric_name(clock.metric)),
        Value::name(clock.clock_id),
        Value::time(clock.opened_at.as_ref()),
        Value::time(clock.due_at.as_ref()),
        Value::time(clock.ended_at.as_ref()),
        Value::name(outcome),
        Value::Span(clock.elapsed_ms),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_breach_that_stands_outlasts_what_came_after() {
        let table = [
            (State::Running, false, "running"),
            (State::Paused, false, "running"),
            (State::Met, false, "met"),
            (State::Cancelled, false, "cancelled"),
            (State::Running, true, "breached"),
            (State::Met, true, "breached"),
            (State::Cancelled, true, "breached"),
        ];
        for (state, breached, wanted) in table {
            let clock = Clock { state: state as i32, breached, ..Clock::default() };
            assert_eq!(outcome(&clock), wanted, "{state:?} {breached}");
        }
    }
}
