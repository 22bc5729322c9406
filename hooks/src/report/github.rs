//! Commands that a run of GitHub Actions shows as annotations beside the lines of a change.

use super::item::items;
use super::shown;
use crate::judge::Verdict;
use kubiya_policies::finding::Severity;

/// One command on each line; empty where there is nothing to say.
pub(super) fn report(verdict: &Verdict) -> String {
    let mut lines = Vec::new();
    for item in items(verdict) {
        let command = match item.severity {
            Severity::Note => "notice",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let mut properties = vec![format!("file={}", property(&shown(item.path)))];
        properties.extend(item.line.map(|line| format!("line={line}")));
        properties.extend(item.column.map(|column| format!("col={column}")));
        properties.push(format!("title={}", property(&format!("{}: {}", item.rule(), item.title()))));
        lines.push(format!("::{command} {}::{}", properties.join(","), data(&item.message)));
    }
    lines.join("\n")
}

/// What stands behind the command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// What stands between commas.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_ends_a_property_or_a_line() {
        assert_eq!(property("a,b:c%d\n::error::x"), "a%2Cb%3Ac%25d%0A%3A%3Aerror%3A%3Ax");
        assert_eq!(data("1: a, b\r\n%"), "1: a, b%0D%0A%25");
    }
}
