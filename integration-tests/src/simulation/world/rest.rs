//! How it ends: everything heals, what is due fires, and nothing is left to do.

use super::World;
use crate::simulation::audit::GRACE_MS;
use crate::simulation::desk::Post as _;
use crate::simulation::{Plant, Wrong};

/// More timers than a world has, one after the other.
const LONGEST_WAIT: u32 = 200;

/// Far more rounds than the lanes need to come to rest.
const MOST_ROUNDS: u64 = 200;

impl World {
    /// Steps and syncs until nothing more is written.
    pub(in crate::simulation) fn settle(&mut self) -> Result<(), Wrong> {
        for _ in 0..MOST_ROUNDS {
            let before = self.records();
            for counter in &mut self.counters {
                counter.desk.run([false; 4])?;
            }
            self.log.sync();
            for counter in &mut self.counters {
                counter.desk.run([false; 4])?;
            }
            self.clients.hear()?;
            if self.records() == before {
                return Ok(());
            }
        }
        Err("the lanes never come to rest".into())
    }

    pub(in crate::simulation) fn come_to_rest(&mut self) -> Result<(), Wrong> {
        self.note("rest", &[]);
        self.sky.set_off(0);
        self.log.sync();
        for at in 0..self.counters.len() {
            self.lose_zombie(at)?;
            self.kill(at)?;
        }
        self.settle()?;
        if !self.counters.iter_mut().all(|counter| counter.desk.is_live()) {
            return Err("not every lane is live after all faults are gone".into());
        }
        self.send_again()?;
        if self.plant == Plant::Poison {
            self.retry_what_is_set_aside()?;
        }
        self.wait_for_timers()?;
        let before = self.records();
        self.settle()?;
        if self.records() != before || !self.counters.iter_mut().all(|counter| counter.desk.is_quiet()) {
            return Err("there is still something to do".into());
        }
        if self.clients.is_answered() { Ok(()) } else { Err("somebody is still waiting for an answer".into()) }
    }

    /// Clients send again what was never answered; some have given up.
    fn send_again(&mut self) -> Result<(), Wrong> {
        let now = self.sky.now();
        let mut insist = Vec::new();
        for shop in 0..self.clients.shops.len() {
            let desk = &self.counters[usize::from(self.clients.shops[shop].partition)].desk;
            if self.random.below(4) > 0 {
                self.clients.publish_unanswered(shop, desk, now);
                insist.push(shop);
            }
        }
        self.settle()?;
        for shop in insist {
            let desk = &self.counters[usize::from(self.clients.shops[shop].partition)].desk;
            if self.clients.publish_unanswered(shop, desk, now) {
                return Err("something is not answered without faults".into());
            }
            self.clients.look(shop, desk);
        }
        self.settle()
    }

    fn wait_for_timers(&mut self) -> Result<(), Wrong> {
        for round in 0..LONGEST_WAIT {
            let deadlines = self.counters.iter_mut().filter_map(|counter| counter.desk.next_deadline());
            let Some(deadline) = deadlines.min() else { return Ok(()) };
            let stamps = self.counters.iter().map(|counter| counter.desk.ingest.now());
            // The log may lie in the future: by a clock that was wrong when its process started.
            let target = deadline.max(stamps.max().unwrap_or_default()) + 2 * GRACE_MS;
            // Ever longer, so that it ends: the first ones are met one by one.
            let longer = GRACE_MS << (round / 4).min(12);
            self.sky.pass((target - self.sky.now()).max(longer));
            self.settle()?;
        }
        Err("timers never end".into())
    }
}
