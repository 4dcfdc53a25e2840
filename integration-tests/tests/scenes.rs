//! Small worlds that are led by hand: what an outage, a late reply, a wrong clock or an input that
//! nobody can decide on does to a promise.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

use rejoinder_integration_tests::number;
use rejoinder_integration_tests::simulation::{Plant, Scene, TARGET_MS, Trace, run};
use rejoinder_model::{HOUR_MS, MINUTE_MS, Service};
use rejoinder_projection_store::ProjectionStore;
use rejoinder_wire::event::{alarm_cleared::Reason, event::Body};

use Service::{Ingest, Routing, SlaTimer, Threading};

fn store() -> (tempfile::TempDir, ProjectionStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = ProjectionStore::open(dir.path(), 8 << 20).unwrap();
    (dir, store)
}

fn breaches(scene: &Scene) -> usize {
    scene.count(|body| matches!(body, Body::ClockBreached(_)))
}

fn retractions(scene: &Scene) -> usize {
    scene.count(|body| matches!(body, Body::BreachRetracted(_)))
}

fn ticks(scene: &Scene) -> usize {
    scene.count(|body| matches!(body, Body::ClockTick(_)))
}

fn met(scene: &Scene) -> usize {
    scene.count(|body| matches!(body, Body::ClockMet(_)))
}

/// Alarms that rang, and those that were taken back.
fn alarms(scene: &Scene) -> (usize, usize) {
    let rang = scene.count(|body| matches!(body, Body::AlarmRaised(_)));
    let back = |body: &Body| matches!(body, Body::AlarmCleared(cleared) if cleared.reason() == Reason::Retracted);
    (rang, scene.count(back))
}

/// The question, and the answer in the last minute, which threading does not see before time is up.
fn answered_while_threading_hangs(store: &ProjectionStore, plant: Plant) -> Scene {
    let mut scene = Scene::open(store, plant).unwrap();
    scene.asks();
    scene.settle().unwrap();
    scene.pass(TARGET_MS - MINUTE_MS);
    scene.answer_comes(0);
    scene.settle_without(Threading).unwrap();
    scene
}

#[test]
fn a_reply_in_the_log_is_no_breach_while_threading_hangs_over_the_due_time() {
    let (_dir, store) = store();
    let mut scene = answered_while_threading_hangs(&store, Plant::Nothing);
    let before = ticks(&scene);
    for _ in 0..5 {
        scene.pass(2 * MINUTE_MS);
        scene.settle_without(Threading).unwrap();
    }
    assert!(ticks(&scene) > before, "time was up");
    assert_eq!((breaches(&scene), met(&scene)), (0, 0), "nobody knows yet");
    scene.settle().unwrap();
    assert_eq!((breaches(&scene), met(&scene)), (0, 1));
    scene.ends(&store).unwrap();
}

/// The reply is written and not durable yet; sla-timer's tick follows it, and behind that stand frames
/// of the others, who have not seen the reply.
fn overtaken(store: &ProjectionStore, plant: Plant) -> Scene {
    let mut scene = Scene::open(store, plant).unwrap();
    scene.asks();
    scene.settle().unwrap();
    scene.pass(TARGET_MS - MINUTE_MS);
    scene.answer_comes(0);
    scene.work(&[Ingest]).unwrap();
    scene.pass(MINUTE_MS);
    scene.work(&[SlaTimer]).unwrap();
    scene.others_are_busy();
    scene.work(&[Threading, Routing]).unwrap();
    scene.sync();
    scene.work(&[SlaTimer]).unwrap();
    scene
}

#[test]
fn a_reply_that_overtakes_the_tick_is_no_breach_whoever_has_written_since() {
    let (_dir, store) = store();
    let mut scene = overtaken(&store, Plant::Nothing);
    assert_eq!(breaches(&scene), 0);
    scene.settle().unwrap();
    assert_eq!((breaches(&scene), met(&scene)), (0, 1));
    scene.ends(&store).unwrap();
}

#[test]
fn a_breach_that_does_not_wait_for_the_others_is_false_and_shows() {
    let (_dir, store) = store();
    let scene = overtaken(&store, Plant::SettledIgnored);
    assert_eq!(breaches(&scene), 1);
    let wrong = scene.ends(&store).unwrap_err();
    assert!(wrong.contains("a false breach"), "{wrong}");
}

#[test]
fn a_reply_that_an_outage_kept_back_takes_the_breach_back() {
    let (_dir, store) = store();
    let mut scene = Scene::open(&store, Plant::Nothing).unwrap();
    scene.asks();
    scene.settle().unwrap();
    scene.pass(TARGET_MS + 20 * MINUTE_MS);
    scene.settle().unwrap();
    assert_eq!((breaches(&scene), alarms(&scene)), (1, (1, 0)));
    // Sent when nine of the ten minutes had passed.
    scene.answer_comes(21 * MINUTE_MS);
    scene.settle().unwrap();
    assert_eq!((retractions(&scene), met(&scene), alarms(&scene)), (1, 1, (1, 1)));
    scene.ends(&store).unwrap();
}

#[test]
fn a_reply_that_was_sent_too_late_takes_nothing_back() {
    let (_dir, store) = store();
    let mut scene = Scene::open(&store, Plant::Nothing).unwrap();
    scene.asks();
    scene.settle().unwrap();
    scene.pass(TARGET_MS + 20 * MINUTE_MS);
    scene.settle().unwrap();
    scene.answer_comes(19 * MINUTE_MS);
    scene.settle().unwrap();
    assert_eq!((breaches(&scene), retractions(&scene), met(&scene), alarms(&scene)), (1, 0, 1, (1, 0)));
    scene.ends(&store).unwrap();
}

#[test]
fn nothing_fires_by_a_clock_that_jumped_and_each_timer_once_when_it_is_right_again() {
    for off in [5 * HOUR_MS, -5 * HOUR_MS] {
        let (_dir, store) = store();
        let mut scene = Scene::open(&store, Plant::Nothing).unwrap();
        scene.asks();
        scene.settle().unwrap();
        scene.pass(MINUTE_MS);
        scene.set_clock_off(off);
        scene.settle().unwrap();
        let before = ticks(&scene);
        for _ in 0..10 {
            scene.pass(3 * MINUTE_MS);
            scene.settle().unwrap();
        }
        assert_eq!((breaches(&scene), ticks(&scene)), (0, before), "off by {off}");
        scene.set_clock_off(0);
        scene.settle().unwrap();
        assert_eq!((breaches(&scene), alarms(&scene)), (1, (1, 0)), "was off by {off}");
        for _ in 0..3 {
            scene.pass(3 * MINUTE_MS);
            scene.settle().unwrap();
        }
        assert_eq!(breaches(&scene), 1);
        scene.ends(&store).unwrap();
    }
}

#[test]
fn what_is_set_aside_breaks_no_rule_and_is_made_good_when_it_is_retried() {
    let mut set_aside = 0;
    let worlds = number("REJOINDER_SIMULATION_SEEDS", 20);
    for seed in 0..worlds {
        let (_dir, store) = store();
        let Trace { aside, .. } =
            run(&store, seed, Plant::Poison).unwrap_or_else(|wrong| panic!("seed {seed}: {wrong}"));
        set_aside += aside;
    }
    assert!(set_aside > 5 * worlds, "{set_aside} inputs were set aside");
}
