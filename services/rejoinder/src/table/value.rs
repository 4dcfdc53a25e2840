//! One field of a row: what it is decides how people and programs read it.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};
use rejoinder_model::Millis;
use rejoinder_service_kit::millis;
use serde_json::{Number, Value as Json};

/// What can stand in a row.
pub(crate) trait Field {
    /// As tables and TSV have it; people read some things more easily than programs do.
    fn text(&self, for_people: bool) -> Cow<'_, str>;
    /// As JSON has it.
    fn json(&self) -> Json;
}

impl Field for String {
    fn text(&self, _: bool) -> Cow<'_, str> {
        self.as_str().into()
    }

    fn json(&self) -> Json {
        self.as_str().into()
    }
}

/// A field of some kind.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// What somebody wrote.
    Text(String),
    /// An id, a name, a word of ours; empty: absent.
    Name(String),
    Number(Number),
    Truth(bool),
    /// `None`: absent.
    Time(Option<Millis>),
    /// A duration; its column ends in `_ms`.
    Span(Millis),
    /// Points of priority, from thousandths.
    Points(i64),
    Names(Vec<String>),
    Json(Json),
}

impl Value {
    pub(crate) fn name(name: impl Into<String>) -> Self {
        Self::Name(name.into())
    }

    pub(crate) fn time(at: Option<&prost_types::Timestamp>) -> Self {
        Self::Time(at.map(millis))
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(number.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

impl Field for Value {
    fn text(&self, for_people: bool) -> Cow<'_, str> {
        match self {
            Self::Text(text) | Self::Name(text) => text.as_str().into(),
            Self::Number(number) => number.to_string().into(),
            Self::Truth(true) => "true".into(),
            Self::Truth(false) => "false".into(),
            Self::Time(at) => at.map(time).unwrap_or_default().into(),
            Self::Span(ms) if for_people => span(*ms).into(),
            Self::Span(ms) => ms.to_string().into(),
            Self::Points(milli_points) => points(*milli_points).into(),
            Self::Names(names) => names.join(",").into(),
            Self::Json(json) => json.to_string().into(),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Name(name) if name.is_empty() => Json::Null,
            Self::Name(name) => name.as_str().into(),
            Self::Number(number) => number.clone().into(),
            Self::Truth(truth) => (*truth).into(),
            Self::Time(at) => at.map(time).into(),
            Self::Span(ms) => (*ms).into(),
            Self::Points(milli_points) => points(*milli_points).parse::<Number>().map_or(Json::Null, Json::Number),
            Self::Names(names) => names.clone().into(),
            Self::Json(json) => json.clone(),
        }
    }
}

/// RFC 3339 in UTC with milliseconds.
pub(crate) fn time(at: Millis) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

/// A duration for people: `1h 5m 12s`; short ones with their milliseconds.
pub(crate) fn span(ms: Millis) -> String {
    let exact = SignedDuration::from_millis(ms);
    let shown = if ms.abs() < 10_000 { exact } else { SignedDuration::from_secs(exact.as_secs()) };
    format!("{shown:#}")
}

/// Points of priority, from thousandths: `13.5`.
pub(crate) fn points(milli_points: i64) -> String {
    let sign = if milli_points < 0 { "-" } else { "" };
    let (whole, rest) = (milli_points.unsigned_abs() / 1_000, milli_points.unsigned_abs() % 1_000);
    let text = format!("{sign}{whole}.{rest:03}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_read_spans_and_points_as_they_say_them() {
        for (ms, text) in
            [(0, "0s"), (850, "850ms"), (61_000, "1m 1s"), (3_912_345, "1h 5m 12s"), (-90_000, "1m 30s ago")]
        {
            assert_eq!(span(ms), text);
        }
        for (milli, text) in [(0, "0"), (10_000, "10"), (13_500, "13.5"), (-2_005, "-2.005"), (90, "0.09")] {
            assert_eq!(points(milli), text);
        }
    }

    #[test]
    fn programs_read_numbers_truths_and_absence_as_what_they_are() {
        let table = [
            (Value::Text(String::new()), "\"\"", ""),
            (Value::name(""), "null", ""),
            (Value::name("ann"), "\"ann\"", "ann"),
            (u64::MAX.into(), "18446744073709551615", "18446744073709551615"),
            (true.into(), "true", "true"),
            (Value::Time(None), "null", ""),
            (Value::Time(Some(0)), "\"1970-01-01T00:00:00.000Z\"", "1970-01-01T00:00:00.000Z"),
            (Value::Span(61_000), "61000", "61000"),
            (Value::Points(13_500), "13.5", "13.5"),
            (Value::Names(vec!["a".into(), "b".into()]), "[\"a\",\"b\"]", "a,b"),
        ];
        for (value, json, text) in table {
            assert_eq!((value.json().to_string().as_str(), &*value.text(false)), (json, text), "{value:?}");
        }
    }
}
