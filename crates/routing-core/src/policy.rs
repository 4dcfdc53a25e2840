//! What the policy says of queues, agents and kinds of channels, as decisions read it.
//!
//! Surge will lay an overlay over these rules: its place is between `Policy::of_wire` and the readers.

use std::collections::BTreeMap;

use rejoinder_model::{DAY_MS, MINUTE_MS, Millis};
use rejoinder_wire::event::routing_policy as wire;
use rejoinder_wire::event::{Band, RoutingPolicy};
use serde::{Deserialize, Serialize};

pub use rejoinder_wire::event::routing_policy::{LastStep, Order, Strategy};

/// The queue of the built-in policy, and of what no route matches.
pub const DEFAULT_QUEUE: &str = "default";
/// A wrap-up that only the agent ends.
pub const MANUAL: Millis = -1;

/// The rules of a workspace. The default is the built-in policy: one queue, no agents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The version; 0 is the built-in one.
    pub version: u64,
    /// In the order of the file.
    pub queues: Vec<Queue>,
    /// By id.
    pub agents: BTreeMap<String, Agent>,
    /// In the order of the file.
    pub kinds: Vec<Kind>,
    /// By name.
    pub groups: BTreeMap<String, u32>,
    /// The first that matches.
    pub routes: Vec<Route>,
    /// Parked items of an agent.
    pub max_parked: u32,
    /// Offers timed out in a row that make an agent not responding.
    pub not_responding_after: u32,
    /// How long a declined item is not offered to the same agent.
    pub declined_ms: Millis,
    /// How long an agent may be without a session before live items are given back.
    pub live_give_back_ms: Millis,
    /// And before the others are.
    pub give_back_ms: Millis,
    /// How long a parked item wakes with the same agent.
    pub wake_ms: Millis,
    /// The silence of a live customer that parks the item.
    pub live_silence_ms: Millis,
}

/// A queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// `Order`.
    pub order: i32,
    /// `Strategy`.
    pub strategy: i32,
    /// Agents that are asked at once.
    pub parallel_offers: u32,
    /// Where items go on; empty: nowhere.
    pub overflow: String,
    /// After which time; 0: only by the skills' last step.
    pub overflow_after_ms: Millis,
    /// How long the agent who knows the customer is waited for.
    pub preferred_wait_ms: Millis,
    /// Skills that every agent needs, at any level.
    pub required: Vec<String>,
    /// Skills that are wanted at a level that falls with time.
    pub skills: Vec<Skill>,
    /// `LastStep`.
    pub last_step: i32,
    /// When the last step is taken.
    pub last_step_after_ms: Millis,
    /// The delays of its members, each once, in order.
    pub delays: Vec<Millis>,
    /// Agents that serve it.
    pub members: u32,
}

/// A wanted skill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skill {
    /// Its name.
    pub name: String,
    /// The level wanted at first.
    pub level: u32,
    /// (after so long, this level), in order of time.
    pub relaxations: Vec<(Millis, u32)>,
}

/// An agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Capacity.
    pub total: u32,
    /// Levels by skill.
    pub skills: BTreeMap<String, u32>,
    /// The queues served.
    pub memberships: Vec<Membership>,
    /// Maxima of its own, by kind or group.
    pub max: BTreeMap<String, u32>,
    /// May take above capacity by hand.
    pub may_overcommit: bool,
    /// 100 is usual; 200 lets a load count half.
    pub weight: u32,
}

/// A queue that an agent serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The queue.
    pub queue: String,
    /// 1 comes first.
    pub priority: u32,
    /// Items must have waited for so long.
    pub delay_ms: Millis,
}

/// A kind of channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// Channels of this kind.
    pub channels: Vec<String>,
    /// What an item takes of an agent's capacity.
    pub cost: u32,
    /// Items of this kind at once.
    pub max: u32,
    /// The group whose maximum counts too; empty: none.
    pub group: String,
    /// Kinds that may be held beside it; empty: all.
    pub beside: Vec<String>,
    /// The customer waits on the line.
    pub live: bool,
    /// How long an offer stands.
    pub offer_timeout_ms: Millis,
    /// 0: none, `MANUAL`: until the agent ends it.
    pub wrap_up_ms: Millis,
    /// How long after the customer's last message a reply is taken; 0: always.
    pub reply_window_ms: Millis,
    /// What a parked item takes.
    pub parked_cost: u32,
}

/// Which threads go to a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Empty: any.
    pub channel: String,
    /// Empty: any.
    pub kind: String,
    /// `None`: any.
    pub private: Option<bool>,
    /// Where they go.
    pub queue: String,
    /// `Band`; 0: normal.
    pub band: i32,
}

/// The built-in kinds: name, cost, max, live, offer timeout in seconds.
const KINDS: [(&str, u32, u32, bool, Millis); 5] = [
    ("voice", 100, 1, true, 30),
    ("live_chat", 33, 3, true, 30),
    ("direct_message", 20, 5, false, 120),
    ("public_post", 10, 10, false, 120),
    ("email", 10, 10, false, 120),
];

/// The built-in rules, as the policy files start from them.
#[must_use]
pub fn defaults() -> RoutingPolicy {
    let kind = |(name, cost, max, live, timeout_s): (&str, u32, u32, bool, Millis)| wire::Kind {
        name: name.to_owned(),
        channels: match name {
            "voice" => vec!["voice".to_owned()],
            "live_chat" => vec!["chat".to_owned()],
            "email" => vec!["email".to_owned()],
            _ => Vec::new(),
        },
        cost,
        max,
        live,
        offer_timeout_ms: timeout_s * 1_000,
        ..wire::Kind::default()
    };
    RoutingPolicy {
        queues: vec![queue(DEFAULT_QUEUE)],
        kinds: KINDS.map(kind).to_vec(),
        total: 100,
        max_parked: 30,
        not_responding_after: 1,
        declined_ms: 30 * MINUTE_MS,
        live_give_back_ms: MINUTE_MS,
        give_back_ms: 15 * MINUTE_MS,
        wake_ms: DAY_MS,
        live_silence_ms: 10 * MINUTE_MS,
        ..RoutingPolicy::default()
    }
}

/// A queue with the built-in settings.
#[must_use]
pub fn queue(name: &str) -> wire::Queue {
    wire::Queue {
        name: name.to_owned(),
        order: Order::Priority as i32,
        strategy: Strategy::LongestIdle as i32,
        parallel_offers: 1,
        preferred_wait_ms: MINUTE_MS,
        last_step: LastStep::Stay as i32,
        ..wire::Queue::default()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::of_wire(0, &defaults())
    }
}

impl Policy {
    /// The rules of an event.
    #[must_use]
    pub fn of_wire(version: u64, policy: &RoutingPolicy) -> Self {
        let agents = policy.agents.iter().map(|agent| (agent.id.clone(), Agent::of_wire(policy.total, agent)));
        let agents: BTreeMap<String, Agent> = agents.collect();
        let mut queues: Vec<Queue> = policy.queues.iter().map(|queue| Queue::of_wire(queue, &agents)).collect();
        if queues.is_empty() {
            queues.push(Queue::of_wire(&queue(DEFAULT_QUEUE), &agents));
        }
        Self {
            version,
            queues,
            agents,
            kinds: policy.kinds.iter().map(Kind::of_wire).collect(),
            groups: policy.groups.iter().map(|group| (group.name.clone(), group.max)).collect(),
            routes: policy.routes.iter().map(Route::of_wire).collect(),
            max_parked: policy.max_parked,
            not_responding_after: policy.not_responding_after.max(1),
            declined_ms: policy.declined_ms,
            live_give_back_ms: policy.live_give_back_ms,
            give_back_ms: policy.give_back_ms,
            wake_ms: policy.wake_ms,
            live_silence_ms: policy.live_silence_ms,
        }
    }

    /// A queue by name.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// A kind by name.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// The kind of a channel: as the policy lists it, else by its privacy.
    #[must_use]
    pub fn kind_of(&self, channel: &str, private: bool) -> &str {
        let listed = self.kinds.iter().find(|kind| kind.channels.iter().any(|known| known == channel));
        listed.map_or(if private { "direct_message" } else { "public_post" }, |kind| &kind.name)
    }

    /// The queue and band of a thread: by the first route that matches, else the first queue.
    #[must_use]
    pub fn route(&self, channel: &str, kind: &str, private: bool) -> (&str, Band) {
        let route = self.routes.iter().find(|route| {
            (route.channel.is_empty() || route.channel == channel)
                && (route.kind.is_empty() || route.kind == kind)
                && route.private.is_none_or(|wanted| wanted == private)
        });
        let first = self.queues.first().map_or(DEFAULT_QUEUE, |queue| &queue.name);
        let band = route.and_then(|route| Band::try_from(route.band).ok());
        let band = band.filter(|band| *band != Band::Unspecified).unwrap_or(Band::Normal);
        (route.map_or(first, |route| &route.queue), band)
    }
}

impl Queue {
    fn of_wire(queue: &wire::Queue, agents: &BTreeMap<String, Agent>) -> Self {
        let members = agents.values().flat_map(|agent| &agent.memberships).filter(|m| m.queue == queue.name);
        let mut delays: Vec<Millis> = members.clone().map(|membership| membership.delay_ms).collect();
        delays.sort_unstable();
        delays.dedup();
        delays.retain(|delay| *delay > 0);
        Self {
            name: queue.name.clone(),
            order: queue.order,
            strategy: queue.strategy,
            parallel_offers: queue.parallel_offers.max(1),
            overflow: queue.overflow.clone(),
            overflow_after_ms: queue.overflow_after_ms,
            preferred_wait_ms: queue.preferred_wait_ms,
            required: queue.required.clone(),
            skills: queue.skills.iter().map(Skill::of_wire).collect(),
            last_step: queue.last_step,
            last_step_after_ms: queue.last_step_after_ms,
            delays,
            members: u32::try_from(members.count()).unwrap_or(u32::MAX),
        }
    }

    /// How it chooses among agents.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        Strategy::try_from(self.strategy).unwrap_or_default()
    }

    /// What follows when all relaxations are over.
    #[must_use]
    pub fn last_step(&self) -> LastStep {
        LastStep::try_from(self.last_step).unwrap_or_default()
    }

    /// When an item goes to the overflow queue, counted from its coming; `None`: never.
    #[must_use]
    pub fn overflows_after(&self) -> Option<Millis> {
        let by_time = (self.overflow_after_ms > 0).then_some(self.overflow_after_ms);
        let by_step = (self.last_step() == LastStep::OverflowQueue).then_some(self.last_step_after_ms);
        let after = by_time.into_iter().chain(by_step).min();
        after.filter(|_| !self.overflow.is_empty())
    }

    /// Have the wanted skills been given up for good after waiting so long?
    #[must_use]
    pub fn takes_anybody(&self, waited: Millis) -> bool {
        self.last_step() == LastStep::AnyInQueue && waited >= self.last_step_after_ms
    }
}

impl Skill {
    fn of_wire(skill: &wire::Skill) -> Self {
        let mut relaxations: Vec<(Millis, u32)> =
            skill.relaxations.iter().map(|step| (step.after_ms, step.level)).collect();
        relaxations.sort_unstable();
        Self { name: skill.name.clone(), level: skill.level, relaxations }
    }

    /// The level wanted after waiting so long.
    #[must_use]
    pub fn level_after(&self, waited: Millis) -> u32 {
        let passed = self.relaxations.iter().rev().find(|(after, _)| *after <= waited);
        passed.map_or(self.level, |(_, level)| *level)
    }
}

impl Agent {
    fn of_wire(total: u32, agent: &wire::Agent) -> Self {
        let membership = |membership: &wire::Membership| Membership {
            queue: membership.queue.clone(),
            priority: membership.priority.max(1),
            delay_ms: membership.delay_ms,
        };
        Self {
            total: if agent.total == 0 { total } else { agent.total },
            skills: agent.skills.clone(),
            memberships: agent.memberships.iter().map(membership).collect(),
            max: agent.max.clone(),
            may_overcommit: agent.may_overcommit,
            weight: if agent.weight == 0 { 100 } else { agent.weight },
        }
    }

    /// Its membership in a queue.
    #[must_use]
    pub fn membership(&self, queue: &str) -> Option<&Membership> {
        self.memberships.iter().find(|membership| membership.queue == queue)
    }
}

impl Kind {
    fn of_wire(kind: &wire::Kind) -> Self {
        Self {
            name: kind.name.clone(),
            channels: kind.channels.clone(),
            cost: kind.cost,
            max: kind.max,
            group: kind.group.clone(),
            beside: kind.beside.clone(),
            live: kind.live,
            offer_timeout_ms: if kind.offer_timeout_ms > 0 { kind.offer_timeout_ms } else { 2 * MINUTE_MS },
            wrap_up_ms: kind.wrap_up_ms,
            reply_window_ms: kind.reply_window_ms,
            parked_cost: kind.parked_cost,
        }
    }

    /// May an item of another kind be held beside one of this kind?
    #[must_use]
    pub fn allows(&self, other: &str) -> bool {
        self.beside.is_empty() || self.name == other || self.beside.iter().any(|kind| kind == other)
    }

    /// A kind that the policy does not know any more: held items keep their cost.
    #[must_use]
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            channels: Vec::new(),
            cost: 100,
            max: 1,
            group: String::new(),
            beside: Vec::new(),
            live: false,
            offer_timeout_ms: 2 * MINUTE_MS,
            wrap_up_ms: 0,
            reply_window_ms: 0,
            parked_cost: 0,
        }
    }
}

impl Route {
    fn of_wire(route: &wire::Route) -> Self {
        let private = match wire::Privacy::try_from(route.privacy).unwrap_or_default() {
            wire::Privacy::Unspecified => None,
            wire::Privacy::Public => Some(false),
            wire::Privacy::Private => Some(true),
        };
        Self {
            channel: route.channel.clone(),
            kind: route.kind.clone(),
            private,
            queue: route.queue.clone(),
            band: route.band,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_have_kinds_and_threads_have_queues() {
        let mut wire = defaults();
        wire.queues.push(queue("posts"));
        wire.routes.push(wire::Route {
            kind: "public_post".into(),
            queue: "posts".into(),
            band: Band::Listen as i32,
            ..wire::Route::default()
        });
        let policy = Policy::of_wire(3, &wire);
        let table = [("x", false, "public_post"), ("x", true, "direct_message"), ("email", true, "email")];
        for (channel, private, kind) in table {
            assert_eq!(policy.kind_of(channel, private), kind);
        }
        assert_eq!(policy.route("x", "public_post", false), ("posts", Band::Listen));
        assert_eq!(policy.route("email", "email", true), ("default", Band::Normal));
    }

    #[test]
    fn the_built_in_policy_is_that_of_the_files() {
        assert_eq!(defaults(), rejoinder_policy::Policy::default().routing);
    }

    #[test]
    fn a_level_relaxes_with_time() {
        let skill = Skill { name: "billing".into(), level: 7, relaxations: vec![(60_000, 5), (120_000, 0)] };
        let table = [(0, 7), (59_999, 7), (60_000, 5), (119_999, 5), (120_000, 0), (i64::MAX, 0)];
        for (waited, level) in table {
            assert_eq!(skill.level_after(waited), level, "{waited}");
        }
    }
}
