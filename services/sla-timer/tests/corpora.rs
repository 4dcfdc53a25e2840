//! Real conversations through the services in virtual time: first responses round the clock, and
//! requests that wait for somebody else.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails as a test does")]

mod common;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use common::{Services, WORKSPACE, corpora, interactions};
use rejoinder_channels::{Format, Interaction, Options, framing, read};
use rejoinder_model::{DAY_MS, MessageKey, Millis, ThreadId};
use rejoinder_sla_core::record::{Clock, Status};
use rejoinder_threading_core::Command;
use rejoinder_wire::event::{Disposition, Metric, SlaPolicy, ThreadState, sla_policy};
use serde_json::json;

/// What became of the first responses: seconds to the answer of those answered, and how many were
/// not, were met, were breached.
struct Responses {
    seconds: Vec<Millis>,
    unanswered: usize,
    met: usize,
    breached: usize,
    unanswered_breached: usize,
}

impl Responses {
    fn of(services: &Services) -> Self {
        let all = services.clocks(Metric::FirstResponse).into_iter().map(|(_, clock)| clock);
        let clocks: Vec<Clock> = all.filter(|clock| !matches!(clock.status, Status::Cancelled(_))).collect();
        let count = |which: &dyn Fn(&Clock) -> bool| clocks.iter().filter(|clock| which(clock)).count();
        let answered = clocks.iter().filter(|clock| !clock.status.is_live());
        let mut seconds: Vec<Millis> = answered.map(|clock| clock.elapsed_ms / 1_000).collect();
        seconds.sort_unstable();
        Self {
            seconds,
            unanswered: count(&|clock| clock.status.is_live()),
            met: count(&|clock| clock.status == Status::Met && !clock.breached),
            breached: count(&|clock| clock.breached),
            unanswered_breached: count(&|clock| clock.breached && clock.status.is_live()),
        }
    }

    /// sorted[⌊q (n − 1)⌋], q in percent.
    fn percentile(&self, percent: usize) -> Millis {
        self.seconds[percent * (self.seconds.len() - 1) / 100]
    }
}

#[test]
fn first_responses_of_the_head() {
    let Some(corpora) = corpora() else { return };
    let mut services = Services::start();
    services.replay(interactions(&corpora.join("twcs/head.csv.zst"), Format::Twcs));
    let found = Responses::of(&services);
    assert_eq!((found.seconds.len(), found.unanswered), (890, 68));
    let longest = found.seconds.last().copied();
    assert_eq!((found.percentile(50), found.percentile(90), longest), (610, 15_064, Some(1_685_170)));
    assert_eq!((found.met, found.breached, found.unanswered_breached), (724, 234, 68));
    let (live, rebuilt) = services.digests();
    assert_eq!(live, rebuilt, "the log alone gives the same state");
}

#[test]
fn first_responses_of_the_tail() {
    let Some(corpora) = corpora() else { return };
    let mut services = Services::start();
    services.replay(interactions(&corpora.join("twcs/tail.json.zst"), Format::Twcs));
    let found = Responses::of(&services);
    assert_eq!((found.seconds.len(), found.unanswered), (2_908, 351));
    assert_eq!((found.percentile(50), found.percentile(90)), (874, 17_956));
    assert_eq!((found.met, found.breached, found.unanswered_breached), (2_233, 1_026, 351));
}

/// When each first response opened, ended, and whether it was late; what was given up for another is
/// left out.
fn first_responses(services: &Services) -> Vec<(Millis, Option<Millis>, bool)> {
    let clocks = services.clocks(Metric::FirstResponse).into_iter().map(|(_, clock)| clock);
    let kept = clocks.filter(|clock| !matches!(clock.status, Status::Cancelled(_)));
    let mut kept: Vec<_> =
        kept.map(|clock| (clock.opened_at, (!clock.status.is_live()).then_some(clock.at), clock.breached)).collect();
    kept.sort_unstable();
    kept
}

#[test]
fn the_order_of_delivery_changes_no_first_response() {
    let Some(corpora) = corpora() else { return };
    let said = interactions(&corpora.join("twcs/head.csv.zst"), Format::Twcs);
    let mut in_order = Services::start();
    in_order.replay(said.clone());
    in_order.reach(END);
    in_order.settle();
    for seed in [1, 2] {
        let mut shuffled = said.clone();
        shuffle(&mut shuffled, seed);
        let mut services = Services::start();
        services.play(shuffled);
        services.reach(END);
        services.settle();
        assert_eq!(first_responses(&services).len(), first_responses(&in_order).len());
        assert!(first_responses(&services) == first_responses(&in_order), "seed {seed}");
    }
}

/// A shuffle that is the same for the same seed.
fn shuffle<T>(things: &mut [T], seed: u64) {
    let mut state = seed;
    for n in (1..things.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let to = usize::try_from((state >> 33) % (n as u64 + 1)).unwrap();
        things.swap(n, to);
    }
}

/// Rows of a compressed file with a header, by column.
fn rows(path: &Path, delimiter: u8) -> Vec<BTreeMap<String, String>> {
    let input = framing::decompressed(Box::new(File::open(path).unwrap())).unwrap();
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(input);
    let names: Vec<String> =
        reader.headers().unwrap().iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        names.iter().cloned().zip(record.unwrap().iter().map(ToOwned::to_owned)).collect()
    };
    reader.records().map(row).collect()
}

fn time(text: &str) -> Millis {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

/// A request as somebody wrote it.
fn request(sr: &str, at: Millis) -> Interaction {
    let event_time = jiff::Timestamp::from_millisecond(at).unwrap().to_string();
    let line = json!({"channel": "ticket", "account": "it", "external_id": sr, "direction": "in",
        "author": {"id": sr}, "text": "help", "event_time": event_time})
    .to_string();
    let mut said = Vec::new();
    read(Format::Jsonl, &Options { account: None }, Box::new(std::io::Cursor::new(line)), &mut |item| {
        said.push(item.unwrap().interaction);
        true
    });
    said.remove(0)
}

/// What a record of the log does to a request: nothing, where it is so already.
fn command(services: &Services, thread: ThreadId, row: &BTreeMap<String, String>) -> Option<Command> {
    let is = services.threading.state().threads.get(&thread).unwrap().state();
    let waits = row["Sub Status"].starts_with("Wait");
    let reason = String::new();
    match (row["Status"].as_str(), waits) {
        ("Completed", _) if is != ThreadState::Resolved => {
            Some(Command::Resolve { thread, disposition: Disposition::Answered, unconfirmed: false, reason })
        }
        ("Completed", _) => None,
        // A request that waits as it comes back is reopened first: only open ones can be held.
        (_, true) if is == ThreadState::Resolved => Some(Command::Reopen { thread, reason }),
        (_, true) if is != ThreadState::OnHold => Some(Command::Hold { thread, reason, until: None }),
        (_, false) if matches!(is, ThreadState::OnHold | ThreadState::Resolved) => {
            Some(Command::Reopen { thread, reason })
        }
        _ => None,
    }
}

#[test]
fn waiting_requests_stand_still() {
    let Some(corpora) = corpora() else { return };
    let log = rows(&corpora.join("tickets-volvo/VINST-new.csv.zst"), b',');
    let truth = rows(&corpora.join("tickets-volvo/truth-requests.tsv.zst"), b'\t');
    let chosen: BTreeMap<&str, &BTreeMap<String, String>> = truth.iter().map(|row| (row["sr"].as_str(), row)).collect();
    let mut events: Vec<&BTreeMap<String, String>> =
        log.iter().filter(|row| chosen.contains_key(row["SR Number"].as_str())).collect();
    events.sort_by_key(|row| time(&row["Change Date+Time"]));
    let mut services = Services::start();
    let target = |metric: Metric| sla_policy::Target {
        metric: metric as i32,
        target_ms: 5 * DAY_MS,
        ..sla_policy::Target::default()
    };
    let targets = [Metric::RequesterWait, Metric::AgentWork].map(target).to_vec();
    let rule = sla_policy::Rule { name: "all".into(), targets, ..sla_policy::Rule::default() };
    services.adopt(SlaPolicy { calendars: Vec::new(), rules: vec![rule] });
    let mut threads: BTreeMap<&str, ThreadId> = BTreeMap::new();
    for row in events {
        let (sr, at) = (row["SR Number"].as_str(), time(&row["Change Date+Time"]));
        services.reach(at);
        services.settle();
        if !threads.contains_key(sr) {
            services.publish(vec![request(sr, at)]);
            let key = MessageKey::new(WORKSPACE, "ticket", Some("it"), sr);
            let message = services.threading.state().messages.get(&key).unwrap();
            threads.insert(sr, ThreadId(message.thread));
        }
        while let Some(command) = command(&services, threads[sr], row) {
            services.command(command);
        }
    }
    services.reach(END);
    services.settle();
    let mut sums: BTreeMap<ThreadId, [Millis; 2]> = BTreeMap::new();
    let mut breached = 0;
    for (n, metric) in [Metric::RequesterWait, Metric::AgentWork].into_iter().enumerate() {
        for (thread, clock) in services.clocks(metric) {
            let sum = sums.entry(thread).or_default();
            sum[n] += clock.elapsed_ms + if clock.status == Status::Running { END - clock.at } else { 0 };
            assert_eq!(clock.breached, clock.due_at != 0 && clock.due_at <= END && !in_time(&clock), "{clock:?}");
            breached += usize::from(clock.breached);
        }
    }
    let mut compared = 0;
    for (sr, truth) in chosen {
        let [open, work] = sums[&threads[sr]];
        let waited: Millis = truth["wait_s"].parse::<Millis>().unwrap() * 1_000;
        if !truth["last_sub_status"].starts_with("Wait") {
            assert_eq!(open - work, waited, "{sr}");
            compared += 1;
        }
    }
    println!("{compared} requests compared, {breached} clocks breached");
    assert!(compared > 4_500 && breached > 1_200, "{compared} requests compared, {breached} clocks breached");
}

/// After the last record of all.
const END: Millis = 1_600_000_000_000;

fn in_time(clock: &Clock) -> bool {
    !clock.status.is_live() && clock.at <= clock.due_at
}
