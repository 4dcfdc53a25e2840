//! The simulated world over many seeds, and the proof that its audit finds what is wrong.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use std::ops::Range;

use rejoinder_integration_tests::simulation::{Plant, Roughness, Trace, run};
use rejoinder_projection_store::ProjectionStore;

/// Worlds in a test run: about half a minute of one core.
const WORLDS: u64 = 200;
/// Worlds that share a store before a new one is made.
const WORLDS_A_STORE: usize = 5;
/// Within so many worlds each planted fault shows.
const PLANTED_WORLDS: u64 = 100;

/// How the audit says that something was answered that the log does not hold.
const NOT_DURABLE: [&str; 3] =
    ["acknowledged and not in the log", "done and not in the log", "an answer shows what never was"];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs worlds until one fails: its seed, and what is wrong.
fn first_failure(seeds: Range<u64>, plant: Plant, mut ran: impl FnMut(Trace)) -> Option<(u64, String)> {
    let seeds: Vec<u64> = seeds.collect();
    for some in seeds.chunks(WORLDS_A_STORE) {
        let dir = tempfile::tempdir().unwrap();
        let store = ProjectionStore::open(dir.path(), 8 << 20).unwrap();
        for seed in some {
            match run(&store, *seed, plant) {
                Ok(trace) => ran(trace),
                Err(wrong) => return Some((*seed, wrong)),
            }
        }
    }
    None
}

fn all_is_well(seeds: Range<u64>) -> Roughness {
    let mut rough = Roughness::default();
    if let Some((seed, wrong)) = first_failure(seeds, Plant::Nothing, |trace| rough = rough.with(trace.rough)) {
        panic!("seed {seed}: {wrong}\nREJOINDER_SIMULATION_SEED={seed} runs this world alone");
    }
    rough
}

#[test]
fn no_world_breaks_a_promise() {
    if let Some(seed) = number("REJOINDER_SIMULATION_SEED") {
        all_is_well(seed..seed + 1);
        return;
    }
    let worlds = number("REJOINDER_SIMULATION_SEEDS").unwrap_or(WORLDS);
    let rough = all_is_well(0..worlds);
    println!("{worlds} worlds: {rough:?}");
    let rare = rough.counts().into_iter().find(|(_, times)| *times <= worlds / 8);
    assert!(worlds < WORLDS || rare.is_none(), "the worlds are calm: {rare:?} of {rough:?}");
}

#[test]
fn the_same_seed_gives_the_same_log_and_another_seed_another() {
    let mut once = Vec::new();
    let mut twice = Vec::new();
    assert_eq!(first_failure(0..8, Plant::Nothing, |trace| once.push(trace)), None);
    assert_eq!(first_failure(0..8, Plant::Nothing, |trace| twice.push(trace)), None);
    assert_eq!(once, twice);
    let logs: std::collections::BTreeSet<u64> = once.iter().map(|trace| trace.log).collect();
    assert_eq!(logs.len(), once.len());
}

/// A planted fault shows, and as what it is.
fn shows(plant: Plant, as_one_of: &[&str]) {
    let (seed, wrong) = first_failure(0..PLANTED_WORLDS, plant, |_| {}).expect("the audit finds what is planted");
    println!("{plant:?} shows in world {seed}: {wrong}");
    assert!(as_one_of.iter().any(|part| wrong.contains(part)), "seed {seed}: {wrong}");
}

#[test]
fn a_log_that_is_read_before_it_is_durable_shows() {
    shows(Plant::EarlyReads, &NOT_DURABLE);
}

#[test]
fn a_state_that_is_stored_before_it_is_durable_shows() {
    shows(Plant::EarlyFlush, &NOT_DURABLE);
}

#[test]
fn a_client_that_takes_lost_for_refused_shows() {
    shows(Plant::LostIsRefused, &["refused and in the log"]);
}

#[test]
fn claims_that_do_not_tell_whose_they_are_show() {
    shows(Plant::NamelessClaims, &["counts and was not written here", "acknowledged and not in the log"]);
}

#[test]
fn timers_that_fire_right_after_a_downtime_show() {
    shows(Plant::NoGrace, &["the grace after a downtime"]);
}

#[test]
fn a_breach_that_is_called_before_all_is_considered_shows() {
    shows(Plant::SettledIgnored, &["a false breach", "acts on the tick"]);
}

#[test]
fn an_offer_that_is_accepted_when_it_is_over_shows() {
    shows(Plant::AcceptedTwice, &["is Accepted, and was", "is accepted by offer"]);
}

#[test]
fn a_capacity_that_nobody_counts_shows() {
    shows(Plant::CapacityUncounted, &["are more than", "enough of"]);
}

#[test]
fn a_timer_that_fires_again_after_a_restart_shows() {
    shows(Plant::FiredAgain, &["is breached twice"]);
}

#[test]
fn a_breach_that_is_not_taken_back_shows() {
    shows(Plant::RetractionOmitted, &["no breach was taken back", "not what a breach would say"]);
}

#[test]
fn a_timer_that_is_lost_shows() {
    shows(Plant::TimerLost, &["runs and is never due", "not what a breach would say"]);
}
