//! What sla-timer makes of the events of threading and routing.

use rejoinder_machine::Context;
use rejoinder_model::{DAY_MS, Millis};
use rejoinder_wire::event::{
    Direction, Event, MessagePlaced, PolicyAdopted, SlaPolicyAdopted, ThreadState, ThreadStateChanged, event::Body,
    thread_followed as followed, thread_followed::What, thread_state_changed::Cause,
};

use crate::decision::{Decision, Why};
use crate::follow::key;
use crate::state::SlaTimer;

mod routing;

/// The reopen window of the built-in policy.
const REOPEN_WINDOW_MS: Millis = 7 * DAY_MS;

pub(crate) fn consider(state: &SlaTimer, context: &Context, input: &Event, out: &mut Vec<Event>) {
    let mut decision = Decision::new(state, context, &input.workspace, out);
    match &input.body {
        Some(Body::MessagePlaced(placed)) if placed.thread != 0 => {
            decision.follow(placed.thread, What::Said(said(placed)), Why::Facts, placed.quiet);
        }
        Some(Body::MessageRevised(revised)) if revised.deleted && revised.thread != 0 => {
            let why = Why::Revoked(key(&revised.message));
            let fact = followed::Revoked { message: revised.message.clone() };
            decision.follow(revised.thread, What::Revoked(fact), why, false);
        }
        Some(Body::ThreadStateChanged(changed)) => change(&mut decision, changed),
        Some(Body::OutcomeRecorded(outcome)) if outcome.confirmed => {
            let confirmed = followed::Confirmed { clock_time: outcome.at };
            decision.follow(outcome.thread, What::Confirmed(confirmed), Why::Facts, false);
        }
        Some(Body::ThreadsMerged(merged)) if merged.into != merged.from => {
            let fact = followed::Merged { from: merged.from, state: merged.state, clock_time: merged.at };
            decision.regroup(merged.into, What::Merged(fact));
        }
        Some(Body::ThreadsUnmerged(unmerged)) if unmerged.parts.len() > 1 => {
            let part = |part: &rejoinder_wire::event::threads_unmerged::Part| followed::Part {
                thread: part.thread,
                bases: part.bases.clone(),
                state: part.state,
            };
            let fact = followed::Unmerged { parts: unmerged.parts.iter().map(part).collect() };
            decision.regroup(unmerged.thread, What::Unmerged(fact));
        }
        Some(Body::ThreadSplit(split)) => {
            let fact = followed::Split { into: split.into, messages: split.messages.clone() };
            decision.regroup(split.thread, What::Split(fact));
        }
        Some(Body::ThreadRelinked(relinked)) if relinked.to == 0 => {
            decision.regroup(relinked.from, What::Dissolved(followed::Dissolved {}));
        }
        Some(body) if routing::concerns(body) => routing::consider(&mut decision, body),
        Some(Body::PolicyAdopted(policy)) => decision.push(Body::SlaPolicyAdopted(adopted(context, policy))),
        _ => {}
    }
}

fn said(placed: &MessagePlaced) -> followed::Said {
    followed::Said {
        message: placed.message.clone(),
        parent: placed.parent.clone(),
        clock_time: placed.clock_time,
        by_company: placed.direction == Direction::Outbound as i32,
        by_bot: placed.by_bot,
        quiet: placed.quiet,
        channel: placed.channel.clone(),
        mute: placed.deleted,
    }
}

/// What messages do to a thread follows from them; only holds, resolves and what ends them is news,
/// and what people and timers do.
fn change(decision: &mut Decision<'_>, changed: &ThreadStateChanged) {
    let standing = |state: i32| state == ThreadState::OnHold as i32 || state == ThreadState::Resolved as i32;
    let by_message = changed.cause == Cause::CustomerMessage as i32 || changed.cause == Cause::Reply as i32;
    if by_message && !standing(changed.from) && !standing(changed.to) {
        return;
    }
    let fact = followed::Changed {
        from: changed.from,
        to: changed.to,
        by_customer: changed.cause == Cause::CustomerMessage as i32,
        reopened: changed.reopened,
        unconfirmed: changed.unconfirmed,
        clock_time: changed.clock_time,
        quiet: changed.quiet,
    };
    decision.follow(changed.thread, What::Changed(fact), Why::Facts, changed.quiet);
}

fn adopted(context: &Context, policy: &PolicyAdopted) -> SlaPolicyAdopted {
    let window = policy.threading.as_ref().map_or(REOPEN_WINDOW_MS, |threading| threading.reopen_window_ms);
    SlaPolicyAdopted { version: policy.version, policy: policy.sla.clone(), reopen_window_ms: window, at: context.now }
}
