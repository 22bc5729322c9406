//! Which rule is for a path, why the ones before it are not, and what it does: for people who ask.

use super::{Rule, Rules};

/// What rules say about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The path as `path_regex` sees it.
    pub matched_as: String,
    /// Rules that were looked at, in order; the last one matches, unless none does.
    pub rules: Vec<Considered>,
    /// Who can read the file: for each key group, its recipients.
    pub recipients: Vec<Vec<String>>,
    /// How many groups are needed to open the file.
    pub shamir_threshold: Option<u32>,
    /// The selector in force, as `name: pattern`.
    pub selector: Option<String>,
    /// Whether only encrypted values are authenticated.
    pub mac_only_encrypted: bool,
}

/// A rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Considered {
    /// From 1.
    pub rule: usize,
    /// Line of the `.sops.yaml`.
    pub line: u32,
    /// Its pattern; `None` is every path.
    pub path_regex: Option<String>,
    /// Whether it is for the path.
    pub matches: bool,
}

impl Rules {
    /// What the rules say about a path.
    pub fn account_for(&self, path: &[u8]) -> Account {
        let found = self.for_path(path);
        let last = found.map_or(usize::MAX, |(number, _)| number);
        let considered = self.rules().iter().enumerate().take(last.saturating_add(1));
        let matches = |number: usize| found.is_some_and(|(found, _)| found == number);
        let rule = found.map(|(_, rule)| rule);
        Account {
            matched_as: String::from_utf8_lossy(self.relative(path)).into_owned(),
            rules: considered.map(|(number, rule)| Considered::of(number, rule, matches(number))).collect(),
            recipients: rule.map(recipients).unwrap_or_default(),
            shamir_threshold: rule.and_then(|rule| rule.shamir_threshold),
            selector: rule.map(|rule| {
                let selector = rule.effective_selector();
                format!("{}: {}", selector.name(), selector.pattern())
            }),
            mac_only_encrypted: rule.is_some_and(|rule| rule.mac_only_encrypted),
        }
    }
}

impl Account {
    /// The account as labels with texts, in the order to be read.
    pub fn lines(&self) -> Vec<(String, String)> {
        let mut lines = vec![("matched as".to_owned(), self.matched_as.clone())];
        let mut line = |label: String, text: String| lines.push((label, text));
        for rule in &self.rules {
            let pattern = rule.path_regex.as_deref().unwrap_or("(every file)");
            let verdict = if rule.matches { "is for it" } else { "does not match" };
            line(format!("rule {}", rule.rule), format!("{verdict}: {pattern} (line {})", rule.line));
        }
        if !self.rules.iter().any(|rule| rule.matches) {
            line("result".to_owned(), "no creation rule is for it".to_owned());
        }
        for (number, group) in self.recipients.iter().enumerate() {
            let is_one = self.recipients.len() == 1;
            let label = if is_one { "readers".to_owned() } else { format!("group {}", number + 1) };
            line(label, group.join(", "));
        }
        if let Some(threshold) = self.shamir_threshold.filter(|_| self.recipients.len() > 1) {
            line("needed".to_owned(), format!("{threshold} of the {} groups", self.recipients.len()));
        }
        if let Some(selector) = &self.selector {
            line("encrypts".to_owned(), selector.clone());
        }
        lines
    }
}

impl Considered {
    fn of(number: usize, rule: &Rule, matches: bool) -> Self {
        let path_regex = rule.path_regex.as_ref().map(|regex| regex.as_str().to_owned());
        Self { rule: number + 1, line: rule.span.line, path_regex, matches }
    }
}

fn recipients(rule: &Rule) -> Vec<Vec<String>> {
    let names =
        |group: &crate::sops::recipient::KeyGroup| group.recipients.iter().map(ToString::to_string).collect();
    rule.groups.iter().map(names).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rule_that_matches_ends_the_account() {
        let text = "creation_rules:\n  - path_regex: ^vault/\n    age: age1kuzm8ju3f0rt07crvvefcjf6sa4vy32wcvk7xkqr8xkfwrx3qapstx0p77\n  - path_regex: db\n    encrypted_regex: ^data$\n  - encrypted_suffix: _x\n";
        let rules = Rules::parse(b"apps/.sops.yaml", text.as_bytes()).unwrap();
        let account = rules.account_for(b"apps/db.yaml");
        assert_eq!(account.matched_as, "db.yaml");
        let seen: Vec<_> = account.rules.iter().map(|rule| (rule.rule, rule.line, rule.matches)).collect();
        assert_eq!(seen, [(1, 2, false), (2, 4, true)]);
        assert_eq!(account.selector.as_deref(), Some("encrypted_regex: ^data$"));
        assert!(account.lines().contains(&("rule 1".into(), "does not match: ^vault/ (line 2)".into())));
        assert_eq!(rules.account_for(b"apps/vault/a").recipients[0].len(), 1);
        let none = Rules::parse(b".sops.yaml", b"creation_rules: []\n").unwrap().account_for(b"a");
        assert_eq!(none.lines()[1], ("result".into(), "no creation rule is for it".into()));
    }
}
