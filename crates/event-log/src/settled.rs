//! When a timer may fire: everything that could have cancelled it has been considered.
//!
//! What an upstream says of itself holds only for who has considered all that it said before. So the
//! fold to ask is the one as of what the asking service has *considered*, never the one as of what it
//! has read: a frame that says "settled" may stand right behind the one that cancels the timer.

use rejoinder_model::Service;

use crate::fold::PartitionFold;

/// Below which index a service and all its upstreams have considered every record, as the log says
/// so far. Ingest, the source, has nothing to consider.
#[must_use]
pub fn settled(fold: &PartitionFold, service: Service) -> u64 {
    match service {
        Service::Ingest => u64::MAX,
        Service::Threading | Service::Routing | Service::SlaTimer => fold.lane(service).settled,
    }
}

/// What a service writes as its `settled` when it has considered every record below `consumed` and
/// acted on every tick there; `fold` is as of `consumed`.
#[must_use]
pub fn settled_with(fold: &PartitionFold, service: Service, consumed: u64) -> u64 {
    let upstreams = service.upstreams().iter().map(|upstream| settled(fold, *upstream));
    upstreams.min().unwrap_or(u64::MAX).min(consumed)
}

/// May a service act on the tick at `tick`? Only once all its upstreams are settled up to it, by the
/// fold as of what the service has considered. Until then it passes the tick and considers on.
#[must_use]
pub fn may_act_on_tick(fold: &PartitionFold, service: Service, tick: u64) -> bool {
    service.upstreams().iter().all(|upstream| settled(fold, *upstream) > tick)
}
