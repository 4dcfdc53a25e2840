//! What a stream is told of an event.

use rejoinder_api::routing as api;
use rejoinder_api::routing::work_item::Phase;
use rejoinder_api::routing::work_response::{
    ItemAnswered, ItemChanged, LoadChanged, OfferEnded, PresenceChanged, Response,
};
use rejoinder_model::{OfferId, ThreadId, WorkItemId};
use rejoinder_service_kit::timestamp;
use rejoinder_wire::event::{event::Body, offer_revoked::Reason};

fn ended(offer: u64, item: u64, how: &str) -> Response {
    let (offer_id, item_id) = (OfferId(offer).to_string(), WorkItemId(item).to_string());
    Response::OfferEnded(OfferEnded { offer_id, item_id, how: how.to_owned() })
}

fn changed(item: u64, thread: u64, phase: Phase) -> Response {
    let (item_id, thread_id) = (WorkItemId(item).to_string(), ThreadId(thread).to_string());
    Response::ItemChanged(ItemChanged { item_id, thread_id, phase: phase as i32 })
}

fn revoked(reason: i32) -> &'static str {
    match Reason::try_from(reason).unwrap_or_default() {
        Reason::OtherAccepted => "other_accepted",
        Reason::AgentLost => "agent_lost",
        Reason::Policy => "policy",
        Reason::Moved => "moved",
        Reason::ItemCancelled | Reason::Unspecified => "item_cancelled",
    }
}

/// What the agent of an event is told; `None`: nothing.
pub(crate) fn response(body: &Body) -> Option<Response> {
    Some(match body {
        Body::OfferMade(made) => Response::Offer(api::Offer {
            offer_id: OfferId(made.offer).to_string(),
            item_id: WorkItemId(made.item).to_string(),
            thread_id: ThreadId(made.thread).to_string(),
            agent_id: made.agent.clone(),
            queue: made.queue.clone(),
            band: made.band,
            channel: made.channel.clone(),
            kind: made.kind.clone(),
            made_at: Some(timestamp(made.at)),
            expires_at: Some(timestamp(made.expires_at)),
            eligible_since: Some(timestamp(made.eligible_since)),
        }),
        Body::OfferAccepted(over) => ended(over.offer, over.item, "accepted"),
        Body::OfferDeclined(over) => ended(over.offer, over.item, "declined"),
        Body::OfferTimedOut(over) => ended(over.offer, over.item, "timed_out"),
        Body::OfferRevoked(over) => ended(over.offer, over.item, revoked(over.reason)),
        Body::AgentLoadChanged(load) => Response::LoadChanged(LoadChanged {
            before: load.before.as_ref().map(crate::view::load),
            after: load.after.as_ref().map(crate::view::load),
        }),
        Body::AgentPresenceChanged(presence) => Response::PresenceChanged(PresenceChanged { presence: presence.to }),
        Body::WorkItemAssigned(item) => changed(item.item, item.thread, Phase::Assigned),
        Body::WorkItemAnswered(item) => Response::ItemAnswered(ItemAnswered {
            item_id: WorkItemId(item.item).to_string(),
            thread_id: ThreadId(item.thread).to_string(),
            park_at: (item.park_at != 0).then(|| timestamp(item.park_at)),
        }),
        Body::WorkItemParked(item) => changed(item.item, item.thread, Phase::Parked),
        Body::WorkItemWrapping(item) => changed(item.item, item.thread, Phase::Wrapping),
        Body::WorkItemDone(item) => changed(item.item, item.thread, Phase::Done),
        Body::WorkItemCancelled(item) => changed(item.item, item.thread, Phase::Cancelled),
        Body::WorkItemQueued(item) => changed(item.item, item.thread, Phase::Queued),
        _ => return None,
    })
}
