//! Durations in words: `30m`, `7d`, `1h 30m`.

use rejoinder_model::{DAY_MS, HOUR_MS, MINUTE_MS, Millis};

/// A duration, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Millis, String> {
    let wrong = || format!("{text:?} is no duration, like \"30m\", \"7d\" or \"1h 30m\"");
    let mut total: Millis = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: Millis = rest[..digits].parse().map_err(|_| wrong())?;
        rest = rest[digits..].trim_start();
        let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "s" => 1_000,
            "m" | "min" => MINUTE_MS,
            "h" => HOUR_MS,
            "d" => DAY_MS,
            _ => return Err(wrong()),
        };
        rest = rest[letters..].trim_start();
        total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(wrong)?;
    }
    Ok(total)
}

/// A duration within bounds, or what is wrong with it.
pub(crate) fn within(text: &str, least: &str, most: &str) -> Result<Millis, String> {
    let duration = parse(text)?;
    let bound = |text| parse(text).unwrap_or_default();
    if (bound(least)..=bound(most)).contains(&duration) {
        Ok(duration)
    } else {
        Err(format!("{text:?} is not within {least} to {most}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_in_words() {
        let table = [("30m", 30 * MINUTE_MS), ("7d", 7 * DAY_MS), ("1h 30 min", 90 * MINUTE_MS), ("90s", 90_000)];
        for (text, expected) in table {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in ["", "7", "d", "7x", "-1d", "1.5h", "99999999999999d", "7 d d"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(within("8d", "1m", "7d").is_err());
    }
}
