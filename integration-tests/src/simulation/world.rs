//! The world: machines, their lanes and clients, led from one seed through faults to rest.

use std::sync::Arc;

use rejoinder_event_log::MemoryLog;
use rejoinder_model::{HOUR_MS, MINUTE_MS};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_runtime::Options;
use xxhash_rust::xxh3::Xxh3;

use super::clients::Clients;
use super::clock::Sky;
use super::desk::{Desk, Hangs};
use super::disk::Disk;
use super::trace::{Roughness, Trace};
use super::{Plant, Wrong};
use crate::client::Random;

mod faults;
mod open;
mod rest;
mod retry;
mod verdict;

const MACHINES: usize = 2;

/// A partition and who works on it.
pub(super) struct Counter {
    /// Who is assigned.
    pub(super) desk: Desk,
    /// Who was, and may not know better.
    zombie: Option<Desk>,
    /// For how many more actions each service but ingest hangs, by number.
    hangs: [u64; 4],
}

impl Counter {
    fn hangs(&self) -> Hangs {
        self.hangs.map(|left| left > 0)
    }
}

/// What a machine keeps of a partition, by service.
type Disks = [Disk; 4];

pub(super) struct World {
    random: Random,
    plant: Plant,
    pub(super) log: Arc<MemoryLog>,
    pub(super) sky: Arc<Sky>,
    /// By partition, then machine.
    disks: Vec<[Disks; MACHINES]>,
    pub(super) counters: Vec<Counter>,
    pub(super) clients: Clients,
    options: Options,
    /// How many of four faults happen.
    weather: u64,
    desks: u64,
    actions: Xxh3,
    rough: Roughness,
}

/// Runs the world of a seed from its first record to its rest.
///
/// # Errors
/// What is wrong, in words.
pub fn run(store: &ProjectionStore, seed: u64, plant: Plant) -> Result<Trace, Wrong> {
    let mut world = World::new(store, seed, plant)?;
    world.open_shops()?;
    for _ in 0..world.random.below(300) + 100 {
        world.act()?;
        world.clients.hear()?;
    }
    world.come_to_rest()?;
    world.verdict(store)
}

impl World {
    fn note(&mut self, what: &str, numbers: &[u64]) {
        self.actions.update(what.as_bytes());
        numbers.iter().for_each(|number| self.actions.update(&number.to_le_bytes()));
    }

    fn any_partition(&mut self) -> usize {
        usize::try_from(self.random.below(self.counters.len() as u64)).unwrap_or_default()
    }

    /// Every workspace has its policy before anything goes wrong.
    fn open_shops(&mut self) -> Result<(), Wrong> {
        self.settle()?;
        for shop in 0..self.clients.shops.len() {
            if self.clients.shops[shop].exists {
                let at = usize::from(self.clients.shops[shop].partition);
                self.clients.publish_policy(&mut self.random, shop, &self.counters[at].desk);
            }
        }
        self.settle()
    }

    /// Does one thing.
    fn act(&mut self) -> Result<(), Wrong> {
        for counter in &mut self.counters {
            counter.hangs = counter.hangs.map(|left| left.saturating_sub(1));
        }
        let at = self.any_partition();
        match self.random.below(100) {
            0..=41 => {
                for _ in 0..=self.random.below(3) {
                    self.be_asked();
                }
            }
            42..=57 => self.step_somebody(at)?,
            58..=66 => {
                let records = 1 + self.random.below(4);
                self.note("sync some", &[at as u64, records]);
                self.log.sync_some(u16::try_from(at).unwrap_or_default(), records);
            }
            67..=71 => {
                self.note("sync", &[]);
                self.log.sync();
            }
            72..=75 => self.go_smoothly(at)?,
            76..=81 => self.have_a_busy_while()?,
            82..=87 => self.let_time_pass(),
            88 => self.flush(at)?,
            89 => self.sync_disks(at)?,
            // In better weather lanes get further between two faults.
            90..=98 if self.random.below(6) >= self.weather => self.go_smoothly(at)?,
            90 | 91 => self.set_clock_wrong(),
            92 => self.cut_power()?,
            93 | 94 => self.kill(at)?,
            95 | 96 => self.move_away(at)?,
            97 | 98 => self.come_back(at),
            _ => {
                let (hangs, service) = (self.random.below(80), 1 + self.random.below(3));
                self.note("hang", &[at as u64, hangs, service]);
                self.counters[at].hangs[usize::try_from(service).unwrap_or_default()] = hangs;
            }
        }
        Ok(())
    }

    /// A client turns to a desk, now and then to the wrong one.
    fn be_asked(&mut self) {
        let shop = usize::try_from(self.random.below(self.clients.shops.len() as u64)).unwrap_or_default();
        let (kind, wrong) = (self.random.below(40), self.random.below(8) == 0);
        self.note("ask", &[shop as u64, kind]);
        let counter = &self.counters[usize::from(self.clients.shops[shop].partition)];
        let desk = counter.zombie.as_ref().filter(|_| wrong).unwrap_or(&counter.desk);
        let now = self.sky.now();
        match kind {
            0..=5 => self.clients.publish(&mut self.random, shop, desk, now),
            6..=10 => self.clients.write(&mut self.random, shop, desk, now),
            11..=13 => self.clients.look(shop, desk),
            14 if self.clients.shops[shop].exists => self.clients.publish_policy(&mut self.random, shop, desk),
            14..=17 => self.clients.command(&mut self.random, shop, desk, now),
            18 => self.clients.notice(&mut self.random, shop, desk),
            19 | 20 => self.clients.listen(shop, desk),
            21 | 22 => self.clients.nod(&mut self.random, shop, desk, now),
            _ => self.clients.work(&mut self.random, shop, desk, now),
        }
    }

    fn step_somebody(&mut self, at: usize) -> Result<(), Wrong> {
        let (steps, zombie) = (self.random.below(8), self.random.below(4) == 0);
        self.note("step", &[at as u64, steps, u64::from(zombie)]);
        let counter = &mut self.counters[at];
        let hangs = counter.hangs();
        let desk = if zombie { counter.zombie.as_mut().unwrap_or(&mut counter.desk) } else { &mut counter.desk };
        if steps == 0 {
            return desk.run(hangs);
        }
        (0..steps).try_for_each(|_| desk.step(hangs).map(|_| ()))
    }

    /// For a while all goes as it should, but for what hangs.
    fn go_smoothly(&mut self, at: usize) -> Result<(), Wrong> {
        self.note("smoothly", &[at as u64]);
        for _ in 0..4 {
            let counter = &mut self.counters[at];
            let hangs = counter.hangs();
            counter.desk.run(hangs)?;
            self.log.sync_some(u16::try_from(at).unwrap_or_default(), u64::MAX >> 1);
        }
        Ok(())
    }

    /// In one shop people work, and see at once what becomes of it.
    fn have_a_busy_while(&mut self) -> Result<(), Wrong> {
        let shop = usize::try_from(self.random.below(self.clients.shops.len() as u64)).unwrap_or_default();
        let at = usize::from(self.clients.shops[shop].partition);
        self.note("busy", &[shop as u64]);
        for _ in 0..=self.random.below(8) {
            let now = self.sky.now();
            for _ in 0..=self.random.below(3) {
                self.clients.work(&mut self.random, shop, &self.counters[at].desk, now);
            }
            self.go_smoothly(at)?;
            self.clients.hear()?;
            self.sky.pass(i64::try_from(self.random.below(3_000)).unwrap_or_default());
        }
        Ok(())
    }

    fn let_time_pass(&mut self) {
        let (second, minute, hour) = (1_000, MINUTE_MS, HOUR_MS);
        let longest =
            [second, second, 5 * second, 5 * second, minute, minute, minute, 10 * minute, 5 * hour, 30 * hour];
        let longest = longest[usize::try_from(self.random.below(longest.len() as u64)).unwrap_or_default()];
        let ms = 1 + self.random.below(longest.unsigned_abs());
        self.note("time", &[ms]);
        self.sky.pass(i64::try_from(ms).unwrap_or_default());
    }
}
