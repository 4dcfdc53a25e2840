//! Alarms as they ring, and a supervisor who has seen some of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use fastrand::Rng;
use rejoinder_api::sla::alarm::Kind;
use rejoinder_api::sla::alarm_service_client::AlarmServiceClient;
use rejoinder_api::sla::watch_alarms_response::Change;
use rejoinder_api::sla::{AcknowledgeAlarmRequest, Alarm, WatchAlarmsRequest, WatchAlarmsResponse};
use rejoinder_sla_core::metric_name;
use rejoinder_wire::event::Metric;
use tonic::{Code, Streaming};

use crate::remote::{Remote, refused};

/// One breach in so many is looked at by the supervisor.
const LOOKED_AT: u64 = 4;
/// How long the supervisor needs, in milliseconds.
const LOOKS: std::ops::Range<u64> = 200..1_500;
/// Newest alarms that are shown.
const NEWEST: usize = 6;
/// Who acknowledges.
const SUPERVISOR: &str = "sue";

/// Alarms, shared with the view.
pub(super) type Shared = Arc<Mutex<Alarms>>;

/// Looks at the alarms.
pub(super) fn look<R>(alarms: &Shared, look: impl FnOnce(&mut Alarms) -> R) -> R {
    look(&mut alarms.lock().unwrap_or_else(PoisonError::into_inner))
}

/// All that rang.
#[derive(Default)]
pub(super) struct Alarms {
    /// By id: does it still ring?
    pub(super) rung: BTreeMap<String, bool>,
    clocks: BTreeSet<(String, i32)>,
    pub(super) breaches: u64,
    pub(super) warnings: u64,
    pub(super) acknowledged: u64,
    /// Cleared before the supervisor was there.
    pub(super) too_late: u64,
    /// What must not be: what rang twice.
    pub(super) findings: Vec<String>,
    /// What happened last.
    pub(super) newest: VecDeque<String>,
    /// How often something happened that is shown.
    pub(super) happened: u64,
}

impl Alarms {
    /// How many ring now.
    pub(super) fn ringing(&self) -> usize {
        self.rung.values().filter(|rings| **rings).count()
    }

    fn remember(&mut self, text: String) {
        self.happened += 1;
        if self.newest.len() == NEWEST {
            self.newest.pop_front();
        }
        self.newest.push_back(text);
    }

    fn raised(&mut self, alarm: &Alarm) {
        let breach = alarm.kind() == Kind::Breach;
        *(if breach { &mut self.breaches } else { &mut self.warnings }) += 1;
        let twice = self.rung.insert(alarm.alarm_id.clone(), true).is_some();
        // The demo's promises have one warning each.
        if twice || !self.clocks.insert((alarm.clock_id.clone(), alarm.kind)) {
            self.findings.push(format!("alarm {} of clock {} rang twice", alarm.alarm_id, alarm.clock_id));
        }
        let metric = metric_name(Metric::try_from(alarm.metric).unwrap_or_default());
        let what = if breach { "breached" } else { "is nearly due" };
        self.remember(format!("{}: {metric} {what} on thread {}", alarm.policy, alarm.thread_id));
    }

    fn change(&mut self, told: &WatchAlarmsResponse) {
        match &told.change {
            Some(Change::Raised(alarm)) => self.raised(alarm),
            Some(Change::Acknowledged(seen)) => {
                self.rung.insert(told.alarm_id.clone(), false);
                self.remember(format!("alarm {} seen by {}", told.alarm_id, seen.by));
            }
            Some(Change::Cleared(_)) => {
                self.rung.insert(told.alarm_id.clone(), false);
            }
            None => {}
        }
    }
}

/// Opens the watch, so that nothing is missed from then on.
pub(super) async fn open(remote: &Remote) -> anyhow::Result<Streaming<WatchAlarmsResponse>> {
    let request = remote.request(WatchAlarmsRequest::default());
    let answer = AlarmServiceClient::new(remote.channel.clone()).watch_alarms(request).await;
    Ok(answer.map_err(|status| refused(&status))?.into_inner())
}

/// Follows the watch until the stream ends.
pub(super) async fn watch(
    remote: Arc<Remote>,
    mut changes: Streaming<WatchAlarmsResponse>,
    alarms: Shared,
    seed: u64,
) -> anyhow::Result<()> {
    let mut random = Rng::with_seed(seed.wrapping_add(2));
    while let Some(told) = changes.message().await.map_err(|status| refused(&status))? {
        look(&alarms, |alarms| alarms.change(&told));
        if let Some(Change::Raised(alarm)) = told.change
            && alarm.kind() == Kind::Breach
            && random.u64(..LOOKED_AT) == 0
        {
            let after = Duration::from_millis(random.u64(LOOKS));
            tokio::spawn(acknowledge(remote.clone(), alarm, after, alarms.clone()));
        }
    }
    anyhow::bail!("the watch of alarms has ended")
}

async fn acknowledge(remote: Arc<Remote>, alarm: Alarm, after: Duration, alarms: Shared) {
    tokio::time::sleep(after).await;
    let (by, etag) = (SUPERVISOR.to_owned(), alarm.etag);
    let request = AcknowledgeAlarmRequest { alarm_id: alarm.alarm_id, request_id: String::new(), etag, by };
    let answer = AlarmServiceClient::new(remote.channel.clone()).acknowledge_alarm(remote.request(request)).await;
    match answer {
        Ok(_) => look(&alarms, |alarms| alarms.acknowledged += 1),
        Err(status) if status.code() == Code::NotFound => look(&alarms, |alarms| alarms.too_late += 1),
        Err(status) => {
            let what = format!("an alarm cannot be acknowledged: {}", refused(&status));
            look(&alarms, |alarms| alarms.findings.push(what));
        }
    }
}

/// Waits until all of these have rung.
pub(super) async fn until_rung(alarms: &Shared, raised: &BTreeSet<String>, patience: Duration) -> anyhow::Result<()> {
    const LOOK: Duration = Duration::from_millis(20);
    let all = async {
        while !look(alarms, |alarms| raised.iter().all(|alarm| alarms.rung.contains_key(alarm))) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(patience, all).await.context("not every alarm was told of")
}
