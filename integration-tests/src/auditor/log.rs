//! The log of a stopped directory, counted frame by counted frame.

use std::path::Path;

use prost::Message as _;
use rejoinder_event_log::{EventLog as _, PartitionFold, RecordView, Verdict};
use rejoinder_event_log_embedded::EmbeddedLog;
use rejoinder_model::{Millis, Service};
use rejoinder_wire::event::Event;

/// Bytes read at a time.
const READ_BYTES: usize = 4 << 20;

/// A commit: what one service decided at once.
pub struct Frame {
    /// Where it stands.
    pub index: u64,
    /// Whose it is.
    pub service: Service,
    /// When it was written.
    pub record_time: Millis,
    /// Below which index its writer had considered everything.
    pub considered: u64,
    /// Its events, each with its number in the lane.
    pub events: Vec<(u64, Event)>,
}

/// Hands the counted frames of a partition to `each`, in order. Answers with the fold as of the end.
///
/// # Errors
/// When the log cannot be read.
pub fn each_frame(log: &EmbeddedLog, partition: u16, mut each: impl FnMut(Frame)) -> Result<PartitionFold, String> {
    let mut fold = PartitionFold::default();
    while fold.next_index < log.end(partition) {
        for stored in log.read(partition, fold.next_index, READ_BYTES).map_err(|error| error.to_string())? {
            let wrong = |what: String| format!("{partition}/{}: {what}", stored.index);
            let record = RecordView::verify(&stored.bytes).map_err(|damage| wrong(damage.to_string()))?;
            if fold.fold(stored.index, record.service, &record.header) != Verdict::Counted {
                continue;
            }
            let mut events = Vec::new();
            for (own_seq, bytes) in
                (record.header.first_own_seq..).zip(record.events().map_err(|damage| wrong(damage.to_string()))?)
            {
                events.push((own_seq, Event::decode(bytes).map_err(|error| wrong(error.to_string()))?));
            }
            each(Frame {
                index: stored.index,
                service: record.service,
                record_time: record.header.record_time,
                considered: record.header.consumed_index,
                events,
            });
        }
    }
    Ok(fold)
}

/// Opens the log of a stopped or killed process.
///
/// # Errors
/// When it is damaged, or in use.
pub fn open(dir: &Path) -> Result<std::sync::Arc<EmbeddedLog>, String> {
    EmbeddedLog::open_read_only(&dir.join("log")).map_err(|error| error.to_string())
}
