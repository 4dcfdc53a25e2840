//! `/metrics`, `/healthz` and `/readyz`.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use axum::serve::ListenerExt as _;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use rejoinder_projection_store::snapshot::{AGE, FAILURES, METRICS};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::inside::Inside;

const LOG_END: &str = "rejoinder_log_end_records";
const LAG: &str = "rejoinder_lane_lag_records";
const LIVE: &str = "rejoinder_lane_live";
const VOID: &str = "rejoinder_log_void_records";
const FREE: &str = "rejoinder_log_free_bytes";
const JUMPED: &str = "rejoinder_clock_jumped";
const AHEAD: &str = "rejoinder_log_ahead_seconds";
const QUARANTINED: &str = "rejoinder_lane_quarantined_inputs";

/// How long a look waits for a lane.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a gauge is shown that nobody sets any more.
const SHOWN: Duration = Duration::from_secs(60);

/// Metrics of the engine: names and helps, for the reference.
pub(crate) const ALL: [(&str, &str); 10] = [
    (LOG_END, "Records of the event log, by partition."),
    (LAG, "Records that a service has not considered yet, by service and partition."),
    (LIVE, "1 while a service decides for a partition, by service and partition."),
    (VOID, "Records that changed nothing: of an owner deposed before, or sent twice, by partition."),
    (FREE, "Free bytes on the disk of the event log."),
    (JUMPED, "1 while the wall clock has jumped and no timer fires."),
    (AHEAD, "How far the newest record lies in the future; no timer of its partition fires from 60 s on."),
    METRICS[0],
    METRICS[1],
    (QUARANTINED, "Inputs that are set aside now because deciding on them failed, by service and partition."),
];

/// One recorder for the process, however many servers it runs.
fn recorder() -> anyhow::Result<&'static PrometheusHandle> {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = RECORDER.get() {
        return Ok(handle);
    }
    // What a partition that went to another process showed is that one's to show.
    let builder = PrometheusBuilder::new().idle_timeout(MetricKindMask::GAUGE, Some(SHOWN));
    let handle = builder.install_recorder().context("the metrics recorder")?;
    rejoinder_ingest::metric_definitions::describe();
    rejoinder_threading::metric_definitions::describe();
    rejoinder_routing::metric_definitions::describe();
    rejoinder_sla_timer::metric_definitions::describe();
    #[cfg(feature = "kafka")]
    {
        rejoinder_event_log_kafka::metric_definitions::describe();
        rejoinder_public_topics::metric_definitions::describe();
    }
    for (name, help) in ALL {
        if name.ends_with("_total") {
            describe_counter!(name, help);
        } else {
            describe_gauge!(name, help);
        }
    }
    Ok(RECORDER.get_or_init(|| handle))
}

/// What operators look at.
pub(crate) fn admin(inside: Arc<Inside>) -> anyhow::Result<Router> {
    recorder()?;
    Ok(Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .with_state(inside))
}

/// Answers until it is told to stop.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let stopped = async move {
        // An error: the server is gone, which is a stop too.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let listener = listener.tap_io(|stream| {
        // Refused by some kinds of sockets; answers are only slower then.
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).with_graceful_shutdown(stopped).await.context("HTTP")
}

/// A lane that does not answer in time keeps its last value.
#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
async fn look_at_quarantine(inside: &Inside) {
    let mut asked = JoinSet::new();
    for quarantine in inside.quarantines().each() {
        for partition in 0..inside.log.partitions() {
            let quarantine = quarantine.clone();
            asked.spawn(async move {
                let count = tokio::time::timeout(PATIENCE, quarantine.count(partition)).await;
                count.ok().and_then(Result::ok).map(|count| (quarantine.of(), partition, count))
            });
        }
    }
    for (service, partition, count) in asked.join_all().await.into_iter().flatten() {
        gauge!(QUARANTINED, "service" => service.name(), "partition" => partition.to_string()).set(count as f64);
    }
}

async fn health(State(inside): State<Arc<Inside>>) -> (StatusCode, String) {
    match inside.stopped() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("the event log stopped: {what}\n")),
    }
}

async fn ready(State(inside): State<Arc<Inside>>) -> (StatusCode, &'static str) {
    if inside.is_ready() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}

#[expect(clippy::cast_precision_loss, reason = "gauges are floats")]
async fn render(State(inside): State<Arc<Inside>>) -> Result<String, StatusCode> {
    for (service, partition, status) in inside.lanes() {
        let (end, of) = (inside.log.end(partition), partition.to_string());
        let live = status.phase == rejoinder_runtime::Phase::Live;
        gauge!(LOG_END, "partition" => of.clone()).set(end as f64);
        gauge!(VOID, "partition" => of.clone()).set((status.fold.void + status.fold.repeats) as f64);
        gauge!(LAG, "service" => service.name(), "partition" => of.clone())
            .set(end.saturating_sub(status.considered) as f64);
        gauge!(LIVE, "service" => service.name(), "partition" => of).set(f64::from(u8::from(live)));
    }
    let newest = inside.lanes().iter().map(|(_, _, status)| status.fold.now).max().unwrap_or_default();
    gauge!(AHEAD).set(newest.saturating_sub(inside.clock.wall_ms()).max(0) as f64 / 1_000.0);
    if let Some(bytes) = inside.log.free_bytes() {
        gauge!(FREE).set(bytes as f64);
    }
    if let Some((age_ms, failures)) = inside.snapshots() {
        if let Some(age_ms) = age_ms {
            gauge!(AGE).set(age_ms as f64 / 1_000.0);
        }
        counter!(FAILURES).absolute(failures);
    }
    gauge!(JUMPED).set(f64::from(u8::from(!inside.clock.is_trusted())));
    look_at_quarantine(&inside).await;
    rejoinder_threading::metric_definitions::look(&inside.threading).await;
    rejoinder_routing::metric_definitions::look(&inside.routing, inside.clock.wall_ms()).await;
    rejoinder_sla_timer::metric_definitions::look(&inside.sla).await;
    recorder().map(PrometheusHandle::render).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
