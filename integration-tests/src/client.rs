//! A client with a memory of its own: what it sent, and what was acknowledged. It lies outside the
//! server, so that a kill takes nothing of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rejoinder_api::ingest::publish_result::Outcome;
use rejoinder_api::ingest::{Author, Interaction, PublishRequest, Visibility};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::server::Server;

/// What a client knows of its messages: the id that the server gave, once it acknowledged.
#[derive(Default)]
pub struct History {
    /// By external id. `None`: sent, and the outcome is not known.
    pub messages: BTreeMap<String, Option<String>>,
    /// What the server said that must not be.
    pub broken: Vec<String>,
}

impl History {
    /// How many messages were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        self.messages.values().flatten().count()
    }
}

fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client that outlives its servers.
pub struct Client {
    history: Arc<Mutex<History>>,
    next: u64,
    runtime: tokio::runtime::Runtime,
}

impl Default for Client {
    fn default() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        Self { history: Arc::default(), next: 0, runtime }
    }
}

impl Client {
    /// What it knows.
    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// Loads a server as fast as it takes it, and kills it after `life`.
    ///
    /// # Panics
    /// When the server was gone before.
    pub fn load_and_kill(&mut self, server: Server, life: Duration, seed: u64) {
        let pid = server.pid().to_string();
        self.next = self.runtime.block_on(async {
            // Whatever runs after this kills the server; the sender ends when it is gone.
            let sending = send_until_gone(&server, &self.history, seed, self.next);
            let killing = async {
                tokio::time::sleep(life).await;
                assert!(std::process::Command::new("kill").args(["-KILL", &pid]).status().is_ok_and(|it| it.success()));
            };
            tokio::join!(sending, killing).0
        });
        server.kill();
    }

    /// Loads a server until it is gone by itself.
    pub fn load_until_gone(&mut self, server: &Server, seed: u64) {
        self.next = self.runtime.block_on(send_until_gone(server, &self.history, seed, self.next));
    }
}

/// Numbers that look random and are the same for the same seed.
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Message `number` of a world of 200 customers who write directly, and of our answers.
#[must_use]
pub fn message(number: u64) -> Interaction {
    let customer = format!("customer-{}", number % 200);
    let ours = number % 5 == 4;
    let seconds = 1_700_000_000 + i64::try_from(number).unwrap_or_default();
    Interaction {
        channel: "whatsapp".into(),
        account: "acme".into(),
        external_id: format!("m{number:08}"),
        direction: if ours { 2 } else { 1 },
        author: Some(Author { id: if ours { "acme".into() } else { customer.clone() }, ..Author::default() }),
        to: if ours { vec![customer] } else { vec![] },
        text: format!("message {number}"),
        event_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        visibility: Visibility::Private as i32,
        ..Interaction::default()
    }
}

/// Sends batches until the server is gone: new messages, some of unknown outcome again, and some that
/// were acknowledged. Returns the number of the next new message.
async fn send_until_gone(server: &Server, history: &Arc<Mutex<History>>, seed: u64, mut next: u64) -> u64 {
    let mut random = Random(seed);
    let mut client = server.ingest().await;
    let (to, from) = mpsc::channel::<PublishRequest>(8);
    let Ok(answers) = client.publish(ReceiverStream::new(from)).await else { return next };
    let mut answers = answers.into_inner();
    let (sent_to, mut sent_from) = mpsc::channel::<Vec<String>>(64);
    let noted = history.clone();
    let reading = tokio::spawn(async move {
        while let Some(ids) = sent_from.recv().await {
            let Ok(Some(answer)) = answers.message().await else { return };
            let mut history = lock(&noted);
            if answer.shed.is_some() {
                continue;
            }
            for (id, result) in ids.into_iter().zip(answer.results) {
                let known = history.messages.get(&id).cloned().flatten();
                let wrong = match (result.outcome(), known) {
                    (Outcome::Accepted, Some(_)) => Some("was acknowledged, and is accepted again"),
                    (Outcome::Duplicate, Some(known)) if known != result.interaction_id => Some("has another id now"),
                    (Outcome::Refused | Outcome::Unspecified, _) => Some("is refused"),
                    _ => None,
                };
                if let Some(wrong) = wrong {
                    history.broken.push(format!("{id} {wrong}"));
                }
                history.messages.insert(id, Some(result.interaction_id));
            }
        }
    });
    loop {
        let mut numbers: Vec<u64> = Vec::new();
        let size = 1 + random.below(40);
        for _ in 0..size {
            // One in eight was sent before.
            if next > 0 && random.below(8) == 0 {
                numbers.push(random.below(next));
            } else {
                numbers.push(next);
                next += 1;
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        let interactions: Vec<Interaction> = numbers.into_iter().map(message).collect();
        let ids: Vec<String> = interactions.iter().map(|interaction| interaction.external_id.clone()).collect();
        {
            let mut history = lock(history);
            for id in &ids {
                history.messages.entry(id.clone()).or_default();
            }
        }
        if sent_to.send(ids).await.is_err() || to.send(PublishRequest { interactions }).await.is_err() {
            break;
        }
    }
    drop(sent_to);
    let _ = reading.await;
    next
}
