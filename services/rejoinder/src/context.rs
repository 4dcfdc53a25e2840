//! What an agent is told with an offer: routing asks threading and sla-timer, wherever they are.

use rejoinder_api::routing::work_response::{Clock, Context, Message};
use rejoinder_api::sla::clock::State;
use rejoinder_api::sla::{self, ListClocksRequest};
use rejoinder_api::threading::{self, ListMessagesRequest};
use rejoinder_routing::{About, AskContext};
use rejoinder_wire::event::Metric;
use tonic::Status;

use crate::others::{Others, of};

/// Messages that an agent sees at once; a desktop asks for more.
const MESSAGES: i32 = 20;

/// Asks both services.
pub(crate) fn ask(others: Others) -> AskContext {
    std::sync::Arc::new(move |about| {
        let others = others.clone();
        Box::pin(async move { context(others, about).await })
    })
}

async fn context(Others { mut threads, mut clocks, .. }: Others, about: About) -> Result<Context, Status> {
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
