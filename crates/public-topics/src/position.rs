//! How far a partition is published: the offset committed by the group, with the partition's fold at it
//! in the offset's metadata, so that which frames count is known without folding from the beginning.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as TEXT;
use rejoinder_event_log::{LogId, PartitionFold};

/// The version of the text.
const FORMAT: &str = "1:";

/// What a group's offset says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    /// The next record.
    pub(crate) index: u64,
    /// The fold before it; `None`: somebody set the offset by hand, and it must be folded anew.
    pub(crate) fold: Option<PartitionFold>,
}

/// Why an offset says nothing about this log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Foreign {
    #[error("its metadata was written by another version")]
    Format,
    #[error("its metadata is not whole: {0}")]
    Damaged(String),
    #[error("it is a position in log {found:032x}, and this one is {wanted:032x}")]
    OtherLog { found: LogId, wanted: LogId },
}

/// The metadata of a position. Kafka takes 4,096 bytes; this has at most 400.
pub(crate) fn metadata(log: LogId, fold: &PartitionFold) -> String {
    // Numbers are encoded into memory: that cannot fail.
    let bytes = postcard::to_stdvec(&(log, fold)).unwrap_or_default();
    format!("{FORMAT}{}", TEXT.encode(bytes))
}

/// What was committed.
pub(crate) fn committed(log: LogId, index: u64, metadata: &str) -> Result<Committed, Foreign> {
    if metadata.is_empty() {
        return Ok(Committed { index, fold: None });
    }
    let damaged = |what: String| Foreign::Damaged(what);
    let text = metadata.strip_prefix(FORMAT).ok_or(Foreign::Format)?;
    let bytes = TEXT.decode(text).map_err(|error| damaged(error.to_string()))?;
    let (found, fold): (LogId, PartitionFold) =
        postcard::from_bytes(&bytes).map_err(|error| damaged(error.to_string()))?;
    if found != log {
        return Err(Foreign::OtherLog { found, wanted: log });
    }
    if fold.next_index != index {
        return Err(damaged(format!("it is of {}, the offset is {index}", fold.next_index)));
    }
    Ok(Committed { index, fold: Some(fold) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fold whose numbers are as large as they get: they stand one after the other in its bytes.
    fn large() -> PartitionFold {
        const MAX: u64 = u64::MAX;
        let lane = (Some(MAX), MAX, MAX, (MAX, u32::MAX), MAX);
        let bytes = postcard::to_stdvec(&([lane; 4], MAX, i64::MIN, MAX, MAX)).unwrap();
        postcard::from_bytes(&bytes).unwrap()
    }

    fn small() -> PartitionFold {
        let mut fold = PartitionFold::default();
        (fold.next_index, fold.now) = (300, 1_700_000_000_000);
        fold
    }

    #[test]
    fn a_position_fits_an_offset_and_comes_back() {
        for fold in [PartitionFold::default(), small(), large()] {
            let text = metadata(u128::MAX, &fold);
            assert!(text.len() <= 400, "{}", text.len());
            assert_eq!(
                committed(u128::MAX, fold.next_index, &text),
                Ok(Committed { index: fold.next_index, fold: Some(fold) })
            );
        }
    }

    #[test]
    fn the_text_is_frozen() {
        let text = metadata(7, &small());
        assert_eq!(text, "1:BwABAQAAAAABAQAAAAABAQAAAAABAQAAAKwCgKCr/vliAAA");
    }

    #[test]
    fn what_was_not_written_for_this_log_is_told() {
        let text = metadata(7, &PartitionFold::default());
        assert_eq!(committed(7, 12, ""), Ok(Committed { index: 12, fold: None }));
        assert_eq!(committed(8, 0, &text), Err(Foreign::OtherLog { found: 7, wanted: 8 }));
        assert_eq!(committed(7, 0, "2:AAAA"), Err(Foreign::Format));
        assert!(matches!(committed(7, 1, &text), Err(Foreign::Damaged(_))));
        assert!(matches!(committed(7, 0, &text[..9]), Err(Foreign::Damaged(_))));
    }
}
