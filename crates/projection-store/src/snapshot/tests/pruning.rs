//! What of the shared directory goes, and what stays.

use super::*;

/// A snapshot of some services.
fn take(world: &World, services: &[Service], applied: u64, now_ms: Millis) -> String {
    for service in services {
        write(&world.store, *service, 0, applied);
    }
    let facts = Facts { services: services.to_vec(), ..World::facts(now_ms) };
    world.try_take(&facts).unwrap();
    manifest::folder_name(LOG, now_ms, "one:7400")
}

#[test]
fn the_newest_of_each_set_of_services_stay() {
    let world = World::new();
    let mut stay = Vec::new();
    for n in 0..4_u32 {
        let now = START + i64::from(n) * HOUR_MS;
        let both = take(&world, &TWO, 40 + u64::from(n), now);
        let one = take(&world, &TWO[..1], 40 + u64::from(n), now + 1);
        if n >= 2 {
            stay.extend([both, one]);
        }
    }
    stay.sort();
    assert_eq!(prune(&world.shared(), LOG, 2, START + 3 * HOUR_MS).unwrap(), 4);
    assert_eq!(world.shelf(), stay);
    assert_eq!(prune(&world.shared(), LOG, 2, START + 3 * HOUR_MS).unwrap(), 0);
    assert_eq!(world.restored(&TWO), Some(43));
}

#[test]
fn the_one_that_reaches_furthest_stays_while_others_begin_anew() {
    let world = World::new();
    let far = take(&world, &TWO, 900, START);
    take(&world, &TWO, 10, START + 1);
    let newer = [take(&world, &TWO, 20, START + 2), take(&world, &TWO, 30, START + 3)];
    prune(&world.shared(), LOG, 2, START + 4).unwrap();
    assert_eq!(world.shelf(), [&[far][..], &newer].concat());
    assert_eq!(world.restored(&TWO), Some(900));
}

#[test]
fn leftovers_and_what_this_version_cannot_read_go_after_a_day_and_what_is_not_ours_stays() {
    let world = World::new();
    let half = world.take(40, START);
    fs::remove_file(half.join("manifest.json")).unwrap();
    let cut = world.take(41, START + 1);
    fs::write(cut.join("manifest.json"), "{").unwrap();
    let older_format = world.take(42, START + 2);
    let mut manifest = Manifest::read(&older_format).unwrap().unwrap();
    manifest.state_format -= 1;
    manifest.publish(&older_format).unwrap();
    fs::create_dir(world.shared().join("lost+found")).unwrap();
    let foreign = manifest::folder_name(8, START, "two");
    fs::create_dir(world.shared().join(&foreign)).unwrap();
    let good = world.take(43, START + 3);
    assert_eq!(prune(&world.shared(), LOG, 2, START + DAY_MS).unwrap(), 0, "somebody may be at work on it");
    assert_eq!(prune(&world.shared(), LOG, 2, START + 3 + DAY_MS).unwrap(), 3);
    let good = good.file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(world.shelf(), [good, foreign, "lost+found".to_owned()]);
}

#[test]
fn where_there_is_no_directory_nothing_is_removed() {
    assert_eq!(prune(&World::new().shared(), LOG, 2, START).unwrap(), 0);
}
