//! The vectors of the domain rules, and laws.

use proptest::prelude::*;
use rejoinder_model::HOUR_MS;

use super::*;

fn hours(zone: &str, days: std::ops::RangeInclusive<u8>, periods: &[(&str, &str)], holidays: &[&str]) -> Hours {
    let minute = |text: &str| {
        let (hour, minute) = text.split_once(':').unwrap();
        hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap()
    };
    let of_day = |weekday| periods.iter().map(move |(from, to)| Period { weekday, from: minute(from), to: minute(to) });
    Hours {
        time_zone: zone.into(),
        week: days.flat_map(of_day).collect(),
        holidays: holidays.iter().map(ToString::to_string).collect(),
    }
}

fn berlin(days: std::ops::RangeInclusive<u8>, periods: &[(&str, &str)], holidays: &[&str]) -> Calendar {
    Calendar::new(&hours("Europe/Berlin", days, periods, holidays)).unwrap()
}

/// `2026-03-06T17:00+01:00`.
fn at(text: &str) -> Millis {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

#[test]
fn office_hours() {
    let office = berlin(0..=4, &[("09:00", "17:00")], &["2026-04-06"]);
    let table = [
        ("2026-01-09T16:30+01", 1, "2026-01-12T09:30+01"),
        ("2026-01-12T09:00+01", 16, "2026-01-13T17:00+01"),
        ("2026-01-12T10:15+01", 16, "2026-01-14T10:15+01"),
        ("2026-03-06T17:00+01", 1, "2026-03-09T10:00+01"),
        ("2026-04-06T11:00+02", 1, "2026-04-07T10:00+02"),
    ];
    for (start, hours, due) in table {
        assert_eq!(office.due(at(start), hours * HOUR_MS), at(due), "{start} + {hours} h");
        assert_eq!(office.elapsed(at(start), at(due)), hours * HOUR_MS, "{start} to {due}");
    }
}

#[test]
fn what_takes_more_than_a_century_is_never_due() {
    let minute = berlin(0..=0, &[("00:00", "00:01")], &[]);
    let start = at("2026-01-05T00:00+01");
    assert_eq!(minute.due(start, 3_650 * rejoinder_model::DAY_MS), Millis::MAX);
    assert_eq!(minute.due(start, 5_219 * MINUTE_MS + 1), Millis::MAX);
    let century = minute.due(start, 5_219 * MINUTE_MS);
    assert_eq!(minute.elapsed(start, century), 5_219 * MINUTE_MS);
    assert_eq!(minute.elapsed(start, Millis::MAX / 2) % MINUTE_MS, 0, "no walk is too long");
}

#[test]
fn several_periods_a_day() {
    let shop = berlin(0..=6, &[("08:00", "12:00"), ("13:30", "18:00")], &[]);
    assert_eq!(shop.due(at("2026-02-02T12:30+01"), HOUR_MS), at("2026-02-02T14:30+01"));
    assert_eq!(shop.elapsed(at("2026-02-02T11:00+01"), at("2026-02-02T14:00+01")), HOUR_MS + HOUR_MS / 2);
}

#[test]
fn clock_changes() {
    let night = berlin(0..=6, &[("01:00", "04:00")], &[]);
    assert_eq!(night.due(at("2026-03-29T01:00+01"), 2 * HOUR_MS), at("2026-03-29T04:00+02"));
    assert_eq!(night.due(at("2026-10-25T01:00+02"), 4 * HOUR_MS), at("2026-10-25T04:00+01"));
    let late = berlin(0..=6, &[("02:30", "04:00")], &[]);
    assert_eq!(late.due(at("2026-10-25T00:00+02"), HOUR_MS), at("2026-10-25T02:30+01"));
    assert_eq!(late.due(at("2026-03-29T00:00+01"), 1), at("2026-03-29T03:00+02") + 1);
    // Both boundaries in the gap: not open that day.
    let gap = berlin(0..=6, &[("02:10", "02:50")], &[]);
    assert_eq!(gap.elapsed(at("2026-03-29T00:00+01"), at("2026-03-30T00:00+02")), 0);
    // Periods that touch inside the hour that comes twice count it once.
    let touching = berlin(0..=6, &[("01:00", "02:30"), ("02:30", "04:00")], &[]);
    assert_eq!(touching.elapsed(at("2026-10-25T00:00+02"), at("2026-10-26T00:00+01")), 4 * HOUR_MS);
    // Whole days are the whole line, also where the clock is put back at midnight.
    let havana = Calendar::new(&hours("America/Havana", 0..=6, &[("00:00", "24:00")], &[])).unwrap();
    let (from, to) = (at("2025-10-30T00:00Z"), at("2025-11-05T00:00Z"));
    assert_eq!(havana.elapsed(from, to), to - from);
}

#[test]
fn round_the_clock_is_the_whole_line() {
    let start = at("2026-03-29T00:59:59.999Z");
    assert_eq!(Calendar::Always.due(start, 3 * HOUR_MS), start + 3 * HOUR_MS);
    assert_eq!(Calendar::Always.elapsed(start, start + 5), 5);
    assert_eq!(Calendar::Always.elapsed(start, start - 5), 0);
    assert_eq!(Calendar::Always.due(Millis::MAX, 1), Millis::MAX);
}

#[test]
fn what_cannot_be_used_is_refused() {
    let periods: &[(&str, &str)] = &[("09:00", "17:00")];
    let table = [
        (hours("Europe/Berlin", 0..=4, &[], &[]), Unusable::NeverOpen),
        (hours("Europe/Atlantis", 0..=4, periods, &[]), Unusable::UnknownZone("Europe/Atlantis".into())),
        (hours("Europe/Berlin", 0..=4, &[("17:00", "09:00")], &[]), Unusable::Disorder),
        (hours("Europe/Berlin", 0..=4, &[("09:00", "12:00"), ("11:00", "13:00")], &[]), Unusable::Disorder),
        (hours("Europe/Berlin", 7..=7, periods, &[]), Unusable::Disorder),
    ];
    for (hours, expected) in table {
        assert_eq!(Calendar::new(&hours).err(), Some(expected), "{hours:?}");
    }
}

#[test]
fn decades_are_walked_in_weeks() {
    let office = berlin(0..=4, &[("09:00", "17:00")], &[]);
    let start = at("2026-01-05T09:00+01");
    // 52 years: 1 hour a week would take about 2,700 steps day by day and week by week.
    let due = office.due(start, 100_000 * HOUR_MS);
    assert_eq!(office.elapsed(start, due), 100_000 * HOUR_MS);
    let Calendar::Weekly(weekly) = &office else { panic!("it has hours") };
    let mut walk = Walk::new(weekly, start);
    let mut stretches = 0;
    while walk.next(due, i64::MAX).is_some() {
        stretches += 1;
    }
    assert!(stretches < 3_000, "{stretches} stretches in {} days", (due - start) / DAY_MS);
}

/// Minute by minute, by the wall clock alone, where no clock change is near the boundaries.
fn slowly(zone: &TimeZone, hours: &Hours, from: Millis, to: Millis) -> Millis {
    let holidays: Vec<Date> = hours.holidays.iter().map(|day| day.parse().unwrap()).collect();
    let open = |minute: Millis| {
        let civil = Timestamp::from_millisecond(minute).unwrap().to_zoned(zone.clone()).datetime();
        let of_day = u16::try_from(civil.hour()).unwrap() * 60 + u16::try_from(civil.minute()).unwrap();
        let within =
            |period: &&Period| period.weekday == weekday(civil.date()) && (period.from..period.to).contains(&of_day);
        !holidays.contains(&civil.date()) && hours.week.iter().any(|period| within(&period))
    };
    let (mut total, mut minute) = (0, from.div_euclid(MINUTE_MS) * MINUTE_MS);
    while minute < to {
        if open(minute) {
            total += (minute + MINUTE_MS).min(to) - minute.max(from);
        }
        minute += MINUTE_MS;
    }
    total
}

fn any_hours() -> impl Strategy<Value = Hours> {
    let zone = prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]);
    // Boundaries from 04:00 on: by then every clock has changed, and minute by minute says the same.
    let day = prop::collection::btree_set(4 * 60_u16..=24 * 60, 0..5);
    let holidays = prop::collection::vec(0..700_i64, 0..4);
    (zone, prop::collection::vec(day, 7), holidays).prop_filter_map("open", |(zone, days, holidays)| {
        let of_day = |(weekday, boundaries): (usize, std::collections::BTreeSet<u16>)| {
            let boundaries: Vec<u16> = boundaries.into_iter().collect();
            let weekday = u8::try_from(weekday).unwrap();
            boundaries.chunks_exact(2).map(|pair| Period { weekday, from: pair[0], to: pair[1] }).collect::<Vec<_>>()
        };
        let week: Vec<Period> = days.into_iter().enumerate().flat_map(of_day).collect();
        let first = jiff::civil::date(2025, 1, 1);
        let holidays = holidays.into_iter().map(|day| first.checked_add(day.days()).unwrap().to_string()).collect();
        (!week.is_empty()).then(|| Hours { time_zone: zone.into(), week, holidays })
    })
}

const FROM: Millis = 1_735_700_000_000;

proptest! {
    #[test]
    fn it_agrees_with_a_slow_count(hours in any_hours(), from in 0..600 * DAY_MS, long in 0..40 * DAY_MS) {
        let calendar = Calendar::new(&hours).unwrap();
        let zone = TimeZone::get(&hours.time_zone).unwrap();
        let (from, to) = (FROM + from, FROM + from + long);
        prop_assert_eq!(calendar.elapsed(from, to), slowly(&zone, &hours, from, to));
    }

    #[test]
    fn elapsed_adds_up_over_pauses(hours in any_hours(), from in 0..400 * DAY_MS, a in 0..900 * DAY_MS, b in 0..900 * DAY_MS) {
        let calendar = Calendar::new(&hours).unwrap();
        let from = FROM + from;
        let (middle, to) = (from + a.min(b), from + a.max(b));
        prop_assert_eq!(calendar.elapsed(from, middle) + calendar.elapsed(middle, to), calendar.elapsed(from, to));
    }

    #[test]
    fn due_is_the_earliest_instant(hours in any_hours(), start in 0..600 * DAY_MS, target in 1..3_000 * HOUR_MS) {
        let calendar = Calendar::new(&hours).unwrap();
        let due = calendar.due(FROM + start, target);
        prop_assert_eq!(calendar.elapsed(FROM + start, due), target);
        prop_assert_eq!(calendar.elapsed(FROM + start, due - 1), target - 1);
    }
}
