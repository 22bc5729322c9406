//! The keys of a `.sops.yaml`.

use std::collections::HashSet;

use super::problem::{Problem, Weight};
use super::{GoRegex, Rule};
use crate::sops::recipient::{KeyGroup, Recipient, age_recipient_problem};
use crate::sops::selector::Selector;
use crate::sops::store::StoreSettings;
use crate::yaml::resolve::Resolved;
use crate::yaml::{Entry, Limits, NodeRef, Reading, Sort, Source, readings};

/// What was read.
pub(super) struct Read {
    pub(super) rules: Option<Vec<Rule>>,
    pub(super) stores: StoreSettings,
    pub(super) destinations: usize,
    pub(super) problems: Vec<Problem>,
}

/// Rules in one file: each has patterns to compile.
const MOST_RULES: usize = 1000;

const STORES: [&str; 5] = ["yaml", "json", "json_binary", "dotenv", "ini"];

const TOP: [&str; 3] = ["creation_rules", "destination_rules", "stores"];

/// Keys of a rule beyond the selectors (`config.go`, `creationRule`).
const RULE: [&str; 12] = [
    "path_regex",
    "kms",
    "aws_profile",
    "age",
    "pgp",
    "gcp_kms",
    "hckms",
    "azure_keyvault",
    "hc_vault_transit_uri",
    "key_groups",
    "shamir_threshold",
    "mac_only_encrypted",
];

const GROUP: [&str; 8] = ["merge", "kms", "gcp_kms", "hckms", "azure_keyvault", "hc_vault", "age", "pgp"];

/// Reads the file with every problem in it.
pub(super) fn read(bytes: &[u8]) -> Read {
    let source = Source::new(bytes);
    let mut reader = Reader { problems: Vec::new(), stores: StoreSettings::default(), destinations: 0 };
    let mut streams = readings(&source, Limits::DEFAULT);
    // sops reads YAML 1.1's line ends; that reading is the second one, where there are two.
    streams.retain(|(reading, _)| *reading != Reading::Forgiving);
    let Some((_, stream)) = streams.pop() else { return reader.finish(None) };
    for error in stream.errors() {
        reader.problems.push(Problem {
            weight: Weight::Error,
            what: error.kind.to_string(),
            span: error.span.clone(),
        });
    }
    // Only the first document counts, as with any Go program that unmarshals once.
    let root = stream.documents().next().map(|(_, root)| root);
    let rules = root.and_then(|root| reader.file(root));
    reader.finish(rules)
}

struct Reader {
    problems: Vec<Problem>,
    stores: StoreSettings,
    destinations: usize,
}

impl Reader {
    fn finish(mut self, rules: Option<Vec<Rule>>) -> Read {
        self.problems.sort_by_key(|problem| problem.span.bytes.start);
        Read { rules, stores: self.stores, destinations: self.destinations, problems: self.problems }
    }

    fn error(&mut self, node: NodeRef<'_>, what: impl Into<String>) {
        self.problems.push(Problem { weight: Weight::Error, what: what.into(), span: node.span() });
    }

    fn warn(&mut self, node: NodeRef<'_>, what: impl Into<String>) {
        self.problems.push(Problem { weight: Weight::Warning, what: what.into(), span: node.span() });
    }

    /// The entries of a map, with unknown keys warned of and duplicates refused.
    fn entries<'t>(&mut self, node: NodeRef<'t>, what: &str, known: &[&str]) -> Vec<(String, Entry<'t>)> {
        if node.is_empty_scalar() {
            return Vec::new();
        }
        if node.sort() != Sort::Mapping {
            self.error(node, format!("{what} must be a map"));
            return Vec::new();
        }
        let mut own = HashSet::new();
        for entry in node.own_entries() {
            let key = entry.key.text().unwrap_or_default().into_owned();
            if key != "<<" && own.contains(&key) {
                self.error(entry.key, format!("`{key}` is there twice"));
            }
            own.insert(key);
        }
        let mut entries: Vec<(String, Entry<'t>)> = Vec::new();
        let mut seen = HashSet::new();
        for entry in node.entries() {
            let key = entry.key.text().unwrap_or_default().into_owned();
            // What comes through a merge key gives way to what is written.
            if !seen.insert(key.clone()) {
                continue;
            }
            // Where no key belongs, people keep what they refer to further on.
            if !known.contains(&key.as_str()) && !defines_anchor(entry.value) {
                self.warn(entry.key, unknown(&key, what, known));
            }
            entries.push((key, entry));
        }
        entries
    }

    fn file(&mut self, root: NodeRef<'_>) -> Option<Vec<Rule>> {
        let mut rules = None;
        for (key, entry) in self.entries(root, "the file", &TOP) {
            if entry.value.is_empty_scalar() {
                continue;
            }
            match key.as_str() {
                "creation_rules" => {}
                "destination_rules" => {
                    self.destinations = entry.value.items().count();
                    continue;
                }
                "stores" => {
                    self.stores(entry.value);
                    continue;
                }
                _ => continue,
            }
            if entry.value.sort() != Sort::Sequence {
                self.error(entry.value, "`creation_rules` must be a list");
                continue;
            }
            if entry.value.items().count() > MOST_RULES {
                self.error(entry.value, "more rules than are read");
                continue;
            }
            rules = Some(entry.value.items().map(|rule| self.rule(rule)).collect::<Vec<_>>());
        }
        self.shadowed(rules.as_deref().unwrap_or_default());
        rules
    }

    /// `stores: {yaml: {indent: 2}, …}`.
    fn stores(&mut self, node: NodeRef<'_>) {
        for (store, entry) in self.entries(node, "`stores`", &STORES) {
            for (key, setting) in self.entries(entry.value, "a store", &["indent"]) {
                let Resolved::Int(indent) = setting.value.resolved() else {
                    if key == "indent" {
                        self.error(setting.value, "`indent` must be a number");
                    }
                    continue;
                };
                match (store.as_str(), u8::try_from(indent), i8::try_from(indent)) {
                    ("yaml", Ok(0), _) => {}
                    ("yaml", Ok(indent), _) => self.stores.yaml_indent = Some(indent),
                    ("yaml", Err(_), _) => self.error(setting.value, "sops takes no such indentation"),
                    ("json", _, Ok(indent)) => self.stores.json_indent = Some(indent),
                    ("json_binary", _, Ok(indent)) => self.stores.json_binary_indent = Some(indent),
                    _ => {}
                }
            }
        }
    }

    fn rule(&mut self, node: NodeRef<'_>) -> Rule {
        let known = RULE.iter().chain(&Selector::NAMES).copied().collect::<Vec<_>>();
        let mut rule = Rule {
            path_regex: None,
            selector: None,
            groups: Vec::new(),
            shamir_threshold: None,
            mac_only_encrypted: false,
            span: node.span(),
        };
        let entries = self.entries(node, "a rule", &known);
        let profile = entries
            .iter()
            .find(|(key, _)| key == "aws_profile")
            .and_then(|(_, entry)| self.text(entry.value, "aws_profile"));
        let mut flat = KeyGroup::default();
        for (key, entry) in &entries {
            self.rule_entry(key, entry.value, &mut rule, &mut flat, profile.as_deref());
        }
        // Where `key_groups` is there, sops does not look at the flat fields.
        if rule.groups.is_empty() && !flat.recipients.is_empty() {
            rule.groups.push(flat);
        }
        if rule.recipients().next().is_none() {
            self.warn(node, "the rule has no recipient");
        }
        rule
    }

    fn rule_entry(
        &mut self,
        key: &str,
        value: NodeRef<'_>,
        rule: &mut Rule,
        flat: &mut KeyGroup,
        profile: Option<&str>,
    ) {
        match key {
            "path_regex" => {
                let pattern = self.text(value, key).filter(|pattern| !pattern.is_empty());
                rule.path_regex = pattern.and_then(|pattern| self.regex(value, key, &pattern));
            }
            "mac_only_encrypted" => match value.resolved() {
                Resolved::Bool(on) => rule.mac_only_encrypted = on,
                Resolved::Null => {}
                _ => self.error(value, "`mac_only_encrypted` must be true or false"),
            },
            "shamir_threshold" => rule.shamir_threshold = self.count(value),
            "key_groups" => {
                if value.sort() == Sort::Sequence {
                    rule.groups = value.items().map(|group| self.group(group)).collect();
                } else if !value.is_empty_scalar() {
                    self.error(value, "`key_groups` must be a list");
                }
            }
            "age" | "pgp" | "kms" | "gcp_kms" | "hckms" | "azure_keyvault" | "hc_vault_transit_uri" => {
                for (node, text) in self.list(value, key) {
                    self.recipient(key, node, &text, profile, flat);
                }
            }
            _ if Selector::NAMES.contains(&key) => self.selector(key, value, rule),
            _ => {}
        }
    }

    fn selector(&mut self, name: &str, value: NodeRef<'_>, rule: &mut Rule) {
        let Some(pattern) = self.text(value, name).filter(|pattern| !pattern.is_empty()) else { return };
        if rule.selector.is_some() {
            self.error(value, "a rule cannot have more than one selector (encrypted_… or unencrypted_…)");
            return;
        }
        match Selector::parse(name, &pattern) {
            Some(Ok(selector)) => rule.selector = Some(selector),
            Some(Err(error)) => self.error(value, format!("`{name}`: {error}")),
            None => {}
        }
    }

    fn regex(&mut self, node: NodeRef<'_>, key: &str, pattern: &str) -> Option<GoRegex> {
        GoRegex::new(pattern).map_err(|error| self.error(node, format!("`{key}`: {error}"))).ok()
    }

    fn text(&mut self, node: NodeRef<'_>, key: &str) -> Option<String> {
        if node.sort() == Sort::Scalar {
            return (!node.is_empty_scalar()).then(|| node.text().unwrap_or_default().into_owned());
        }
        self.error(node, format!("`{key}` must be text"));
        None
    }

    fn count(&mut self, node: NodeRef<'_>) -> Option<u32> {
        match node.resolved() {
            Resolved::Int(count) if count >= 0 => u32::try_from(count).ok(),
            Resolved::Null => None,
            _ => {
                self.error(node, "`shamir_threshold` must be a number");
                None
            }
        }
    }

    /// A text with commas, or a list of texts.
    fn list<'t>(&mut self, node: NodeRef<'t>, key: &str) -> Vec<(NodeRef<'t>, String)> {
        let mut texts = Vec::new();
        match node.sort() {
            Sort::Mapping => self.error(node, format!("`{key}` must be text or a list")),
            Sort::Sequence => {
                for item in node.items() {
                    texts.extend(self.text(item, key).map(|text| (item, text.trim().to_owned())));
                }
            }
            Sort::Scalar => {
                let text = node.text().unwrap_or_default();
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                texts.extend(parts.map(|part| (node, part.to_owned())));
            }
        }
        texts
    }

    fn recipient(
        &mut self,
        key: &str,
        node: NodeRef<'_>,
        text: &str,
        profile: Option<&str>,
        group: &mut KeyGroup,
    ) {
        let recipient = match key {
            "age" => {
                if let Some(problem) = age_recipient_problem(text) {
                    self.warn(node, format!("an `age` recipient {problem}"));
                }
                Some(Recipient::Age(text.to_owned()))
            }
            "pgp" => Some(Recipient::Pgp(text.replace(' ', ""))),
            "gcp_kms" => Some(Recipient::GcpKms(text.to_owned())),
            "hckms" => Some(Recipient::HuaweiKms(text.to_owned())),
            "kms" => Some(Recipient::from_kms_arn(text, profile)),
            "azure_keyvault" => Recipient::from_azure_url(text),
            _ => Recipient::from_vault_uri(text),
        };
        match recipient {
            Some(recipient) => group.recipients.push(recipient),
            None => self.warn(node, format!("`{key}` is not the URL of a key")),
        }
    }

    fn group(&mut self, node: NodeRef<'_>) -> KeyGroup {
        let mut group = KeyGroup::default();
        for (key, entry) in self.entries(node, "a key group", &GROUP) {
            if entry.value.is_empty_scalar() {
                continue;
            }
            if entry.value.sort() != Sort::Sequence {
                self.error(entry.value, format!("`{key}` of a key group must be a list"));
                continue;
            }
            for item in entry.value.items() {
                self.group_item(&key, item, &mut group);
            }
        }
        // sops drops recipients that are twice in a group.
        let mut seen = Vec::new();
        group.recipients.retain(|recipient| {
            let new = !seen.contains(recipient);
            seen.push(recipient.clone());
            new
        });
        group
    }

    fn group_item(&mut self, key: &str, item: NodeRef<'_>, group: &mut KeyGroup) {
        let field = |name: &str| item.get(name).and_then(NodeRef::text).map(std::borrow::Cow::into_owned);
        match key {
            "merge" => group.recipients.extend(self.group(item).recipients),
            "kms" => {
                let context = item.get("context").map(NodeRef::entries).unwrap_or_default();
                let mut context = context
                    .into_iter()
                    .filter_map(|e| Some((e.key.text()?.into_owned(), e.value.text()?.into_owned())))
                    .collect::<Vec<_>>();
                context.sort();
                let arn = field("arn").unwrap_or_default();
                group.recipients.push(Recipient::Kms {
                    arn,
                    role: field("role"),
                    context,
                    profile: field("aws_profile"),
                });
            }
            "gcp_kms" => group.recipients.extend(field("resource_id").map(Recipient::GcpKms)),
            "hckms" => group.recipients.extend(field("key_id").map(Recipient::HuaweiKms)),
            "azure_keyvault" => group.recipients.push(Recipient::AzureKeyVault {
                vault: field("vaultUrl").unwrap_or_default(),
                name: field("key").unwrap_or_default(),
                version: field("version").unwrap_or_default(),
            }),
            "age" | "pgp" | "hc_vault" => {
                for (node, text) in self.list(item, key) {
                    let key = if key == "hc_vault" { "hc_vault_transit_uri" } else { key };
                    self.recipient(key, node, &text, None, group);
                }
            }
            _ => {}
        }
    }

    /// Rules after one that takes every file never apply.
    fn shadowed(&mut self, rules: &[Rule]) {
        let all = rules.iter().position(|rule| rule.path_regex.as_ref().is_none_or(takes_all));
        for rule in all.map_or(&[][..], |at| &rules[at + 1..]) {
            self.problems.push(Problem {
                weight: Weight::Warning,
                what: "the rule never applies: an earlier one takes every file".to_owned(),
                span: rule.span.clone(),
            });
        }
    }
}

/// Whether a pattern matches any path: it matches nothing at all (and so everywhere, being unanchored), and
/// is not held to that by anchors.
fn takes_all(pattern: &GoRegex) -> bool {
    ["", "a", "Z/9.x", "\u{1}", "-"].iter().all(|path| pattern.is_match(path.as_bytes()))
}

/// Whether an anchor is written in a value, at any depth.
fn defines_anchor(node: NodeRef<'_>) -> bool {
    let below = |entry: Entry<'_>| defines_anchor(entry.value);
    !node.is_alias()
        && (node.anchor().is_some()
            || node.own_entries().into_iter().any(below)
            || node.items().any(defines_anchor))
}

/// What to say of an unknown key: sops ignores it, which a typo makes dangerous.
fn unknown(key: &str, what: &str, known: &[&str]) -> String {
    let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let near = known.iter().find(|known| {
        let (a, b) = (plain(key), plain(known));
        a == b || (a.len() > 4 && (a.starts_with(&b) || b.starts_with(&a)))
    });
    let hint = near.map_or(String::new(), |near| format!(" (did you mean `{near}`?)"));
    format!("`{key}` is not a key of {what}: sops ignores it{hint}")
}
