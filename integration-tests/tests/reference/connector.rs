//! The README's connector: its commands run as they stand there, its code is a file that works.

use std::path::Path;
use std::process::{Command, Output};

use rejoinder_integration_tests::golden;
use rejoinder_integration_tests::server::Server;

/// Where the README's commands work.
const FOLDER: &str = "/tmp/connector";

/// The blocks of a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    page.split(open.as_str()).skip(1).filter_map(|rest| rest.split_once("```")).map(|(block, _)| block).collect()
}

fn shell(command: &str) -> Output {
    Command::new("sh").args(["-ec", command]).current_dir(golden::path("")).output().unwrap()
}

#[test]
fn the_readme_shows_the_connector_as_it_is() {
    let readme = golden::text("README.md");
    assert_eq!(blocks(&readme, "python"), [golden::text("docs/how-to/connector.py")]);
}

#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn the_readme_s_connector_publishes_and_reads_its_thread_back() {
    let readme = golden::text("README.md");
    let commands = blocks(&readme, "sh").into_iter().find(|block| block.contains("grpc_tools")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("connector");
    let commands = commands.replace(FOLDER, folder.to_str().unwrap());
    let (install, run): (Vec<&str>, Vec<&str>) =
        commands.lines().partition(|line| line.contains("venv") || line.contains("pip"));
    for line in install {
        let output = shell(line);
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            eprintln!("skipped: no Python with grpcio here: {}", why.lines().last().unwrap_or(line));
            return;
        }
    }
    let server = Server::start(&dir.path().join("data"), &[]);
    assert!(Path::new(&folder).is_dir());
    let mut said = String::new();
    for line in run {
        let line = if line.ends_with("connector.py") { format!("{line} {}", server.endpoint) } else { line.to_owned() };
        let output = shell(&line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        said.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 4, "{said}");
    assert!(lines[..2].iter().all(|line| line.starts_with("OUTCOME_ACCEPTED m")), "{said}");
    assert!(
        lines[2].ends_with("Ann says: Where is my parcel?") && lines[3].ends_with("acme says: On its way."),
        "{said}"
    );
    assert_eq!(lines[2].split_once(' ').unwrap().0, lines[3].split_once(' ').unwrap().0, "one thread");
    assert!(server.stop().contains("stopping"));
}
