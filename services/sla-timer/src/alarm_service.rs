//! AlarmService: what somebody must see, until it is acknowledged or cleared.

use std::pin::Pin;
use std::sync::Arc;

use rejoinder_api::sla as api;
use rejoinder_api::sla::alarm_service_server::AlarmService;
use rejoinder_model::AlarmId;
use rejoinder_service_kit::{Lanes, LogNews, page, refuse, workspace};
use rejoinder_sla_core::{Asked, SlaTimer, acknowledge};
use tokio_stream::Stream;
use tonic::{Request, Response, Status};

use crate::{refusal, view, watch};

/// Alarms looked at for one page: others' alarms may lie between.
const MAX_LOOKED_AT: usize = 20_000;
/// Alarms read at a time.
const CHUNK: usize = 500;
/// The longest name of who has seen an alarm.
const MAX_BY_BYTES: usize = 512;

/// The service over its lanes.
#[derive(Clone)]
pub struct Alarms {
    pub(crate) lanes: Arc<Lanes<SlaTimer>>,
    pub(crate) news: LogNews,
}

impl Alarms {
    /// A service that watches the log by `news`.
    pub fn new(lanes: Arc<Lanes<SlaTimer>>, news: LogNews) -> Self {
        Self { lanes, news }
    }
}

/// A page of a workspace's alarms, and where the next begins.
fn list(state: &SlaTimer, workspace: &str, open_only: bool, from: u64, size: usize) -> (Vec<api::Alarm>, Option<u64>) {
    let (mut alarms, mut from, mut left) = (Vec::new(), from, MAX_LOOKED_AT);
    while left > 0 {
        let chunk = state.alarms.page(&AlarmId(from), CHUNK.min(left));
        if chunk.is_empty() {
            return (alarms, None);
        }
        left -= chunk.len();
        for (id, alarm) in chunk {
            if alarm.workspace == workspace && !(open_only && alarm.acknowledged.is_some()) {
                if alarms.len() == size {
                    return (alarms, Some(id.0));
                }
                alarms.push(view::alarm(id, &alarm));
            }
            from = id.0 + 1;
        }
    }
    (alarms, Some(from))
}

#[tonic::async_trait]
impl AlarmService for Alarms {
    type WatchAlarmsStream = Pin<Box<dyn Stream<Item = Result<api::WatchAlarmsResponse, Status>> + Send>>;

    async fn list_alarms(
        &self,
        request: Request<api::ListAlarmsRequest>,
    ) -> Result<Response<api::ListAlarmsResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let (of, open_only) = (name.clone(), request.open_only);
        let question =
            move |state: &SlaTimer| state.has_workspace(&of).then(|| list(state, &of, open_only, page.from, page.size));
        let (found, as_of) = self.lanes.ask(&name, &request.wait_for, question).await?;
        let (alarms, next) = found.ok_or_else(|| refuse::not_found("workspace", &name))?;
        let next_page_token = next.map(|next| next.to_string()).unwrap_or_default();
        Ok(Response::new(api::ListAlarmsResponse { alarms, next_page_token, as_of: as_of.to_string() }))
    }

    async fn watch_alarms(
        &self,
        request: Request<api::WatchAlarmsRequest>,
    ) -> Result<Response<Self::WatchAlarmsStream>, Status> {
        let name = workspace(request.metadata())?;
        let changes = watch::changes(self, &name, &request.into_inner().after).await?;
        Ok(Response::new(Box::pin(changes)))
    }

    async fn acknowledge_alarm(
        &self,
        request: Request<api::AcknowledgeAlarmRequest>,
    ) -> Result<Response<api::AcknowledgeAlarmResponse>, Status> {
        let name = workspace(request.metadata())?;
        let api::AcknowledgeAlarmRequest { alarm_id, request_id, etag, by } = request.into_inner();
        let (id, etag): (AlarmId, u64) = (refusal::id("alarm_id", &alarm_id)?, refusal::etag(&etag)?);
        refusal::request_id(&request_id)?;
        if by.is_empty() {
            return Err(refuse::invalid("FIELD_MISSING", "by", "say who has seen it"));
        }
        if by.len() > MAX_BY_BYTES || by.chars().any(char::is_control) {
            let what = format!("it has {MAX_BY_BYTES} bytes at most and no control characters");
            return Err(refuse::invalid("INVALID", "by", what));
        }
        let of = name.clone();
        let decision = move |state: &SlaTimer, context: &_, out: &mut Vec<_>| {
            let asked = Asked { actor: &by, request_id: &request_id, etag };
            acknowledge(state, context, &of, asked, id, out)
        };
        let (done, as_of) = self.lanes.decide(&name, decision).await?;
        let id = done.map_err(|refused| refusal::status(&refused))?;
        let question = move |state: &SlaTimer| state.alarms.get(&id).map(|alarm| view::alarm(id, &alarm));
        let (alarm, _) = self.lanes.ask(&name, "", question).await?;
        Ok(Response::new(api::AcknowledgeAlarmResponse { alarm, as_of: as_of.to_string() }))
    }
}
