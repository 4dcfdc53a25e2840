//! What sla-timer remembers, record by record: of a thread only what its clocks go by.

use std::collections::BTreeMap;

use rejoinder_model::{DAY_MS, HOUR_MS, MessageKey, Millis};
use rejoinder_wire::event::{Metric, clock_cancelled, sla_policy::Retarget};
use serde::{Deserialize, Serialize};

/// A workspace, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// The version of the policy in force; 0 is the built-in one.
    pub policy_version: u64,
    /// The first that matches a thread counts.
    pub rules: Vec<Rule>,
    /// How long after its nearest message a thread is reopened, and its resolution goes on.
    pub reopen_window_ms: Millis,
    /// Clocks by rule of the policy.
    pub counts: BTreeMap<String, Counts>,
    /// Breaches by how late they were seen: within each of `LATE_MS`, and later.
    pub late: [u64; 5],
    /// Breaches that were seen as they fell due, by rule and queue of the thread; never less again.
    pub fired: BTreeMap<(String, String), u64>,
}

/// Bounds of lateness, in milliseconds.
pub const LATE_MS: [Millis; 4] = [100, 1_000, 10_000, 60_000];

/// How clocks of one rule have fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Running or paused now.
    pub live: u64,
    /// Breached and not fulfilled yet.
    pub open_breaches: u64,
    /// Breached, less those retracted.
    pub breached: u64,
    /// Fulfilled.
    pub met: u64,
    /// Given up.
    pub cancelled: u64,
}

impl Counts {
    /// Adds others to them.
    pub fn add(&mut self, others: &Self) {
        self.each(others, |count, by| count + by);
    }

    /// Takes others off them.
    pub(crate) fn subtract(&mut self, others: &Self) {
        self.each(others, u64::saturating_sub);
    }

    fn each(&mut self, by: &Self, change: impl Fn(u64, u64) -> u64) {
        self.live = change(self.live, by.live);
        self.open_breaches = change(self.open_breaches, by.open_breaches);
        self.breached = change(self.breached, by.breached);
        self.met = change(self.met, by.met);
        self.cancelled = change(self.cancelled, by.cancelled);
    }
}

impl Default for Workspace {
    fn default() -> Self {
        let target = |metric: Metric, target_ms| Target {
            metric: metric as i32,
            terms: Terms { target_ms, ..Terms::default() },
        };
        let built_in = Rule {
            name: "built-in".into(),
            targets: vec![
                target(Metric::FirstResponse, HOUR_MS),
                target(Metric::NextResponse, 4 * HOUR_MS),
                target(Metric::Resolution, 3 * DAY_MS),
            ],
            ..Rule::default()
        };
        Self {
            policy_version: 0,
            rules: vec![built_in],
            reopen_window_ms: 7 * DAY_MS,
            counts: BTreeMap::new(),
            fired: BTreeMap::new(),
            late: [0; 5],
        }
    }
}

/// Which threads have which targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name in the policy.
    pub name: String,
    /// Channels; empty: any. So are the others.
    pub channels: Vec<String>,
    /// Queues.
    pub queues: Vec<String>,
    /// Bands of priority.
    pub bands: Vec<String>,
    /// Tiers of customers.
    pub tiers: Vec<String>,
    /// Languages.
    pub languages: Vec<String>,
    /// What becomes of running clocks whose target changes (`Retarget`).
    pub retarget: i32,
    /// A bot's reply is a first response.
    pub bots_answer: bool,
    /// A resolution may have to wait for the customer's confirmation.
    pub confirmed: bool,
    /// One for each metric.
    pub targets: Vec<Target>,
}

impl Rule {
    /// What it promises for a metric.
    #[must_use]
    pub fn target(&self, metric: Metric) -> Option<&Terms> {
        self.targets.iter().find(|target| target.metric == metric as i32).map(|target| &target.terms)
    }

    /// What becomes of running clocks whose target changes.
    #[must_use]
    pub fn retarget(&self) -> Retarget {
        Retarget::try_from(self.retarget).unwrap_or_default()
    }
}

/// A promise for one metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// `Metric`.
    pub metric: i32,
    /// What is promised.
    pub terms: Terms,
}

/// What a clock is to keep.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// In business time.
    pub target_ms: Millis,
    /// After how much elapsed time warnings are given, in order.
    pub warn_after_ms: Vec<Millis>,
    /// The calendar's name; empty: round the clock.
    pub calendar: String,
    /// The digest of its hours, by which they are found; 0: round the clock.
    pub digest: u64,
}

impl Default for Hours {
    fn default() -> Self {
        Self { time_zone: "UTC".into(), week: Vec::new(), holidays: Vec::new() }
    }
}

/// When work is done, as a policy says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// A name of the zone database.
    pub time_zone: String,
    /// In no order.
    pub week: Vec<Period>,
    /// Days like `2026-12-25`.
    pub holidays: Vec<String>,
}

/// Open time on one day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// 0 is Monday.
    pub weekday: u8,
    /// Minute of the day.
    pub from: u16,
    /// Minute of the day, 1,440 at the most.
    pub to: u16,
}

/// A thread; also the base thread that messages name for good, wherever it was merged since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Whose conversation this is.
    pub workspace: String,
    /// The thread that it was merged into; 0: it stands for itself.
    pub into: u64,
    /// Its messages are in no thread any more.
    pub dissolved: bool,
    /// Base threads that are one with this, besides itself.
    pub bases: Vec<u64>,
    /// Nobody waits for anybody.
    pub resolved: bool,
    /// What was said, by time and key.
    pub said: Vec<Said>,
    /// When agents need not act, in log order.
    pub holds: Vec<Hold>,
    /// When it was settled, in log order.
    pub resolves: Vec<Resolve>,
    /// When agents must act without a message, in log order.
    pub calls: Vec<Call>,
    /// Its waits in queues and with offers, in log order.
    pub waits: Vec<Wait>,
    /// Its clocks, ended ones too.
    pub clocks: Vec<Clock>,
    /// Channels of its messages, by the number that `Said` uses.
    pub channels: Vec<String>,
    /// The queue it is in; empty: not known.
    pub queue: String,
    /// Its band of priority; empty: not known.
    pub band: String,
    /// The metrics that its policy has targets for, one bit each; `None` before its first message.
    pub metrics: Option<u32>,
    /// From which event on a metric is counted that its policy lacked before.
    pub since: BTreeMap<i32, u64>,
}

impl Thread {
    /// It stands for itself.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.into == 0 && !self.dissolved
    }

    /// The channel that the customer chose first.
    #[must_use]
    pub fn channel(&self) -> &str {
        let first = self.said.iter().find(|said| said.by == By::Customer).or(self.said.first());
        first.and_then(|said| self.channels.get(usize::from(said.channel))).map_or("", String::as_str)
    }
}

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum By {
    /// The person of the thread.
    Customer,
    /// The company.
    Agent,
    /// A program of the company.
    Bot,
}

/// A message, as far as clocks go by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The event time that clocks use.
    pub time: Millis,
    /// Its key.
    pub key: u128,
    /// The message it answers; 0: none.
    pub parent: u128,
    /// Its base thread.
    pub base: u64,
    /// own_seq of the event.
    pub seq: u64,
    /// By whom.
    pub by: By,
    /// Imported.
    pub quiet: bool,
    /// It opens and ends nothing.
    pub mute: bool,
    /// Number of its channel in `Thread::channels`.
    pub channel: u8,
    /// own_seq of the first resolve after it came; 0: none.
    pub resolved: u64,
}

/// A stretch in which nobody need act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// own_seq of the event.
    pub seq: u64,
    /// The base threads that it holds.
    pub bases: Vec<u64>,
    /// When it began.
    pub from: Millis,
    /// When it ended.
    pub to: Option<Millis>,
}

/// The thread was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolve {
    /// own_seq of the event.
    pub seq: u64,
    /// When.
    pub at: Millis,
    /// The customer has to say whether it is.
    pub unconfirmed: bool,
    /// When the customer said so.
    pub confirmed_at: Option<Millis>,
}

/// An agent must act, though the customer wrote nothing: a hold is over, a colleague reopened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// own_seq of the event.
    pub seq: u64,
    /// The thread as it was then.
    pub base: u64,
    /// When.
    pub at: Millis,
    /// It reopened a resolved thread: a response is due.
    pub reopened: bool,
    /// own_seq of the first resolve after it; 0: none.
    pub resolved: u64,
}

/// A wait for an agent, in a queue or with an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// own_seq of the event.
    pub seq: u64,
    /// The thread as it was then.
    pub base: u64,
    /// `Metric`.
    pub metric: i32,
    /// The work item or offer.
    pub subject: u64,
    /// When it began.
    pub from: Millis,
    /// When it ended.
    pub to: Option<Millis>,
    /// An agent took it.
    pub accepted: bool,
}

/// One instance of one metric on one thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// Its number.
    pub id: u64,
    /// `Metric`.
    pub metric: i32,
    /// The base thread of what opened it.
    pub base: u64,
    /// The key of what opened it.
    pub opener: u128,
    /// Where it is in its life.
    pub status: Status,
    /// When it opened, in event time.
    pub opened_at: Millis,
    /// Until when `elapsed_ms` counts; when it was fulfilled or cancelled, for one that is.
    pub at: Millis,
    /// In business time.
    pub elapsed_ms: Millis,
    /// 0: none.
    pub due_at: Millis,
    /// When the next warning is given; 0: never.
    pub warn_at: Millis,
    /// The due time has passed, unfulfilled.
    pub breached: bool,
    /// The due time was past when it was decided.
    pub retroactive: bool,
    /// What falls due raises no alarm.
    pub silent: bool,
    /// Warnings given so far.
    pub warned: u32,
    /// Its alarm that is not cleared; 0: none.
    pub alarm: u64,
    /// The version of the policy that its terms are of.
    pub policy_version: u64,
    /// The rule.
    pub rule: String,
    /// What it is to keep.
    pub terms: Terms,
    /// Elapsed under other terms before, up to `carried_at`.
    pub carried: Option<Carried>,
}

/// Business time that was counted before a change of calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// How much.
    pub ms: Millis,
    /// Up to when, by event time.
    pub at: Millis,
}

/// Where a clock is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It runs.
    Running,
    /// It stands still.
    Paused,
    /// It was fulfilled.
    Met,
    /// It was given up (`clock_cancelled::Reason`).
    Cancelled(i32),
}

impl Status {
    /// Given up, for this reason.
    #[must_use]
    pub fn cancelled(reason: clock_cancelled::Reason) -> Self {
        Self::Cancelled(reason as i32)
    }

    /// Not ended.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Running | Self::Paused)
    }
}

/// Something that somebody must see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Whose.
    pub workspace: String,
    /// Of which clock.
    pub clock: u64,
    /// The thread of that clock, as it was then.
    pub thread: u64,
    /// `Metric`.
    pub metric: i32,
    /// `alarm_raised::Kind`.
    pub kind: i32,
    /// When the clock was or is due.
    pub due_at: Millis,
    /// When it was raised, by record time.
    pub at: Millis,
    /// The rule of the policy.
    pub rule: String,
    /// Who has seen it; `None`: nobody yet.
    pub acknowledged: Option<Acknowledged>,
    /// own_seq of the last change: the etag.
    pub version: u64,
}

/// Somebody has seen an alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Who.
    pub actor: String,
    /// When, by record time.
    pub at: Millis,
}

/// A newly adopted policy on its way through the threads, by the own_seq of its adoption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Whose policy.
    pub workspace: String,
    /// The last thread looked at.
    pub upto: u64,
}

/// What a request did, so that its repeat does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The alarm it was about.
    pub subject: u64,
    /// What it asked for: another command under the same id is refused.
    pub content: MessageKey,
}
