//! Which event goes to which topic, and by which key.
//!
//! The key is the thread that the event names, as it stands with this event; without one the agent, the
//! person or the conversation, and `None` for what concerns the workspace. The order needs no key: the
//! events of a workspace are in one partition, in the order of the log.

use rejoinder_model::{AlarmId, ConversationId, PersonId, ThreadId};
use rejoinder_wire::event::event::Body;

/// A public topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// What threading says.
    Thread,
    /// What routing says.
    Routing,
    /// Steps of escalations.
    Escalation,
    /// Alarms.
    Alarm,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Thread, Self::Routing, Self::Escalation, Self::Alarm];

    /// The word in the topic's name, and in metrics.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Thread => "thread",
            Self::Routing => "routing",
            Self::Escalation => "escalation",
            Self::Alarm => "alarm",
        }
    }

    /// Its name on Kafka.
    #[must_use]
    pub fn name(self, prefix: &str) -> String {
        format!("{prefix}.{}.v1", self.word())
    }

    /// The area of its events' types.
    pub(crate) fn area(self) -> &'static str {
        match self {
            Self::Thread => "threading",
            Self::Routing => "routing",
            Self::Escalation | Self::Alarm => "sla",
        }
    }
}

/// Where an event goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) topic: Topic,
    /// Of the event's message.
    pub(crate) name: &'static str,
    /// `None`: the workspace.
    pub(crate) key: Option<String>,
}

fn thread(number: u64) -> Option<String> {
    ThreadId::from_wire(number).map(|id| id.to_string())
}

fn person(number: u64) -> Option<String> {
    PersonId::from_wire(number).map(|id| id.to_string())
}

fn conversation(number: u64) -> Option<String> {
    ConversationId::from_wire(number).map(|id| id.to_string())
}

fn alarm(number: u64) -> Option<String> {
    AlarmId::from_wire(number).map(|id| id.to_string())
}

fn named(id: &str) -> Option<String> {
    (!id.is_empty()).then(|| id.to_owned())
}

macro_rules! table {
    (
        $(to $topic:ident { $($name:ident($event:pat) => $key:expr,)* })*
        nowhere { $($inside:ident,)* }
    ) => {
        /// Where an event goes; `None`: it stays inside.
        pub(crate) fn route(body: &Body) -> Option<Route> {
            match body {
                $($(Body::$name($event) => {
                    Some(Route { topic: Topic::$topic, name: stringify!($name), key: $key })
                })*)*
                $(Body::$inside(_))|* => None,
            }
        }
    };
}

table! {
    to Thread {
        MessagePlaced(e) => thread(e.root).or_else(|| thread(e.thread)).or_else(|| conversation(e.conversation)),
        MessageSetAside(_) => None,
        MessageRevised(e) => thread(e.thread),
        ThreadOpened(e) => thread(e.thread),
        ThreadStateChanged(e) => thread(e.thread),
        ThreadRelinked(e) => thread(e.from),
        ThreadsMerged(e) => thread(e.into),
        ThreadsUnmerged(e) => thread(e.thread),
        ThreadSplit(e) => thread(e.thread),
        PersonsMerged(e) => person(e.into),
        PersonsUnmerged(e) => person(e.person),
        HandleAsserted(e) => person(e.person),
        HandleUnlinked(e) => person(e.person),
        NoteAdded(e) => thread(e.thread),
        OutcomeRecorded(e) => thread(e.thread),
        AttributesSet(e) => thread(e.thread),
        PolicyAdopted(_) => None,
    }
    to Routing {
        RoutingPolicyAdopted(_) => None,
        AgentPresenceChanged(e) => named(&e.agent),
        AgentLoadChanged(e) => named(&e.agent),
        Overcommitted(e) => named(&e.agent),
        WorkItemQueued(e) => thread(e.thread),
        WorkItemPrioritised(e) => thread(e.thread),
        OfferMade(e) => thread(e.thread),
        OfferAccepted(e) => thread(e.thread),
        OfferDeclined(e) => thread(e.thread),
        OfferTimedOut(e) => thread(e.thread),
        OfferRevoked(e) => thread(e.thread),
        WorkItemAssigned(e) => thread(e.thread),
        WorkItemAnswered(e) => thread(e.thread),
        WorkItemParked(e) => thread(e.thread),
        WorkItemWoken(e) => thread(e.thread),
        WorkItemWrapping(e) => thread(e.thread),
        WorkItemDone(e) => thread(e.thread),
        WorkItemCancelled(e) => thread(e.thread),
        WorkItemTransferred(e) => thread(e.thread),
        WorkItemMoved(e) => thread(e.thread),
        DecisionExplained(e) => thread(e.thread),
        QueueDriven(_) => None,
    }
    // EscalationStepTaken will be the one of its topic.
    to Escalation {}
    to Alarm {
        AlarmRaised(e) => thread(e.thread),
        AlarmAcknowledged(e) => alarm(e.alarm),
        AlarmCleared(e) => alarm(e.alarm),
    }
    nowhere {
        ClockTick, Checkpoint, Quarantined, QuarantineReleased, FeatureLevel,
        InteractionReceived, InteractionEdited, InteractionDeleted, ReactionReceived, ReceiptReceived,
        ReachUpdated, ConnectorCursorMoved, ConnectorCaughtUp, PolicyPublished,
        ClockOpened, ClockPaused, ClockResumed, ClockRetargeted, ClockWarned, ClockBreached, BreachRetracted,
        ClockMet, ClockCancelled, ClockReopened, ThreadFollowed, SlaPolicyAdopted, ClocksReviewed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rejoinder_wire::event::{AgentLoadChanged, AlarmCleared, AlarmRaised, ClockTick, MessagePlaced, OfferMade};

    #[test]
    fn events_are_keyed_by_what_they_are_about() {
        let placed = |root, thread, conversation| {
            Body::MessagePlaced(Box::new(MessagePlaced { root, thread, conversation, ..MessagePlaced::default() }))
        };
        let table = [
            (placed(9, 5, 3), "thread MessagePlaced t0000000000009"),
            (placed(0, 5, 3), "thread MessagePlaced t0000000000005"),
            (placed(0, 0, 3), "thread MessagePlaced c0000000000003"),
            (placed(0, 0, 0), "thread MessagePlaced workspace"),
            (
                Body::OfferMade(OfferMade { thread: 5, item: 6, agent: "ann".into(), ..OfferMade::default() }),
                "routing OfferMade t0000000000005",
            ),
            (
                Body::AgentLoadChanged(AgentLoadChanged {
                    agent: "ann".into(),
                    item: 6,
                    ..AgentLoadChanged::default()
                }),
                "routing AgentLoadChanged ann",
            ),
            (
                Body::AlarmRaised(AlarmRaised { alarm: 7, thread: 5, ..AlarmRaised::default() }),
                "alarm AlarmRaised t0000000000005",
            ),
            (
                Body::AlarmCleared(AlarmCleared { alarm: 7, ..AlarmCleared::default() }),
                "alarm AlarmCleared a0000000000007",
            ),
        ];
        for (body, wanted) in table {
            let Route { topic, name, key } = route(&body).unwrap();
            assert_eq!(format!("{} {name} {}", topic.word(), key.as_deref().unwrap_or("workspace")), wanted);
        }
        assert_eq!(route(&Body::ClockTick(ClockTick {})), None);
    }

    #[test]
    fn topics_are_named_by_their_installation() {
        assert_eq!(
            Topic::ALL.map(|topic| topic.name("rejoinder")),
            ["rejoinder.thread.v1", "rejoinder.routing.v1", "rejoinder.escalation.v1", "rejoinder.alarm.v1"]
        );
    }
}
