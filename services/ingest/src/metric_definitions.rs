//! Metrics of ingest: each declared once, with its help.

use metrics::{counter, describe_counter};
use rejoinder_api::ingest::PublishResult;
use rejoinder_api::ingest::publish_result::Outcome;

const INTERACTIONS: &str = "rejoinder_ingest_interactions_total";
const SHED: &str = "rejoinder_ingest_shed_total";

/// Names and helps, for the reference.
pub const ALL: [(&str, &str); 2] = [
    (INTERACTIONS, "Interactions answered, by outcome: accepted, duplicate, refused."),
    (SHED, "Interactions not taken because a quota, a queue or the disk was full."),
];

/// Declares the metrics.
pub fn describe() {
    for (name, help) in ALL {
        describe_counter!(name, help);
    }
    // There from the start, so that a rate is known before the first time.
    counter!(SHED).increment(0);
    count("accepted", 0);
    count("duplicate", 0);
    count("refused", 0);
}

pub(crate) fn published(results: &[PublishResult]) {
    let counted = [(Outcome::Accepted, "accepted"), (Outcome::Duplicate, "duplicate"), (Outcome::Refused, "refused")];
    for (outcome, name) in counted {
        let count = results.iter().filter(|result| result.outcome() == outcome).count();
        self::count(name, count as u64);
    }
}

fn count(outcome: &'static str, interactions: u64) {
    counter!(INTERACTIONS, "outcome" => outcome).increment(interactions);
}

pub(crate) fn shed(interactions: usize) {
    counter!(SHED).increment(interactions as u64);
}
