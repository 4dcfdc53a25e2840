//! A small world that is led by hand: one workspace, one customer's question, and what goes wrong around it.

use prost::Message as _;
use rejoinder_event_log::{EventLog as _, RecordView};
use rejoinder_ingest_core::NewPolicy;
use rejoinder_model::{MINUTE_MS, Millis, Service, ThreadId};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_routing_core::policy;
use rejoinder_threading_core::Command;
use rejoinder_wire::event::routing_policy::Agent;
use rejoinder_wire::event::sla_policy::{Rule, Target};
use rejoinder_wire::event::{Event, Metric, RoutingPolicy, SlaPolicy, event::Body};

use super::draft::{answer_to, question};
use super::world::World;
use super::{Plant, Trace, Wrong, house};
use crate::client::Random;

/// The workspace of a scene, by its number among the clients'.
const SHOP: usize = 1;

/// The target of a first response in a scene.
pub const TARGET_MS: Millis = 10 * MINUTE_MS;

/// A world in good weather.
pub struct Scene {
    world: World,
    random: Random,
    asked: usize,
}

impl Scene {
    /// A workspace that promises a first response within ten minutes, on one partition.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn open(store: &ProjectionStore, plant: Plant) -> Result<Self, Wrong> {
        let mut world = World::in_good_weather(store, plant)?;
        world.settle()?;
        let target = |metric: Metric| Target { metric: metric as i32, target_ms: TARGET_MS, ..Target::default() };
        let rule = Rule { name: "all".into(), targets: vec![target(Metric::FirstResponse)], ..Rule::default() };
        let rules = NewPolicy {
            threading: house::threading(0),
            routing: RoutingPolicy {
                agents: vec![Agent { id: "ann".into(), ..Agent::default() }],
                ..policy::defaults()
            },
            sla: Some(SlaPolicy { calendars: Vec::new(), rules: vec![rule] }),
            ..NewPolicy::default()
        };
        world.clients.publish_this_policy(SHOP, &world.counters[0].desk, rules);
        world.settle()?;
        Ok(Self { world, random: Random(7), asked: 0 })
    }

    /// A customer asks.
    pub fn asks(&mut self) {
        let draft = question(&mut self.random, "shop-1", self.world.clients.said(SHOP), self.world.sky.now());
        self.asked = self.world.clients.deliver(SHOP, draft, &self.world.counters[0].desk, self.world.sky.now());
    }

    /// Our answer comes in, sent so long ago.
    pub fn answer_comes(&mut self, sent_ago: Millis) {
        let now = self.world.sky.now();
        let (asked, number) = (self.world.clients.draft(SHOP, self.asked), self.world.clients.said(SHOP));
        let mut draft = answer_to(&mut self.random, "shop-1", &asked, number, now);
        draft.arrival.received.event_time = now - sent_ago;
        draft.arrival.received.author_id = Some("us".into());
        self.world.clients.deliver(SHOP, draft, &self.world.counters[0].desk, now);
    }

    /// A colleague adds a note, an agent connects: threading and routing have something to write besides.
    pub fn others_are_busy(&mut self) {
        let Self { world, .. } = self;
        let (desk, now) = (&world.counters[0].desk, world.sky.now());
        let thread =
            desk.threading.lane.state().threads.page(&ThreadId(0), 1).first().map_or(ThreadId(0), |(id, _)| *id);
        let note = Command::AddNote { thread, author: "eve".into(), text: "called".into() };
        world.clients.order(SHOP, note, desk, now);
        world.clients.connect(SHOP, 0, desk);
    }

    /// Time passes outside.
    pub fn pass(&mut self, ms: Millis) {
        self.world.sky.pass(ms);
    }

    /// Somebody sets the wall clock wrong by so much, or right again.
    pub fn set_clock_off(&mut self, ms: Millis) {
        self.world.sky.set_off(ms);
    }

    /// Lets some services work on what is durable. What they write is not durable yet.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn work(&mut self, services: &[Service]) -> Result<(), Wrong> {
        let hangs = Service::ALL.map(|service| !services.contains(&service));
        self.world.counters[0].desk.run(hangs)
    }

    /// What was written is durable.
    pub fn sync(&mut self) {
        self.world.log.sync();
    }

    /// Lets all services but one work until nothing is left to do.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn settle_without(&mut self, service: Service) -> Result<(), Wrong> {
        let others: Vec<Service> = Service::ALL.into_iter().filter(|other| *other != service).collect();
        for _ in 0..20 {
            self.work(&others)?;
            self.sync();
        }
        Ok(())
    }

    /// Lets all services work until nothing is left to do.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn settle(&mut self) -> Result<(), Wrong> {
        self.world.settle()
    }

    /// How many events of the log, durable or not, are so.
    #[must_use]
    pub fn count(&self, is_so: impl Fn(&Body) -> bool) -> usize {
        let records = self.world.log.visible(0);
        let events = records.iter().flat_map(|record| RecordView::peek(record).and_then(|record| record.events()));
        let events = events.flatten().filter_map(|bytes| Event::decode(bytes).ok()?.body);
        events.filter(|body| is_so(body)).count()
    }

    /// How many records there are.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.world.log.end(0)
    }

    /// Everything heals and comes to rest, and the audit says whether it was right.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn ends(mut self, store: &ProjectionStore) -> Result<Trace, Wrong> {
        self.world.come_to_rest()?;
        self.world.verdict(store)
    }
}
