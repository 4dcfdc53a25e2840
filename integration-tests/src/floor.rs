//! A support floor outside the server: connectors, agents at desktops, supervisors and a watcher of
//! alarms, over the real sockets. They outlive the servers; what they know lies in `memory`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::client::Random;
use crate::server::Server;

pub mod agent;
mod closing;
pub mod connector;
pub mod line;
pub mod memory;
pub mod rules;
mod supervisor;
mod watcher;

use line::Line;
use memory::{Memory, Promise};

/// The workspace of the floor.
pub const WORKSPACE: &str = "floor";

/// What all on the floor share.
#[derive(Default)]
pub(crate) struct Shared {
    memory: Mutex<Memory>,
    /// Nothing new is begun any more.
    closing: AtomicBool,
}

impl Shared {
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn promise(&self, promise: Promise) {
        self.memory().promises.push(promise);
    }

    pub(crate) fn broken(&self, what: String) {
        self.memory().broken.push(what);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

/// The floor.
pub struct Floor {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Runtime,
}

impl Default for Floor {
    fn default() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime starts");
        Self { shared: Arc::default(), runtime }
    }
}

impl Floor {
    /// What its people know.
    pub fn memory(&self) -> MutexGuard<'_, Memory> {
        self.shared.memory()
    }

    /// Publishes the floor's rules, and lets the watcher begin there.
    ///
    /// # Panics
    /// When the server does not take them.
    pub fn open(&self, server: &Server) {
        self.runtime.block_on(async {
            let line = Line::to(server, WORKSPACE).await;
            let applied = rules::apply(&line, &rules::usual()).await.expect("the rules are taken");
            self.memory().cursor = applied;
        });
    }

    /// Everybody works at a server; whoever loses it is through.
    async fn work(&self, server: &Server, seed: u64) -> JoinSet<()> {
        let mut people = JoinSet::new();
        let mut random = Random(seed.wrapping_mul(7_919).wrapping_add(1));
        let mut lines = Vec::new();
        for _ in 0..4 {
            lines.push(Line::to(server, WORKSPACE).await);
        }
        for number in 0..rules::AGENTS {
            let line = lines[usize::try_from(number).unwrap_or_default() % lines.len()].clone();
            people.spawn(agent::life(self.shared.clone(), line, number, Random(random.below(1 << 30))));
        }
        for (number, line) in (0..2).zip(lines.clone()) {
            people.spawn(connector::life(self.shared.clone(), line, number, Random(random.below(1 << 30))));
        }
        people.spawn(supervisor::life(self.shared.clone(), lines[2].clone(), Random(random.below(1 << 30))));
        people.spawn(watcher::life(self.shared.clone(), lines[3].clone()));
        people
    }

    /// Everybody works at a server that is killed after `life`.
    pub fn work_and_kill(&self, server: Server, life: Duration, seed: u64) {
        self.runtime.block_on(async {
            let mut people = self.work(&server, seed).await;
            tokio::time::sleep(life).await;
            server.kill();
            self.leave(&mut people).await;
        });
    }

    /// Everybody works at a server, while others do something else with it.
    #[must_use]
    pub fn begin(&self, server: &Server, seed: u64) -> JoinSet<()> {
        self.runtime.block_on(self.work(server, seed))
    }

    /// Waits until everybody has noticed that the server is gone.
    pub fn end(&self, mut people: JoinSet<()>) {
        self.runtime.block_on(self.leave(&mut people));
    }

    /// Nothing new is begun, and all that is open is brought to an end.
    ///
    /// # Errors
    /// What is still open after a long time.
    pub fn close(&self, server: &Server, seed: u64) -> Result<(), String> {
        self.runtime.block_on(async {
            self.shared.closing.store(true, Ordering::Relaxed);
            let people = self.work(server, seed).await;
            let line = Line::to(server, WORKSPACE).await;
            let closed = closing::close(&self.shared, &line).await;
            drop(people);
            closed
        })
    }

    /// Everybody notices that the server is gone.
    async fn leave(&self, people: &mut JoinSet<()>) {
        let gone = async { while people.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(30), gone).await.is_err() {
            self.shared.broken("somebody did not notice that the server was killed".into());
        }
    }
}
