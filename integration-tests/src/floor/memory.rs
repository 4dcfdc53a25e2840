//! What the people of a support floor know: what they sent and asked for, and what they were told. It
//! lies outside the server, so that a kill takes nothing of it.

use std::collections::BTreeMap;

use rejoinder_model::Position;

/// What an answer promised; the log must keep it.
#[derive(Clone, Debug)]
pub enum Promise {
    /// A stream told an agent of this offer.
    Told { offer: String, item: String, agent: String },
    /// An accept was answered OK.
    Accepted { offer: String, agent: String, by: Position },
    /// An accept came too late.
    TooLate { offer: String },
    /// A decline was answered OK.
    Declined { offer: String, agent: String, by: Position },
    /// What an agent did to an item was answered OK, and made it one of these.
    Did { item: String, what: &'static [&'static str], agent: String, by: Position },
    /// A presence that somebody set.
    Present { agent: String, presence: i32, by: Position },
    /// A command of this request was answered OK.
    Commanded { request: String, by: Position },
    /// It was refused for good.
    Refused { request: String },
    /// An alarm was acknowledged.
    Seen { alarm: String, by: Position },
}

/// Something asked for whose outcome is not known yet: it is asked again with the same id.
#[derive(Clone, Debug)]
pub enum Wish {
    /// An agent takes an item by hand.
    Take { item: String, agent: String },
    /// An item goes to a queue, perhaps for an agent.
    Transfer { item: String, queue: String, agent: String },
    /// A thread is settled.
    Resolve { thread: String },
    /// Somebody is here, away or gone.
    Presence { agent: String, presence: i32 },
}

/// All that is known outside.
#[derive(Default)]
pub struct Memory {
    /// By external id, the id that the server gave. `None`: sent, and the outcome is not known.
    pub messages: BTreeMap<String, Option<String>>,
    /// The number of the next message of each customer.
    pub next: BTreeMap<u64, u64>,
    /// The number of the next reply, and of the next request.
    pub numbers: (u64, u64),
    /// What was promised.
    pub promises: Vec<Promise>,
    /// What is asked again, by request id.
    pub wishes: BTreeMap<String, Wish>,
    /// Where the watcher of alarms goes on.
    pub cursor: String,
    /// What the watcher was told: position, alarm, what.
    pub rung: Vec<(String, String, &'static str)>,
    /// Alarms that the watcher has to acknowledge.
    pub unseen: Vec<String>,
    /// What was said that must not be.
    pub broken: Vec<String>,
}

impl Memory {
    /// How many messages were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.messages.values().flatten().count()
    }

    /// How many promises are of a kind.
    #[must_use]
    pub fn count(&self, of: impl Fn(&Promise) -> bool) -> usize {
        self.promises.iter().filter(|promise| of(promise)).count()
    }
}
