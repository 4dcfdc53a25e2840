//! What several channels do to text: escapes, times in odd forms.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rejoinder_model::Millis;

/// Undoes the three escapes that X and Reddit apply to text.
pub(crate) fn unescape(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// RFC 3339.
pub(crate) fn rfc3339(text: &str) -> Option<Millis> {
    text.parse::<Timestamp>().ok().map(|time| time.as_millisecond())
}

/// `Tue Oct 31 22:10:47 +0000 2017`, as X wrote times before its second API.
pub(crate) fn x_time(text: &str) -> Option<Millis> {
    let mut words = text.split_ascii_whitespace();
    let (_, month, day, clock, zone, year) =
        (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = i8::try_from(months.iter().position(|name| *name == month)? + 1).ok()?;
    let mut clock = clock.split(':').map(|part| part.parse::<i8>().ok());
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let civil = DateTime::new(year.parse().ok()?, month, day.parse().ok()?, hour, minute, second, 0).ok()?;
    let (sign, digits) = zone.split_at_checked(1)?;
    let offset: i64 = digits.parse().ok()?;
    let offset = (offset / 100 * 60 + offset % 100) * 60_000;
    let utc = civil.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond();
    Some(if sign == "-" { utc + offset } else { utc - offset })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_their_forms() {
        assert_eq!(x_time("Tue Oct 31 22:10:47 +0000 2017"), Some(1_509_487_847_000));
        assert_eq!(x_time("Tue Oct 31 23:10:47 +0100 2017"), Some(1_509_487_847_000));
        assert_eq!(x_time("yesterday"), None);
        assert_eq!(rfc3339("2017-10-31T22:10:47Z"), Some(1_509_487_847_000));
    }

    #[test]
    fn an_escaped_escape_is_undone_once() {
        assert_eq!(unescape("a &lt;b&gt; &amp;lt;"), "a <b> &lt;");
    }
}
