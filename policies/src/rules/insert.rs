//! A new creation rule before all others, put into a `.sops.yaml` by its bytes: what is there stays as it is.

use super::{FILE_NAME, Problems, Rule, Rules};
use crate::finding::Span;
use std::fmt::Write as _;

/// A rule that is to be added: for paths, with age recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRule {
    /// What it is there for: a comment above it.
    pub comment: String,
    /// The paths that it is for.
    pub path_regex: String,
    /// Which keys are encrypted.
    pub encrypted_regex: String,
    /// Who can open the files.
    pub recipients: Vec<String>,
}

/// Why a rule cannot be added.
#[derive(Debug, thiserror::Error)]
pub enum InsertError {
    /// sops cannot read the file either.
    #[error(transparent)]
    Problems(#[from] Problems),
    /// Written in a way in which no rule can be put before the others.
    #[error("the rules are written in a way that is not changed by its bytes: edit the file")]
    Layout,
    /// The result would not be what was asked for.
    #[error("the change would not give the rules that are wanted: edit the file")]
    Unproven,
}

impl NewRule {
    /// The rule as an item of the list, each line after `indent`.
    #[must_use]
    pub fn item(&self, indent: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let mut text = format!("{indent}# {}\n", self.comment);
        // Writing to a String does not fail.
        let _ = writeln!(text, "{indent}- path_regex: {}", quoted(&self.path_regex));
        let _ = writeln!(text, "{indent}  encrypted_regex: {}", quoted(&self.encrypted_regex));
        let _ = writeln!(text, "{indent}  age:");
        for recipient in &self.recipients {
            let _ = writeln!(text, "{indent}    - {recipient}");
        }
        text
    }

    /// Puts the rule before all others, so that no other takes its files; a file with it alone where there is none.
    ///
    /// # Errors
    ///
    /// A file that sops would refuse, and what cannot be changed without changing something else.
    pub fn put_first(&self, bytes: &[u8]) -> Result<Vec<u8>, InsertError> {
        let before = Rules::parse(FILE_NAME.as_bytes(), bytes)?;
        let after = match before.rules().first() {
            None if bytes.trim_ascii().is_empty() => {
                format!("creation_rules:\n{}", self.item("  ")).into_bytes()
            }
            None => self.put_last(bytes)?,
            Some(first) => self.put_before(first, bytes)?,
        };
        let proof = Rules::parse(FILE_NAME.as_bytes(), &after).map_err(|_| InsertError::Unproven)?;
        let same = |(is, was): (&Rule, &Rule)| unplaced(is) == unplaced(was);
        let rest = proof.rules().get(1..).unwrap_or_default();
        let as_wanted = proof.rules().first().is_some_and(|first| self.is(first))
            && rest.len() == before.rules().len()
            && rest.iter().zip(before.rules()).all(same);
        if as_wanted { Ok(after) } else { Err(InsertError::Unproven) }
    }

    /// As a list of its own, after what else there is.
    fn put_last(&self, bytes: &[u8]) -> Result<Vec<u8>, InsertError> {
        let text = std::str::from_utf8(bytes).map_err(|_| InsertError::Layout)?;
        let end = if text.ends_with('\n') { "" } else { "\n" };
        Ok(format!("{text}{end}creation_rules:\n{}", self.item("  ")).into_bytes())
    }

    /// After the line with the key of the list, so that a comment above the first rule stays with it.
    fn put_before(&self, first: &Rule, bytes: &[u8]) -> Result<Vec<u8>, InsertError> {
        let text = std::str::from_utf8(bytes).map_err(|_| InsertError::Layout)?;
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let at = first.span.line as usize - 1;
        let item = lines.get(at).ok_or(InsertError::Layout)?;
        let indent = &item[..item.len() - item.trim_start_matches(' ').len()];
        if !item[indent.len()..].starts_with("- ") {
            return Err(InsertError::Layout);
        }
        let is_key = |line: &&&str| line.strip_prefix("creation_rules:").is_some_and(is_blank);
        let key = lines[..at].iter().rposition(|line| is_key(&line)).ok_or(InsertError::Layout)?;
        if !lines[key + 1..at].iter().all(|line| is_blank(line)) {
            return Err(InsertError::Layout);
        }
        let (head, tail) = lines.split_at(key + 1);
        Ok([head.concat(), self.item(indent), tail.concat()].concat().into_bytes())
    }

    /// Whether the rule that counts for a path is for these recipients already, and for no other.
    ///
    /// # Errors
    ///
    /// A file that sops would refuse.
    pub fn is_met(&self, bytes: &[u8], path: &[u8]) -> Result<bool, InsertError> {
        let rules = Rules::parse(FILE_NAME.as_bytes(), bytes)?;
        let Some((_, rule)) = rules.for_path(path) else { return Ok(false) };
        let mut named: Vec<_> = rule.recipients().map(ToString::to_string).collect();
        let mut wanted: Vec<_> = self.recipients.clone();
        named.sort_unstable();
        wanted.sort_unstable();
        Ok(named == wanted)
    }

    /// Whether a rule is this one.
    #[must_use]
    pub fn is(&self, rule: &Rule) -> bool {
        let named: Vec<String> = rule.recipients().map(ToString::to_string).collect();
        rule.path_regex.as_ref().is_some_and(|regex| regex.as_str() == self.path_regex)
            && named == self.recipients
    }
}

/// Nothing but blanks and a comment.
fn is_blank(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('#')
}

fn unplaced(rule: &Rule) -> Rule {
    Rule { span: Span { bytes: 0..0, line: 0, column: 0 }, ..rule.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    const RECOVERY: &str = "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg";

    fn rule() -> NewRule {
        NewRule {
            comment: "worker01 alone".to_owned(),
            path_regex: r"^workers/worker01/[^/]+/".to_owned(),
            encrypted_regex: "^(data|stringData)$".to_owned(),
            recipients: vec![NEW.to_owned(), RECOVERY.to_owned()],
        }
    }

    fn put(text: &str) -> Result<String, String> {
        let made = rule().put_first(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(made).unwrap())
    }

    #[test]
    fn it_comes_before_all_others_and_comments_stay_with_their_rules() {
        insta::assert_snapshot!(put(
            "# ours\ncreation_rules: # in order\n\n    # developers\n    - path_regex: \\.yaml$\n      age: age1dev # jane\nstores: {}\n"
        )
        .unwrap(), @r"
        # ours
        creation_rules: # in order
            # worker01 alone
            - path_regex: '^workers/worker01/[^/]+/'
              encrypted_regex: '^(data|stringData)$'
              age:
                - age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
                - age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg

            # developers
            - path_regex: \.yaml$
              age: age1dev # jane
        stores: {}
        ");
        let unindented = put("creation_rules:\n- age: age1dev\n").unwrap();
        assert!(unindented.starts_with("creation_rules:\n# worker01 alone\n- path_regex: "), "{unindented}");
        assert!(put("").unwrap().starts_with("creation_rules:\n  # worker01 alone\n"));
        let others = "stores:\n  yaml: {indent: 2}";
        assert!(
            put(others).unwrap().starts_with(&format!("{others}\ncreation_rules:\n  # worker01 alone\n"))
        );
    }

    #[test]
    fn the_rule_that_counts_may_be_for_these_recipients_already() {
        let text = format!("creation_rules:\n- path_regex: ^a/\n  age: {RECOVERY},{NEW}\n- age: {NEW}\n");
        assert!(rule().is_met(text.as_bytes(), b"a/x.yaml").unwrap());
        assert!(!rule().is_met(text.as_bytes(), b"b/x.yaml").unwrap(), "one is missing");
        assert!(!rule().is_met(b"", b"a/x.yaml").unwrap());
    }

    #[test]
    fn what_cannot_be_changed_by_its_bytes_is_left_alone() {
        for text in [
            "creation_rules: [{age: age1dev}]\n",
            "{creation_rules: [{age: a}]}\n",
            "{stores: {}}\n",
            "creation_rules: []\n",
            "creation_rules: 3\n",
            "creation_rules: [\n",
        ] {
            assert!(put(text).is_err(), "{text}");
        }
    }
}
