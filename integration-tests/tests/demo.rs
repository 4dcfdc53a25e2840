//! The demo as a person runs it: it ends well, sums up, and what it kept can be read on.

use rejoinder_integration_tests::{data, run};

/// The line of the summary that begins with a name.
fn line<'a>(shown: &'a str, name: &str) -> &'a str {
    let found = shown.lines().find(|line| line.split("  ").next() == Some(name));
    found.unwrap_or_else(|| panic!("no line {name:?} in {shown}"))
}

/// The number before a word.
fn number(line: &str, word: &str) -> u64 {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.windows(2).find(|pair| pair[1].trim_end_matches([',', ';']) == word);
    let number = at.and_then(|pair| pair[0].parse().ok());
    number.unwrap_or_else(|| panic!("no number before {word:?} in {line:?}"))
}

#[test]
fn a_demo_of_five_seconds_sums_up_and_is_kept() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let kept = dir.path().join("kept");
    let kept = kept.to_str().expect("a path in UTF-8");
    let output = run(&["demo", "--for", "5s", "--seed", "7", "--keep", kept]);
    let (shown, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {said}\n{shown}", output.status);

    let messages = line(&shown, "messages");
    let (accepted, placed) = (number(messages, "accepted"), number(messages, "placed"));
    assert!(accepted == placed && accepted > 200, "{messages}");
    let offers = line(&shown, "offers");
    let (made, taken) = (number(offers, "made:"), number(offers, "accepted"));
    assert!(made >= taken && taken > 100 && number(offers, "declined") > 0, "{offers}");
    assert!(number(line(&shown, "agents"), "replies") > 100);
    assert!(number(line(&shown, "clocks"), "met") > 100);
    assert!(line(&shown, "rebuilt state").contains("equals the stored one"));
    assert!(!shown.lines().any(|line| line.starts_with("broken")), "{shown}");

    // One line for each second, and some for the overtime.
    assert!(shown.lines().filter(|line| line.contains("/24 ")).count() >= 5, "{shown}");
    let invited = shown.lines().last().expect("the way on").trim();
    let invited: Vec<&str> = invited.split_whitespace().collect();
    let ["rejoinder", "explain", item, "--data-dir", named] = invited[..] else { panic!("{invited:?}") };
    assert!(named == kept && item.starts_with('w'));
    let explained = data(&["explain", item, "--data-dir", kept]);
    let first = explained.lines().next().expect("an explanation");
    assert!(first.contains(item) && shown.contains(first), "the same is told again: {explained}\n{shown}");
    let decision = explained.lines().find(|line| line.starts_with("Decision 1 at ")).expect("a decision");
    assert!(shown.contains(decision) && explained.contains("Offer to "), "{explained}");

    let exported = data(&["threads", "export", "--data-dir", kept]);
    assert_eq!(exported.lines().count() as u64, accepted + 1, "a header, and a line for each message");
    let again = run(&["demo", "--for", "1s", "--keep", kept]);
    assert_eq!(again.status.code(), Some(1), "a directory in use is refused");
}

#[test]
fn a_demo_that_is_not_kept_leaves_nothing_behind() {
    let output = run(&["demo", "--for", "1s"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let dir = said.lines().find_map(|line| line.split_once("its data lie in ")).expect("it says where").1;
    assert!(!std::path::Path::new(dir).exists(), "{dir}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("--keep DIR"), "how to keep it");
}
