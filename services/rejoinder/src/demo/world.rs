//! Customers and agents, as a seed has them: who writes what next.

use std::collections::VecDeque;

use rejoinder_api::ingest::{Author, Direction, Interaction, Visibility};
use rejoinder_model::{DAY_MS, Millis};
use rejoinder_service_kit::timestamp;

pub(super) const ACCOUNT: &str = "acme";
const CHANNELS: [&str; 3] = ["x", "whatsapp", "email"];
/// The message after which a post of the company goes viral.
const VIRAL_AT: u64 = 2_000;
const VIRAL_COMMENTS: u64 = 500;
/// Talks that may go on; beyond that the oldest are left alone.
const MAX_OPEN: usize = 20_000;

/// A talk that may go on: the last message, and whose turn it is.
#[derive(Clone)]
struct Talk {
    channel: &'static str,
    customer: u64,
    message: String,
    ours: bool,
}

/// The workload.
pub(super) struct World {
    random: u64,
    pub(super) customers: u64,
    messages: u64,
    open: VecDeque<Talk>,
    /// The company's post that everybody comments on.
    viral: Option<String>,
}

/// What a message says beside who and where.
struct Said<'a> {
    id: String,
    parent: Option<String>,
    text: &'a str,
    time: Millis,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        Self { random: seed, customers: 0, messages: 0, open: VecDeque::new(), viral: None }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or_default()
    }

    /// The next message, written now, or some days ago by a customer who comes back today.
    pub(super) fn next(&mut self, now: Millis) -> Interaction {
        self.messages += 1;
        if self.messages == VIRAL_AT {
            let post = format!("post-{}", self.messages);
            self.viral = Some(post.clone());
            return from_us(
                "x",
                None,
                Said { id: post, parent: None, text: "We have news about our prices.", time: now },
            );
        }
        if let Some(post) = self.viral.clone().filter(|_| self.messages < VIRAL_AT + VIRAL_COMMENTS) {
            self.customers += 1;
            let id = format!("comment-{}", self.messages);
            let said = Said { id, parent: Some(post), text: "Again more expensive?", time: now };
            return from_customer("x", self.customers, said);
        }
        // One in eight opens a new talk; the others go on with what is open.
        if self.open.len() < 50 || self.below(8) == 0 { self.opening(now) } else { self.reply(now) }
    }

    fn opening(&mut self, now: Millis) -> Interaction {
        self.customers += 1;
        let channel = CHANNELS[self.index(CHANNELS.len())];
        let id = format!("q-{}", self.messages);
        self.open.push_back(Talk { channel, customer: self.customers, message: id.clone(), ours: false });
        // Some wrote two days ago, and come back today.
        let time = if self.below(20) == 0 { now - 2 * DAY_MS } else { now };
        from_customer(channel, self.customers, Said { id, parent: None, text: "My parcel has not arrived.", time })
    }

    fn reply(&mut self, now: Millis) -> Interaction {
        let at = self.index(self.open.len());
        let talk = self.open[at].clone();
        let id = format!("m-{}", self.messages);
        if self.open.len() > MAX_OPEN {
            self.open.swap_remove_back(at);
        } else {
            self.open[at] = Talk { message: id.clone(), ours: !talk.ours, ..talk.clone() };
        }
        let said = |text| Said { id, parent: Some(talk.message.clone()), text, time: now };
        if talk.ours {
            from_customer(talk.channel, talk.customer, said("Thank you, and when?"))
        } else {
            from_us(talk.channel, Some(talk.customer), said("We are looking into it."))
        }
    }
}

fn customer_id(customer: u64) -> String {
    format!("customer-{customer}")
}

fn from_customer(channel: &str, customer: u64, said: Said<'_>) -> Interaction {
    let id = customer_id(customer);
    message(channel, Direction::Inbound, Author { name: format!("Customer {customer}"), id, ..Author::default() }, said)
}

fn from_us(channel: &str, to: Option<u64>, said: Said<'_>) -> Interaction {
    let author = Author { id: ACCOUNT.to_owned(), ..Author::default() };
    let to = to.map(customer_id).into_iter().collect();
    Interaction { to, ..message(channel, Direction::Outbound, author, said) }
}

fn message(channel: &str, direction: Direction, author: Author, said: Said<'_>) -> Interaction {
    // Direct messages name no message: the pair of writer and account is the talk.
    let direct = channel == "whatsapp";
    let visibility = if channel == "x" { Visibility::Public } else { Visibility::Private };
    Interaction {
        channel: channel.to_owned(),
        account: ACCOUNT.to_owned(),
        external_id: said.id,
        direction: direction as i32,
        author: Some(author),
        text: said.text.to_owned(),
        event_time: Some(timestamp(said.time)),
        reply_to: said.parent.filter(|_| !direct).into_iter().collect(),
        visibility: visibility as i32,
        ..Interaction::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_has_the_same_messages_and_each_kind_of_them() {
        let (mut one, mut two, mut other) = (World::new(1), World::new(1), World::new(2));
        let of = |world: &mut World| (0..4_000).map(|_| world.next(DAY_MS * 20_000)).collect::<Vec<_>>();
        let said = of(&mut one);
        assert!(said == of(&mut two) && said != of(&mut other));
        let count = |which: &dyn Fn(&Interaction) -> bool| said.iter().filter(|said| which(said)).count();
        assert_eq!(count(&|said| said.external_id.starts_with("comment-")) as u64, VIRAL_COMMENTS - 1);
        assert!(count(&|said| said.direction() == Direction::Outbound) > 500);
        assert!(count(&|said| said.event_time != Some(timestamp(DAY_MS * 20_000))) > 5, "some wrote days ago");
        assert!(CHANNELS.iter().all(|channel| count(&|said| said.channel == *channel) > 200));
    }
}
