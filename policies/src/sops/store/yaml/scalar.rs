//! Writing scalars so that sops, Flux and kubectl read back what was meant.

use crate::sops::plain::Plain;
use crate::yaml::resolve::{Resolved, resolve};
use crate::yaml::{Limits, NodeRef, Source, Style, readings};

/// A value on one line.
///
/// `style` is what stands there now; it is kept where the value allows it. `tagged` says that `!!str` or the
/// like stays before it, so that any text may be plain.
pub(super) fn inline(plain: &Plain, style: Style, flow: bool, tagged: bool) -> String {
    let text = match plain {
        Plain::Int(int) => return int.to_string(),
        Plain::Bool(bool) => return bool.to_string(),
        Plain::Time(time) => return time.clone(),
        Plain::Float(float) => return float_scalar(*float),
        Plain::Str(_) => plain.as_text().unwrap_or_default(),
    };
    match style {
        Style::DoubleQuoted => double(text),
        Style::SingleQuoted if flow && fits_plain(text, true, tagged) => text.to_owned(),
        Style::Plain if fits_plain(text, flow, tagged) => text.to_owned(),
        Style::Plain if resolves(text) => double(text),
        _ => single(text).unwrap_or_else(|| double(text)),
    }
}

/// As go-yaml reads it back: with a point or exponent, so that it stays a floating point number.
fn float_scalar(float: f64) -> String {
    if float.is_nan() {
        ".nan".to_owned()
    } else if float.is_infinite() {
        if float > 0.0 { ".inf" } else { "-.inf" }.to_owned()
    } else {
        format!("{float:?}")
    }
}

/// Text in double quotes, with escapes.
pub(super) fn double(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0' => out.push_str("\\0"),
            '\u{85}' => out.push_str("\\N"),
            '\u{2028}' => out.push_str("\\L"),
            '\u{2029}' => out.push_str("\\P"),
            c if printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02X}"),
                    0x100..=0xffff => write!(out, "\\u{code:04X}"),
                    _ => write!(out, "\\U{code:08X}"),
                };
            }
        }
    }
    out.push('"');
    out
}

/// Text in single quotes; `None` where it needs escapes.
fn single(text: &str) -> Option<String> {
    text.chars().all(|c| printable(c) && c != '\t').then(|| format!("'{}'", text.replace('\'', "''")))
}

/// What may stand in a file without an escape: line breaks and tabs apart.
fn printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
        && !matches!(c, '\u{2028}' | '\u{2029}')
}

/// Whether a text without quotes would be no text, or is a word or number of YAML 1.1.
fn resolves(text: &str) -> bool {
    let old_word = matches!(
        text,
        "y" | "Y"
            | "yes"
            | "Yes"
            | "YES"
            | "on"
            | "On"
            | "ON"
            | "n"
            | "N"
            | "no"
            | "No"
            | "NO"
            | "off"
            | "Off"
            | "OFF"
            | "="
    );
    // `1:20` is a number to the base of 60 there.
    let sixty = text.contains(':')
        && text.starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c))
        && text.bytes().all(|byte| byte.is_ascii_digit() || b":._+-".contains(&byte));
    resolve(None, Style::Plain, text) != Resolved::Str || old_word || sixty
}

/// Whether a text can stand without quotes.
fn fits_plain(text: &str, flow: bool, tagged: bool) -> bool {
    let bytes = text.as_bytes();
    let Some(first) = bytes.first() else { return false };
    let safe_start = match first {
        b'-' | b'?' | b':' => bytes.get(1).is_some_and(|next| !b" \t,[]{}".contains(next)),
        b',' | b'[' | b']' | b'{' | b'}' | b'#' | b'&' | b'*' | b'!' | b'|' | b'>' | b'\'' | b'"' | b'%'
        | b'@' | b'`' | b' ' => false,
        _ => true,
    };
    safe_start
        && (tagged || !resolves(text))
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !(text.starts_with("---") || text.starts_with("..."))
        && !(flow && text.contains([',', '[', ']', '{', '}', '?', ':']))
        && text.chars().all(|c| printable(c) && c != '\t')
}

/// A block text: its header and its lines, the last one with a line break.
pub(super) struct BlockText {
    pub(super) header: String,
    pub(super) lines: String,
}

/// How a block text is laid out.
#[derive(Clone, Copy)]
pub(super) struct BlockShape<'l> {
    /// The header that stands there: kept as far as the text allows.
    pub(super) header: &'l str,
    /// Spaces before each line.
    pub(super) indent: usize,
    /// Column of the key or dash.
    pub(super) parent: usize,
    /// `\n` or `\r\n`.
    pub(super) line_break: &'l str,
}

/// A text as a block, if it can be one.
pub(super) fn block(text: &str, shape: BlockShape<'_>) -> Option<BlockText> {
    let fits = |c: char| printable(c) || matches!(c, '\n' | '\t');
    if text.trim_matches('\n').is_empty() || !text.chars().all(fits) {
        return None;
    }
    let header = header(text, shape)?;
    if shape.header.starts_with('>') {
        let folded = lines(&folded(text), shape);
        if reads_back(&header, &folded, shape, text) {
            return Some(BlockText { header, lines: folded });
        }
        let header = header.replace('>', "|");
        return Some(BlockText { header, lines: lines(text, shape) });
    }
    Some(BlockText { header, lines: lines(text, shape) })
}

fn header(text: &str, shape: BlockShape<'_>) -> Option<String> {
    let ends = text.len() - text.trim_end_matches('\n').len();
    let kept = shape.header.contains('+') && ends > 0;
    let chomp = match ends {
        _ if kept => "+",
        0 => "-",
        1 => "",
        _ => "+",
    };
    let first = text.split('\n').find(|line| !line.is_empty()).unwrap_or_default();
    let had_digit = shape.header.contains(|c: char| c.is_ascii_digit());
    let digit = if had_digit || first.starts_with([' ', '\t']) {
        let digit = shape.indent.checked_sub(shape.parent).filter(|digit| (1..=9).contains(digit))?;
        digit.to_string()
    } else {
        String::new()
    };
    let style = shape.header.get(..1).unwrap_or("|");
    // The order of the indicators is the writer's.
    let chomp_first = shape.header.get(1..2).is_some_and(|second| "+-".contains(second));
    Some(if chomp_first { format!("{style}{chomp}{digit}") } else { format!("{style}{digit}{chomp}") })
}

fn lines(text: &str, shape: BlockShape<'_>) -> String {
    let indent = " ".repeat(shape.indent);
    let mut out = String::with_capacity(text.len() + text.len() / 8 + 16);
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if !line.is_empty() {
            out.push_str(&indent);
            out.push_str(line);
        }
        out.push_str(shape.line_break);
    }
    out
}

/// A text as it stands in a folded block, one line for each of its own: a break between two lines that do
/// not begin with a blank needs an empty line more.
fn folded(text: &str) -> String {
    let body = text.trim_end_matches('\n');
    let mut out = String::with_capacity(text.len() + 8);
    let mut before: Option<&str> = None;
    let mut breaks = 0;
    for line in body.split('\n') {
        if line.is_empty() && before.is_some() {
            breaks += 1;
            continue;
        }
        if let Some(before) = before {
            let spaced = |line: &str| line.starts_with([' ', '\t']);
            let more = usize::from(!spaced(before) && !spaced(line));
            out.push_str(&"\n".repeat(breaks + 1 + more));
        }
        if line.is_empty() {
            out.push('\n');
            continue;
        }
        out.push_str(line);
        before = Some(line);
        breaks = 0;
    }
    out.push_str(&text[body.len()..]);
    out
}

fn reads_back(header: &str, body: &str, shape: BlockShape<'_>, wanted: &str) -> bool {
    let key = format!("{}k: {header}\n{body}", " ".repeat(shape.parent));
    let source = Source::new(key.as_bytes());
    readings(&source, Limits::DEFAULT).first().is_some_and(|(_, stream)| {
        let root = stream.documents().next().map(|(_, root)| root);
        root.and_then(|root| root.get("k")).and_then(NodeRef::raw_text) == Some(wanted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_only_where_they_must_be() {
        let table = [
            ("abc", "abc"),
            ("a b", "a b"),
            ("5", "\"5\""),
            ("yes", "\"yes\""),
            ("1:20", "\"1:20\""),
            ("a: b", "'a: b'"),
            ("it's", "it's"),
            ("it's #1", "'it''s #1'"),
            ("x #1", "'x #1'"),
            ("- a", "'- a'"),
            ("-a", "-a"),
            ("a\tb", "\"a\\tb\""),
            ("\u{7}", "\"\\x07\""),
            ("http://x:1/", "http://x:1/"),
            ("", "\"\""),
            ("2026-11-21", "\"2026-11-21\""),
        ];
        for (text, wanted) in table {
            assert_eq!(inline(&Plain::text(text), Style::Plain, false, false), wanted);
        }
        assert_eq!(inline(&Plain::text("a,b"), Style::SingleQuoted, true, false), "'a,b'");
        assert_eq!(inline(&Plain::Float(1.0), Style::Plain, false, false), "1.0");
    }

    #[test]
    fn folded_texts_read_back() {
        let shape = BlockShape { header: ">", indent: 4, parent: 2, line_break: "\n" };
        for text in ["a\nb\n", "a\n\nb", "a\n  b\nc\n", "\n\na\n", "a\n\n\n", " a\nb\n", "a\n \nb\n"] {
            let block = block(text, shape).unwrap();
            assert!(reads_back(&block.header, &block.lines, shape, text), "{text:?} {}", block.lines);
        }
    }
}
