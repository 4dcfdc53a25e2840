//! ClockService: what was promised, and how it stands.

use std::sync::Arc;

use rejoinder_api::sla::clock_service_server::ClockService;
use rejoinder_api::sla::{self as api, list_clocks_response::PolicyCount};
use rejoinder_model::{ClockId, ThreadId};
use rejoinder_service_kit::{Lanes, page, refuse, workspace};
use rejoinder_sla_core::SlaTimer;
use rejoinder_sla_core::record::{Clock, Counts, Thread};
use tonic::{Request, Response, Status};

use crate::{refusal, view};

/// Threads looked at for one page of clocks: others' threads may lie between.
const MAX_LOOKED_AT: usize = 20_000;
/// Threads read at a time.
const CHUNK: usize = 500;

/// The service over its lanes.
#[derive(Clone)]
pub struct Clocks {
    lanes: Arc<Lanes<SlaTimer>>,
}

impl Clocks {
    /// The service.
    pub fn new(lanes: Arc<Lanes<SlaTimer>>) -> Self {
        Self { lanes }
    }
}

/// Which clocks are wanted.
#[derive(Clone, Copy)]
struct Filter {
    metric: i32,
    state: i32,
    breached_only: bool,
    size: usize,
    /// Clocks after this one.
    after: (u64, u64),
}

impl Filter {
    fn takes(&self, thread: ThreadId, clock: &Clock) -> bool {
        (self.metric == 0 || self.metric == clock.metric)
            && (self.state == 0 || self.state == view::api_state(clock.status) as i32)
            && (!self.breached_only || clock.breached)
            && (thread.0, clock.id) > self.after
    }

    /// The clocks of a thread, and whether the page is full.
    fn add(&self, id: ThreadId, thread: &Thread, clocks: &mut Vec<(ThreadId, Clock)>) -> bool {
        clocks.extend(thread.clocks.iter().filter(|clock| self.takes(id, clock)).map(|clock| (id, clock.clone())));
        clocks.len() > self.size
    }
}

/// A page of clocks, and where the next begins.
type Listed = (Vec<(ThreadId, Clock)>, Option<(u64, u64)>);

fn of_all(state: &SlaTimer, workspace: &str, filter: Filter) -> Listed {
    let (mut clocks, mut from, mut left) = (Vec::new(), ThreadId(filter.after.0), MAX_LOOKED_AT);
    'pages: loop {
        let chunk = state.threads.page(&from, CHUNK.min(left));
        let Some((last, _)) = chunk.last() else { break };
        from = ThreadId(last.0 + 1);
        left = left.saturating_sub(chunk.len());
        for (id, thread) in chunk.into_iter().filter(|(_, thread)| thread.workspace == workspace) {
            if filter.add(id, &thread, &mut clocks) {
                break 'pages;
            }
        }
        if left == 0 {
            // Go on behind what was looked at, full or not.
            return (clocks, Some((from.0 - 1, u64::MAX)));
        }
    }
    cut(clocks, filter.size)
}

fn cut(mut clocks: Vec<(ThreadId, Clock)>, size: usize) -> Listed {
    let more = clocks.len() > size;
    clocks.truncate(size);
    let next = clocks.last().filter(|_| more).map(|(thread, clock)| (thread.0, clock.id));
    (clocks, next)
}

/// The clocks of one thread; `None` when it is not known here.
fn of_thread(state: &SlaTimer, workspace: &str, thread: ThreadId, filter: Filter) -> Option<Listed> {
    let (id, thread) = state.find(thread.0).filter(|(_, thread)| thread.workspace == workspace)?;
    let mut clocks = Vec::new();
    filter.add(id, &thread, &mut clocks);
    Some(cut(clocks, filter.size))
}

fn told((policy, counts): (&String, &Counts)) -> PolicyCount {
    PolicyCount {
        policy: policy.clone(),
        running: counts.live,
        open_breaches: counts.open_breaches,
        breached: counts.breached,
        met: counts.met,
        cancelled: counts.cancelled,
    }
}

#[tonic::async_trait]
impl ClockService for Clocks {
    async fn get_clock(
        &self,
        request: Request<api::GetClockRequest>,
    ) -> Result<Response<api::GetClockResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let id: ClockId = refusal::id("clock_id", &request.clock_id)?;
        let of = name.clone();
        let question = move |state: &SlaTimer, now| {
            let found = state.clock(id).filter(|(_, thread, _)| thread.workspace == of);
            found.map(|(thread, _, clock)| view::clock(state, thread, &clock, now))
        };
        let (clock, as_of) = self.lanes.ask_now(&name, &request.wait_for, question).await?;
        let clock = clock.ok_or_else(|| refuse::not_found("clock", &request.clock_id))?;
        Ok(Response::new(api::GetClockResponse { clock: Some(clock), as_of: as_of.to_string() }))
    }

    async fn list_clocks(
        &self,
        request: Request<api::ListClocksRequest>,
    ) -> Result<Response<api::ListClocksResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let filter = Filter {
            metric: request.metric,
            state: request.state,
            breached_only: request.breached_only,
            size: page(request.page_size, "")?.size,
            after: refusal::cursor(&request.page_token)?,
        };
        let thread: Option<ThreadId> = match request.thread_id.as_str() {
            "" => None,
            text => Some(refusal::id("thread_id", text)?),
        };
        let of = name.clone();
        let question = move |state: &SlaTimer, now| {
            if !state.has_workspace(&of) {
                return Err(("workspace", of));
            }
            let (clocks, next) = match thread {
                None => of_all(state, &of, filter),
                Some(id) => of_thread(state, &of, id, filter).ok_or_else(|| ("thread", id.to_string()))?,
            };
            let told = clocks.iter().map(|(thread, clock)| view::clock(state, *thread, clock, now));
            Ok((told.collect(), next, state.workspace(&of)))
        };
        let (found, as_of) = self.lanes.ask_now(&name, &request.wait_for, question).await?;
        let (clocks, next, known) = found.map_err(|(kind, id)| refuse::not_found(kind, &id))?;
        Ok(Response::new(api::ListClocksResponse {
            clocks,
            next_page_token: next.map(|(thread, clock)| format!("{thread}.{clock}")).unwrap_or_default(),
            as_of: as_of.to_string(),
            counts: known.counts.iter().map(told).collect(),
        }))
    }
}
