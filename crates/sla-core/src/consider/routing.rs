//! What sla-timer makes of routing's events: waits in queues and with offers, and what a thread is
//! as far as policies ask.

use rejoinder_model::Millis;
use rejoinder_wire::event::{
    Band, Metric, event::Body, thread_followed as followed, thread_followed::Phase, thread_followed::What,
};

use crate::decision::{Decision, Why};

/// Is this an event of routing that clocks go by?
pub(super) fn concerns(body: &Body) -> bool {
    wait(body).is_some()
}

/// A step of a wait.
struct Step {
    thread: u64,
    metric: Metric,
    subject: u64,
    phase: Phase,
    at: Millis,
    queue: String,
    band: i32,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "most events begin and end no wait")]
fn wait(body: &Body) -> Option<Step> {
    use Metric::{OfferAccept, QueueWait};
    use Phase::{Begun, Fulfilled, Over, Unspecified};
    let step =
        |thread, metric, subject, phase, at| Step { thread, metric, subject, phase, at, queue: String::new(), band: 0 };
    Some(match body {
        Body::WorkItemQueued(e) => {
            Step { queue: e.queue.clone(), band: e.band, ..step(e.thread, QueueWait, e.item, Begun, e.at) }
        }
        Body::WorkItemPrioritised(e) => {
            Step { queue: e.queue.clone(), band: e.band, ..step(e.thread, QueueWait, e.item, Unspecified, e.at) }
        }
        Body::WorkItemTransferred(e) => {
            Step { queue: e.to_queue.clone(), ..step(e.thread, QueueWait, e.item, Unspecified, e.at) }
        }
        Body::WorkItemAssigned(e) => step(e.thread, QueueWait, e.item, Fulfilled, e.at),
        Body::WorkItemParked(e) => step(e.thread, QueueWait, e.item, Over, e.at),
        Body::WorkItemDone(e) => step(e.thread, QueueWait, e.item, Over, e.at),
        Body::WorkItemCancelled(e) => step(e.thread, QueueWait, e.item, Over, e.at),
        Body::OfferMade(e) => step(e.thread, OfferAccept, e.offer, Begun, e.at),
        Body::OfferAccepted(e) => step(e.thread, OfferAccept, e.offer, Fulfilled, e.at),
        Body::OfferDeclined(e) => step(e.thread, OfferAccept, e.offer, Over, e.at),
        Body::OfferTimedOut(e) => step(e.thread, OfferAccept, e.offer, Over, e.at),
        Body::OfferRevoked(e) => step(e.thread, OfferAccept, e.offer, Over, e.at),
        _ => return None,
    })
}

fn band(number: i32) -> &'static str {
    match Band::try_from(number).unwrap_or_default() {
        Band::Unspecified => "",
        Band::Safety => "safety",
        Band::Crisis => "crisis",
        Band::Normal => "normal",
        Band::Listen => "listen",
    }
}

pub(super) fn consider(decision: &mut Decision<'_>, body: &Body) {
    let Some(step) = wait(body).filter(|step| step.thread != 0) else { return };
    // Offers come and go quickly: they are followed where somebody promised something for them.
    let promised = || decision.policy.rules.iter().any(|rule| rule.target(Metric::OfferAccept).is_some());
    if step.metric == Metric::OfferAccept && step.phase == Phase::Begun && !promised() {
        return;
    }
    let (metric, band) = (step.metric as i32, band(step.band));
    let thread = decision.state.find(step.thread);
    let open = thread.iter().flat_map(|(_, thread)| &thread.waits);
    let open = open.filter(|wait| (wait.metric, wait.subject, wait.to) == (metric, step.subject, None)).count() > 0;
    let differs = |known: &str, told: &str| !told.is_empty() && known != told;
    let another =
        thread.as_ref().is_none_or(|(_, thread)| differs(&thread.queue, &step.queue) || differs(&thread.band, band));
    let news = match step.phase {
        Phase::Begun => !open || another,
        Phase::Fulfilled | Phase::Over => open,
        Phase::Unspecified => another && (!step.queue.is_empty() || !band.is_empty()),
    };
    if news {
        let awaited = followed::Awaited {
            metric,
            subject: step.subject,
            phase: step.phase as i32,
            clock_time: step.at,
            queue: step.queue,
            band: band.to_owned(),
        };
        decision.follow(step.thread, What::Awaited(awaited), Why::Facts, false);
    }
}
