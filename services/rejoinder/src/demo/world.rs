//! What customers write, and when, as a seed has it.
//!
//! Each customer has a script: some lines at fixed times, whether or not somebody answers in between. In
//! the middle a post of the company goes viral, and for a while everybody comments on it. So the same
//! seed, length and rate give the same messages, however fast anybody is.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use rejoinder_api::ingest::{Author, Direction, Interaction, Visibility};
use rejoinder_model::Millis;
use rejoinder_service_kit::timestamp;

/// The company, on every channel.
pub(super) const ACCOUNT: &str = "acme";
/// The customer-care channels, and how many of a hundred talks begin there.
const CHANNELS: [(&str, u64); 5] = [("chat", 8), ("whatsapp", 30), ("x", 30), ("x_es", 10), ("email", 22)];
/// Lines of a talk, and how many of a hundred talks have so many.
const LINES: [(usize, u64); 3] = [(1, 35), (2, 35), (3, 30)];
/// Hundredths of a line that a talk has on the average.
const MEAN_LINES: u64 = 195;
/// How long a customer waits before the next line, in milliseconds.
const PAUSE: std::ops::Range<u64> = 3_000..8_000;
/// The surge begins at this hundredth of the demo, lasts a sixth of it, and so many milliseconds at most.
const SURGE: (u64, u64) = (40, 6_000);
/// Comments in the surge for each usual message.
const COMMENTS_EACH: u64 = 4;
/// One talk in so many is by a customer who was here before.
const COMES_BACK: u64 = 6;

const OPENINGS: [&str; 4] = [
    "My parcel has not arrived.",
    "I was billed twice this month.",
    "I cannot sign in any more.",
    "Do you ship to Norway?",
];
const SPANISH: [&str; 3] = ["Mi paquete no ha llegado.", "Me han cobrado dos veces.", "No puedo entrar en mi cuenta."];
const LATER: [&str; 3] = ["Any news?", "Thank you, and when?", "It is about the order of last week."];
const COMMENTS: [&str; 3] = ["Again more expensive?", "Is that for old customers too?", "And how do I cancel?"];

/// A line that somebody is going to write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Line {
    /// Milliseconds after the start.
    at: u64,
    talk: u64,
    number: usize,
    channel: &'static str,
    customer: u64,
    text: &'static str,
    last: usize,
}

/// The customers.
pub(super) struct World {
    random: Rng,
    length_ms: u64,
    per_second: u64,
    talks: u64,
    comments: u64,
    posted: bool,
    agenda: BTreeSet<Line>,
}

fn weighted<T: Copy>(random: &mut Rng, choices: &[(T, u64)]) -> Option<T> {
    let mut left = random.u64(..choices.iter().map(|(_, weight)| weight).sum::<u64>().max(1));
    choices.iter().find_map(|(choice, weight)| {
        let found = left < *weight;
        left = left.saturating_sub(*weight);
        found.then_some(*choice)
    })
}

impl World {
    pub(super) fn new(seed: u64, length: Duration, per_second: u32) -> Self {
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let (random, agenda, per_second) = (Rng::with_seed(seed), BTreeSet::new(), u64::from(per_second));
        Self { random, length_ms, per_second, talks: 0, comments: 0, posted: false, agenda }
    }

    /// Customers who have written so far.
    pub(super) fn customers(&self) -> u64 {
        self.talks + self.comments
    }

    /// When the surge begins and ends, in milliseconds after the start.
    fn surge(&self) -> (u64, u64) {
        let begins = self.length_ms / 100 * SURGE.0;
        (begins, begins + SURGE.1.min(self.length_ms / 6))
    }

    /// What is written up to `elapsed` milliseconds after the start, at `now` on the clock.
    pub(super) fn until(&mut self, elapsed: u64, now: Millis) -> Vec<Interaction> {
        let mut written = Vec::new();
        let (begins, ends) = self.surge();
        if elapsed >= begins && !self.posted {
            self.posted = true;
            written.push(post(now));
        }
        while self.talks < elapsed * self.per_second * 100 / MEAN_LINES / 1_000 {
            self.begin(elapsed);
        }
        let comments = elapsed.clamp(begins, ends) - begins;
        while self.comments < comments * self.per_second * COMMENTS_EACH / 1_000 {
            self.comments += 1;
            written.push(comment(self.comments, COMMENTS[self.random.usize(..COMMENTS.len())], now));
        }
        while self.agenda.first().is_some_and(|line| line.at <= elapsed) {
            let Some(line) = self.agenda.pop_first() else { break };
            written.push(said(&line, now));
            if line.number < line.last && line.at < self.length_ms {
                let (at, number) = (line.at + self.random.u64(PAUSE), line.number + 1);
                let text = LATER[self.random.usize(..LATER.len())];
                self.agenda.insert(Line { at, number, text, ..line });
            }
        }
        written
    }

    fn begin(&mut self, at: u64) {
        self.talks += 1;
        let channel = weighted(&mut self.random, &CHANNELS).unwrap_or("x");
        let known = self.talks > 20 && self.random.u64(..COMES_BACK) == 0;
        let customer = if known { self.random.u64(1..self.talks) } else { self.talks };
        let texts = if channel == "x_es" { &SPANISH[..] } else { &OPENINGS[..] };
        let text = texts[self.random.usize(..texts.len())];
        let last = weighted(&mut self.random, &LINES).unwrap_or(1);
        self.agenda.insert(Line { at, talk: self.talks, number: 1, channel, customer, text, last });
    }
}

/// Direct messages name no message: the pair of writer and account is the talk.
pub(super) fn is_direct(channel: &str) -> bool {
    matches!(channel, "chat" | "whatsapp")
}

fn said(line: &Line, now: Millis) -> Interaction {
    let id = |number: usize| format!("talk-{}-{number}", line.talk);
    let parent = (line.number > 1 && !is_direct(line.channel)).then(|| id(line.number - 1));
    from_customer(line.channel, format!("customer-{}", line.customer), (id(line.number), parent), line.text, now)
}

fn comment(number: u64, text: &str, now: Millis) -> Interaction {
    let ids = (format!("comment-{number}"), Some(post(now).external_id));
    from_customer("x", format!("commenter-{number}"), ids, text, now)
}

fn from_customer(
    channel: &str,
    author: String,
    (id, parent): (String, Option<String>),
    text: &str,
    now: Millis,
) -> Interaction {
    // A desktop addresses a customer by the handle.
    let author = Author { name: author.replace('-', " "), handle: author.clone(), id: author };
    let message = message(channel, Direction::Inbound, id, text, now);
    Interaction { author: Some(author), reply_to: parent.into_iter().collect(), ..message }
}

/// The company's post that everybody comments on.
fn post(now: Millis) -> Interaction {
    from_us("x", "post-1".to_owned(), "We have news about our prices.", now)
}

/// A message of the company's.
pub(super) fn from_us(channel: &str, id: String, text: &str, now: Millis) -> Interaction {
    let author = Author { id: ACCOUNT.to_owned(), ..Author::default() };
    Interaction { author: Some(author), ..message(channel, Direction::Outbound, id, text, now) }
}

fn message(channel: &str, direction: Direction, external_id: String, text: &str, now: Millis) -> Interaction {
    let private = is_direct(channel) || channel == "email";
    let visibility = if private { Visibility::Private } else { Visibility::Public };
    Interaction {
        channel: channel.to_owned(),
        account: ACCOUNT.to_owned(),
        external_id,
        direction: direction as i32,
        text: text.to_owned(),
        event_time: Some(timestamp(now)),
        visibility: visibility as i32,
        ..Interaction::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seed: u64, slice: u64) -> Vec<Interaction> {
        let mut world = World::new(seed, Duration::from_secs(20), 50);
        (1..=20_000 / slice).flat_map(|n| world.until(n * slice, 1_800_000_000_000)).collect()
    }

    #[test]
    fn the_same_seed_has_the_same_messages_and_each_kind_of_them() {
        let one = written(1, 10);
        assert!(one == written(1, 10) && one != written(2, 10));
        let count = |which: &dyn Fn(&Interaction) -> bool| one.iter().filter(|said| which(said)).count();
        assert_eq!(count(&|said| said.direction() == Direction::Outbound), 1);
        assert_eq!(count(&|said| said.external_id.starts_with("comment-")), 666);
        assert!(CHANNELS.iter().all(|(channel, _)| count(&|said| said.channel == *channel) > 20));
        assert!(count(&|said| said.external_id.ends_with("-3")) > 20, "some write three times");
        let usual = one.len() - 667;
        assert!((700..=1_000).contains(&usual), "{usual} messages in 20 s at 50 a second");
    }
}
