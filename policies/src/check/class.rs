//! What a path says.

use crate::detect::kustomize::is_kustomization_name;
use crate::rules::{FILE_NAME, Rules};
use crate::sops::store::Format;

/// What the name makes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PathKind {
    /// A file like any other.
    Plain,
    /// A kustomization; what it names is relative to this folder.
    Kustomization(Vec<u8>),
    /// The description of a Helm chart.
    Chart,
    /// A `.sops.yaml`.
    SopsConfig,
    /// A `.sops.yml`, which sops does not read.
    Misnamed,
    /// Git's list of submodules.
    Modules,
    /// Documentation, source code, and Git's own files, which nobody encrypts: neither rules nor names make
    /// them something that must be encrypted.
    Inert,
}

/// Everything about a path that can change the verdict. A verdict can be kept by (content, path class,
/// fingerprint of the rules, role).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathClass {
    /// How sops would store it.
    pub format: Format,
    /// Whether the name speaks of YAML or JSON, templates of such files included.
    pub yaml_like: bool,
    /// What the name makes of it.
    pub kind: PathKind,
    /// Whether the name claims that the file is encrypted: `*.sops.*`, `*.enc.*`.
    pub claimed: bool,
    /// The creation rule that is for the path, by number, unless it is a catch-all.
    pub rule: Option<usize>,
    /// The creation rule that is for the path, by number, catch-alls included: what an encrypted file is held to.
    pub recipe: Option<usize>,
}

const TEMPLATES: [&str; 9] =
    ["tpl", "tmpl", "gotmpl", "j2", "jinja", "jinja2", "template", "example", "sample"];

/// What is put behind a YAML file's name and leaves it one.
const COPIES: [&str; 17] = [
    "tpl", "tmpl", "gotmpl", "j2", "jinja", "jinja2", "template", "example", "sample", "dist", "bak", "old",
    "orig", "txt", "enc", "sops", "erb",
];

fn is_yaml(extension: &str) -> bool {
    matches!(extension, "yaml" | "yml" | "json")
}

const INERT: [&str; 24] = [
    "md", "markdown", "rst", "adoc", "go", "rs", "py", "js", "mjs", "ts", "tsx", "jsx", "java", "kt", "c",
    "h", "cc", "cpp", "cs", "rb", "sh", "bash", "html", "css",
];

/// Classifies a path, which is relative to the repository.
pub fn path_class(path: &[u8], rules: Option<&Rules>) -> PathClass {
    let (folder, name) = match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => path.split_at(slash + 1),
        None => path.split_at(0),
    };
    let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
    let extensions = lower.split('.').skip(1).collect::<Vec<_>>();
    let last = extensions.last().copied().unwrap_or_default();
    let yaml_like = is_yaml(last)
        || last == "tpl"
        || is_kustomization_name(name)
        || (COPIES.contains(&last) && extensions.iter().any(|extension| is_yaml(extension)));
    let kind = if name == FILE_NAME.as_bytes() {
        PathKind::SopsConfig
    } else if name == b".sops.yml" {
        PathKind::Misnamed
    } else if name == b".gitmodules" {
        PathKind::Modules
    } else if is_kustomization_name(name) {
        PathKind::Kustomization(folder.to_owned())
    } else if matches!(lower.as_str(), "chart.yaml" | "chart.yml" | "chart.lock") {
        PathKind::Chart
    } else if INERT.contains(&last)
        || lower.starts_with(".git")
        || lower == "license"
        || lower == "codeowners"
    {
        PathKind::Inert
    } else {
        PathKind::Plain
    };
    let governable = kind == PathKind::Plain;
    // A template of an encrypted file is not encrypted.
    // `.sops.pub.asc` and the like at the start of a name belong to sops itself.
    let says = |part: &str| lower.find(part).is_some_and(|at| at > 0);
    let claimed = governable && (says(".sops.") || says(".enc.")) && !TEMPLATES.contains(&last);
    let matching = rules.and_then(|rules| rules.for_path(path)).filter(|_| governable);
    let rule = matching.filter(|(_, rule)| !rule.is_catch_all());
    PathClass {
        format: Format::of_path(name),
        yaml_like,
        kind,
        claimed,
        rule: rule.map(|(number, _)| number),
        recipe: matching.map(|(number, _)| number),
    }
}

impl PathClass {
    /// Whether something about the path may ask for encryption.
    pub(super) fn governed(&self) -> bool {
        self.claimed || self.rule.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_claims_encryption_behind_its_first_letter() {
        let claimed = |path: &str| path_class(path.as_bytes(), None).claimed;
        assert!(claimed("a/db.sops.yaml") && claimed("values.enc.yaml") && claimed("cert.SOPS.pem"));
        assert!(!claimed("a/.sops.pub.asc") && !claimed(".sops.prod.yaml") && !claimed("a.sops/db.yaml"));
        assert!(!claimed("db.sops.yaml.j2") && !claimed("sops.yaml"));
    }
}
