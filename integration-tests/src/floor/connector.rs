//! A connector: hands in what customers write, and what we answer.

use std::sync::Arc;
use std::time::Duration;

use rejoinder_api::ingest::publish_result::Outcome;
use rejoinder_api::ingest::{Author, Interaction, PublishBatchRequest, PublishRequest, PublishResult, Visibility};
use rejoinder_runtime::{Clock as _, SystemClock};
use rejoinder_service_kit::timestamp;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::Shared;
use super::line::{Line, Meaning, meaning};
use crate::client::Random;

/// Customers of each connector; every third writes public posts.
const CUSTOMERS: u64 = 30;

/// An interaction that happens now.
fn now(external_id: &str) -> Interaction {
    Interaction {
        channel: "x".into(),
        account: "acme".into(),
        external_id: external_id.to_owned(),
        event_time: Some(timestamp(SystemClock::new().wall_ms())),
        ..Interaction::default()
    }
}

/// What a customer writes. The text says who and what, for whoever answers.
#[must_use]
pub fn question(customer: u64, number: u64) -> Interaction {
    let id = format!("q{customer}-{number}");
    let author = Author { id: format!("customer{customer}"), ..Author::default() };
    let private = customer % 3 != 2;
    let visibility = if private { Visibility::Private } else { Visibility::Public } as i32;
    Interaction { direction: 1, author: Some(author), text: id.clone(), visibility, ..now(&id) }
}

/// Our answer to a customer's message that says so.
#[must_use]
pub fn answer(id: &str, question: &str) -> Interaction {
    let customer: u64 = question[1..].split('-').next().and_then(|number| number.parse().ok()).unwrap_or_default();
    let author = Author { id: "acme".into(), ..Author::default() };
    let reply = Interaction { direction: 2, author: Some(author), text: "an answer".into(), ..now(id) };
    if customer % 3 == 2 {
        return Interaction { reply_to: vec![question.to_owned()], visibility: Visibility::Public as i32, ..reply };
    }
    Interaction { to: vec![format!("customer{customer}")], visibility: Visibility::Private as i32, ..reply }
}

/// Notes what the server says of messages.
fn note(shared: &Shared, ids: &[String], results: Vec<PublishResult>) {
    let mut memory = shared.memory();
    for (id, result) in ids.iter().zip(results) {
        let known = memory.messages.get(id).cloned().flatten();
        let wrong = match (result.outcome(), known) {
            (Outcome::Accepted, Some(_)) => Some("was acknowledged, and is accepted again"),
            (Outcome::Duplicate, Some(known)) if known != result.interaction_id => Some("has another id now"),
            (Outcome::Refused | Outcome::Unspecified, _) => Some("is refused"),
            _ => None,
        };
        if let Some(wrong) = wrong {
            memory.broken.push(format!("{id} {wrong}: {:?}", result.refusal));
        }
        memory.messages.insert(id.clone(), Some(result.interaction_id));
    }
}

/// Hands in an answer, and waits until it is durable.
pub(crate) async fn publish(shared: &Shared, line: &Line, interaction: Interaction) -> Result<String, Status> {
    let ids = [interaction.external_id.clone()];
    shared.memory().messages.entry(ids[0].clone()).or_default();
    let batch = PublishBatchRequest { interactions: vec![interaction] };
    let answer = line.ingest().publish_batch(batch).await?.into_inner();
    note(shared, &ids, answer.results);
    Ok(answer.as_of)
}

/// The next batch: mostly new messages, some whose outcome is not known or that were taken before.
fn batch(shared: &Shared, number: u64, random: &mut Random) -> Vec<Interaction> {
    let mut interactions: Vec<Interaction> = Vec::new();
    for _ in 0..=random.below(3) {
        let customer = number * CUSTOMERS + random.below(CUSTOMERS);
        let mut memory = shared.memory();
        let next = memory.next.entry(customer).or_default();
        let number = if *next > 0 && random.below(8) == 0 {
            random.below(*next)
        } else {
            *next += 1;
            *next - 1
        };
        let message = question(customer, number);
        if interactions.iter().any(|other| other.external_id == message.external_id) {
            continue;
        }
        memory.messages.entry(message.external_id.clone()).or_default();
        interactions.push(message);
    }
    interactions
}

/// Works at a server until it is gone.
pub(crate) async fn life(shared: Arc<Shared>, line: Line, number: u64, mut random: Random) {
    let (to, from) = mpsc::channel::<PublishRequest>(4);
    let Ok(answers) = line.ingest().publish(ReceiverStream::new(from)).await else { return };
    let mut answers = answers.into_inner();
    while !shared.is_closing() {
        let interactions = batch(&shared, number, &mut random);
        let ids: Vec<String> = interactions.iter().map(|interaction| interaction.external_id.clone()).collect();
        if to.send(PublishRequest { interactions }).await.is_err() {
            return;
        }
        match answers.message().await {
            Ok(Some(answer)) if answer.shed.is_none() => note(&shared, &ids, answer.results),
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(status) => {
                if meaning(&status) == Meaning::Wrong {
                    shared.broken(format!("publish: {status:?}"));
                }
                return;
            }
        }
        // Customers write now and then: about a hundred a second, all together.
        tokio::time::sleep(Duration::from_millis(10 + random.below(40))).await;
    }
}
