//! What an agent is told with an offer: routing asks the handlers of threading and sla-timer.

use rejoinder_api::WORKSPACE;
use rejoinder_api::routing::work_response::{Clock, Context, Message};
use rejoinder_api::sla::clock::State;
use rejoinder_api::sla::clock_service_server::ClockService as _;
use rejoinder_api::sla::{self, ListClocksRequest};
use rejoinder_api::threading::thread_service_server::ThreadService as _;
use rejoinder_api::threading::{self, ListMessagesRequest};
use rejoinder_routing::{About, AskContext};
use rejoinder_sla_timer::Clocks;
use rejoinder_threading::Threads;
use rejoinder_wire::event::Metric;
use tonic::{Request, Status};

/// Messages that an agent sees at once; a desktop asks for more.
const MESSAGES: i32 = 20;

/// Asks both services in this process.
pub(crate) fn ask(threads: Threads, clocks: Clocks) -> AskContext {
    std::sync::Arc::new(move |about| {
        let (threads, clocks) = (threads.clone(), clocks.clone());
        Box::pin(async move { context(&threads, &clocks, about).await })
    })
}

async fn context(threads: &Threads, clocks: &Clocks, about: About) -> Result<Context, Status> {
    let messages = ListMessagesRequest {
        thread_id: about.thread_id.clone(),
        page_size: MESSAGES,
        wait_for: about.wait_for.clone(),
        newest_first: true,
        ..ListMessagesRequest::default()
    };
    let running = ListClocksRequest {
        thread_id: about.thread_id.clone(),
        state: State::Running as i32,
        wait_for: about.wait_for.clone(),
        ..ListClocksRequest::default()
    };
    let (messages, running) = tokio::try_join!(
        threads.list_messages(of(&about.workspace, messages)?),
        clocks.list_clocks(of(&about.workspace, running)?),
    )?;
    let newest = messages.into_inner().messages.into_iter().rev();
    Ok(Context {
        offer_id: String::new(),
        thread_id: about.thread_id,
        messages: newest.map(message).collect(),
        clocks: running.into_inner().clocks.into_iter().map(clock).collect(),
    })
}

fn of<T>(workspace: &str, message: T) -> Result<Request<T>, Status> {
    let mut request = Request::new(message);
    let name = workspace.parse().map_err(|_| Status::internal("a workspace whose name is none"))?;
    request.metadata_mut().insert(WORKSPACE, name);
    Ok(request)
}

fn message(message: threading::Message) -> Message {
    Message {
        interaction_id: message.interaction_id,
        time: message.event_time,
        outbound: message.outbound,
        author_name: message.author_name,
        text: message.text,
        channel: message.channel,
    }
}

fn clock(clock: sla::Clock) -> Clock {
    let metric = Metric::try_from(clock.metric).unwrap_or_default();
    Clock { metric: rejoinder_sla_core::metric_name(metric).to_owned(), due_at: clock.due_at, breached: clock.breached }
}
