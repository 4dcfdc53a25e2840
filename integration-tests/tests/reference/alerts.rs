//! Each alert has a runbook page of its name, and asks only for metrics that exist.

use std::collections::BTreeSet;

use rejoinder_integration_tests::golden;

const PARTS: [&str; 5] =
    ["## Meaning", "## First look", "## Likely causes", "## Fix", "## How to know that it is over"];

#[test]
fn each_alert_has_a_page_and_each_page_an_alert() {
    let rules = golden::text("deploy/prometheus/rules.yml");
    let alerts: BTreeSet<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let pages = golden::files("docs/runbook", "md");
    let pages: BTreeSet<String> =
        pages.iter().map(|page| page.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert!(!alerts.is_empty());
    assert_eq!(alerts, pages.iter().map(String::as_str).collect());
    for alert in alerts {
        let page = golden::text(&format!("docs/runbook/{alert}.md"));
        assert!(page.starts_with(&format!("# {alert}\n")), "{alert}");
        let found: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(found, PARTS, "{alert}");
        assert!(rules.contains(&format!("runbook: docs/runbook/{alert}.md")), "{alert} names its page");
    }
}

#[test]
fn alerts_ask_only_for_metrics_that_exist() {
    let page = golden::text("docs/reference/metrics.md");
    let exist: BTreeSet<&str> =
        page.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0)).collect();
    let rules = golden::text("deploy/prometheus/rules.yml");
    let in_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let asked: BTreeSet<&str> = rules.split(|c| !in_name(c)).filter(|word| word.starts_with("rejoinder_")).collect();
    assert!(!asked.is_empty());
    let unknown: Vec<&&str> = asked.difference(&exist).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
