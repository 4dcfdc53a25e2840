//! What ARCHITECTURE.md says of the crates, and where all papers point to.

use std::collections::BTreeSet;
use std::process::Command;

use rejoinder_integration_tests::golden;

/// Crates that must stay pure, besides the cores, and what none of them may reach.
const PURE: [&str; 6] = ["model", "wire", "machine", "event-log", "policy", "channels"];
const BANNED: [&str; 6] = ["tokio", "tonic", "rocksdb", "rdkafka", "axum", "hyper"];

/// The folders of a group of crates.
fn members(group: &str) -> Vec<String> {
    let entries = std::fs::read_dir(golden::path(group)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// All packages that a crate is built from on this machine, tests and build scripts left out.
fn reached_by(package: &str) -> BTreeSet<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["tree", "--package", package, "--edges", "normal", "--prefix", "none", "--locked"])
        .current_dir(golden::path(""))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    let reached: BTreeSet<String> =
        tree.lines().filter_map(|line| line.split(' ').next()).map(ToOwned::to_owned).collect();
    assert!(reached.contains(package), "{tree}");
    reached
}

#[test]
fn the_pure_crates_reach_no_runtime_no_database_and_no_other_core() {
    let cores: Vec<String> = members("crates").into_iter().filter(|name| name.ends_with("-core")).collect();
    assert!(!cores.is_empty());
    for pure in PURE.into_iter().chain(cores.iter().map(String::as_str)) {
        let package = format!("rejoinder-{pure}");
        let reached = reached_by(&package);
        let banned: Vec<&&str> = BANNED.iter().filter(|banned| reached.contains(**banned)).collect();
        assert!(banned.is_empty(), "{pure} reaches {banned:?}");
        let others = cores.iter().map(|core| format!("rejoinder-{core}"));
        let others: Vec<String> = others.filter(|core| *core != package && reached.contains(core)).collect();
        assert!(others.is_empty(), "{pure} reaches {others:?}");
    }
}

#[test]
fn every_crate_is_on_the_map() {
    let map = golden::text("ARCHITECTURE.md");
    for group in ["crates", "services"] {
        for member in members(group) {
            let name = format!("`{group}/{member}`");
            assert!(map.contains(&name), "{name} is not in ARCHITECTURE.md");
        }
    }
}

/// The papers: at the top, and below `docs/`.
fn papers() -> Vec<String> {
    let root = golden::path("").canonicalize().unwrap();
    let below = golden::files("docs", "md").into_iter().map(|page| page.canonicalize().unwrap());
    let below = below.map(|page| page.strip_prefix(&root).unwrap().to_string_lossy().into_owned());
    ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"].map(ToOwned::to_owned).into_iter().chain(below).collect()
}

#[test]
fn no_paper_points_to_a_file_that_is_not_there() {
    let mut wrong = Vec::new();
    for paper in papers() {
        let text = golden::text(&paper);
        let page = golden::path(&paper);
        let links = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link);
        for link in links.filter(|link| !link.contains("://")) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !page.parent().unwrap().join(file).exists() {
                wrong.push(format!("{paper}: {link}"));
            }
        }
        // Paths in the text, from the root of the repository.
        let known = ["crates/", "services/", "proto/", "deploy/", "docs/", "integration-tests/", "scripts/"];
        for quoted in text.split('`').skip(1).step_by(2) {
            let plain = quoted.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
            if plain && known.iter().any(|folder| quoted.starts_with(folder)) && !golden::path(quoted).exists() {
                wrong.push(format!("{paper}: {quoted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
