//! Ids in the bodies of events: numbers there, and shown as every other command shows them.

use prost_reflect::{Kind, MessageDescriptor};
use rejoinder_model::{AlarmId, ClockId, ConversationId, OfferId, PersonId, ThreadId, WorkItemId};
use serde_json::Value as Json;

/// How an id is shown.
type Shown = fn(u64) -> String;

/// What a field of a message names; `None`: it is a number.
fn shown(message: &str, field: &str) -> Option<Shown> {
    Some(match (message, field) {
        (_, "person" | "previous_person" | "new_person") => |id| PersonId(id).to_string(),
        ("PersonsMerged" | "PersonsUnmerged", "from" | "into") => |id| PersonId(id).to_string(),
        (_, "thread" | "root" | "heir" | "continues" | "split_from" | "from" | "to" | "into") => thread,
        (_, "left" | "right" | "merge" | "base" | "bases" | "upto") => thread,
        (_, "conversation" | "joins") => |id| ConversationId(id).to_string(),
        (_, "item") => |id| WorkItemId(id).to_string(),
        (_, "offer") => |id| OfferId(id).to_string(),
        (_, "clock") => |id| ClockId(id).to_string(),
        (_, "alarm") => |id| AlarmId(id).to_string(),
        _ => return None,
    })
}

fn thread(id: u64) -> String {
    ThreadId(id).to_string()
}

/// Shows the ids in a message's JSON.
#[expect(clippy::wildcard_enum_match_arm, reason = "ids are 64-bit numbers, whatever other kinds there are")]
pub(super) fn show(kind: &MessageDescriptor, body: &mut Json) {
    for field in kind.fields() {
        let Some(value) = body.get_mut(field.json_name()).filter(|_| !field.is_map()) else { continue };
        let each = if let Json::Array(all) = value { &mut all[..] } else { std::slice::from_mut(value) };
        match field.kind() {
            Kind::Message(inner) => each.iter_mut().for_each(|inside| show(&inner, inside)),
            Kind::Uint64 => {
                let Some(shown) = shown(kind.name(), field.name()) else { continue };
                for number in each {
                    // JSON has 64-bit numbers as text.
                    if let Some(id) = number.as_str().and_then(|number| number.parse().ok()) {
                        *number = shown(id).into();
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    /// 64-bit numbers of events that are no ids.
    const NUMBERS: [&str; 16] = [
        "adopted",
        "calendar_digest",
        "followers",
        "index",
        "likes",
        "own_seq",
        "policy_version",
        "quarantined_own_seq",
        "replies",
        "session",
        "shares",
        "source_index",
        "source_own_seq",
        "state_own_seq",
        "version",
        "views",
    ];

    #[test]
    fn every_number_of_an_event_is_an_id_or_known_to_be_none() {
        let pool = DescriptorPool::decode(rejoinder_api::EVENT_DESCRIPTORS).expect("descriptors");
        let mut unknown = Vec::new();
        for kind in pool.all_messages().filter(|kind| kind.package_name() == "rejoinder.event.v1") {
            for field in kind.fields().filter(|field| field.kind() == Kind::Uint64) {
                // A work item or an offer, by the metric beside it.
                let either = field.name() == "subject";
                if shown(kind.name(), field.name()).is_none() && !NUMBERS.contains(&field.name()) && !either {
                    unknown.push(field.full_name().to_owned());
                }
            }
        }
        assert!(unknown.is_empty(), "{unknown:?}");
    }

    #[test]
    fn ids_are_shown_wherever_they_stand() {
        let pool = DescriptorPool::decode(rejoinder_api::EVENT_DESCRIPTORS).expect("descriptors");
        let kind = pool.get_message_by_name("rejoinder.event.v1.Event").expect("the event");
        let mut body = serde_json::json!({
            "workspace": "default",
            "threadsUnmerged": {"thread": "7", "parts": [{"thread": "8", "bases": ["8", "9"]}]},
        });
        show(&kind, &mut body);
        let wanted = serde_json::json!({
            "workspace": "default",
            "threadsUnmerged": {
                "thread": ThreadId(7).to_string(),
                "parts": [{"thread": ThreadId(8).to_string(), "bases": [ThreadId(8).to_string(), ThreadId(9).to_string()]}],
            },
        });
        assert_eq!(body, wanted);
    }
}
