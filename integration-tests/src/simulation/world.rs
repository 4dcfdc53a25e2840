//! The world: machines, their lanes and clients, led from one seed through faults to rest.

use std::sync::Arc;

use rejoinder_event_log::MemoryLog;
use rejoinder_model::{DAY_MS, HOUR_MS, MINUTE_MS, Millis, Service};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_runtime::{Clock, Options};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::audit::{GRACE_MS, TICK_MS};
use super::clients::Clients;
use super::clock::{ProcessClock, Sky};
use super::desk::{Desk, Hangs, Seat};
use super::disk::Disk;
use super::trace::{Roughness, Trace};
use super::{Plant, Wrong};
use crate::client::Random;

mod faults;
mod rest;
mod verdict;

/// Clocks in Berlin change within a day or two: to winter time at the first, to summer time at the other.
const CHANGES: [Millis; 2] = [1_698_541_200_000, 1_711_846_800_000];
const MACHINES: usize = 2;

/// A partition and who works on it.
struct Counter {
    /// Who is assigned.
    desk: Desk,
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
    log: Arc<MemoryLog>,
    sky: Arc<Sky>,
    /// By partition, then machine.
    disks: Vec<[Disks; MACHINES]>,
    counters: Vec<Counter>,
    clients: Clients,
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
    fn new(store: &ProjectionStore, seed: u64, plant: Plant) -> Result<Self, Wrong> {
        let mut random = Random(xxh3_64(&seed.to_le_bytes()));
        plant.take_root();
        let partitions = u16::try_from(1 + random.below(3)).unwrap_or(1);
        let log = MemoryLog::with_manual_sync(partitions);
        let change = CHANGES[usize::try_from(random.below(2)).unwrap_or_default()];
        let start = change - i64::try_from(random.below((2 * DAY_MS).unsigned_abs())).unwrap_or_default();
        let sky = Sky::starting_at(start);
        let options = Options {
            checkpoint_events: 5 + random.below(60),
            max_in_flight: usize::try_from(1 + random.below(8)).unwrap_or(1),
            tick_interval_ms: TICK_MS,
            memory_bytes: if random.below(2) == 0 { 1 } else { 64 << 20 },
            heartbeat_ms: MINUTE_MS,
            grace_ms: if plant == Plant::NoGrace { 1 } else { GRACE_MS },
            ..Options::default()
        };
        let clients = Clients::new(&mut random, partitions, start, plant);
        let weather = 1 + random.below(4);
        let mut world = Self {
            random,
            plant,
            log,
            sky,
            disks: Vec::new(),
            counters: Vec::new(),
            clients,
            options,
            weather,
            desks: 0,
            actions: Xxh3::new(),
            rough: Roughness::default(),
        };
        for partition in 0..partitions {
            let disk = |machine, service| Disk::new(store.lane(service, place_on_disk(partition, machine)));
            let of = |machine| -> Result<Disks, Wrong> {
                let [ingest, threading, routing, sla] = Service::ALL.map(|service| disk(machine, service));
                Ok([ingest?, threading?, routing?, sla?])
            };
            world.disks.push([of(0)?, of(1)?]);
            let desk = world.open_desk(partition, 0)?;
            world.counters.push(Counter { desk, zombie: None, hangs: [0; 4] });
        }
        Ok(world)
    }

    /// Starts a process on a machine for a partition.
    fn open_desk(&mut self, partition: u16, machine: usize) -> Result<Desk, Wrong> {
        self.desks += 1;
        let clock: Arc<dyn Clock> = ProcessClock::new(&self.sky);
        let writer = self.random.below(1 << 31) << 32 | self.random.below(1 << 31);
        let writer = if self.plant == Plant::NamelessClaims { 0 } else { writer };
        let options = Options { writer, ..self.options };
        let stores = Service::ALL.map(|service| {
            let disk = &self.disks[usize::from(partition)][machine][service as usize - 1];
            (self.plant.view(&self.log, service), disk.store.clone())
        });
        let [ingest, threading, routing, sla] = &stores;
        Ok(Desk {
            number: self.desks,
            machine,
            ingest: Seat::open(partition, &ingest.0, &clock, &ingest.1, options)?,
            threading: Seat::open(partition, &threading.0, &clock, &threading.1, options)?,
            routing: Seat::open(partition, &routing.0, &clock, &routing.1, options)?,
            sla: Seat::open(partition, &sla.0, &clock, &sla.1, options)?,
        })
    }

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

/// Each machine has a part of the store of its own.
pub(super) fn place_on_disk(partition: u16, machine: usize) -> u16 {
    partition * 8 + u16::try_from(machine).unwrap_or_default()
}
