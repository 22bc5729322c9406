//! What a scalar means to Go programs.
//!
//! A port of the rules (not of the code) of go.yaml.in/yaml v3, `resolve.go`, which sops uses for
//! types and for its message authentication code, and which kubectl and kustomize follow closely.

use super::node::Style;

/// The meaning of a scalar.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolved {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`; `yes` and `on` are strings.
    Bool(bool),
    /// An integer that fits 64 bits with sign.
    Int(i64),
    /// An integer that fits only without sign; sops refuses those.
    Uint(u64),
    /// A floating point number.
    Float(f64),
    /// A time, as Go's `MarshalText` writes it: RFC 3339, no trailing zeros, the offset kept.
    Time(String),
    /// `!!binary`: the text is base64.
    Binary,
    /// `<<` without quotes.
    Merge,
    /// Anything else.
    Str,
}

/// Resolves a scalar from its tag (the whole name), style and text.
///
/// A tag that asks for another type than the text has (`!!int x`) gives `Str`; go-yaml refuses it.
pub fn resolve(tag: Option<&str>, style: Style, text: &str) -> Resolved {
    let core = tag.map(|tag| tag.strip_prefix("tag:yaml.org,2002:").unwrap_or(tag));
    match core {
        None if style != Style::Plain => Resolved::Str,
        None => plain(text, true),
        Some("str" | "!") => Resolved::Str,
        Some("binary") => Resolved::Binary,
        Some("merge") => Resolved::Merge,
        Some("timestamp") => time(text).map_or(Resolved::Str, Resolved::Time),
        Some("float") => match plain(text, false) {
            #[expect(clippy::cast_precision_loss, reason = "go-yaml converts the same way")]
            Resolved::Int(int) => Resolved::Float(int as f64),
            #[expect(clippy::cast_precision_loss, reason = "go-yaml converts the same way")]
            Resolved::Uint(int) => Resolved::Float(int as f64),
            float @ Resolved::Float(_) => float,
            _ => Resolved::Str,
        },
        Some(wanted @ ("null" | "bool" | "int")) => match (wanted, plain(text, false)) {
            ("null", value @ Resolved::Null)
            | ("bool", value @ Resolved::Bool(_))
            | ("int", value @ (Resolved::Int(_) | Resolved::Uint(_))) => value,
            _ => Resolved::Str,
        },
        Some(_) => Resolved::Str,
    }
}

fn plain(text: &str, times: bool) -> Resolved {
    // Most texts are told by their first character.
    if text.bytes().next().is_some_and(|first| !b"~nNtTfF.<+-0123456789".contains(&first)) {
        return Resolved::Str;
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Resolved::Null,
        "true" | "True" | "TRUE" => return Resolved::Bool(true),
        "false" | "False" | "FALSE" => return Resolved::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Resolved::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Resolved::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Resolved::Float(f64::NEG_INFINITY),
        "<<" => return Resolved::Merge,
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'.') => float(text).map_or(Resolved::Str, Resolved::Float),
        Some(b'+' | b'-' | b'0'..=b'9') => {
            let time = if times { time(text) } else { None };
            time.map_or_else(|| number(&text.replace('_', "")), Resolved::Time)
        }
        _ => Resolved::Str,
    }
}

fn number(text: &str) -> Resolved {
    let (negative, digits) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let signed = text.len() != digits.len();
    if let Some(magnitude) = integer(digits) {
        if negative && magnitude <= i64::MIN.unsigned_abs() {
            return Resolved::Int(0i64.wrapping_sub_unsigned(magnitude));
        }
        if let (false, Ok(int)) = (negative, i64::try_from(magnitude)) {
            return Resolved::Int(int);
        }
        // Go parses numbers without sign only where no sign is written.
        if !signed {
            return Resolved::Uint(magnitude);
        }
    }
    float(text).map_or(Resolved::Str, Resolved::Float)
}

/// Go's base 0: `0x`, `0b`, `0o`, a leading zero for octal.
fn integer(digits: &str) -> Option<u64> {
    let lower = digits.as_bytes().get(1).map(u8::to_ascii_lowercase);
    let (radix, rest) = match (digits.as_bytes().first(), lower) {
        (Some(b'0'), Some(b'x')) => (16, &digits[2..]),
        (Some(b'0'), Some(b'b')) => (2, &digits[2..]),
        (Some(b'0'), Some(b'o')) => (8, &digits[2..]),
        (Some(b'0'), Some(_)) => (8, &digits[1..]),
        _ => (10, digits),
    };
    // The standard library would take a second sign.
    if !rest.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(rest, radix).ok()
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, finite.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && all_digits(fraction),
        None => !mantissa.is_empty() && all_digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|e| {
        let digits = e.strip_prefix(['-', '+']).unwrap_or(e);
        !digits.is_empty() && all_digits(digits)
    });
    (mantissa_fits && exponent_fits).then(|| text.parse::<f64>().ok()).flatten().filter(|f| f.is_finite())
}

/// The four layouts of go-yaml: a date, or date and time with `T`, `t` (and a zone) or a space (without one).
fn time(text: &str) -> Option<String> {
    let (date, rest) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some((text.as_bytes()[at], &text[at + 1..]))),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let year = (year.len() == 4).then(|| digits(year)).flatten()?;
    let (month, day) = (short(month)?, short(day)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=days(year, month)).contains(&day) {
        return None;
    }
    let date = format!("{year:04}-{month:02}-{day:02}");
    let Some((separator, clock)) = rest else { return Some(format!("{date}T00:00:00Z")) };
    let (clock, zone) = if separator == b' ' { (clock, "Z".to_owned()) } else { zone(clock)? };
    Some(format!("{date}T{}{zone}", time_of_day(clock)?))
}

fn time_of_day(clock: &str) -> Option<String> {
    let (clock, fraction) = match clock.split_once(['.', ',']) {
        Some((clock, fraction)) => (clock, Some(fraction)),
        None => (clock, None),
    };
    let mut parts = clock.split(':');
    let (hour, minute, second) = (short(parts.next()?)?, short(parts.next()?)?, short(parts.next()?)?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match fraction {
        Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => return None,
        Some(digits) => digits.get(..9).unwrap_or(digits).trim_end_matches('0'),
        None => "",
    };
    let dot = if fraction.is_empty() { "" } else { "." };
    Some(format!("{hour:02}:{minute:02}:{second:02}{dot}{fraction}"))
}

/// `Z`, or `+hh:mm`; a zero offset is written `Z`.
fn zone(clock: &str) -> Option<(&str, String)> {
    if let Some(clock) = clock.strip_suffix('Z') {
        return Some((clock, "Z".to_owned()));
    }
    let at = clock.len().checked_sub(6)?;
    let (clock, offset) = (clock.get(..at)?, clock.get(at..)?);
    let (hours, minutes) = offset.strip_prefix(['+', '-'])?.split_once(':')?;
    let two = |s: &str| (s.len() == 2).then(|| digits(s)).flatten();
    if two(hours)? > 24 || two(minutes)? > 59 {
        return None;
    }
    Some((clock, if &offset[1..] == "00:00" { "Z".to_owned() } else { offset.to_owned() }))
}

/// One or two digits.
fn short(text: &str) -> Option<u32> {
    (1..=2).contains(&text.len()).then(|| digits(text)).flatten()
}

fn digits(text: &str) -> Option<u32> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_scalars_mean_what_go_yaml_says() {
        use Resolved::{Bool, Float, Int, Merge, Null, Str, Uint};
        let table = [
            ("", Null),
            ("~", Null),
            ("null", Null),
            ("Null", Null),
            ("nULL", Str),
            ("true", Bool(true)),
            ("False", Bool(false)),
            ("yes", Str),
            ("on", Str),
            ("y", Str),
            ("0", Int(0)),
            ("-0", Int(0)),
            ("+5", Int(5)),
            ("1__0", Int(10)),
            ("0777", Int(511)),
            ("0o17", Int(15)),
            ("0x1F", Int(31)),
            ("-0x1F", Int(-31)),
            ("0b101", Int(5)),
            ("08", Float(8.0)),
            ("0xG", Str),
            ("9223372036854775807", Int(i64::MAX)),
            ("9223372036854775808", Uint(9_223_372_036_854_775_808)),
            ("-9223372036854775808", Int(i64::MIN)),
            ("12e03", Float(12000.0)),
            ("1.", Float(1.0)),
            (".5", Float(0.5)),
            ("+.5", Float(0.5)),
            (".", Str),
            ("1e", Str),
            ("1e400", Str),
            ("1:20", Str),
            (".inf", Float(f64::INFINITY)),
            ("-.INF", Float(f64::NEG_INFINITY)),
            ("--1", Str),
            ("+", Str),
            ("-", Str),
            ("<<", Merge),
            ("Secret", Str),
            ("1.2.3", Str),
        ];
        for (text, wanted) in table {
            assert_eq!(resolve(None, Style::Plain, text), wanted, "{text}");
        }
        assert!(matches!(resolve(None, Style::Plain, ".nan"), Float(f) if f.is_nan()));
    }

    #[test]
    fn times_are_written_as_go_marshals_them() {
        let table = [
            ("2020-01-02", Some("2020-01-02T00:00:00Z")),
            ("2020-1-2", Some("2020-01-02T00:00:00Z")),
            ("2020-02-30", None),
            ("2020-01-02T03:04:05.100Z", Some("2020-01-02T03:04:05.1Z")),
            ("2020-01-02t03:04:05+02:00", Some("2020-01-02T03:04:05+02:00")),
            ("2020-01-02T03:04:05+00:00", Some("2020-01-02T03:04:05Z")),
            ("2020-01-02 3:4:5", Some("2020-01-02T03:04:05Z")),
            ("2020-01-02 03:04:05Z", None),
            ("2020-01-02T03:04:05", None),
            ("2001-12-14 21:59:43.10 -5", None),
            ("20-01-02", None),
        ];
        for (text, wanted) in table {
            let wanted = wanted.map_or(Resolved::Str, |time| Resolved::Time(time.to_owned()));
            assert_eq!(resolve(None, Style::Plain, text), wanted, "{text}");
        }
    }

    #[test]
    fn quotes_and_tags_decide() {
        assert_eq!(resolve(None, Style::DoubleQuoted, "5"), Resolved::Str);
        assert_eq!(resolve(Some("tag:yaml.org,2002:int"), Style::DoubleQuoted, "5"), Resolved::Int(5));
        assert_eq!(resolve(Some("tag:yaml.org,2002:float"), Style::Plain, "5"), Resolved::Float(5.0));
        assert_eq!(resolve(Some("tag:yaml.org,2002:str"), Style::Plain, "5"), Resolved::Str);
        assert_eq!(resolve(Some("!"), Style::Plain, "5"), Resolved::Str);
        assert_eq!(resolve(Some("tag:yaml.org,2002:binary"), Style::Plain, "eA=="), Resolved::Binary);
    }
}
