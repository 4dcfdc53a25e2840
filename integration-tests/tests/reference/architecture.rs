//! ARCHITECTURE.md has every crate, and no paper points to a file that is not there.

use rejoinder_integration_tests::golden;

#[test]
fn every_crate_is_on_the_map() {
    let map = golden::text("ARCHITECTURE.md");
    for group in ["crates", "services"] {
        for member in std::fs::read_dir(golden::path(group)).unwrap() {
            let name = format!("`{group}/{}`", member.unwrap().file_name().to_string_lossy());
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
