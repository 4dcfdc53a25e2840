//! `calendars.toml`: when work is done.

use jiff::civil::Date;
use jiff::tz::TimeZoneDatabase;
use rejoinder_wire::event::sla_policy::{Calendar, Period};
use toml_edit::{Item, Table, TableLike};

use crate::Policy;
use crate::problem::Problems;
use crate::reader::{File, nearest};
use crate::sla::ALWAYS;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

pub(crate) fn read(file: &File<'_>, policy: &mut Policy, problems: &mut Problems) {
    file.known_keys(file.root(), &["calendar"], problems);
    let Some(item) = file.root().get("calendar") else { return };
    let Some(calendars) = item.as_array_of_tables() else {
        return file.problem(item, "calendars are tables of their own: [[calendar]]".into(), problems);
    };
    for table in calendars {
        if let Some(calendar) = calendar(file, table, problems) {
            let twice = calendar.name == ALWAYS || policy.calendars.iter().any(|other| other.name == calendar.name);
            if twice {
                let what = format!("there is a calendar {:?} already", calendar.name);
                problems.at(file.name, file.text, table.get("name").and_then(Item::span), what);
                continue;
            }
            policy.calendars.push(calendar);
        }
    }
}

fn calendar(file: &File<'_>, table: &Table, problems: &mut Problems) -> Option<Calendar> {
    file.known_keys(table, &["name", "time_zone", "hours", "holidays"], problems);
    let mut text = |key: &str| match file.string(table, key, problems) {
        None if !table.contains_key(key) => {
            problems.at(file.name, file.text, table.span(), format!("the calendar has no {key}"));
            None
        }
        text => text.map(ToOwned::to_owned),
    };
    let (name, time_zone) = (text("name"), text("time_zone"));
    if let Some(zone) = &time_zone
        && TimeZoneDatabase::bundled().get(zone).is_err()
    {
        let what = format!("there is no time zone {zone:?}: they are named like \"Europe/Berlin\" or \"UTC\"");
        problems.at(file.name, file.text, table.get("time_zone").and_then(Item::span), what);
    }
    let mut holidays = Vec::new();
    for (day, span) in file.strings(table, "holidays", problems) {
        match day.parse::<Date>() {
            Ok(date) => holidays.push(date.to_string()),
            Err(_) => {
                problems.at(file.name, file.text, span, format!("{day:?} is no day, like \"2026-12-25\""));
            }
        }
    }
    let found = problems.count();
    let week = hours(file, table, problems);
    if week.is_empty() && problems.count() == found {
        let at = table.get("hours").and_then(Item::span).or_else(|| table.span());
        let what = "the calendar is never open: give it hours, like mon-fri = [\"09:00-17:00\"]".to_owned();
        problems.at(file.name, file.text, at, what);
    }
    Some(Calendar { name: name?, time_zone: time_zone?, week, holidays })
}

fn hours(file: &File<'_>, table: &Table, problems: &mut Problems) -> Vec<Period> {
    let Some(item) = table.get("hours") else { return Vec::new() };
    let Some(hours) = item.as_table_like() else {
        file.problem(item, "hours are a table: [calendar.hours]".into(), problems);
        return Vec::new();
    };
    let mut week: Vec<Period> = Vec::new();
    for (key, item) in hours.iter() {
        let span = hours.key(key).and_then(toml_edit::Key::span);
        let Some(days) = days(key) else {
            let what = format!("{key:?} is no day or days, like \"mon\", \"mon-fri\" or \"daily\"");
            problems.at(file.name, file.text, span, what + &nearest(key, &DAYS));
            continue;
        };
        for (from, to) in periods(file, hours, key, problems) {
            for weekday in days.clone() {
                if week.iter().any(|other| other.weekday == weekday && from < other.to && other.from < to) {
                    let day = DAYS.get(weekday as usize).copied().unwrap_or_default();
                    file.problem(item, format!("periods of {day} overlap"), problems);
                    break;
                }
                week.push(Period { weekday, from, to });
            }
        }
    }
    week.sort_by_key(|period| (period.weekday, period.from));
    week
}

/// The weekdays of `mon`, `mon-fri` or `daily`; a range may reach over Sunday.
fn days(key: &str) -> Option<std::vec::IntoIter<u32>> {
    let number = |day: &str| DAYS.iter().position(|known| *known == day);
    let days: Vec<usize> = match (key, key.split_once('-')) {
        ("daily", _) => (0..7).collect(),
        (_, None) => vec![number(key)?],
        (_, Some((from, to))) => {
            let (from, to) = (number(from)?, number(to)?);
            let length = (to + 7 - from) % 7 + 1;
            (from..from + length).map(|day| day % 7).collect()
        }
    };
    Some(days.into_iter().filter_map(|day| u32::try_from(day).ok()).collect::<Vec<_>>().into_iter())
}

/// Periods like `09:00-17:00`, in minutes of the day.
fn periods(file: &File<'_>, hours: &dyn TableLike, key: &str, problems: &mut Problems) -> Vec<(u32, u32)> {
    let mut periods = Vec::new();
    for (text, span) in file.strings(hours, key, problems) {
        let parsed = text.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
        match parsed {
            Some((from, to)) if from < to => periods.push((from, to)),
            Some(_) => {
                let what = format!("{text:?} ends before it begins: a night is two periods, to 24:00 and from 00:00");
                problems.at(file.name, file.text, span, what);
            }
            None => {
                let what = format!("{text:?} is no period, like \"09:00-17:00\"");
                problems.at(file.name, file.text, span, what);
            }
        }
    }
    periods
}

fn minute(text: &str) -> Option<u32> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |text: &str| (text.len() == 2).then(|| text.parse::<u32>().ok()).flatten();
    let (hour, minute) = (digits(hour)?, digits(minute)?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= 24 * 60).then_some(total)
}
