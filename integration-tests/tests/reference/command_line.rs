//! `command-line.md` is what the binary says of itself.

use rejoinder_integration_tests::{data, golden};

/// The help of a command and of those below it, as a page.
fn help(command: &[String], parts: &mut Vec<String>) {
    let args: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
    let text = data(&args);
    let name = if command.is_empty() { "rejoinder".to_owned() } else { format!("rejoinder {}", command.join(" ")) };
    let trimmed: Vec<&str> = text.lines().map(str::trim_end).collect();
    parts.push(format!("## {name}\n\n```text\n{}\n```", trimmed.join("\n").trim_end()));
    let below = trimmed.iter().skip_while(|line| **line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for line in below {
        let name = line.split_whitespace().next().unwrap();
        if line.starts_with("  ") && !line.starts_with("   ") && name != "help" {
            help(&[command, &[name.to_owned()]].concat(), parts);
        }
    }
}

#[test]
fn every_command_is_listed() {
    let mut parts = Vec::new();
    help(&[], &mut parts);
    assert!(parts.len() > 10, "{parts:?}");
    golden::page("docs/reference/command-line.md", &parts.join("\n\n"));
}
