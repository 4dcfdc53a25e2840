//! Tables of what is taken and what is wrong.

use rejoinder_model::{DAY_MS, HOUR_MS};

use super::*;

fn said(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<(String, String)> = files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
    check(&files).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_right_is_taken() {
    let accounts =
        "[[account]]\nchannel = \"x\"\nid = \"acme\"\n[[account]]\nchannel = \"x\"\nid = \"acme_bot\"\nbot = true\n";
    let threading = "reopen_window = \"3d\"\nsilence = \"never\"\nburst_gap = \"1h\"\n";
    let files =
        [("accounts.toml".to_owned(), accounts.to_owned()), ("threading.toml".to_owned(), threading.to_owned())];
    let policy = check(&files).unwrap().threading;
    assert_eq!((policy.reopen_window_ms, policy.silence_ms, policy.burst_gap_ms), (3 * DAY_MS, 0, HOUR_MS));
    let accounts: Vec<(&str, bool)> =
        policy.accounts.iter().map(|account| (account.id.as_str(), account.bot)).collect();
    assert_eq!(accounts, [("acme", false), ("acme_bot", true)]);
    assert_eq!(check(&[]), Ok(Policy::default()));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let table: [(&str, &str, &str); 12] = [
        (
            "threading.toml",
            "reopen_windw = \"7d\"",
            "threading.toml:1:1: there is no option \"reopen_windw\"; did you mean \"reopen_window\"?",
        ),
        (
            "threading.toml",
            "\n  silence = 7",
            "threading.toml:2:13: silence is a text, like \"…\", and this is a number",
        ),
        ("threading.toml", "burst_gap = \"8d\"", "threading.toml:1:13: \"8d\" is not within 1m to 7d"),
        (
            "threading.toml",
            "# ä\nburst_gap = \"soon\"",
            "threading.toml:2:13: \"soon\" is no duration, like \"30m\", \"7d\" or \"1h 30m\"",
        ),
        ("threading.toml", "burst_gap = ", "threading.toml:1:13: a value is missing or no TOML"),
        (
            "threading.toml",
            "silence = \"1d\"\nsilence = \"2d\"",
            "threading.toml:2:1: duplicate key `silence` in document root",
        ),
        ("accounts.toml", "account = 1", "accounts.toml:1:11: accounts are tables of their own: [[account]]"),
        ("accounts.toml", "[[account]]\nid = \"a\"", "accounts.toml:1:1: the account has no channel"),
        (
            "accounts.toml",
            "[[account]]\nchannel = \"x\"\nid = \"\"",
            "accounts.toml:3:6: id has 1 to 512 bytes and no control characters",
        ),
        (
            "accounts.toml",
            "[[account]]\nchannel = \"x\"\nid = \"a\"\nbot = \"no\"",
            "accounts.toml:4:7: bot is true or false, and this is a text",
        ),
        (
            "accounts.toml",
            "[[account]]\nchannel = \"x\"\nid = \"a\"\n[[account]]\nchannel = \"x\"\nid = \"a\"",
            "accounts.toml:4:1: x a is listed before",
        ),
        ("acounts.toml", "", "acounts.toml: it is no policy file; did you mean \"accounts.toml\"?"),
    ];
    for (name, text, expected) in table {
        assert_eq!(said(&[(name, text)]), [expected], "{text}");
    }
}

#[test]
fn all_problems_are_found_at_once() {
    let found = said(&[
        ("accounts.toml", "[[account]]\nchanel = \"x\"\nid = 1\n"),
        ("threading.toml", "silence = \"x\"\nburst_gap = 5\n"),
        ("sla.toml", ""),
        ("sla.toml", ""),
    ]);
    assert_eq!(found.len(), 7, "{found:#?}");
    let large = "#".repeat(MAX_BYTES + 1);
    assert_eq!(said(&[("threading.toml", &large)]).len(), 1);
}

#[test]
fn the_sample_is_right() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let files = [
        file("accounts.toml", include_str!("../../../deploy/policy/accounts.toml")),
        file("threading.toml", include_str!("../../../deploy/policy/threading.toml")),
    ];
    let policy = check(&files).unwrap();
    let windows = |policy: &Policy| (policy.threading.reopen_window_ms, policy.threading.silence_ms);
    assert_eq!(windows(&policy), windows(&Policy::default()), "the sample says what the defaults are");
    assert!(!policy.threading.accounts.is_empty());
}
