//! What threading remembers, record by record. Names and texts of customers stay in the log, and a
//! record says where; only notes among colleagues are here.

use std::collections::BTreeMap;

use rejoinder_model::{HandleKey, LineKey, MessageKey, Millis, ThreadId};
use rejoinder_wire::event::{Direction, Disposition, Source, ThreadState, threads_merged};
use serde::{Deserialize, Serialize};

/// Where an event stands in the partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Index of the record.
    pub index: u64,
    /// Number of the event in it.
    pub event: u32,
}

impl From<Source> for Place {
    fn from(source: Source) -> Self {
        Self { index: source.index, event: source.event }
    }
}

/// A workspace, by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    /// The version of the policy in force; 0 is the built-in one.
    pub policy_version: u64,
    /// How long a direct message finds the thread of the nearest one.
    pub reopen_window_ms: Millis,
    /// How long after our reply silence resolves a thread; 0: never.
    pub silence_ms: Millis,
    /// The gap that ends a burst.
    pub burst_gap_ms: Millis,
    /// Threads by state.
    pub threads: [u64; 7],
    /// Messages placed.
    pub messages: u64,
}

impl Default for Workspace {
    fn default() -> Self {
        use rejoinder_model::{DAY_MS, MINUTE_MS};
        Self {
            policy_version: 0,
            reopen_window_ms: 7 * DAY_MS,
            silence_ms: 7 * DAY_MS,
            burst_gap_ms: 30 * MINUTE_MS,
            threads: [0; 7],
            messages: 0,
        }
    }
}

/// A message by its outside id: here, or named by others and awaited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `None` while it is awaited.
    pub seen: Option<Seen>,
    /// The conversation it was placed in; 0: none.
    pub conversation: u64,
    /// Its base thread, or the one in which answers to it wait; 0: none.
    pub thread: u64,
    /// Base threads of direct messages that answer it, as long as it is awaited; of our answers, when it
    /// was set aside.
    pub awaited_by: Vec<u64>,
    /// The newest edit or delete.
    pub revision: Option<Revision>,
}

/// What is known of a message that is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its number.
    pub interaction: u64,
    /// Where its event stands.
    pub place: Place,
    /// The customer whose thread it belongs to.
    pub handle: Option<HandleKey>,
    /// Where direct messages gather, for a direct message.
    pub line: Option<LineKey>,
    /// When it was written, as used by rules.
    pub event_time: Millis,
    /// The time that counts for who wrote last.
    pub state_time: Millis,
    /// By the company.
    pub outbound: bool,
    /// Set aside: in no thread.
    pub aside: bool,
}

/// An edit or a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Higher wins.
    pub version: i64,
    /// Where the new content stands.
    pub place: Place,
    /// The message is gone; its place stays.
    pub deleted: bool,
}

/// A public conversation, or one that has grown into another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// The conversation that this one is part of; 0: it stands for itself.
    pub into: u64,
    /// Messages in it.
    pub messages: u64,
    /// Base threads in it.
    pub threads: u64,
    /// The first of them; each names the next.
    pub first: u64,
    /// The last of them.
    pub last: u64,
}

/// An identity on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    /// Whose it is.
    pub person: u64,
    /// Its base threads.
    pub threads: Vec<u64>,
    /// Its direct messages, by account.
    pub lines: Vec<Line>,
    /// Its newest message, which tells the name; `None` while we only wrote to it.
    pub place: Option<Place>,
}

/// The direct messages of one handle with one account, in spans without a gap above the window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Which account.
    pub key: LineKey,
    /// In order of time.
    pub spans: Vec<Span>,
}

/// A stretch of direct messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Time of the first message.
    pub from: Millis,
    /// Time of the last message.
    pub to: Millis,
    /// The base thread.
    pub thread: u64,
}

impl Line {
    /// Base threads with a message within `window` of `time`, the earliest opened first.
    #[must_use]
    pub fn near(&self, time: Millis, window: Millis) -> Vec<u64> {
        let near = |span: &&Span| time >= span.from.saturating_sub(window) && time <= span.to.saturating_add(window);
        let mut threads: Vec<u64> = self.spans.iter().filter(near).map(|span| span.thread).collect();
        threads.sort_unstable();
        threads.dedup();
        threads
    }

    /// The base thread of the last span before `time`.
    #[must_use]
    pub fn before(&self, time: Millis) -> Option<u64> {
        self.spans.iter().rev().find(|span| span.to < time).map(|span| span.thread)
    }

    /// Adds a message of a base thread. Spans of other threads that it touches stay theirs.
    pub fn add(&mut self, time: Millis, window: Millis, thread: u64) {
        let mut span = Span { from: time, to: time, thread };
        self.spans.retain(|other| {
            let touches = other.thread == thread
                && span.from <= other.to.saturating_add(window)
                && other.from <= span.to.saturating_add(window);
            if touches {
                span.from = span.from.min(other.from);
                span.to = span.to.max(other.to);
            }
            !touches
        });
        let at = self.spans.partition_point(|other| (other.from, other.to) < (span.from, span.to));
        self.spans.insert(at, span);
    }
}

/// A person: handles that are joined.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The person that this one was merged into; 0: it stands for itself.
    pub into: u64,
    /// In order of their joining.
    pub handles: Vec<HandleKey>,
    /// Merges that can be undone.
    pub merges: Vec<PersonMerge>,
    /// own_seq of the last change.
    pub version: u64,
}

/// A person merged into another. Merges of whom was merged stay beside it, so that each can be undone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonMerge {
    /// Into whom.
    pub into: u64,
    /// Who it was.
    pub from: u64,
    /// The handles that would go again.
    pub handles: Vec<HandleKey>,
}

/// A thread; also the base thread that messages name for good, wherever it was merged since.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Whose conversation with us this is.
    pub workspace: String,
    /// The customer; `None` while a message not yet seen would tell.
    pub handle: Option<HandleKey>,
    /// The public conversation; 0 for direct messages.
    pub conversation: u64,
    /// The thread that it was merged into; 0: it stands for itself.
    pub into: u64,
    /// It was the answer to an opening post of our own: its messages are in no thread.
    pub dissolved: bool,
    /// Base threads that are one with this, besides itself.
    pub bases: Vec<u64>,
    /// What holds them together.
    pub links: Vec<Link>,
    /// By time, then number.
    pub messages: Vec<Member>,
    /// What happened to it, in log order.
    pub history: Vec<Happened>,
    /// Where it is in its life (`ThreadState`).
    pub state: i32,
    /// How it was resolved (`Disposition`).
    pub disposition: i32,
    /// Resolved, and the customer has not said yet whether it is.
    pub unconfirmed: bool,
    /// How often it was reopened.
    pub reopen_count: u32,
    /// When a hold ends; 0: no hold, or without an end.
    pub hold_until: Millis,
    /// When silence resolves it; 0: never.
    pub silent_at: Millis,
    /// Time of the newest customer message.
    pub last_in: Option<Millis>,
    /// Time of our newest reply.
    pub last_out: Option<Millis>,
    /// The person's earlier thread with the same account.
    pub continues: u64,
    /// The thread whose messages a split took over.
    pub split_from: u64,
    /// The next base thread of the conversation.
    pub next_in_conversation: u64,
    /// The message not yet seen whose answers wait here.
    pub awaits: Option<MessageKey>,
    /// Channels of its messages, by the number that `Member` uses.
    pub channels: Vec<String>,
    /// Facts that people or tools set.
    pub attributes: BTreeMap<String, String>,
    /// own_seq of the last change: the etag.
    pub version: u64,
}

/// A message of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// When it was written.
    pub time: Millis,
    /// Its number.
    pub interaction: u64,
    /// Its key.
    pub key: MessageKey,
    /// Its base thread.
    pub base: u64,
    /// By the company.
    pub outbound: bool,
    /// Number of its channel in `Thread::channels`.
    pub channel: u8,
}

/// Two base threads that belong together, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// One.
    pub left: u64,
    /// The other.
    pub right: u64,
    /// `threads_merged::Cause`.
    pub cause: i32,
    /// What an unmerge names; 0: none can.
    pub merge: u64,
}

impl Link {
    /// The cause.
    #[must_use]
    pub fn cause(&self) -> threads_merged::Cause {
        threads_merged::Cause::try_from(self.cause).unwrap_or_default()
    }
}

/// Something that happened to a thread besides messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// When, by record time.
    pub at: Millis,
    /// own_seq of the event.
    pub own_seq: u64,
    /// The thread that it happened to, as it was then.
    pub thread: u64,
    /// What.
    pub what: What,
}

/// What happened to a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// It changed state (`ThreadState`, `thread_state_changed::Cause`).
    State {
        /// From.
        from: i32,
        /// To.
        to: i32,
        /// Why.
        cause: i32,
    },
    /// A note was added.
    Note {
        /// By whom.
        author: String,
        /// What it says.
        text: String,
    },
    /// The customer said whether it is resolved.
    Outcome {
        /// It is.
        confirmed: bool,
    },
}

impl Thread {
    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> ThreadState {
        ThreadState::try_from(self.state).unwrap_or_default()
    }

    /// How it was resolved.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        Disposition::try_from(self.disposition).unwrap_or_default()
    }

    /// It stands for itself.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.into == 0 && !self.dissolved
    }

    /// The bursts of its messages: where each begins, as indices into `messages`.
    #[must_use]
    pub fn burst_starts(&self, gap_ms: Millis) -> Vec<usize> {
        let new_burst = |pair: &[Member]| pair[1].time - pair[0].time > gap_ms || pair[1].channel != pair[0].channel;
        let later = self.messages.windows(2).enumerate().filter(|(_, pair)| new_burst(pair)).map(|(i, _)| i + 1);
        (!self.messages.is_empty()).then_some(0).into_iter().chain(later).collect()
    }
}

/// What a request did, so that its repeat does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The thread or person it was about.
    pub subject: u64,
    /// What it asked for: another command under the same id is refused.
    pub content: MessageKey,
}

/// The number of a thread on the wire; 0: none.
#[must_use]
pub fn number(thread: Option<ThreadId>) -> u64 {
    thread.map_or(0, |id| id.0)
}

/// Is the message by the company?
#[must_use]
pub fn is_outbound(direction: i32) -> bool {
    direction == Direction::Outbound as i32
}
