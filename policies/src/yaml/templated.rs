//! Templates read as the YAML that they would become.

/// Fills the place of an action, so that it can be told from what was written there.
pub(crate) const FILLING: char = '\u{e000}';

/// How actions of templates begin and end.
const ACTIONS: [(&str, &str); 4] = [("{{", "}}"), ("{%", "%}"), ("{#", "#}"), ("<%", "%>")];

/// The text with every action of a template made into a scalar of the same length, `<…>`, and with actions that have
/// a line for themselves made blank; `None` where there are none. Offsets stay.
pub(super) fn templated(text: &str) -> Option<String> {
    let actions = actions(text);
    let mut made = String::with_capacity(text.len());
    let mut at = 0;
    for (&(start, end), alone) in actions.iter().zip(alone(text, &actions)) {
        made.push_str(&text[at..start]);
        if alone {
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

fn actions(text: &str) -> Vec<(usize, usize)> {
    let (mut actions, mut ahead, mut at) = (Vec::new(), Ahead::default(), 0);
    while let Some((start, end)) = ahead.next(text, at) {
        actions.push((start, end));
        at = end;
    }
    actions
}

/// For each action whether nothing but actions and blanks is on its lines.
fn alone(text: &str, actions: &[(usize, usize)]) -> Vec<bool> {
    let blank = |part: &str| part.trim().is_empty();
    let mut alone = Vec::with_capacity(actions.len());
    let (mut last, mut before) = (0, true);
    for &(start, end) in actions {
        let gap = &text[last..start];
        before = gap.rsplit_once('\n').map_or(before && blank(gap), |(_, line)| blank(line));
        alone.push(before);
        last = end;
    }
    let (mut next, mut after) = (text.len(), true);
    for (&(start, end), alone) in actions.iter().zip(&mut alone).rev() {
        let gap = &text[end..next];
        after = gap.split_once('\n').map_or(after && blank(gap), |(line, _)| blank(line));
        *alone &= after;
        next = start;
    }
    alone
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
        let one_line = templated(&format!("a: {}", "{{ x }}".repeat(200_000))).unwrap();
        assert!(!one_line.contains('{'), "and no time goes by");
        assert_eq!(templated("a: b\n"), None);
        assert_eq!(templated("a: {{ not closed\n"), None);
    }
}
