//! A whole look at a log: every record is read and checked.

use bytes::Bytes;

use crate::log::EventLog;
use crate::record::RecordView;

/// Bytes read at a time.
const READ_BYTES: usize = 4 << 20;

/// What a whole look at a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Records by partition.
    pub records: Vec<u64>,
    /// What does not hold, with its position.
    pub damages: Vec<String>,
}

/// Reads every record: checksums, density, what the headers say. Each is handed on with its partition
/// and index.
pub fn verify(log: &dyn EventLog, mut each: impl FnMut(u16, u64, &Bytes)) -> Verified {
    let mut verified = Verified::default();
    for partition in 0..log.partitions() {
        let mut next = 0;
        let end = log.end(partition);
        while next < end {
            let records = match log.read(partition, next, READ_BYTES) {
                Ok(records) => records,
                Err(error) => {
                    verified.damages.push(error.to_string());
                    break;
                }
            };
            if records.is_empty() {
                verified.damages.push(format!("{partition}/{next} is missing"));
                break;
            }
            for record in records {
                if let Err(damage) = RecordView::verify(&record.bytes) {
                    verified.damages.push(format!("{partition}/{}: {damage}", record.index));
                }
                each(partition, record.index, &record.bytes);
                next = record.index + 1;
            }
        }
        verified.records.push(next);
    }
    verified
}
