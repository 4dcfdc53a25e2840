//! The embedded log on a real directory: conformance, reopening, damage.

use rejoinder_event_log::record::claim;
use rejoinder_event_log::{Verified, verify};
use rejoinder_model::Service;
use rejoinder_wire::log::Claim;

use super::*;

fn options() -> Options {
    Options { partitions: 4, ..Options::default() }
}

fn record(n: u64) -> Bytes {
    claim(Service::Ingest, Claim { prev_epoch: n, lane_is_new: false, nonce: n, ..Claim::default() }, 0)
}

fn filled(dir: &Path, records: u64) {
    let log = EmbeddedLog::open(dir, options()).unwrap();
    for n in 0..records {
        log.append(1, record(n)).unwrap();
    }
    log.close();
}

#[test]
fn it_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let count = std::cell::Cell::new(0);
    rejoinder_event_log::conformance::suite(&|| {
        count.set(count.get() + 1);
        EmbeddedLog::open(&dir.path().join(count.get().to_string()), options()).unwrap()
    });
}

#[test]
fn a_log_is_the_same_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 20);
    let log = EmbeddedLog::open(dir.path(), options()).unwrap();
    assert_eq!((log.end(0), log.end(1)), (0, 20));
    let records = log.read(1, 15, 1 << 20).unwrap();
    assert_eq!(records.iter().map(|record| record.index).collect::<Vec<_>>(), [15, 16, 17, 18, 19]);
    assert_eq!(verify(&*log, |_, _, _| ()), Verified { records: vec![0, 20, 0, 0], damages: vec![] });
    let id = log.id();
    drop(log);
    assert_eq!(EmbeddedLog::open_read_only(dir.path()).unwrap().id(), id);
}

#[test]
fn a_second_process_and_another_number_of_partitions_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), options()).unwrap();
    assert!(matches!(EmbeddedLog::open(dir.path(), options()), Err(OpenError::InUse { .. })));
    drop(log);
    let other = Options { partitions: 8, ..Options::default() };
    assert!(matches!(EmbeddedLog::open(dir.path(), other), Err(OpenError::Partitions { found: 4, wanted: 8, .. })));
}

/// The write-ahead file that holds the records.
fn write_ahead_file(dir: &Path) -> PathBuf {
    let files = std::fs::read_dir(dir.join("db")).unwrap().map(|file| file.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    logs.max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

#[test]
fn a_cut_log_is_refused_by_its_high_water_mark() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path(), 200);
    let file = write_ahead_file(dir.path());
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let Err(OpenError::Damaged { what, .. }) = EmbeddedLog::open(dir.path(), options()) else {
        panic!("a cut log must be refused");
    };
    assert!(what.contains("partition 1"), "{what}");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn no_flipped_bit_loses_a_record_unseen() {
    let whole = tempfile::tempdir().unwrap();
    filled(whole.path(), 200);
    let size = write_ahead_file(whole.path()).metadata().unwrap().len();
    let mut refused = 0;
    for n in 0..60 {
        let dir = tempfile::tempdir().unwrap();
        copy(whole.path(), dir.path());
        let file = write_ahead_file(dir.path());
        let mut bytes = std::fs::read(&file).unwrap();
        let at = usize::try_from(n * size / 60 + n % 7).unwrap().min(bytes.len() - 1);
        bytes[at] ^= 1 << (n % 8);
        std::fs::write(&file, bytes).unwrap();
        match EmbeddedLog::open(dir.path(), options()) {
            Err(_) => refused += 1,
            Ok(log) => {
                let verified = verify(&*log, |_, _, _| ());
                let lost = !verified.damages.is_empty() || verified.records != [0, 200, 0, 0];
                assert!(!lost, "a flip at byte {at} was not seen: {verified:?}");
            }
        }
    }
    assert!(refused > 50, "only {refused} of 60 flips were found: the test flips bits that nobody reads");
}

#[test]
fn nothing_is_taken_after_closing() {
    let dir = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(dir.path(), options()).unwrap();
    log.close();
    assert!(matches!(log.append(0, record(0)), Err(AppendError::Stopped(_))));
}
