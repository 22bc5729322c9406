//! Durations as kubectl and flux take and write them.

use std::time::Duration;

/// Reads `90s`, `5m`, `1h30m`, `500ms`, `14d`; a bare number is seconds.
///
/// # Errors
/// Anything else, in words for a usage error.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration such as 30s, 5m or 1h30m");
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let milliseconds = match &rest[..unit] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            // Not of Go, but of people who talk of the lifetime of credentials.
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(milliseconds).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(wrong)?;
        rest = &rest[unit..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// Writes long times so that [`parse`] reads them: whole days, else whole hours, else minutes.
pub(crate) fn long(duration: Duration) -> String {
    let seconds = duration.as_secs();
    // What is left of a lifetime is a moment short of whole days.
    let whole = |unit: u64| (seconds + 300) / unit;
    match seconds {
        172_500.. => format!("{}d", whole(86_400)),
        6_900.. => format!("{}h", whole(3_600)),
        60.. => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// Writes `5m`, `90s`, `500ms`.
pub(crate) fn text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 60 && seconds.is_multiple_of(60) {
        format!("{}m", seconds / 60)
    } else if duration.subsec_millis() == 0 {
        format!("{seconds}s")
    } else {
        format!("{}ms", duration.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_in_the_unit_that_people_use() {
        for (seconds, text) in [
            (31_536_000, "365d"),
            (31_535_950, "365d"),
            (172_800, "2d"),
            (172_790, "2d"),
            (86_400, "24h"),
            (7_200, "2h"),
            (600, "10m"),
            (5, "5s"),
        ] {
            assert_eq!(long(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn durations_as_go_writes_them() {
        for (text, milliseconds) in [
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("0", 0),
            ("30", 30_000),
            ("5m0s", 300_000),
            ("14d", 1_209_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "m", "5x", "5m3", "-5s", "99999999999999999999h", "18446744073709551615h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
