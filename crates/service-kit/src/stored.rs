//! Events as they stand in the log: a state only knows where.

use std::collections::BTreeMap;

use prost::Message as _;
use rejoinder_event_log::{EventLog, RecordView};
use rejoinder_wire::event::Event;
use tonic::Status;

/// Reads events by the index of the record and their number in it, each record once.
///
/// # Errors
/// DATA_LOSS when one is not there or damaged.
pub fn events_at(
    log: &dyn EventLog,
    partition: u16,
    places: impl IntoIterator<Item = (u64, u32)>,
) -> Result<BTreeMap<(u64, u32), Event>, Status> {
    let mut wanted: Vec<(u64, u32)> = places.into_iter().collect();
    wanted.sort_unstable();
    wanted.dedup();
    let mut found = BTreeMap::new();
    for of_record in wanted.chunk_by(|one, other| one.0 == other.0) {
        let index = of_record[0].0;
        let lost = |what: String| Status::data_loss(format!("the event log at {partition}/{index}: {what}"));
        let records = log.read(partition, index, 1).map_err(|error| lost(error.to_string()))?;
        let record = records.first().ok_or_else(|| lost("it is not there".into()))?;
        let view = RecordView::verify(&record.bytes).map_err(|damage| lost(damage.to_string()))?;
        let events = view.events().map_err(|damage| lost(damage.to_string()))?;
        for (index, number) in of_record {
            let bytes = events.get(*number as usize).cloned().ok_or_else(|| lost("an event is missing".into()))?;
            let event = Event::decode(bytes).map_err(|error| lost(error.to_string()))?;
            found.insert((*index, *number), event);
        }
    }
    Ok(found)
}
