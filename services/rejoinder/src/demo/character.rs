//! What the agents are like, as the seed has it: quick or slow, picky, absent-minded, badly connected.

use fastrand::Rng;

/// How an agent works. Shares are in thousandths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Character {
    /// How long an offer is looked at, in milliseconds.
    pub(super) looks_ms: u64,
    /// How long a reply takes, in milliseconds.
    pub(super) writes_ms: u64,
    /// Offers that are declined, and those that are not seen.
    pub(super) declines: u64,
    pub(super) misses: u64,
    /// Accepts after which the connection drops.
    pub(super) drops: u64,
    /// Replies after which the thread is resolved.
    pub(super) resolves: u64,
    /// Items that are parked first, since somebody else must be asked, and those that are given back.
    pub(super) parks: u64,
    pub(super) releases: u64,
}

/// Agents of each kind among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cast {
    pub(super) picky: usize,
    pub(super) absent_minded: usize,
    pub(super) badly_connected: usize,
}

/// The characters of so many agents. Each kind is among them; who it is, the seed says.
pub(super) fn characters(seed: u64, count: usize) -> (Vec<Character>, Cast) {
    let cast = Cast { picky: count.div_ceil(8), absent_minded: count.div_ceil(12), badly_connected: count.div_ceil(8) };
    let mut random = Rng::with_seed(seed.wrapping_add(1));
    let mut all: Vec<Character> = (0..count)
        .map(|n| {
            let picky = n < cast.picky;
            let absent = (cast.picky..cast.picky + cast.absent_minded).contains(&n);
            let badly = (count - cast.badly_connected..count).contains(&n);
            Character {
                looks_ms: random.u64(60..350),
                writes_ms: random.u64(250..800),
                declines: if picky { 220 } else { 15 },
                misses: if absent { 60 } else { 2 },
                drops: if badly { 40 } else { 0 },
                resolves: random.u64(250..600),
                parks: random.u64(10..50),
                releases: random.u64(0..20),
            }
        })
        .collect();
    random.shuffle(&mut all);
    (all, cast)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_has_the_same_characters_and_each_kind_of_them() {
        let (one, cast) = characters(1, 24);
        assert!(one == characters(1, 24).0 && one != characters(2, 24).0);
        assert_eq!(cast, Cast { picky: 3, absent_minded: 2, badly_connected: 3 });
        let count = |which: &dyn Fn(&Character) -> bool| one.iter().filter(|agent| which(agent)).count();
        assert_eq!(count(&|agent| agent.declines > 100), cast.picky);
        assert_eq!(count(&|agent| agent.misses > 10), cast.absent_minded);
        assert_eq!(count(&|agent| agent.drops > 0), cast.badly_connected);
    }
}
