//! Keys of routing's indexes. Their bytes order as they do.

use rejoinder_machine::TableKey;
use rejoinder_model::{AgentKey, Millis, QueueKey};

/// A waiting item: of a queue, of those that any agent may have or not alike, in the order of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WaitKey {
    /// Where it waits.
    pub queue: QueueKey,
    /// What it asks of an agent, as a hash.
    pub class: u64,
    /// `Band`.
    pub band: u8,
    /// Less is sooner.
    pub order: Millis,
    /// Which.
    pub item: u64,
}

/// A waiting item by its queue and age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AgeKey {
    pub(crate) queue: QueueKey,
    pub(crate) since: Millis,
    pub(crate) item: u64,
}

/// An available agent in a queue: who has room first, then by membership, then who idles longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StaffKey {
    /// The queue.
    pub queue: QueueKey,
    /// No capacity is left.
    pub full: bool,
    /// Priority of the membership.
    pub priority: u8,
    /// When it became idle; agents with work come after those without.
    pub idle_since: Millis,
    /// Who.
    pub agent: AgentKey,
}

/// Work that is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TodoKey {
    pub(crate) work: Work,
    pub(crate) about: u128,
}

/// What kind of work; the first is done first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Work {
    /// Find items for an agent: who has room takes what is first in order.
    Agent = 1,
    /// Find an agent for an item.
    Item = 2,
    /// Look again at the items of a queue that were withheld from somebody.
    Queue = 3,
    /// Bring a workspace's agents and waiting items in line with its policy.
    Policy = 4,
}

impl Work {
    fn of(number: u8) -> Option<Self> {
        [Self::Agent, Self::Item, Self::Queue, Self::Policy].into_iter().find(|work| *work as u8 == number)
    }
}

fn time(at: Millis) -> [u8; 8] {
    // The flipped sign bit makes byte order the order of signed numbers.
    (at.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn take_time(bytes: &mut &[u8]) -> Option<Millis> {
    Some((u64::from_be_bytes(take(bytes)?) ^ (1 << 63)).cast_signed())
}

impl TableKey for WaitKey {
    fn encode(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.queue.0.to_be_bytes());
        to.extend_from_slice(&self.class.to_be_bytes());
        to.push(self.band);
        to.extend_from_slice(&time(self.order));
        to.extend_from_slice(&self.item.to_be_bytes());
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let queue = QueueKey(u128::from_be_bytes(take(bytes)?));
        let class = u64::from_be_bytes(take(bytes)?);
        let [band] = take(bytes)?;
        let key = Self { queue, class, band, order: take_time(bytes)?, item: u64::from_be_bytes(take(bytes)?) };
        bytes.is_empty().then_some(key)
    }
}

impl TableKey for AgeKey {
    fn encode(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.queue.0.to_be_bytes());
        to.extend_from_slice(&time(self.since));
        to.extend_from_slice(&self.item.to_be_bytes());
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let queue = QueueKey(u128::from_be_bytes(take(bytes)?));
        let key = Self { queue, since: take_time(bytes)?, item: u64::from_be_bytes(take(bytes)?) };
        bytes.is_empty().then_some(key)
    }
}

impl TableKey for StaffKey {
    fn encode(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.queue.0.to_be_bytes());
        to.push(u8::from(self.full));
        to.push(self.priority);
        to.extend_from_slice(&time(self.idle_since));
        to.extend_from_slice(&self.agent.0.to_be_bytes());
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let queue = QueueKey(u128::from_be_bytes(take(bytes)?));
        let [full, priority] = take(bytes)?;
        let idle_since = take_time(bytes)?;
        let agent = AgentKey(u128::from_be_bytes(take(bytes)?));
        bytes.is_empty().then_some(Self { queue, full: full != 0, priority, idle_since, agent })
    }
}

impl TableKey for TodoKey {
    fn encode(&self, to: &mut Vec<u8>) {
        to.push(self.work as u8);
        to.extend_from_slice(&self.about.to_be_bytes());
    }

    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        let [work] = take(bytes)?;
        let key = Self { work: Work::of(work)?, about: u128::from_be_bytes(take(bytes)?) };
        bytes.is_empty().then_some(key)
    }
}

impl TodoKey {
    /// As events carry it.
    pub(crate) fn to_wire(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(17);
        self.encode(&mut bytes);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(key: &impl TableKey) -> Vec<u8> {
        let mut to = Vec::new();
        key.encode(&mut to);
        to
    }

    fn wait((queue, class, band, order, item): (u128, u64, u8, i64, u64)) -> WaitKey {
        WaitKey { queue: QueueKey(queue), class, band, order, item }
    }

    fn staff((queue, full, priority, idle_since, agent): (u128, bool, u8, i64, u128)) -> StaffKey {
        StaffKey { queue: QueueKey(queue), full, priority, idle_since, agent: AgentKey(agent) }
    }

    fn age((queue, since, item): (u128, i64, u64)) -> AgeKey {
        AgeKey { queue: QueueKey(queue), since, item }
    }

    proptest! {
        #[test]
        fn bytes_order_as_keys_do(
            (a, b) in any::<((u128, u64, u8, i64, u64), (u128, u64, u8, i64, u64))>(),
            (c, d) in any::<((u128, bool, u8, i64, u128), (u128, bool, u8, i64, u128))>(),
            (e, f) in any::<((u128, i64, u64), (u128, i64, u64))>(),
        ) {
            let (a, b, c, d, e, f) = (wait(a), wait(b), staff(c), staff(d), age(e), age(f));
            prop_assert_eq!(a.cmp(&b), bytes(&a).cmp(&bytes(&b)));
            prop_assert_eq!(c.cmp(&d), bytes(&c).cmp(&bytes(&d)));
            prop_assert_eq!(e.cmp(&f), bytes(&e).cmp(&bytes(&f)));
            prop_assert_eq!(WaitKey::decode(&bytes(&a)), Some(a));
            prop_assert_eq!(StaffKey::decode(&bytes(&c)), Some(c));
            prop_assert_eq!(AgeKey::decode(&bytes(&e)), Some(e));
        }
    }

    #[test]
    fn work_has_its_order() {
        let key = |work| TodoKey { work, about: 7 };
        let all = [Work::Agent, Work::Item, Work::Queue, Work::Policy].map(key);
        assert!(all.is_sorted());
        assert!(all.map(TodoKey::to_wire).is_sorted());
        assert!(all.into_iter().all(|key| TodoKey::decode(&key.to_wire()) == Some(key)));
    }
}
