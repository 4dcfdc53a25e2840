//! Time as a number: milliseconds since 1970, UTC.

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type Millis = i64;

/// One minute in milliseconds.
pub const MINUTE_MS: Millis = 60_000;
/// One hour in milliseconds.
pub const HOUR_MS: Millis = 60 * MINUTE_MS;
/// One day in milliseconds.
pub const DAY_MS: Millis = 24 * HOUR_MS;
/// 2000-01-01: an event time before it is kept as given and counts as this for all rules.
pub const EARLIEST_MS: Millis = 946_684_800_000;

/// The event time that rules use: within [2000-01-01, received + 1 day].
#[must_use]
pub fn for_rules(event_time: Millis, received_at: Millis) -> Millis {
    event_time.clamp(EARLIEST_MS, received_at.saturating_add(DAY_MS).max(EARLIEST_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_times_are_clamped_and_others_kept() {
        let received = 1_700_000_000_000;
        assert_eq!(for_rules(0, received), EARLIEST_MS);
        assert_eq!(for_rules(i64::MIN, received), EARLIEST_MS);
        assert_eq!(for_rules(i64::MAX, received), received + DAY_MS);
        assert_eq!(for_rules(received - 5, received), received - 5);
        assert_eq!(for_rules(5, i64::MAX), EARLIEST_MS);
    }
}
