//! A rule put before all others of a `.sops.yaml`: the first that fits a path counts.

use super::{FILE_NAME, Problems, Rule, Rules};
use crate::finding::Span;

/// Why a rule cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum RuleAdditionError {
    /// sops would refuse the file.
    #[error("these creation rules cannot be used")]
    Unusable(#[from] Problems),
    /// The rules are written in a way to which no line can be added.
    #[error("the list of rules is not written one rule below the other: edit the file")]
    Layout,
}

/// The lines of a rule for manifests.
fn lines(indent: &str, path_regex: &str, recipients: &[&str]) -> String {
    let quoted = path_regex.replace('\'', "''");
    let mut text = format!(
        "{indent}- path_regex: '{quoted}'\n{indent}  encrypted_regex: ^(data|stringData)$\n{indent}  age:\n"
    );
    for recipient in recipients {
        text += &format!("{indent}    - {recipient}\n");
    }
    text
}

/// The file with a rule for the data of Secrets at these paths, which comes first. `None` where the rule that counts
/// there names exactly these recipients already (`example` is a path for which it must).
///
/// # Errors
/// A file that sops would refuse, and rules that are not a list of lines.
pub fn put_first(
    bytes: &[u8],
    path_regex: &str,
    recipients: &[&str],
    example: &[u8],
) -> Result<Option<Vec<u8>>, RuleAdditionError> {
    let before = Rules::parse(FILE_NAME.as_bytes(), bytes)?;
    if names(&before, recipients, example) {
        return Ok(None);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| RuleAdditionError::Layout)?;
    let after = match before.rules().first() {
        Some(rule) => {
            let number = usize::try_from(rule.span.line).unwrap_or_default().saturating_sub(1);
            let start = text.split_inclusive('\n').take(number).map(str::len).sum::<usize>();
            let (above, below) = text.split_at(start);
            let line = below.lines().next().unwrap_or_default();
            let indent = line.find("- ").map_or("", |end| &line[..end]);
            format!("{above}{}{below}", lines(indent, path_regex, recipients))
        }
        None => {
            let end = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
            format!("{text}{end}creation_rules:\n{}", lines("  ", path_regex, recipients))
        }
    };
    // What was there must be there still, and the new rule must count.
    let proof =
        Rules::parse(FILE_NAME.as_bytes(), after.as_bytes()).map_err(|_| RuleAdditionError::Layout)?;
    let same = proof.rules().len() == before.rules().len() + 1
        && proof.rules().iter().skip(1).map(unplaced).eq(before.rules().iter().map(unplaced))
        && names(&proof, recipients, example);
    if same { Ok(Some(after.into_bytes())) } else { Err(RuleAdditionError::Layout) }
}

/// Whether the rule for a path names exactly these recipients.
fn names(rules: &Rules, recipients: &[&str], path: &[u8]) -> bool {
    let Some((_, rule)) = rules.for_path(path) else { return false };
    let mut named: Vec<String> = rule.recipients().map(crate::sops::recipient::Recipient::nameable).collect();
    let mut wanted: Vec<&str> = recipients.to_vec();
    named.sort_unstable();
    wanted.sort_unstable();
    named == wanted
}

/// The rule without its place in the file.
fn unplaced(rule: &Rule) -> Rule {
    Rule { span: Span { bytes: 0..0, line: 0, column: 0 }, ..rule.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "age1rejr23zaf4uxpwvkmjmae0jf4uqczd4pp9ula09epd5jg5tm4faqyqs58f";

    fn recipient() -> String {
        crate::sops::age::Identity::generate().recipient().unwrap()
    }

    fn put(text: &str, recipient: &str) -> Result<Option<String>, RuleAdditionError> {
        let after = put_first(text.as_bytes(), "^apps/x/.*\\.ya?ml$", &[recipient], b"apps/x/a.yaml")?;
        Ok(after.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    #[test]
    fn the_new_rule_is_first_and_all_else_stays_byte_for_byte() {
        let (old, new) = (recipient(), recipient());
        for (above, indent) in
            [("# ours\ncreation_rules:\n", "  "), ("stores: {}\ncreation_rules: # all\n\n", "")]
        {
            let rest = format!("{indent}- path_regex: \\.yaml$ # note\n{indent}  age: {old}\n");
            let after = put(&format!("{above}{rest}"), &new).unwrap().unwrap();
            assert!(after.starts_with(above) && after.ends_with(&rest), "{after}");
            assert_eq!(put(&after, &new).unwrap(), None);
        }
    }

    #[test]
    fn a_file_without_rules_gets_a_list() {
        let new = recipient();
        for text in ["", "stores:\n  yaml: {indent: 2}\n"] {
            let after = put(text, &new).unwrap().unwrap();
            assert!(after.starts_with(text) && put(&after, &new).unwrap().is_none(), "{after}");
        }
    }

    #[test]
    fn what_is_no_list_of_lines_is_left_to_a_person() {
        let old = recipient();
        for text in [
            format!("creation_rules: [{{path_regex: a, age: {old}}}]\n"),
            format!("creation_rules:\n- \n  age: {old}\n  path_regex: a\n"),
        ] {
            let put = put(&text, &recipient());
            assert!(matches!(put, Err(RuleAdditionError::Layout) | Ok(Some(_))), "{put:?}");
            if let Ok(Some(after)) = put {
                assert!(after.ends_with(text.strip_prefix("creation_rules:\n").unwrap()), "{after}");
            }
        }
        assert!(matches!(
            put(&format!("creation_rules: [{{age: {ONE}}}]\n"), &recipient()),
            Err(RuleAdditionError::Layout)
        ));
        assert!(matches!(put("creation_rules: 3\n", &old), Err(RuleAdditionError::Unusable(_))));
    }
}
