//! Members in processes of their own, which can be stopped and killed: this test executable runs itself.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rejoinder_event_log_kafka::{GroupOptions, Member, Options};

use crate::journal::{Journal, Kind, Teller};

/// Says to the executable that it is a member.
const MEMBER: &str = "REJOINDER_TEST_MEMBER";
/// What a child's lines begin with: a test prints others.
const MARK: &str = "told: ";

/// A process with a member in it.
pub(crate) struct Process {
    child: Child,
    orders: Option<ChildStdin>,
}

impl Process {
    pub(crate) fn start(options: &Options, member: &str, journal: &Journal) -> Self {
        let what = format!("{} {} {} {member}", options.brokers, options.topic, options.partitions);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["member_of_a_test", "--exact", "--nocapture"])
            .env(MEMBER, what)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let journal = journal.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some((_, told)) = line.split_once(MARK) {
                    journal.push(told.parse().unwrap());
                }
            }
        });
        let orders = child.stdin.take();
        Self { child, orders }
    }

    /// SIGKILL, SIGSTOP, SIGCONT.
    pub(crate) fn signal(&self, name: &str) {
        let done = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    /// Tells the member to leave.
    pub(crate) fn leave(mut self) {
        drop(self.orders.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The life of a child: it leaves when its orders end.
pub(crate) fn live() {
    let Ok(what) = std::env::var(MEMBER) else { return };
    let words: Vec<&str> = what.split(' ').collect();
    let &[brokers, topic, partitions, name] = words.as_slice() else { panic!("{what}") };
    let log = Options { partitions: partitions.parse().unwrap(), ..Options::new(brokers, topic) };
    let tell = |entry| writeln!(std::io::stdout().lock(), "{MARK}{entry}").unwrap();
    let teller = Arc::new(Teller { member: name.to_owned(), tell: Box::new(tell) });
    let member = Member::join(log, GroupOptions::new("routing", name), teller.clone()).unwrap();
    let (ended, end) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_line(&mut String::new());
        drop(ended);
    });
    while end.recv_timeout(Duration::from_millis(10)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
        if let Some(failure) = member.failure() {
            assert!(failure.contains(name), "{failure}");
            teller.tell(Kind::Failed, &[]);
            let _ = end.recv();
        }
    }
    member.leave();
}
