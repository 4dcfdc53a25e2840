//! Ownership, checked in every order of events of a small world: two writers of one lane, zombies,
//! crashes, losses, repeats, power cuts, moves. The fold is the one that the engine runs.
//!
//! Each world is searched to its end. `REJOINDER_MODEL_DEPTH=1` (or more) adds so many decisions to
//! each: `make soak` does.

mod log;
mod properties;
mod rules;
mod world;
mod writer;

use stateright::{Checker, HasDiscoveries, Model};

use properties::{
    AGREED, ALL_CONSIDERED, DEPOSED, GAP, HALF_A_FRAME, HAND_OVER, KEPT, LATE_CLAIM, ONCE, ONE_OWNER, REPEATED, STORED,
    TAKEN_KNOWINGLY, ZOMBIE,
};
use rules::{Fault, Rules};
use world::{Bounds, Ownership};

/// Searches all of a world.
fn holds(bounds: Bounds, reaches: &'static [&'static str]) {
    let deeper = std::env::var("REJOINDER_MODEL_DEPTH").ok().and_then(|depth| depth.parse().ok()).unwrap_or(0);
    let bounds = Bounds { decisions: bounds.decisions + deeper, ..bounds };
    let checker = Ownership { rules: Rules::default(), bounds, reaches }.checker();
    if deeper == 0 {
        is_whole(bounds, &checker.spawn_bfs().join());
    } else {
        // Breadth first keeps too many worlds at a time.
        is_whole(bounds, &checker.spawn_dfs().join());
    }
}

fn is_whole(bounds: Bounds, checker: &impl Checker<Ownership>) {
    checker.assert_properties();
    println!("{bounds:?}: {} worlds, {} deep", checker.unique_state_count(), checker.max_depth());
}

/// Searches a world with a fault until the checker sees it.
fn is_found(fault: Fault, law: &'static str, bounds: Bounds) {
    let model = Ownership { rules: Rules(Some(fault)), bounds, reaches: &[] };
    let checker = model.checker().finish_when(HasDiscoveries::AnyOf([law].into())).spawn_bfs().join();
    let path = checker.assert_any_discovery(law);
    println!("{fault:?}, {} worlds: {:?}", checker.unique_state_count(), path.into_actions());
}

#[test]
fn a_pipeline_lands_in_any_order_and_loses_and_repeats() {
    let bounds = Bounds { decisions: 2, losses: 1, repeats: 1, ..Bounds::default() };
    holds(bounds, &[REPEATED, GAP, ZOMBIE, LATE_CLAIM, DEPOSED, HAND_OVER, HALF_A_FRAME, ALL_CONSIDERED]);
}

#[test]
fn the_power_goes() {
    let bounds = Bounds { decisions: 2, cuts: 1, flushes: 1, ..Bounds::default() };
    holds(bounds, &[ZOMBIE, LATE_CLAIM, DEPOSED, HAND_OVER]);
}

#[test]
fn writers_crash() {
    let bounds = Bounds { decisions: 2, crashes: 1, ..Bounds::default() };
    holds(bounds, &[ZOMBIE, LATE_CLAIM, DEPOSED, HAND_OVER]);
}

#[test]
fn writers_crash_and_start_from_what_they_stored() {
    let bounds = Bounds { decisions: 1, crashes: 1, flushes: 1, ..Bounds::default() };
    holds(bounds, &[ZOMBIE, LATE_CLAIM, DEPOSED]);
}

#[test]
fn a_lane_moves_there_and_back() {
    let bounds = Bounds { decisions: 2, moves: 1, ..Bounds::default() };
    holds(bounds, &[ZOMBIE, LATE_CLAIM, DEPOSED, HAND_OVER]);
}

#[test]
fn inputs_come_meanwhile() {
    let bounds = Bounds { decisions: 2, inputs: 1, ..Bounds::default() };
    holds(bounds, &[ZOMBIE, DEPOSED, HAND_OVER]);
}

#[test]
fn newest_claim_wins_is_found() {
    is_found(Fault::NewestClaimWins, TAKEN_KNOWINGLY, Bounds::default());
}

#[test]
fn alike_nonces_are_found() {
    is_found(Fault::AlikeNonces, ONE_OWNER, Bounds::default());
    is_found(Fault::AlikeNonces, KEPT, Bounds { decisions: 2, ..Bounds::default() });
}

#[test]
fn acknowledging_what_is_visible_only_is_found() {
    let bounds = Bounds { decisions: 1, cuts: 1, ..Bounds::default() };
    is_found(Fault::AcknowledgesAtVisible, KEPT, bounds);
    is_found(Fault::AcknowledgesAtVisible, AGREED, bounds);
}

#[test]
fn flushing_what_is_visible_only_is_found() {
    is_found(Fault::FlushesAtVisible, STORED, Bounds { decisions: 2, cuts: 1, flushes: 1, ..Bounds::default() });
}

#[test]
fn a_bare_position_is_found() {
    is_found(Fault::BarePosition, ONCE, Bounds { decisions: 2, ..Bounds::default() });
}

#[test]
fn frames_without_a_number_are_found() {
    is_found(Fault::NoFrameNumber, ONCE, Bounds { decisions: 2, ..Bounds::default() });
}

#[test]
fn void_frames_taken_as_progress_are_found() {
    is_found(Fault::VoidIsProgress, ONCE, Bounds { decisions: 2, ..Bounds::default() });
}
