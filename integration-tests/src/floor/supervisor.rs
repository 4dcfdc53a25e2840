//! A supervisor: looks at everything, moves items and people, settles threads, changes the rules. What
//! has no answer is asked again with the same request id.

use std::sync::Arc;
use std::time::Duration;

use rejoinder_api::routing::{
    ExplainRequest, ListItemsRequest, ListQueuesRequest, Presence, SetPresenceRequest, TakeItemRequest,
    TransferItemRequest, WhyNotRequest,
};
use rejoinder_api::threading::{ListThreadsRequest, ResolveThreadRequest, thread::Disposition};
use rejoinder_model::Position;
use tonic::Status;

use super::line::{Line, Meaning, meaning};
use super::memory::{Promise, Wish};
use super::{Shared, rules};
use crate::client::Random;

/// Works at a server until it is gone.
pub(crate) async fn life(shared: Arc<Shared>, line: Line, mut random: Random) {
    let open: Vec<(String, Wish)> = shared.memory().wishes.clone().into_iter().collect();
    for (request, wish) in open {
        if !ask(&shared, &line, request, wish).await {
            return;
        }
    }
    while !shared.is_closing() {
        if let Err(status) = round(&shared, &line, &mut random).await {
            match meaning(&status) {
                Meaning::Gone => return,
                // What was looked at may be over by now.
                Meaning::Refused | Meaning::Unknown => {}
                Meaning::Wrong => return shared.broken(format!("a supervisor: {status:?}")),
            }
        }
        tokio::time::sleep(Duration::from_millis(10 + random.below(40))).await;
    }
}

fn pick<T>(mut things: Vec<T>, random: &mut Random) -> Option<T> {
    let at = random.below(u64::try_from(things.len()).unwrap_or_default().max(1));
    let at = usize::try_from(at).unwrap_or_default();
    (at < things.len()).then(|| things.swap_remove(at))
}

async fn round(shared: &Shared, line: &Line, random: &mut Random) -> Result<(), Status> {
    let agent = format!("a{}", random.below(rules::AGENTS));
    let list = ListItemsRequest { page_size: 1_000, ..ListItemsRequest::default() };
    let items = line.items().list_items(list).await?.into_inner().items;
    // Final ones too: the answer must be a refusal then.
    let newest = items.into_iter().rev().take(20).collect();
    let Some(item) = pick(newest, random).map(|item| item.item_id) else { return Ok(()) };
    let wish = match random.below(20) {
        0..4 => Wish::Take { item, agent },
        4..7 => Wish::Transfer { item, queue: "service".into(), agent: String::new() },
        7..9 => Wish::Transfer { item, queue: "experts".into(), agent: "a7".into() },
        9..11 => {
            let page_size = 1_000;
            let list = ListThreadsRequest { page_size, ..ListThreadsRequest::default() };
            let threads = line.threads().list_threads(list).await?.into_inner().threads;
            let Some(thread) = pick(threads, random).map(|thread| thread.thread_id) else { return Ok(()) };
            Wish::Resolve { thread }
        }
        11..13 => Wish::Presence { agent, presence: Presence::Away as i32 },
        13 => Wish::Presence { agent, presence: Presence::Offline as i32 },
        14..16 => {
            let wait_for = String::new();
            line.items().why_not(WhyNotRequest { item_id: item, agent_id: agent, wait_for }).await?;
            return Ok(());
        }
        16..18 => {
            let explain = ExplainRequest { item_id: item, ..ExplainRequest::default() };
            line.items().explain(explain).await?;
            line.items().list_queues(ListQueuesRequest::default()).await?;
            return Ok(());
        }
        18 => {
            let files = if random.below(2) == 0 { rules::usual() } else { rules::tight() };
            rules::apply(line, &files).await?;
            return Ok(());
        }
        _ => return Ok(()),
    };
    let request = {
        let mut memory = shared.memory();
        memory.numbers.1 += 1;
        format!("w{}", memory.numbers.1)
    };
    shared.memory().wishes.insert(request.clone(), wish.clone());
    ask(shared, line, request, wish).await;
    Ok(())
}

/// Asks for something; `false`: the server is gone.
async fn ask(shared: &Shared, line: &Line, request: String, wish: Wish) -> bool {
    let request_id = request.clone();
    let (position, commands) = match wish.clone() {
        Wish::Take { item, agent } => {
            let take = TakeItemRequest { item_id: item, request_id, agent_id: agent, ..Default::default() };
            (line.items().take_item(take).await.map(|answer| answer.into_inner().as_of), false)
        }
        Wish::Transfer { item, queue, agent } => {
            let etag = String::new();
            let transfer = TransferItemRequest { item_id: item, request_id, etag, queue, agent_id: agent };
            (line.items().transfer_item(transfer).await.map(|answer| answer.into_inner().as_of), true)
        }
        Wish::Resolve { thread } => {
            let disposition = Disposition::Answered as i32;
            let resolve =
                ResolveThreadRequest { thread_id: thread, request_id, disposition, ..ResolveThreadRequest::default() };
            (line.threads().resolve_thread(resolve).await.map(|answer| answer.into_inner().as_of), false)
        }
        Wish::Presence { agent, presence } => {
            let set = SetPresenceRequest { agent_id: agent, presence, request_id, etag: String::new() };
            (line.agents().set_presence(set).await.map(|answer| answer.into_inner().as_of), false)
        }
    };
    let mut memory = shared.memory();
    match position {
        Ok(as_of) => {
            if let Ok(by) = as_of.parse::<Position>() {
                // One that finds all as it should be writes nothing.
                if let Wish::Presence { agent, presence } = wish {
                    memory.promises.push(Promise::Present { agent, presence, by });
                } else if commands {
                    memory.promises.push(Promise::Commanded { request: request.clone(), by });
                }
            } else {
                memory.broken.push(format!("{request} was answered without a position"));
            }
        }
        Err(status) => match meaning(&status) {
            Meaning::Refused => memory.promises.push(Promise::Refused { request: request.clone() }),
            Meaning::Unknown => return true,
            Meaning::Gone => return false,
            Meaning::Wrong => memory.broken.push(format!("{wish:?}: {status:?}")),
        },
    }
    memory.wishes.remove(&request);
    true
}
