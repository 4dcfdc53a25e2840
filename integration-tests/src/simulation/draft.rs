//! What customers and the company are going to say in one workspace, drawn before anything is sent:
//! so a message can name another that is sent later, or never.

use rejoinder_ingest_core::{Arrival, Revision};
use rejoinder_model::{DAY_MS, MessageKey, Millis};
use rejoinder_wire::event::{Content, Direction, InteractionReceived, MessageRef, Structure, Visibility, content};

use crate::client::Random;

const ACCOUNT: &str = "acme";

/// Something to publish.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) key: MessageKey,
    pub(super) arrival: Arrival,
}

fn reference(channel: &str, id: &str) -> MessageRef {
    MessageRef { channel: channel.into(), account: ACCOUNT.into(), external_id: id.into(), global_ids: false }
}

fn text(text: String) -> Content {
    let plain = content::Plain { text, ..content::Plain::default() };
    Content { body: Some(content::Body::Plain(plain)) }
}

/// Everything that a workspace will hear of, in no order; some of it is never sent.
pub(super) fn drafts(random: &mut Random, workspace: &str, now: Millis) -> Vec<Draft> {
    let mut drafts = Vec::new();
    let count = 8 + random.below(24);
    for number in 0..count {
        let message = message(random, number, now);
        let Some(name) = message.message.clone() else { continue };
        let key = MessageKey::new(workspace, &name.channel, Some(ACCOUNT), &name.external_id);
        let revise = |revision: Option<Revision>| {
            let received = if revision.is_some() {
                let content = Some(text(format!("{} again", name.external_id)));
                InteractionReceived { message: Some(name.clone()), content, ..InteractionReceived::default() }
            } else {
                message.clone()
            };
            Draft { key, arrival: Arrival { received, revision } }
        };
        drafts.push(revise(None));
        for version in 0..random.below(8).saturating_sub(4) {
            drafts.push(revise(Some(Revision::Edit { version: i64::try_from(version).unwrap_or_default() + 1 })));
        }
        if random.below(12) == 0 {
            drafts.push(revise(Some(Revision::Delete)));
        }
    }
    drafts
}

fn message(random: &mut Random, number: u64, now: Millis) -> InteractionReceived {
    let ours = random.below(3) == 0;
    let customer = ["a", "b", "c"][usize::try_from(random.below(3)).unwrap_or_default()];
    let direct = random.below(3) == 0;
    let days = i64::try_from(random.below(60)).unwrap_or_default();
    let id = if direct { format!("d{number}") } else { format!("p{number}") };
    let mut parents = Vec::new();
    let mut conversation = None;
    if !direct {
        // Those of a lower number: no circles. Some are direct messages and never come as posts.
        if number > 0 && random.below(3) > 0 {
            parents.push(format!("p{}", random.below(number)));
        }
        if number > 1 && random.below(6) == 0 {
            parents.push(format!("p{}", number - 1));
            parents.dedup();
        }
        conversation = (random.below(6) == 0).then(|| format!("c{}", random.below(2)));
    }
    InteractionReceived {
        message: Some(reference(if direct { "dm" } else { "x" }, &id)),
        direction: if ours { Direction::Outbound } else { Direction::Inbound } as i32,
        visibility: if direct { Visibility::Private } else { Visibility::Public } as i32,
        structure: if direct { Structure::Direct } else { Structure::Linked } as i32,
        author_id: Some(if ours { "us".into() } else { customer.to_owned() }),
        parents,
        conversation,
        recipients: if direct && ours { vec![customer.to_owned()] } else { Vec::new() },
        event_time: now - days * DAY_MS / 2,
        automatic: if !ours && random.below(15) == 0 { "auto-reply".into() } else { String::new() },
        content: Some(text(id)),
        ..InteractionReceived::default()
    }
}
