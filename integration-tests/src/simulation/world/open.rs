//! How a world begins: its log, its machines with their disks, a process on each partition.

use std::sync::Arc;

use rejoinder_event_log::MemoryLog;
use rejoinder_model::{DAY_MS, MINUTE_MS, Millis, Service};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_runtime::{Clock, Options};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Counter, Disks, World};
use crate::client::Random;
use crate::simulation::audit::{GRACE_MS, TICK_MS};
use crate::simulation::clients::Clients;
use crate::simulation::clock::{ProcessClock, Sky};
use crate::simulation::desk::{Desk, Seat};
use crate::simulation::disk::Disk;
use crate::simulation::trace::Roughness;
use crate::simulation::{Plant, Wrong};

/// Clocks in Berlin change within a day or two: to winter time at the first, to summer time at the other.
const CHANGES: [Millis; 2] = [1_698_541_200_000, 1_711_846_800_000];

/// What is alike in all worlds.
fn options() -> Options {
    Options { tick_interval_ms: TICK_MS, heartbeat_ms: MINUTE_MS, grace_ms: GRACE_MS, ..Options::default() }
}

impl World {
    /// A world whose seed says all about it.
    pub(super) fn new(store: &ProjectionStore, seed: u64, plant: Plant) -> Result<Self, Wrong> {
        let mut random = Random(xxh3_64(&seed.to_le_bytes()));
        let partitions = u16::try_from(1 + random.below(3)).unwrap_or(1);
        let change = CHANGES[usize::try_from(random.below(2)).unwrap_or_default()];
        let start = change - i64::try_from(random.below((2 * DAY_MS).unsigned_abs())).unwrap_or_default();
        let options = Options {
            checkpoint_events: 5 + random.below(60),
            max_in_flight: usize::try_from(1 + random.below(8)).unwrap_or(1),
            memory_bytes: if random.below(2) == 0 { 1 } else { 64 << 20 },
            grace_ms: if plant == Plant::NoGrace { 1 } else { GRACE_MS },
            ..options()
        };
        Self::build(store, random, plant, partitions, start, options)
    }

    /// A world of one partition in which nothing goes wrong by itself.
    pub(in crate::simulation) fn in_good_weather(store: &ProjectionStore, plant: Plant) -> Result<Self, Wrong> {
        Self::build(store, Random(1), plant, 1, CHANGES[0], options())
    }

    fn build(
        store: &ProjectionStore,
        mut random: Random,
        plant: Plant,
        partitions: u16,
        start: Millis,
        options: Options,
    ) -> Result<Self, Wrong> {
        plant.take_root();
        let (log, sky) = (MemoryLog::with_manual_sync(partitions), Sky::starting_at(start));
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
    pub(super) fn open_desk(&mut self, partition: u16, machine: usize) -> Result<Desk, Wrong> {
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
}

/// Each machine has a part of the store of its own.
pub(super) fn place_on_disk(partition: u16, machine: usize) -> u16 {
    partition * 8 + u16::try_from(machine).unwrap_or_default()
}
