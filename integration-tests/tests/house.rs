//! The house keeps its order: pure cores depend on nothing that does IO, and never on each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What has no IO, no threads of its own and no clock.
const PURE: [&str; 10] = [
    "rejoinder-channels",
    "rejoinder-event-log",
    "rejoinder-ingest-core",
    "rejoinder-machine",
    "rejoinder-model",
    "rejoinder-policy",
    "rejoinder-routing-core",
    "rejoinder-sla-core",
    "rejoinder-threading-core",
    "rejoinder-wire",
];
/// What does IO, runs tasks or tells the time.
const BANNED: [&str; 12] = [
    "chrono",
    "governor",
    "hyper",
    "librocksdb-sys",
    "metrics",
    "mio",
    "quanta",
    "rdkafka",
    "rocksdb",
    "socket2",
    "tokio",
    "tonic",
];

/// The packages of the workspace and all that they depend on, by name, without what only tests need.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(manifest)
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeMap<String, String> = packages.iter().map(|p| (text(&p["id"]), text(&p["name"]))).collect();
    let mut direct: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().expect("nodes") {
        let own = direct.entry(names[&text(&node["id"])].clone()).or_default();
        for dependency in node["deps"].as_array().expect("dependencies") {
            let kinds = dependency["dep_kinds"].as_array().expect("kinds");
            if kinds.iter().any(|kind| kind["kind"].is_null()) {
                own.insert(names[&text(&dependency["pkg"])].clone());
            }
        }
    }
    direct
}

fn all_below(direct: &BTreeMap<String, BTreeSet<String>>, package: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut next = vec![package.to_owned()];
    while let Some(package) = next.pop() {
        for below in direct.get(&package).into_iter().flatten() {
            if found.insert(below.clone()) {
                next.push(below.clone());
            }
        }
    }
    found
}

#[test]
fn pure_cores_depend_on_nothing_that_does_io_or_tells_the_time() {
    let direct = dependencies();
    for package in PURE {
        assert!(direct.contains_key(package), "{package} is no package of the workspace");
        let below = all_below(&direct, package);
        let banned: Vec<&str> = BANNED.into_iter().filter(|name| below.contains(*name)).collect();
        assert_eq!(banned, [""; 0], "{package} depends on what is not pure");
    }
    // The check would see it.
    assert!(all_below(&direct, "rejoinder-runtime").contains("rocksdb"));
}

#[test]
fn cores_meet_only_as_events() {
    let direct = dependencies();
    let cores: Vec<&String> =
        direct.keys().filter(|name| name.starts_with("rejoinder-") && name.ends_with("-core")).collect();
    assert!(cores.len() >= 2, "{cores:?}");
    for core in &cores {
        let below = all_below(&direct, core);
        assert!(cores.iter().all(|other| !below.contains(*other)), "{core} depends on another core: {below:?}");
        assert!(PURE.contains(&core.as_str()), "{core} is a core and not in the list of what is pure");
    }
}
