//! Firing, checked in every order of events of a small world: three services in a row, each as far
//! behind as it likes. Who may act on a tick is asked of the functions that the engine asks.
//!
//! `REJOINDER_MODEL_DEPTH=1` (or more) adds so many ticks and leaves the restarts out: `make soak` does.

mod desk;
mod log;
mod world;

use stateright::{Checker, HasDiscoveries, Model};

use desk::Fault;
use world::{BY_ITS_TICK, Bounds, CANCELLED_FIRST, Firing, SETTLED};

const SMALL: Bounds = Bounds { ticks: 1, restarts: 1 };
/// A fault shows sooner without restarts.
const FAULTY: Bounds = Bounds { ticks: 1, restarts: 0 };

/// Searches all of a world.
fn is_whole(bounds: Bounds, checker: &impl Checker<Firing>) {
    checker.assert_properties();
    println!("{bounds:?}: {} worlds, {} deep", checker.unique_state_count(), checker.max_depth());
}

/// Searches a world with a fault until the checker sees it.
fn is_found(fault: Fault, law: &'static str) {
    let model = Firing { fault: Some(fault), bounds: FAULTY };
    let checker = model.checker().finish_when(HasDiscoveries::AnyOf([law].into())).spawn_bfs().join();
    let path = checker.assert_any_discovery(law);
    println!("{fault:?}, {} worlds: {:?}", checker.unique_state_count(), path.into_actions());
}

#[test]
fn nothing_fires_that_an_answer_has_cancelled_and_all_that_is_due_fires() {
    let deeper = std::env::var("REJOINDER_MODEL_DEPTH").ok().and_then(|depth| depth.parse().ok()).unwrap_or(0);
    if deeper == 0 {
        is_whole(SMALL, &Firing { fault: None, bounds: SMALL }.checker().spawn_bfs().join());
    } else {
        // Breadth first keeps too many worlds at a time.
        let bounds = Bounds { ticks: SMALL.ticks + deeper, restarts: 0 };
        is_whole(bounds, &Firing { fault: None, bounds }.checker().spawn_dfs().join());
    }
}

#[test]
fn a_tick_older_than_the_arming_is_found() {
    is_found(Fault::OldTickFires, BY_ITS_TICK);
}

#[test]
fn firing_by_what_one_upstream_consumed_is_found() {
    is_found(Fault::ConsumedOfOneUpstream, CANCELLED_FIRST);
}

#[test]
fn asking_as_of_what_was_read_is_found() {
    is_found(Fault::RipeAsOfRead, CANCELLED_FIRST);
    is_found(Fault::SettledAsOfRead, SETTLED);
}
