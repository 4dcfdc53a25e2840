//! Business hours: how much open time lies between two instants, and when so much has passed.
//!
//! Hours are civil times in the calendar's zone, half-open [open, close). An opening or closing inside
//! a gap of the clock is the first instant after it; where a civil time comes twice, an opening takes
//! the earlier and a closing the later instant (domain rules, section 4, rule 1).

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use rejoinder_model::{DAY_MS, MINUTE_MS, Millis};

use crate::record::{Hours, Period};

/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;
/// Days on either side of a stretch that must be free of clock changes too, so that no boundary of
/// it is moved by one.
const MARGIN_DAYS: i64 = 2;

/// Why there is no such calendar.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Nothing would ever be due.
    #[error("the calendar is never open")]
    NeverOpen,
    /// The zone database has no such zone.
    #[error("there is no time zone {0:?}")]
    UnknownZone(String),
    /// A period does not lie within a day, or overlaps another.
    #[error("the periods of a day follow each other, from 00:00 to 24:00")]
    Disorder,
}

/// When work is done.
#[derive(Clone, Debug)]
pub enum Calendar {
    /// Round the clock.
    Always,
    /// By civil time.
    Weekly(Box<Weekly>),
}

/// Hours by the day of the week, without holidays.
#[derive(Clone, Debug)]
pub struct Weekly {
    zone: TimeZone,
    /// From Monday on, in order: (open, close) in minutes of the day.
    week: [Vec<(u16, u16)>; 7],
    /// In order.
    holidays: Vec<Date>,
    /// Open time of a week without holidays and changes of the clock.
    week_ms: Millis,
}

impl Calendar {
    /// The calendar of some hours.
    ///
    /// # Errors
    /// When it could not be used.
    pub fn new(hours: &Hours) -> Result<Self, Unusable> {
        let unknown = || Unusable::UnknownZone(hours.time_zone.clone());
        // The machine's own zone files may be of another year.
        let zone = TimeZoneDatabase::bundled().get(&hours.time_zone).map_err(|_| unknown())?;
        let mut week: [Vec<(u16, u16)>; 7] = Default::default();
        for Period { weekday, from, to } in &hours.week {
            let day = week.get_mut(usize::from(*weekday)).ok_or(Unusable::Disorder)?;
            if from >= to || *to > DAY_MINUTES {
                return Err(Unusable::Disorder);
            }
            day.push((*from, *to));
        }
        for day in &mut week {
            day.sort_unstable();
            if day.windows(2).any(|pair| pair[0].1 > pair[1].0) {
                return Err(Unusable::Disorder);
            }
        }
        let minutes: Millis = week.iter().flatten().map(|(from, to)| Millis::from(to - from)).sum();
        if minutes == 0 {
            return Err(Unusable::NeverOpen);
        }
        let mut holidays: Vec<Date> = hours.holidays.iter().filter_map(|day| day.parse().ok()).collect();
        holidays.sort_unstable();
        holidays.dedup();
        Ok(Self::Weekly(Box::new(Weekly { zone, week, holidays, week_ms: minutes * MINUTE_MS })))
    }

    /// Open milliseconds in [from, to).
    #[must_use]
    pub fn elapsed(&self, from: Millis, to: Millis) -> Millis {
        match self {
            _ if to <= from => 0,
            Self::Always => to.saturating_sub(from),
            Self::Weekly(weekly) => weekly.elapsed(from, to),
        }
    }

    /// The earliest instant at which `target_ms` of open time have passed since `start`; `Millis::MAX` where
    /// that takes more than a century.
    #[must_use]
    pub fn due(&self, start: Millis, target_ms: Millis) -> Millis {
        match self {
            _ if target_ms <= 0 => start,
            Self::Always => start.saturating_add(target_ms),
            Self::Weekly(weekly) => weekly.due(start, target_ms),
        }
    }
}

/// A century: what takes more weeks of a calendar than this is never due. A policy that promises so is
/// refused before it comes here.
const FAR_WEEKS: i64 = 5_218;

/// What lies ahead on a walk through a calendar.
enum Stretch {
    /// One day's open intervals, in order.
    Day(Vec<(Millis, Millis)>),
    /// So many whole weeks of the usual hours.
    Weeks(i64),
}

impl Weekly {
    fn elapsed(&self, from: Millis, to: Millis) -> Millis {
        let mut total: Millis = 0;
        let mut walk = Walk::new(self, from);
        while let Some(stretch) = walk.next(to, i64::MAX) {
            total = total.saturating_add(match stretch {
                Stretch::Weeks(weeks) => weeks * self.week_ms,
                Stretch::Day(open) => {
                    open.iter().map(|(open, close)| (*close.min(&to) - *open.max(&from)).max(0)).sum()
                }
            });
        }
        total
    }

    fn due(&self, start: Millis, target_ms: Millis) -> Millis {
        if (target_ms - 1) / self.week_ms > FAR_WEEKS {
            return Millis::MAX;
        }
        let mut left = target_ms;
        let mut walk = Walk::new(self, start);
        while let Some(stretch) = walk.next(Millis::MAX, (left - 1) / self.week_ms) {
            match stretch {
                Stretch::Weeks(weeks) => left -= weeks * self.week_ms,
                Stretch::Day(open) => {
                    for (open, close) in open {
                        let open = open.max(start);
                        if left <= close - open {
                            return open + left;
                        }
                        left -= (close - open).max(0);
                    }
                }
            }
        }
        Millis::MAX
    }

    /// The instant of a boundary: of an opening or a closing.
    fn instant(&self, at: DateTime, opening: bool) -> Option<Millis> {
        let ambiguous = self.zone.to_ambiguous_timestamp(at);
        let instant = match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(at),
            AmbiguousOffset::Gap { before, .. } => {
                // By the old offset it lies after the change: the change itself is the first instant.
                let after = before.to_timestamp(at).ok()?;
                let next = Timestamp::from_nanosecond(after.as_nanosecond() + 1).ok()?;
                Ok(self.zone.preceding(next).next()?.timestamp())
            }
            AmbiguousOffset::Fold { before, after } => if opening { before } else { after }.to_timestamp(at),
        };
        instant.ok().map(Timestamp::as_millisecond)
    }

    /// The open intervals of a day; `None` past the end of the calendar's own time.
    fn open_on(&self, day: Date) -> Option<Vec<(Millis, Millis)>> {
        if self.holidays.binary_search(&day).is_ok() {
            return Some(Vec::new());
        }
        let periods = &self.week[usize::from(weekday(day))];
        periods.iter().map(|(from, to)| Some((self.at(day, *from, true)?, self.at(day, *to, false)?))).collect()
    }

    fn at(&self, day: Date, minute: u16, opening: bool) -> Option<Millis> {
        let (day, minute) = if minute == DAY_MINUTES { (day.tomorrow().ok()?, 0) } else { (day, minute) };
        let time = Time::new(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0).ok()?;
        self.instant(DateTime::from_parts(day, time), opening)
    }

    fn date(&self, at: Millis) -> Date {
        timestamp(at).to_zoned(self.zone.clone()).date()
    }

    /// How many whole weeks from `day` on have the usual hours and end before `to`.
    fn usual_weeks(&self, day: Date, to: Millis, change: Option<Millis>) -> Option<i64> {
        let midnight = self.at(day, 0, true)?;
        let to_limit = (to.saturating_sub(midnight)) / DAY_MS - 1;
        let to_change = change.map_or(i64::MAX, |change| change.saturating_sub(midnight) / DAY_MS - MARGIN_DAYS);
        let next = self.holidays.partition_point(|holiday| *holiday < day);
        let to_holiday = match self.holidays.get(next) {
            Some(holiday) => i64::from((*holiday - day).get_days()),
            None => i64::MAX,
        };
        Some((to_limit.min(to_change).min(to_holiday) / 7).min(FAR_WEEKS))
    }
}

fn weekday(day: Date) -> u8 {
    u8::try_from(day.weekday().since(Weekday::Monday)).unwrap_or_default()
}

fn timestamp(at: Millis) -> Timestamp {
    let (least, most) = (Timestamp::MIN.as_millisecond() + DAY_MS, Timestamp::MAX.as_millisecond() - DAY_MS);
    Timestamp::from_millisecond(at.clamp(least, most)).unwrap_or_default()
}

/// A walk from day to day, or over weeks at a time where nothing is unusual.
struct Walk<'a> {
    calendar: &'a Weekly,
    day: Date,
    /// Intervals of the days so far end here; what overlaps is counted once.
    closed: Millis,
    /// No weeks are taken at a time before this day: `from` lies in the first ones.
    bulk_from: Date,
    /// The next change of the clock, once looked up.
    change: Option<Option<Millis>>,
}

impl<'a> Walk<'a> {
    fn new(calendar: &'a Weekly, from: Millis) -> Self {
        let today = calendar.date(from);
        // The day before may reach over midnight where the clock is put back there.
        let day = today.yesterday().unwrap_or(today);
        let bulk_from = today.checked_add(2.days()).unwrap_or(today);
        Self { calendar, day, closed: Millis::MIN, bulk_from, change: None }
    }

    /// The next stretch that begins before `to`; of whole weeks `most_weeks` at the most.
    fn next(&mut self, to: Millis, most_weeks: i64) -> Option<Stretch> {
        if self.calendar.at(self.day, 0, true)? >= to {
            return None;
        }
        if most_weeks > 0 && self.day >= self.bulk_from {
            let change = self.next_change()?;
            let weeks = self.calendar.usual_weeks(self.day, to, change)?.min(most_weeks);
            if weeks > 0
                && let Some(day) = self.day.checked_add(weeks.checked_mul(7)?.days()).ok()
            {
                self.day = day;
                return Some(Stretch::Weeks(weeks));
            }
        }
        let mut open = self.calendar.open_on(self.day)?;
        for (open, close) in &mut open {
            *open = (*open).max(self.closed);
            *close = (*close).max(*open);
            self.closed = *close;
        }
        self.day = self.day.tomorrow().ok()?;
        Some(Stretch::Day(open))
    }

    /// The first change of the clock that can still move a boundary from this day on.
    fn next_change(&mut self) -> Option<Option<Millis>> {
        let midnight = self.calendar.at(self.day, 0, true)?;
        let since = midnight - MARGIN_DAYS * DAY_MS;
        if let Some(change) = self.change
            && change.is_none_or(|change| change >= since)
        {
            return Some(change);
        }
        let change = self.calendar.zone.following(timestamp(since)).next();
        let change = change.map(|change| change.timestamp().as_millisecond());
        self.change = Some(change);
        Some(change)
    }
}

#[cfg(test)]
mod tests;
