//! RoutingService: work items and queues as they are, why, and what people do to them.

use std::sync::Arc;

use rejoinder_api::routing::routing_service_server::RoutingService;
use rejoinder_api::routing::{self as api, ItemResponse};
use rejoinder_model::{Millis, Position, ThreadId, WorkItemId};
use rejoinder_routing_core::record::Item;
use rejoinder_routing_core::{Command, Done, Routing, why_not};
use rejoinder_service_kit::{Lanes, field, page, refuse, workspace};
use tonic::{Request, Response, Status};

use crate::command::{Call, command};
use crate::view;

/// Entries looked at for one page of items: others' items may lie between.
const MAX_LOOKED_AT: usize = 20_000;

/// The service over its lanes.
#[derive(Clone)]
pub struct Items {
    lanes: Arc<Lanes<Routing>>,
}

impl Items {
    /// The service.
    pub fn new(lanes: Arc<Lanes<Routing>>) -> Self {
        Self { lanes }
    }

    /// Asks about an item that must exist in the workspace.
    async fn about<R: Send + 'static>(
        &self,
        workspace: &str,
        item_id: &str,
        wait_for: &str,
        question: impl FnOnce(&Routing, u64, &Item, Millis) -> R + Send + 'static,
    ) -> Result<(R, Position), Status> {
        let id: WorkItemId = field::id("item_id", item_id)?;
        let name = workspace.to_owned();
        let find = move |state: &Routing, now| {
            let item = state.item(id.0).filter(|item| item.workspace == name)?;
            Some(question(state, id.0, &item, now))
        };
        let (found, as_of) = self.lanes.ask_now(workspace, wait_for, find).await?;
        Ok((found.ok_or_else(|| refuse::not_found("work item", item_id))?, as_of))
    }

    async fn decide(&self, call: Call, decided: Command) -> Result<Response<ItemResponse>, Status> {
        let workspace = call.workspace.clone();
        let (done, as_of) = command(&self.lanes, call, decided).await?;
        let Done::Item(id) = done else {
            return Err(refuse::invalid("REQUEST_ID_USED", "request_id", "another command had it"));
        };
        let (item, _) = self.about(&workspace, &id.to_string(), "", told).await?;
        Ok(Response::new(ItemResponse { item: Some(item), as_of: as_of.to_string() }))
    }
}

fn told(state: &Routing, id: u64, item: &Item, _: Millis) -> api::WorkItem {
    view::item(state, id, item)
}

/// A page of the items of a workspace that are wanted, and where the next begins.
fn listed(
    state: &Routing,
    from: u64,
    size: usize,
    wanted: impl Fn(&Item) -> bool,
) -> (Vec<api::WorkItem>, Option<u64>) {
    let (mut items, mut from, mut left) = (Vec::new(), WorkItemId(from), MAX_LOOKED_AT);
    let more = loop {
        let chunk = state.items.page(&from, 500.min(left));
        let Some((last, _)) = chunk.last() else { break false };
        from = WorkItemId(last.0 + 1);
        left = left.saturating_sub(chunk.len());
        items.extend(chunk.into_iter().filter(|(_, item)| wanted(item)));
        if items.len() >= size || left == 0 {
            break true;
        }
    };
    if items.len() > size {
        items.truncate(size);
        from = items.last().map_or(from, |(last, _)| WorkItemId(last.0 + 1));
    }
    let told = items.iter().map(|(id, item)| view::item(state, id.0, item)).collect();
    (told, more.then_some(from.0))
}

#[tonic::async_trait]
impl RoutingService for Items {
    async fn get_item(&self, request: Request<api::GetItemRequest>) -> Result<Response<api::GetItemResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let (item, as_of) = self.about(&name, &request.item_id, &request.wait_for, told).await?;
        Ok(Response::new(api::GetItemResponse { item: Some(item), as_of: as_of.to_string() }))
    }

    async fn list_items(
        &self,
        request: Request<api::ListItemsRequest>,
    ) -> Result<Response<api::ListItemsResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let page = page(request.page_size, &request.page_token)?;
        let thread: Option<ThreadId> = match request.thread_id.as_str() {
            "" => None,
            id => Some(field::id("thread_id", id)?),
        };
        let (of, phase, queue) = (name.clone(), request.phase, request.queue);
        let question = move |state: &Routing| {
            if !state.has_workspace(&of) {
                return None;
            }
            let wanted = |item: &Item| {
                item.workspace == of
                    && (phase == 0 || view::phase(item.phase) as i32 == phase)
                    && (queue.is_empty() || item.queue == queue)
            };
            if let Some(thread) = thread {
                let id = state.thread(thread.0).item;
                let item = state.item(id).filter(|item| wanted(item));
                return Some((item.iter().map(|item| view::item(state, id, item)).collect(), None));
            }
            Some(listed(state, page.from, page.size, wanted))
        };
        let (found, as_of) = self.lanes.ask(&name, &request.wait_for, question).await?;
        let (items, next) = found.ok_or_else(|| refuse::not_found("workspace", &name))?;
        let next_page_token = next.map(|next: u64| next.to_string()).unwrap_or_default();
        Ok(Response::new(api::ListItemsResponse { items, next_page_token, as_of: as_of.to_string() }))
    }

    async fn transfer_item(
        &self,
        request: Request<api::TransferItemRequest>,
    ) -> Result<Response<ItemResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let item = field::id("item_id", &request.item_id)?;
        if request.queue.is_empty() && request.agent_id.is_empty() {
            return Err(refuse::invalid("TARGET_MISSING", "queue", "say where it goes: a queue, an agent, or both"));
        }
        self.decide(call, Command::Transfer { item, queue: request.queue, agent: request.agent_id }).await
    }

    async fn take_item(&self, request: Request<api::TakeItemRequest>) -> Result<Response<ItemResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let call = Call::new(&metadata, request.request_id, &request.etag)?;
        let item = field::id("item_id", &request.item_id)?;
        self.decide(call, Command::Take { item, agent: request.agent_id }).await
    }

    async fn explain(&self, request: Request<api::ExplainRequest>) -> Result<Response<api::ExplainResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let question = |state: &Routing, id, item: &Item, _| {
            let decisions = state.decisions(id).into_iter().map(|decision| view::decision(state, decision));
            (view::item(state, id, item), decisions.collect())
        };
        let ((item, decisions), as_of) = self.about(&name, &request.item_id, &request.wait_for, question).await?;
        Ok(Response::new(api::ExplainResponse { item: Some(item), decisions, as_of: as_of.to_string() }))
    }

    async fn why_not(&self, request: Request<api::WhyNotRequest>) -> Result<Response<api::WhyNotResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let (of, agent) = (name.clone(), request.agent_id.clone());
        let question = move |state: &Routing, id, _: &Item, now| {
            view::find_agent(state, &of, &agent).and_then(|_| why_not(state, &of, id, &agent, now))
        };
        let (why, as_of) = self.about(&name, &request.item_id, &request.wait_for, question).await?;
        let why = why.ok_or_else(|| refuse::not_found("agent", &request.agent_id))?;
        Ok(Response::new(api::WhyNotResponse {
            reasons: why.reasons.into_iter().map(|reason| view::reason(reason as i32)).collect(),
            waits: why.waits,
            place_in_last_decision: why.place_in_last_decision,
            as_of: as_of.to_string(),
        }))
    }

    async fn list_queues(
        &self,
        request: Request<api::ListQueuesRequest>,
    ) -> Result<Response<api::ListQueuesResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let of = name.clone();
        let question = move |state: &Routing| {
            let policy = state.has_workspace(&of).then(|| state.policy(&of))?;
            Some(policy.queues.iter().map(|queue| view::queue(state, &of, queue)).collect())
        };
        let (queues, as_of) = self.lanes.ask(&name, &request.wait_for, question).await?;
        let queues = queues.ok_or_else(|| refuse::not_found("workspace", &name))?;
        Ok(Response::new(api::ListQueuesResponse { queues, as_of: as_of.to_string() }))
    }

    async fn get_queue(
        &self,
        request: Request<api::GetQueueRequest>,
    ) -> Result<Response<api::GetQueueResponse>, Status> {
        let name = workspace(request.metadata())?;
        let request = request.into_inner();
        let (of, wanted) = (name.clone(), request.name.clone());
        let question = move |state: &Routing| {
            let policy = state.has_workspace(&of).then(|| state.policy(&of))?;
            policy.queue(&wanted).map(|queue| view::queue(state, &of, queue))
        };
        let (queue, as_of) = self.lanes.ask(&name, &request.wait_for, question).await?;
        let queue = queue.ok_or_else(|| refuse::not_found("queue", &request.name))?;
        Ok(Response::new(api::GetQueueResponse { queue: Some(queue), as_of: as_of.to_string() }))
    }
}
