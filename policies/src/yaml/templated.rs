//! Templates read as the YAML that they would become.

/// Fills the place of an action, so that it can be told from what was written there.
pub(crate) const FILLING: char = '\u{e000}';

/// How actions of templates begin and end.
const ACTIONS: [(&str, &str); 4] = [("{{", "}}"), ("{%", "%}"), ("{#", "#}"), ("<%", "%>")];

/// The text with every action of a template made into a scalar of the same length, `<…>`, and with actions that have
/// a line for themselves made blank; `None` where there are none. Offsets stay.
pub(super) fn templated(text: &str) -> Option<String> {
    let mut made = String::with_capacity(text.len());
    let mut at = 0;
    let mut ahead = Ahead::default();
    while let Some((start, end)) = ahead.next(text, at) {
        made.push_str(&text[at..start]);
        if is_alone(text, start, end) {
            made.extend(text[start..end].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
        } else {
            fill(end - start, &mut made);
        }
        at = end;
    }
    if at == 0 {
        return None;
    }
    made.push_str(&text[at..]);
    Some(made)
}

/// Where each kind of action begins next: a kind that is not there is looked for once, not after every action.
#[derive(Default)]
struct Ahead {
    starts: [Option<usize>; 4],
}

impl Ahead {
    /// The next action from `at` on: its range.
    fn next(&mut self, text: &str, at: usize) -> Option<(usize, usize)> {
        for (start, (open, _)) in self.starts.iter_mut().zip(ACTIONS) {
            if start.is_none_or(|start| start < at) {
                *start = Some(text.get(at..)?.find(open).map_or(usize::MAX, |found| at + found));
            }
        }
        let (start, (open, close)) = self.starts.iter().zip(ACTIONS).min_by_key(|(start, _)| **start)?;
        let start = start.filter(|start| *start != usize::MAX)?;
        let inner = start + open.len();
        let length = text.get(inner..)?.find(close)?;
        Some((start, inner + length + close.len()))
    }
}

/// Whether nothing but actions and blanks is on the lines of an action.
fn is_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].rsplit('\n').next().unwrap_or_default();
    let after = text[end..].split('\n').next().unwrap_or_default();
    let blank = |part: &str| {
        let mut part = part.trim();
        // Other actions on the same line are as good as blanks.
        while let Some((0, end)) = Ahead::default().next(part, 0) {
            part = part[end..].trim_start();
        }
        part.is_empty()
    };
    blank(before) && blank(after)
}

/// A scalar of so many bytes: five at least, and no action is shorter than four.
fn fill(length: usize, into: &mut String) {
    let inner = length.saturating_sub(2);
    into.push('<');
    for _ in 0..inner / FILLING.len_utf8() {
        into.push(FILLING);
    }
    for _ in 0..inner % FILLING.len_utf8() {
        into.push('x');
    }
    into.push('>');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_become_scalars_and_lines_of_them_blank() {
        let text = "{{- if .x }}\na: {{ .y }}-z\n  {{ a }} {{ b }}\n{% if c %}\nd: <%= e %>\n";
        let made = templated(text).unwrap();
        assert_eq!(made.len(), text.len());
        assert_eq!(made.lines().map(str::trim).collect::<Vec<_>>()[0], "");
        assert!(
            made.contains("a: <") && made.contains(">-z\n") && !made.contains("{{") && !made.contains("{%")
        );
        assert_eq!(templated("a: b\n"), None);
        assert_eq!(templated("a: {{ not closed\n"), None);
    }
}
