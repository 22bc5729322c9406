//! The fields of a `HookConfig`.

use super::reader::Reader;
use super::{
    API_VERSION, Audit, Baseline, Bypass, Config, Enforcement, Exemption, Identity, KIND, Level, Limits,
    PolicyChanges, Profile, ProfileRule, Protected,
};
use kubiya_policies::finding::Severity;
use kubiya_policies::rules::{Problem, Problems, Weight};
use kubiya_policies::yaml::{Limits as YamlLimits, NodeRef, Reading, Sort, Source, readings};

const FIELDS: [&str; 17] = [
    "apiVersion",
    "kind",
    "contact",
    "enforcement",
    "identity",
    "trustedRef",
    "policyChanges",
    "policyOwners",
    "protected",
    "profiles",
    "severities",
    "exemptions",
    "baseline",
    "limits",
    "audit",
    "metrics",
    "bypass",
];

const LEVELS: [(&str, Level); 4] = [
    ("error", Some(Severity::Error)),
    ("warning", Some(Severity::Warning)),
    ("note", Some(Severity::Note)),
    ("off", None),
];

const PROFILES: [(&str, Profile); 3] =
    [("default", Profile::Default), ("code", Profile::Code), ("strict", Profile::Strict)];

const CHANGES: [(&str, PolicyChanges); 3] =
    [("warn", PolicyChanges::Warn), ("owners", PolicyChanges::Owners), ("refuse", PolicyChanges::Refuse)];

const ENFORCEMENTS: [(&str, Enforcement); 3] =
    [("refuse", Enforcement::Refuse), ("warn", Enforcement::Warn), ("shadow", Enforcement::Shadow)];

/// Reads the document with every problem in it.
pub(super) fn read(bytes: &[u8]) -> Result<Config, Problems> {
    let source = Source::new(bytes);
    let mut reader = Reader::default();
    let mut config = Config::default();
    let mut streams = readings(&source, YamlLimits::DEFAULT);
    streams.retain(|(reading, _)| *reading == Reading::Yaml12);
    for (_, stream) in &streams {
        for error in stream.errors() {
            let what = error.kind.to_string();
            reader.problems.push(Problem { weight: Weight::Error, what, span: error.span.clone() });
        }
        let mut roots = stream.documents().map(|(_, root)| root);
        match roots.next() {
            Some(root) => reader.document(root, &mut config),
            None if stream.errors().is_empty() => reader.problems.push(Problem {
                weight: Weight::Error,
                what: format!("the file is empty; it must hold a {KIND}"),
                span: source.span(&(0..0)),
            }),
            None => {}
        }
        if let Some(second) = roots.next() {
            reader.error(second, "one document is read, and there is a second one");
        }
    }
    if reader.problems.is_empty() {
        return Ok(config);
    }
    reader.problems.sort_by_key(|problem| problem.span.bytes.start);
    Err(Problems(reader.problems))
}

impl Reader {
    fn document(&mut self, root: NodeRef<'_>, config: &mut Config) {
        let fields = self.fields(root, &format!("a {KIND}"), &FIELDS);
        for (name, wanted) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            match fields.iter().find(|(field, _)| field == name) {
                Some((_, value)) if value.text().is_some_and(|text| text == wanted) => {}
                Some((_, value)) => self.error(*value, format!("`{name}` must be {wanted}")),
                None => self.error(root, format!("`{name}: {wanted}` is missing")),
            }
        }
        for (name, value) in fields {
            self.field(&name, value, config);
        }
        let identified = config.identity.pusher.is_some() || config.identity.allowed_signers.is_some();
        if config.policy_changes == PolicyChanges::Owners && (config.policy_owners.is_empty() || !identified)
        {
            let why =
                "needs `policyOwners`, and `identity.pusher` or `identity.allowedSigners` to know them by";
            self.error(root.get("policyChanges").unwrap_or(root), format!("`policyChanges: owners` {why}"));
        }
        if config.bypass.is_some() && config.identity.pusher.is_none() {
            self.error(
                root.get("bypass").unwrap_or(root),
                "`bypass` needs `identity.pusher` to know users by",
            );
        }
        if config.bypass.is_some() && root.get("audit").is_none() {
            self.error(
                root.get("bypass").unwrap_or(root),
                "`bypass` needs `audit`, where each use is written down",
            );
        }
        if !config.protected.is_empty() && !identified {
            let why = "needs `identity.pusher` or `identity.allowedSigners` to know owners by";
            self.error(root.get("protected").unwrap_or(root), format!("`protected` {why}"));
        }
    }

    fn field(&mut self, name: &str, value: NodeRef<'_>, config: &mut Config) {
        match name {
            "contact" => config.contact = self.text(value, name),
            "enforcement" => {
                config.enforcement = self.word(value, name, &ENFORCEMENTS).unwrap_or_default();
            }
            "identity" => config.identity = self.identity(value),
            "trustedRef" => {
                config.trusted_ref = self.text(value, name);
                // A short name is that of a tag, too.
                if config
                    .trusted_ref
                    .as_ref()
                    .is_some_and(|name| name != "HEAD" && !name.starts_with("refs/"))
                {
                    self.error(value, "`trustedRef` must be HEAD or a full name such as refs/heads/main");
                }
            }
            "policyChanges" => {
                config.policy_changes = self.word(value, name, &CHANGES).unwrap_or_default();
            }
            "policyOwners" => config.policy_owners = self.texts(value, name),
            "protected" => {
                let items = self.items(value, name);
                config.protected = items.into_iter().map(|item| self.protected(item)).collect();
            }
            "profiles" => {
                let items = self.items(value, name);
                config.profiles = items.into_iter().filter_map(|item| self.profile(item)).collect();
            }
            "severities" => self.severities(value, config),
            "exemptions" => {
                let items = self.items(value, name);
                config.exemptions = items.into_iter().filter_map(|item| self.exemption(item)).collect();
            }
            "baseline" => config.baseline = Some(self.baseline(value)),
            "limits" => config.limits = self.limits(value),
            "audit" => config.audit = self.audit(value),
            "metrics" => config.metrics = self.file(value, name),
            "bypass" => config.bypass = self.bypass(value),
            _ => {}
        }
    }

    fn identity(&mut self, node: NodeRef<'_>) -> Identity {
        let mut identity = Identity::default();
        for (name, value) in self.fields(node, "`identity`", &["pusher", "repository", "allowedSigners"]) {
            match name.as_str() {
                "pusher" => identity.pusher = self.variable(value, &name),
                "repository" => identity.repository = self.variable(value, &name),
                _ => identity.allowed_signers = self.file(value, &name),
            }
        }
        identity
    }

    fn protected(&mut self, node: NodeRef<'_>) -> Protected {
        let mut protected = Protected::default();
        let known = ["paths", "kinds", "names", "fields", "owners", "reason"];
        for (name, value) in self.fields(node, "`protected`", &known) {
            match name.as_str() {
                "paths" => protected.paths = self.patterns(value, &name),
                "kinds" => protected.kinds = self.texts(value, &name),
                "names" => protected.names = self.patterns(value, &name),
                "fields" => {
                    let fields = self.texts(value, &name);
                    let split = |field: &String| field.split('.').map(str::to_owned).collect();
                    protected.fields = fields.iter().map(split).collect();
                }
                "owners" => protected.owners = self.texts(value, &name),
                _ => protected.reason = self.text(value, &name),
            }
        }
        if protected.owners.is_empty() {
            self.error(node, "`owners` is missing: who may change it");
        }
        if protected.paths.is_none() && protected.kinds.is_empty() && protected.fields.is_empty() {
            self.error(node, "say what is protected: `paths`, `kinds`, `fields`");
        }
        protected
    }

    fn profile(&mut self, node: NodeRef<'_>) -> Option<ProfileRule> {
        let (mut repositories, mut profile) = (None, None);
        for (name, value) in self.fields(node, "`profiles`", &["repositories", "profile"]) {
            match name.as_str() {
                "repositories" => repositories = self.patterns(value, &name),
                _ => profile = self.word(value, &name, &PROFILES),
            }
        }
        if node.sort() == Sort::Mapping && !(node.has("repositories") && node.has("profile")) {
            self.error(node, "an item of `profiles` needs `repositories` and `profile`");
        }
        Some(ProfileRule { repositories: repositories?, profile: profile? })
    }

    fn severities(&mut self, node: NodeRef<'_>, config: &mut Config) {
        if node.sort() != Sort::Mapping {
            return self.error(node, "`severities` must be a map of codes");
        }
        for entry in node.entries() {
            let name = entry.key.text().unwrap_or_default().into_owned();
            let code = self.code(entry.key, &name);
            let level = self.word(entry.value, &name, &LEVELS);
            if let (Some(code), Some(level)) = (code, level)
                && config.severities.insert(code, level).is_some()
            {
                self.error(entry.key, format!("`{name}` is there twice"));
            }
        }
    }

    fn exemption(&mut self, node: NodeRef<'_>) -> Option<Exemption> {
        let known = ["paths", "codes", "repositories", "reason", "expires"];
        let (mut paths, mut codes, mut repositories, mut reason, mut expires) =
            (None, Vec::new(), None, None, None);
        for (name, value) in self.fields(node, "`exemptions`", &known) {
            match name.as_str() {
                "paths" => paths = self.patterns(value, &name),
                "codes" => {
                    let items = self.items(value, &name);
                    let texts = items.into_iter().map(|item| (item, item.text().unwrap_or_default()));
                    codes = texts.filter_map(|(item, text)| self.code(item, &text)).collect();
                }
                "repositories" => repositories = self.patterns(value, &name),
                "reason" => reason = self.text(value, &name),
                _ => expires = self.parsed(value, &name, "a day such as 2027-01-31"),
            }
        }
        for name in ["paths", "reason", "expires"] {
            if node.sort() == Sort::Mapping && !node.has(name) {
                self.error(node, format!("an exemption needs `{name}`"));
            }
        }
        Some(Exemption { paths: paths?, codes, repositories, reason: reason?, expires: expires? })
    }

    fn baseline(&mut self, node: NodeRef<'_>) -> Baseline {
        let mut baseline = Baseline::default();
        for (name, value) in self.fields(node, "`baseline`", &["file", "trusted", "key"]) {
            match name.as_str() {
                "file" => baseline.file = self.file(value, &name),
                "trusted" => baseline.trusted = self.text(value, &name),
                _ => baseline.key = self.file(value, &name),
            }
        }
        if baseline.file.is_none() && baseline.trusted.is_none() {
            self.error(node, "`baseline` needs `file`, a file of the server, or `trusted`, a path in the trusted reference");
        }
        baseline
    }

    fn limits(&mut self, node: NodeRef<'_>) -> Limits {
        let mut limits = Limits::default();
        for (name, value) in self.fields(node, "`limits`", &["timeout", "fileSize", "newCommits"]) {
            match name.as_str() {
                "timeout" => limits.timeout = self.duration(value, &name),
                "fileSize" => limits.file_size = self.size(value, &name),
                _ => limits.new_commits = self.parsed(value, &name, "a number"),
            }
        }
        limits
    }

    fn audit(&mut self, node: NodeRef<'_>) -> Option<Audit> {
        let mut all = Vec::new();
        for (name, value) in self.fields(node, "`audit`", &["file", "syslog"]) {
            let path = self.file(value, &name);
            all.extend(path.map(|path| if name == "file" { Audit::File(path) } else { Audit::Syslog(path) }));
        }
        if all.len() != 1 && node.sort() == Sort::Mapping {
            self.error(node, "`audit` needs either `file` or `syslog`");
        }
        all.pop()
    }

    fn bypass(&mut self, node: NodeRef<'_>) -> Option<Bypass> {
        let (mut option, mut users) = (None, Vec::new());
        for (name, value) in self.fields(node, "`bypass`", &["option", "users"]) {
            match name.as_str() {
                "option" => option = self.text(value, &name),
                _ => users = self.texts(value, &name),
            }
        }
        if option.is_none() || users.is_empty() {
            self.error(node, "`bypass` needs `option` and `users`");
        }
        Some(Bypass { option: option?, users })
    }
}
