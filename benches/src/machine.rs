//! What the machine itself does: one fdatasync, and RocksDB with nothing around it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use rejoinder_event_log::{EventLog as _, RecordView};
use rejoinder_event_log_embedded::EmbeddedLog;
use rejoinder_model::Service;
use rocksdb::{DB, DBCompressionType, IteratorMode, Options, WriteBatch, WriteOptions};

use crate::clock;
use crate::latency::Latencies;

/// Bytes that are synced together: what a busy server's groups have, about.
const GROUP_BYTES: usize = 256 << 10;

/// Writes 4 KiB and syncs, again and again, with a pause between.
pub(crate) fn fdatasync(dir: &Path, count: usize, pause: Duration) -> std::io::Result<Latencies> {
    let path = dir.join("fdatasync");
    let mut file = File::create(&path)?;
    let mut latencies = Latencies::default();
    for _ in 0..count {
        file.write_all(&[7; 4096])?;
        let start = clock::now();
        file.sync_data()?;
        latencies.add(start.elapsed());
        std::thread::sleep(pause);
    }
    std::fs::remove_file(path)?;
    Ok(latencies)
}

/// What a log holds.
#[derive(Default)]
pub(crate) struct Contents {
    /// By service.
    events: BTreeMap<&'static str, u64>,
    pub(crate) frames: u64,
    pub(crate) bytes: u64,
    /// The first records, up to a number of bytes.
    pub(crate) records: Vec<Bytes>,
}

impl Contents {
    pub(crate) fn events(&self) -> u64 {
        self.events.values().sum()
    }

    pub(crate) fn of(&self, service: Service) -> u64 {
        self.events.get(service.name()).copied().unwrap_or_default()
    }
}

/// Reads the log of a stopped server.
pub(crate) fn contents(data_dir: &Path, keep_bytes: u64) -> anyhow::Result<Contents> {
    let log = EmbeddedLog::open_read_only(&data_dir.join("log"))?;
    let mut contents = Contents::default();
    for partition in 0..log.partitions() {
        let mut next = 0;
        while next < log.end(partition) {
            for record in log.read(partition, next, 4 << 20)? {
                let view = RecordView::peek(&record.bytes)?;
                *contents.events.entry(view.service.name()).or_default() += u64::from(view.header.event_count);
                contents.frames += 1;
                contents.bytes += record.bytes.len() as u64;
                if contents.bytes <= keep_bytes {
                    contents.records.push(record.bytes);
                }
                next = record.index + 1;
            }
        }
    }
    Ok(contents)
}

fn options() -> Options {
    // As the event log has them, so that the difference is what the server adds.
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(32 << 20);
    options.set_max_write_buffer_number(4);
    options.set_target_file_size_base(64 << 20);
    options.set_max_background_jobs(2);
    let mut table = rocksdb::BlockBasedOptions::default();
    table.set_block_size(64 << 10);
    options.set_block_based_table_factory(&table);
    options
}

/// Appends records in order, one fsync for each group.
pub(crate) fn append(dir: &Path, records: &[Bytes]) -> anyhow::Result<Duration> {
    let db = DB::open(&options(), dir)?;
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    let start = clock::now();
    let mut batch = WriteBatch::default();
    for (record, number) in records.iter().zip(0_u64..) {
        batch.put(number.to_be_bytes(), record);
        if batch.size_in_bytes() >= GROUP_BYTES {
            db.write_opt(std::mem::take(&mut batch), &synced)?;
        }
    }
    db.write_opt(batch, &synced)?;
    Ok(start.elapsed())
}

/// Reads the database below a log from one end to the other; how many bytes, in which time.
pub(crate) fn scan(data_dir: &Path) -> anyhow::Result<(u64, Duration)> {
    let db = DB::open_for_read_only(&Options::default(), data_dir.join("log/db"), false)?;
    let start = clock::now();
    let mut bytes = 0;
    for entry in db.iterator(IteratorMode::Start) {
        let (_, value) = entry?;
        bytes += value.len() as u64;
    }
    Ok((bytes, start.elapsed()))
}
