//! The world: machines, their lanes and clients, led from one seed through faults to rest.

use std::sync::Arc;

use rejoinder_event_log::{EventLog, MemoryLog};
use rejoinder_ingest_core::Ingest;
use rejoinder_machine::State;
use rejoinder_model::{HOUR_MS, MINUTE_MS, Millis, Service};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_runtime::{Clock, Options};
use rejoinder_threading_core::Threading;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::audit::{self, GRACE_MS, TICK_MS};
use super::clients::Clients;
use super::clock::{ProcessClock, Sky};
use super::desk::{Desk, Seat};
use super::disk::Disk;
use super::{Plant, Wrong};
use crate::client::Random;

mod faults;
mod rest;

const START: Millis = 1_700_000_000_000;
const MACHINES: usize = 2;

/// What a run leaves: equal for equal seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Of all bytes of the log.
    pub log: u64,
    /// Of what was done.
    pub actions: u64,
    /// How rough it was.
    pub rough: Roughness,
}

/// How much went wrong in a run, and how much was done all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roughness {
    /// Power cuts and kills.
    pub crashes: u64,
    /// Lanes that another machine took over.
    pub moves: u64,
    /// Records that did not count.
    pub void: u64,
    /// Answers of unknown outcome.
    pub lost: u64,
    /// Messages answered as duplicates.
    pub duplicates: u64,
    /// Messages accepted.
    pub messages: u64,
    /// Timers fired.
    pub fired: u64,
    /// Checkpoints compared.
    pub checkpoints: u64,
}

impl Roughness {
    /// The sum of both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self {
            crashes: self.crashes + other.crashes,
            moves: self.moves + other.moves,
            void: self.void + other.void,
            lost: self.lost + other.lost,
            duplicates: self.duplicates + other.duplicates,
            messages: self.messages + other.messages,
            fired: self.fired + other.fired,
            checkpoints: self.checkpoints + other.checkpoints,
        }
    }
}

/// A partition and who works on it.
struct Counter {
    /// Who is assigned.
    desk: Desk,
    /// Who was, and may not know better.
    zombie: Option<Desk>,
    /// For how many actions threading hangs.
    hangs: u64,
}

struct World {
    random: Random,
    plant: Plant,
    log: Arc<MemoryLog>,
    shown: Arc<dyn EventLog>,
    sky: Arc<Sky>,
    /// By partition, then machine, then service.
    disks: Vec<[[Disk; 2]; MACHINES]>,
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
    for _ in 0..world.random.below(250) + 100 {
        world.act()?;
        world.clients.hear()?;
    }
    world.come_to_rest()?;
    world.audit(store)
}

impl World {
    fn new(store: &ProjectionStore, seed: u64, plant: Plant) -> Result<Self, Wrong> {
        let mut random = Random(xxh3_64(&seed.to_le_bytes()));
        let partitions = u16::try_from(2 + random.below(3)).unwrap_or(2);
        let log = MemoryLog::with_manual_sync(partitions);
        let shown = plant.log(&log);
        let sky = Sky::starting_at(START);
        let options = Options {
            checkpoint_events: 5 + random.below(60),
            max_in_flight: usize::try_from(1 + random.below(8)).unwrap_or(1),
            tick_interval_ms: TICK_MS,
            memory_bytes: if random.below(2) == 0 { 1 } else { 64 << 20 },
            heartbeat_ms: MINUTE_MS,
            grace_ms: if plant == Plant::NoGrace { 1 } else { GRACE_MS },
            ..Options::default()
        };
        let clients = Clients::new(&mut random, partitions, START, plant);
        let weather = 1 + random.below(4);
        let mut world = Self {
            random,
            plant,
            log,
            shown,
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
            let of = |machine| -> Result<[Disk; 2], Wrong> {
                Ok([disk(machine, Service::Ingest)?, disk(machine, Service::Threading)?])
            };
            world.disks.push([of(0)?, of(1)?]);
            let desk = world.open_desk(partition, 0)?;
            world.counters.push(Counter { desk, zombie: None, hangs: 0 });
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
        let [ingest, threading] = &self.disks[usize::from(partition)][machine];
        Ok(Desk {
            number: self.desks,
            machine,
            ingest: Seat::open(partition, &self.shown, &clock, &ingest.store, options)?,
            threading: Seat::open(partition, &self.shown, &clock, &threading.store, options)?,
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
            counter.hangs = counter.hangs.saturating_sub(1);
        }
        let at = self.any_partition();
        match self.random.below(100) {
            0..=27 => self.be_asked(),
            28..=57 => self.step_somebody(at)?,
            58..=69 => {
                let records = 1 + self.random.below(4);
                self.note("sync some", &[at as u64, records]);
                self.log.sync_some(u16::try_from(at).unwrap_or_default(), records);
            }
            70..=76 => {
                self.note("sync", &[]);
                self.log.sync();
            }
            77..=86 => self.let_time_pass(),
            87..=88 => self.flush(at)?,
            89..=90 => self.sync_disks(at)?,
            // In better weather lanes get further between two faults.
            91..=98 if self.random.below(4) >= self.weather => self.step_somebody(at)?,
            91 => self.set_clock_wrong(),
            92..=93 => self.cut_power()?,
            94..=95 => self.kill(at)?,
            96..=97 => self.move_away(at)?,
            98 => self.come_back(at),
            _ => {
                let hangs = self.random.below(80);
                self.note("hang", &[at as u64, hangs]);
                self.counters[at].hangs = hangs;
            }
        }
        Ok(())
    }

    /// A client turns to a desk, now and then to the wrong one.
    fn be_asked(&mut self) {
        let shop = usize::try_from(self.random.below(self.clients.shops.len() as u64)).unwrap_or_default();
        let (kind, wrong) = (self.random.below(20), self.random.below(8) == 0);
        self.note("ask", &[shop as u64, kind]);
        let counter = &self.counters[usize::from(self.clients.shops[shop].partition)];
        let desk = counter.zombie.as_ref().filter(|_| wrong).unwrap_or(&counter.desk);
        let now = self.sky.now();
        match kind {
            0..=11 => self.clients.publish(&mut self.random, shop, desk, now),
            12..=14 => self.clients.look(shop, desk),
            15 if self.clients.shops[shop].exists => self.clients.publish_policy(&mut self.random, shop, desk),
            _ => self.clients.command(&mut self.random, shop, desk, now),
        }
    }

    fn step_somebody(&mut self, at: usize) -> Result<(), Wrong> {
        let (steps, zombie) = (self.random.below(8), self.random.below(4) == 0);
        self.note("step", &[at as u64, steps, u64::from(zombie)]);
        let counter = &mut self.counters[at];
        let hangs = counter.hangs > 0;
        let desk = if zombie { counter.zombie.as_mut().unwrap_or(&mut counter.desk) } else { &mut counter.desk };
        if steps == 0 {
            return desk.run(hangs);
        }
        (0..steps).try_for_each(|_| desk.step(hangs).map(|_| ()))
    }

    fn let_time_pass(&mut self) {
        let longest = [200, 200, 2_000, 2_000, MINUTE_MS, MINUTE_MS, 10 * MINUTE_MS, 5 * HOUR_MS, 30 * HOUR_MS];
        let longest = longest[usize::try_from(self.random.below(longest.len() as u64)).unwrap_or_default()];
        let ms = 1 + self.random.below(longest.unsigned_abs());
        self.note("time", &[ms]);
        self.sky.pass(i64::try_from(ms).unwrap_or_default());
    }

    fn audit(mut self, store: &ProjectionStore) -> Result<Trace, Wrong> {
        let mut bytes = Xxh3::new();
        for partition in 0..self.log.partitions() {
            self.log.visible(partition).iter().for_each(|record| bytes.update(record));
            let theirs = self.clients.promises.iter().filter(|(of, _)| *of == partition);
            let promises: Vec<_> = theirs.map(|(_, promise)| promise.clone()).collect();
            let found = audit::partition(&self.log, partition, &promises, &self.clients.shops, &mut self.random)?;
            let counter = &mut self.counters[usize::from(partition)];
            let live = (counter.desk.ingest.lane.collect(), counter.desk.threading.lane.collect());
            if live != (found.ingest_digest, found.threading_digest) {
                return Err(format!("partition {partition}: the live state is not the fold of the log"));
            }
            let rebuilt = (self.rebuilt::<Ingest>(store, partition)?, self.rebuilt::<Threading>(store, partition)?);
            if live != rebuilt {
                return Err(format!("partition {partition}: the live state is not the rebuilt one"));
            }
            self.rough.messages += found.messages;
            self.rough.fired += found.fired;
            self.rough.checkpoints += found.checkpoints;
            self.rough.void += found.void;
        }
        self.rough.lost = self.clients.lost;
        self.rough.duplicates = self.clients.duplicates;
        Ok(Trace { log: bytes.digest(), actions: self.actions.digest(), rough: self.rough })
    }

    /// The digest of a state that a lane of its own folds from the first record on.
    fn rebuilt<S: State>(&self, store: &ProjectionStore, partition: u16) -> Result<u128, Wrong> {
        let empty = Disk::new(store.lane(S::SERVICE, place_on_disk(partition, MACHINES)))?;
        let clock: Arc<dyn Clock> = ProcessClock::new(&self.sky);
        let options = Options { follow_only: true, ..self.options };
        let log: Arc<dyn EventLog> = self.log.clone();
        let mut seat = Seat::<S>::open(partition, &log, &clock, &empty.store, options)?;
        while seat.step()? == rejoinder_runtime::Progress::Worked {}
        Ok(seat.lane.collect())
    }
}

/// Each machine has a part of the store of its own.
fn place_on_disk(partition: u16, machine: usize) -> u16 {
    partition * 8 + u16::try_from(machine).unwrap_or_default()
}
