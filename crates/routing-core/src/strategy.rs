//! Which of the eligible agents gets an item. A strategy is one file with one pure function: how far an
//! agent is from the wish, less is better. Ties by idle time, last assigned, id.
//!
//! Fair share will be another file and another line of the table.

mod best_skill;
mod least_loaded;
mod longest_idle;

use crate::policy::Strategy as Choice;
use crate::record::Candidate;

/// What a strategy may look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contender {
    /// Who.
    pub(crate) agent: String,
    /// Membership in the queue: 1 comes first.
    pub(crate) priority: u32,
    /// Thousandths of the capacity in use, weighted.
    pub(crate) load: i64,
    /// Levels of the skills that the queue names, summed.
    pub(crate) skill: i64,
    /// Has it nothing to do?
    pub(crate) idle: bool,
    /// Since when it has nothing to do.
    pub(crate) idle_since: i64,
    /// When it last got an item.
    pub(crate) last_assigned: i64,
}

/// How far an agent is from the wish; less is better.
type Score = fn(&Contender) -> i64;

/// All strategies.
const ALL: [(Choice, Score); 3] = [
    (Choice::LongestIdle, longest_idle::score),
    (Choice::LeastLoaded, least_loaded::score),
    (Choice::BestSkill, best_skill::score),
];

/// The contenders as candidates, the best first.
pub(crate) fn rank(strategy: Choice, contenders: &[Contender]) -> Vec<Candidate> {
    let score =
        ALL.iter().find(|(known, _)| *known == strategy).map_or(longest_idle::score as Score, |(_, score)| *score);
    let candidate = |contender: &Contender| Candidate {
        agent: contender.agent.clone(),
        score: score(contender),
        idle_since: contender.idle_since,
        last_assigned: contender.last_assigned,
        priority: contender.priority,
    };
    let mut ranked: Vec<Candidate> = contenders.iter().map(candidate).collect();
    ranked.sort_by(|a, b| {
        let key = |c: &Candidate| (c.priority, c.score, c.idle_since, c.last_assigned);
        key(a).cmp(&key(b)).then_with(|| a.agent.cmp(&b.agent))
    });
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contenders() -> impl Strategy<Value = Vec<Contender>> {
        let one = (0..3_u32, 0..1_000_i64, 0..20_i64, any::<bool>(), 0..5_i64, 0..5_i64);
        proptest::collection::vec(one, 1..9).prop_map(|drawn| {
            let contender = |(n, (priority, load, skill, idle, idle_since, last_assigned))| Contender {
                agent: format!("agent{n}"),
                priority,
                load,
                skill,
                idle,
                idle_since,
                last_assigned,
            };
            drawn.into_iter().enumerate().map(contender).collect()
        })
    }

    proptest! {
        #[test]
        fn the_order_of_the_input_does_not_matter(mut contenders in contenders(), rotate in 0..9_usize) {
            for (strategy, _) in ALL {
                let ranked = rank(strategy, &contenders);
                let by = rotate % contenders.len();
                contenders.rotate_left(by);
                prop_assert_eq!(&ranked, &rank(strategy, &contenders));
                prop_assert_eq!(ranked.len(), contenders.len());
            }
        }

        #[test]
        fn ties_go_by_idle_time_last_assigned_and_id(contenders in contenders()) {
            for (strategy, score) in ALL {
                let ranked = rank(strategy, &contenders);
                let find = |id: &str| contenders.iter().find(|c| c.agent == id).cloned().expect("ranked");
                for pair in ranked.windows(2) {
                    let (a, b) = (find(&pair[0].agent), find(&pair[1].agent));
                    let key = |c: &Contender| (c.priority, score(c), c.idle_since, c.last_assigned, c.agent.clone());
                    prop_assert!(key(&a) < key(&b));
                }
            }
        }
    }

    #[test]
    fn each_strategy_has_its_wish() {
        let contender = |agent: &str, load, skill, idle, idle_since| Contender {
            agent: agent.into(),
            priority: 1,
            load,
            skill,
            idle,
            idle_since,
            last_assigned: 0,
        };
        let all = [
            contender("fresh", 0, 1, true, 500),
            contender("idle", 0, 2, true, 100),
            contender("busy", 900, 9, false, 50),
        ];
        let best = |strategy| rank(strategy, &all)[0].agent.clone();
        assert_eq!(best(Choice::LongestIdle), "idle");
        assert_eq!(best(Choice::LeastLoaded), "idle");
        assert_eq!(best(Choice::BestSkill), "busy");
        let mut far = all.to_vec();
        far[1].priority = 2;
        far[2].priority = 2;
        assert_eq!(rank(Choice::BestSkill, &far)[0].agent, "fresh", "the membership comes first");
    }
}
