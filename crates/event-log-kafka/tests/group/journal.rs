//! What the members of a group were told, in the order in which it happened in all their processes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rejoinder_event_log_kafka::Tenant;

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Microseconds on the clock that all processes of a machine share.
pub(crate) fn clock() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn clock_of(instant: Instant) -> u64 {
    clock() - u64::try_from(instant.elapsed().as_micros()).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// With when it was asked.
    Confirmed(u64),
    Revoke,
    Revoked,
    Lost,
    Failed,
}

/// Something that a member was told.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) at: u64,
    pub(crate) member: String,
    pub(crate) kind: Kind,
    pub(crate) partitions: BTreeSet<u16>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, asked) = match self.kind {
            Kind::Confirmed(asked) => ("confirmed", asked),
            Kind::Revoke => ("revoke", 0),
            Kind::Revoked => ("revoked", 0),
            Kind::Lost => ("lost", 0),
            Kind::Failed => ("failed", 0),
        };
        let partitions: Vec<String> = self.partitions.iter().map(u16::to_string).collect();
        write!(f, "{} {} {kind} {asked} {}", self.at, self.member, partitions.join(","))
    }
}

impl FromStr for Entry {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let words: Vec<&str> = line.split(' ').collect();
        let &[at, member, kind, asked, partitions] = words.as_slice() else { return Err(()) };
        let number = |word: &str| word.parse().map_err(|_| ());
        let kind = match kind {
            "confirmed" => Kind::Confirmed(number(asked)?),
            "revoke" => Kind::Revoke,
            "revoked" => Kind::Revoked,
            "lost" => Kind::Lost,
            "failed" => Kind::Failed,
            _ => return Err(()),
        };
        let partitions = partitions.split(',').filter_map(|word| word.parse().ok()).collect();
        Ok(Self { at: number(at)?, member: member.to_owned(), kind, partitions })
    }
}

/// Entries of all members of a test.
#[derive(Clone, Default)]
pub(crate) struct Journal(Arc<(Mutex<Vec<Entry>>, Condvar)>);

impl Journal {
    pub(crate) fn push(&self, entry: Entry) {
        self.0.0.lock().unwrap().push(entry);
        self.0.1.notify_all();
    }

    /// What stands there, by time.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let mut entries = self.0.0.lock().unwrap().clone();
        entries.sort_by_key(|entry| entry.at);
        entries
    }

    /// Waits until something can be found in the entries, and answers it.
    pub(crate) fn wait<T>(&self, what: &str, find: impl Fn(&[Entry]) -> Option<T>) -> T {
        let start = Instant::now();
        let mut entries = self.0.0.lock().unwrap();
        loop {
            let mut sorted = entries.clone();
            sorted.sort_by_key(|entry| entry.at);
            if let Some(found) = find(&sorted) {
                return found;
            }
            let left = PATIENCE.checked_sub(start.elapsed());
            let tail = || sorted.iter().map(|entry| format!("{entry}\n")).collect::<String>();
            let Some(left) = left else {
                // Not with the lock in hand: others go on.
                drop(entries);
                panic!("{what} did not happen:\n{}", tail())
            };
            entries = self.0.1.wait_timeout(entries, left).unwrap().0;
        }
    }

    /// Waits until every partition is confirmed to one of the members, as many to each as said, by
    /// questions asked after a moment; answers when that was so.
    pub(crate) fn settled(&self, after: u64, shares: &[(&str, usize)]) -> u64 {
        self.wait(&format!("that the group settles as {shares:?}"), |entries| {
            let holders = holders(entries);
            let of = |member: &str| holders.values().filter(|holder| holder.member == member).count();
            let fresh = holders.values().all(|holder| holder.asked >= after);
            let all = holders.len() == shares.iter().map(|share| share.1).sum::<usize>();
            (all && fresh && shares.iter().all(|&(member, share)| of(member) == share))
                .then(|| holders.values().map(|holder| holder.since).max().unwrap_or_default())
        })
    }
}

/// Who has a partition, since when, and when that was last asked.
pub(crate) struct Holder {
    pub(crate) member: String,
    pub(crate) since: u64,
    pub(crate) asked: u64,
}

/// Who has which partition in the end.
pub(crate) fn holders(entries: &[Entry]) -> BTreeMap<u16, Holder> {
    let mut holders = BTreeMap::<u16, Holder>::new();
    for entry in entries {
        for &partition in &entry.partitions {
            let member = entry.member.clone();
            let has = holders.get(&partition).filter(|holder| holder.member == member);
            match entry.kind {
                Kind::Confirmed(asked) => {
                    let since = has.map_or(entry.at, |holder| holder.since);
                    holders.insert(partition, Holder { member, since, asked });
                }
                Kind::Revoked | Kind::Lost if has.is_some() => {
                    holders.remove(&partition);
                }
                Kind::Revoked | Kind::Lost | Kind::Revoke | Kind::Failed => {}
            }
        }
    }
    holders
}

/// Looks that nobody was given a partition before another had let it go.
pub(crate) fn no_overlap(entries: &[Entry]) {
    let mut had = BTreeMap::<u16, &str>::new();
    for entry in entries {
        for &partition in &entry.partitions {
            let other = had.get(&partition).is_some_and(|holder| *holder != entry.member);
            match entry.kind {
                Kind::Confirmed(_) => {
                    assert!(!other, "{} has {partition} at {entry}", had[&partition]);
                    had.insert(partition, &entry.member);
                }
                Kind::Revoked | Kind::Lost if !other => {
                    had.remove(&partition);
                }
                Kind::Revoked | Kind::Lost | Kind::Revoke | Kind::Failed => {}
            }
        }
    }
}

/// A tenant that takes a moment to let go, and tells all.
pub(crate) struct Teller {
    pub(crate) member: String,
    pub(crate) tell: Box<dyn Fn(Entry) + Send + Sync>,
}

/// How long a tenant takes to let go.
pub(crate) const LETTING_GO: Duration = Duration::from_millis(20);

impl Teller {
    pub(crate) fn tell(&self, kind: Kind, partitions: &[u16]) {
        let partitions = partitions.iter().copied().collect();
        (self.tell)(Entry { at: clock(), member: self.member.clone(), kind, partitions });
    }
}

impl Tenant for Teller {
    fn progress(&self, partition: u16) -> u64 {
        1_000 + u64::from(partition)
    }

    fn confirmed(&self, partitions: &[u16], asked_at: Instant) {
        self.tell(Kind::Confirmed(clock_of(asked_at)), partitions);
    }

    fn revoke(&self, partitions: &[u16]) {
        self.tell(Kind::Revoke, partitions);
        std::thread::sleep(LETTING_GO);
        self.tell(Kind::Revoked, partitions);
    }

    fn lost(&self, partitions: &[u16]) {
        self.tell(Kind::Lost, partitions);
    }
}
