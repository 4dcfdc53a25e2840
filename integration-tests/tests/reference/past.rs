//! The how-to of one's own past: its file, replayed, gives what the page shows.

use rejoinder_integration_tests::{Replay, golden};

#[test]
fn the_sample_of_a_past_gives_what_the_page_shows() {
    let page = golden::text("docs/how-to/try-on-your-own-past.md");
    let block = |language: &str| {
        let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0
    };
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("past.jsonl");
    std::fs::write(&file, block("json")).unwrap();
    let replay = Replay::of(&file, "jsonl", &[]);
    assert!(replay.export.starts_with(block("text")), "{}", replay.export);
    assert_eq!(replay.grouping("thread_id").len(), 2);
}
