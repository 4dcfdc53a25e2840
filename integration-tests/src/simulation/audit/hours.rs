//! Business hours counted minute by minute: a clock is due when so many open minutes have passed, also in
//! the night in which the clocks change.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use rejoinder_model::{HOUR_MS, MINUTE_MS, Millis};

use crate::simulation::house::HOURS;

/// The longest stretch that is counted, and how many of them: they take long.
const LONGEST_MS: Millis = 40 * HOUR_MS;
const MOST: u32 = 4;

/// Counts the first few clocks of a partition.
#[derive(Default)]
pub(super) struct Hours {
    counted: u32,
}

impl Hours {
    /// Is a clock that runs from an instant due when it should be? What is not counted is.
    pub(super) fn is_due(&mut self, calendar: &str, from: Millis, target_ms: Millis, due: Millis) -> bool {
        if calendar.is_empty() {
            return due == from + target_ms;
        }
        if due <= from || due - from > LONGEST_MS || self.counted == MOST {
            return true;
        }
        self.counted += 1;
        let (zone, hours) = (TimeZoneDatabase::bundled().get("Europe/Berlin"), HOURS.iter().find(|h| h.0 == calendar));
        let (Ok(zone), Some((_, periods))) = (zone, hours) else { return false };
        let minutes = (from / MINUTE_MS..=due / MINUTE_MS).filter(|minute| is_open(&zone, periods, *minute));
        let within = |minute: Millis| ((minute + 1) * MINUTE_MS).min(due) - (minute * MINUTE_MS).max(from);
        let last = is_open(&zone, periods, (due - 1) / MINUTE_MS);
        minutes.map(within).sum::<Millis>() == target_ms && last
    }
}

/// Minute of the day in a zone.
fn civil(zone: &TimeZone, minute: Millis) -> i32 {
    let at = Timestamp::from_millisecond(minute * MINUTE_MS).map(|at| zone.to_datetime(at)).unwrap_or_default();
    i32::from(at.hour()) * 60 + i32::from(at.minute())
}

/// Is a minute since 1970 within a period? Where an hour comes twice, an opening in it takes the first
/// and a closing the second.
fn is_open(zone: &TimeZone, periods: &[(u32, u32)], minute: Millis) -> bool {
    let now = civil(zone, minute);
    let comes_again = civil(zone, minute + 60) == now;
    let came_before = civil(zone, minute - 60) == now;
    let hour = now / 60 * 60;
    periods.iter().any(|(open, close)| {
        let (open, close) = (i32::try_from(*open).unwrap_or(i32::MAX), i32::try_from(*close).unwrap_or(i32::MAX));
        let (opened, closed) = (open <= now, close <= now);
        match (comes_again, came_before) {
            (true, _) => opened && close > hour,
            (_, true) => open < hour + 60 && !closed,
            (false, false) => opened && !closed,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_minutes_in_the_nights_in_which_the_clocks_change() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time").as_millisecond();
        // (calendar, from, minutes, due)
        let table = [
            ("night", "2026-10-24T22:00:00Z", 60, "2026-10-25T01:30:00Z"),
            ("night", "2026-10-24T22:00:00Z", 150, "2026-10-25T03:00:00Z"),
            ("night", "2026-03-28T23:00:00Z", 30, "2026-03-29T01:30:00Z"),
            ("all-night", "2026-10-24T22:00:00Z", 300, "2026-10-25T03:00:00Z"),
            ("shifts", "2026-10-25T10:30:00Z", 60, "2026-10-25T13:00:00Z"),
        ];
        for (calendar, from, minutes, due) in table {
            let is_due = |due| Hours::default().is_due(calendar, at(from), minutes * MINUTE_MS, due);
            assert!(is_due(at(due)), "{calendar} from {from} for {minutes}");
            assert!(!is_due(at(due) - 1) && !is_due(at(due) + 1), "{calendar} from {from} for {minutes}");
        }
    }
}
