//! `clocks export` over a real past: first responses round the clock, in event time.

use rejoinder_integration_tests::{Replay, corpora, data, rows};

/// First responses of a replayed file: seconds to each answer, how many were not answered, met, breached.
fn first_responses(export: &str) -> (Vec<i64>, usize, usize, usize) {
    let rows = rows(export);
    let clocks: Vec<_> =
        rows.iter().filter(|row| row["metric"] == "first_response" && row["outcome"] != "cancelled").collect();
    let answered = clocks.iter().filter(|row| !row["ended_at"].is_empty());
    let mut seconds: Vec<i64> = answered.map(|row| row["elapsed_ms"].parse::<i64>().unwrap() / 1_000).collect();
    seconds.sort_unstable();
    let unanswered = clocks.len() - seconds.len();
    let of = |outcome: &str| clocks.iter().filter(|row| row["outcome"] == outcome).count();
    (seconds, unanswered, of("met"), of("breached"))
}

#[test]
fn first_responses_of_the_head_are_exported() {
    let Some(corpora) = corpora() else { return };
    let replay = Replay::of(&corpora.join("twcs/head.csv.zst"), "twcs", &[]);
    let export = data(&["clocks", "export", "--data-dir", &replay.data_dir()]);
    let (seconds, unanswered, met, breached) = first_responses(&export);
    assert_eq!((seconds.len(), unanswered, met, breached), (890, 68, 724, 234));
    let percentile = |percent: usize| seconds[percent * (seconds.len() - 1) / 100];
    assert_eq!((percentile(50), percentile(90), percentile(100)), (610, 15_064, 1_685_170));
    let again = data(&["clocks", "export", "--data-dir", &replay.data_dir()]);
    assert!(export == again, "running clocks count to the end of the log, not to the day they are asked for");
}
