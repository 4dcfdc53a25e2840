//! `errors.md` has every reason that the code gives, and no other.

use std::collections::BTreeSet;

use rejoinder_integration_tests::golden;

/// Texts of the code that look like reasons.
fn reasons(source: &str) -> impl Iterator<Item = String> + '_ {
    // What stands beside tests is not refused to anybody.
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let looks_right = |text: &&str| {
        text.len() > 4
            && !text.starts_with('_')
            && !text.ends_with('_')
            && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//") && !line.contains("env!("))
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter(looks_right)
        .map(ToOwned::to_owned)
}

#[test]
fn every_reason_is_listed() {
    let mut given = BTreeSet::new();
    for below in ["services", "crates/service-kit/src"] {
        for path in golden::files(below, "rs") {
            if std::path::Path::new(&path).components().any(|part| part.as_os_str() == "tests") {
                continue;
            }
            given.extend(reasons(&std::fs::read_to_string(path).unwrap()));
        }
    }
    let page = golden::text("docs/reference/errors.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed: BTreeSet<String> = rows.map(|(reason, _)| reason.to_owned()).collect();
    assert!(given.len() > 10, "the sources were found: {given:?}");
    assert_eq!(listed, given);
}
