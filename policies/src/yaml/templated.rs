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
    while let Some((start, end)) = next_action(text, at) {
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

/// The next action from `at` on: its range.
fn next_action(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = text.get(at..)?;
    let (start, (open, close)) = ACTIONS
        .iter()
        .filter_map(|action| Some((rest.find(action.0)?, *action)))
        .min_by_key(|(start, _)| *start)?;
    let inner = start + open.len();
    let length = rest.get(inner..)?.find(close)?;
    Some((at + start, at + inner + length + close.len()))
}

/// Whether nothing but actions and blanks is on the lines of an action.
fn is_alone(text: &str, start: usize, end: usize) -> bool {
    let before = text[..start].rsplit('\n').next().unwrap_or_default();
    let after = text[end..].split('\n').next().unwrap_or_default();
    let blank = |part: &str| {
        let mut part = part.trim();
        // Other actions on the same line are as good as blanks.
        while let Some((0, end)) = next_action(part, 0) {
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
