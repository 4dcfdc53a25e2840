//! What customers and the company say in one workspace. Some is drawn before anything is sent: so a
//! message can name another that is sent later, or never. The rest is said as the world goes on.

use rejoinder_ingest_core::{Arrival, Revision};
use rejoinder_model::{DAY_MS, HOUR_MS, InteractionId, MINUTE_MS, MessageKey, Millis};
use rejoinder_wire::event::{Content, Direction, InteractionReceived, MessageRef, Structure, Visibility, content};

use crate::client::Random;

const ACCOUNT: &str = "acme";

/// Something to publish.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) key: MessageKey,
    pub(super) arrival: Arrival,
    /// It was said as the world went on: sooner or later it is sent.
    pub(super) live: bool,
    pub(super) sent: bool,
    pub(super) acknowledged: bool,
    /// As it was acknowledged.
    pub(super) interaction: Option<InteractionId>,
}

impl Draft {
    fn new(workspace: &str, received: InteractionReceived, revision: Option<Revision>) -> Self {
        let name = received.message.clone().unwrap_or_default();
        let key = MessageKey::new(workspace, &name.channel, Some(ACCOUNT), &name.external_id);
        let arrival = Arrival { received, revision };
        Self { key, arrival, live: false, sent: false, acknowledged: false, interaction: None }
    }

    /// A customer's message.
    pub(super) fn is_question(&self) -> bool {
        self.arrival.revision.is_none() && self.arrival.received.direction == Direction::Inbound as i32
    }
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
    let count = 6 + random.below(12);
    for number in 0..count {
        let message = message(random, number, now);
        let Some(name) = message.message.clone() else { continue };
        let revise = |revision: Option<Revision>| {
            let received = if revision.is_some() {
                let content = Some(text(format!("{} again", name.external_id)));
                InteractionReceived { message: Some(name.clone()), content, ..InteractionReceived::default() }
            } else {
                message.clone()
            };
            Draft::new(workspace, received, revision)
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
    // Half of it is of long ago.
    let (steps, step) = if random.below(2) == 0 { (60, DAY_MS / 2) } else { (90, 2 * MINUTE_MS) };
    let before = i64::try_from(random.below(steps)).unwrap_or_default() * step;
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
        event_time: now - before,
        automatic: if !ours && random.below(15) == 0 { "auto-reply".into() } else { String::new() },
        content: Some(text(id)),
        ..InteractionReceived::default()
    }
}

/// What a customer writes now: directly, or in public, to somebody who wrote before or out of the blue.
pub(super) fn question(random: &mut Random, workspace: &str, number: usize, now: Millis) -> Draft {
    let customer = ["a", "b", "c"][usize::try_from(random.below(3)).unwrap_or_default()];
    let direct = random.below(2) == 0;
    let event_time = now - i64::try_from(random.below(MINUTE_MS.unsigned_abs())).unwrap_or_default();
    let message = reference(if direct { "dm" } else { "x" }, &format!("q{number}"));
    let parents = if direct || random.below(2) == 0 { Vec::new() } else { vec![format!("p{}", random.below(12))] };
    let received = InteractionReceived {
        message: Some(message),
        direction: Direction::Inbound as i32,
        visibility: if direct { Visibility::Private } else { Visibility::Public } as i32,
        structure: if direct { Structure::Direct } else { Structure::Linked } as i32,
        author_id: Some(customer.to_owned()),
        parents,
        event_time,
        content: Some(text(format!("q{number}"))),
        ..InteractionReceived::default()
    };
    Draft { live: true, ..Draft::new(workspace, received, None) }
}

/// What we answer, now by a clock that may be slow or fast.
pub(super) fn answer_to(random: &mut Random, workspace: &str, asked: &Draft, number: usize, now: Millis) -> Draft {
    let question = &asked.arrival.received;
    let direct = question.structure == Structure::Direct as i32;
    let name = question.message.clone().unwrap_or_default();
    let slow = [0, 0, 0, 5_000, -5_000, -HOUR_MS][usize::try_from(random.below(6)).unwrap_or_default()];
    let customer = question.author_id.clone().into_iter().collect();
    let received = InteractionReceived {
        message: Some(reference(&name.channel, &format!("r{number}"))),
        direction: Direction::Outbound as i32,
        visibility: question.visibility,
        structure: question.structure,
        author_id: Some(if random.below(8) == 0 { "robot".into() } else { "us".into() }),
        parents: if direct && random.below(2) == 0 { Vec::new() } else { vec![name.external_id] },
        recipients: if direct { customer } else { Vec::new() },
        event_time: now + slow,
        content: Some(text(format!("r{number}"))),
        ..InteractionReceived::default()
    };
    Draft { live: true, ..Draft::new(workspace, received, None) }
}
