//! `clocks export`: one line for each clock of a workspace.

use rejoinder_model::{ClockId, Millis, ThreadId};
use rejoinder_sla_core::SlaTimer;
use rejoinder_sla_core::metric_name;
use rejoinder_sla_core::record::{Clock, Status};
use rejoinder_wire::event::Metric;

/// Threads read at a time.
const CHUNK: usize = 1_000;

/// A clock as the export has it. Times are event times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// The thread that it is on today.
    pub thread: ThreadId,
    /// Like `first_response`.
    pub metric: &'static str,
    /// The clock's own id.
    pub instance: ClockId,
    /// When it opened.
    pub opened_at: Millis,
    /// `None` while it stands still.
    pub due_at: Option<Millis>,
    /// When it was fulfilled or cancelled, also after a breach.
    pub ended_at: Option<Millis>,
    /// `met`, `breached`, `cancelled` or `running`; a breach that stands outlasts what came after.
    pub outcome: &'static str,
    /// Business time, of a running clock up to now.
    pub elapsed_ms: Millis,
}

/// The clocks of a workspace as of `now`, by thread, then in order of their opening.
pub fn export<'a>(state: &'a SlaTimer, workspace: &'a str, now: Millis) -> impl Iterator<Item = Exported> + 'a {
    let mut from = Some(ThreadId(0));
    let chunks = std::iter::from_fn(move || {
        let chunk = state.threads.page(&from?, CHUNK);
        from = chunk.last().map(|(last, _)| ThreadId(last.0 + 1));
        (!chunk.is_empty()).then_some(chunk)
    });
    let theirs = chunks.flatten().filter(move |(_, thread)| thread.workspace == workspace);
    theirs.flat_map(move |(id, thread)| {
        let clocks = thread.clocks.iter().map(|clock| exported(state, id, clock, now));
        clocks.collect::<Vec<_>>()
    })
}

fn exported(state: &SlaTimer, thread: ThreadId, clock: &Clock, now: Millis) -> Exported {
    let running = clock.status == Status::Running;
    let since = if running { state.calendar(clock.terms.digest).elapsed(clock.at, now) } else { 0 };
    Exported {
        thread,
        metric: metric_name(Metric::try_from(clock.metric).unwrap_or_default()),
        instance: ClockId(clock.id),
        opened_at: clock.opened_at,
        due_at: (clock.due_at != 0).then_some(clock.due_at),
        ended_at: (!clock.status.is_live()).then_some(clock.at),
        outcome: match clock.status {
            _ if clock.breached => "breached",
            Status::Running | Status::Paused => "running",
            Status::Met => "met",
            Status::Cancelled(_) => "cancelled",
        },
        elapsed_ms: clock.elapsed_ms + since,
    }
}
