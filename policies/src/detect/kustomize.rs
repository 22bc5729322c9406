//! Kustomizations: generators of Secrets, and patches.

mod fields;

use super::literal::is_literal;
use super::secret::{self, Context, Hit, What};
use crate::contract::{Reference, Role};
use crate::finding::Span;
use crate::sops::state::{Leaf, leaf};
use crate::words::has;
use crate::yaml::{KeyPath, Limits, NodeRef, Sort, Source, Step, readings};

/// What a kustomization holds and names.
#[derive(Clone, Debug, Default)]
pub struct Kustomization {
    /// Plaintext values in generators.
    pub literals: Vec<(KeyPath, Span)>,
    /// Plaintext values in inline patches: the place of the patch.
    pub patches: Vec<(KeyPath, Span)>,
    /// Files that become Secrets or patch them.
    pub references: Vec<Reference>,
}

/// The names under which kustomize looks for a kustomization.
pub fn is_kustomization_name(name: &[u8]) -> bool {
    matches!(name, b"kustomization.yaml" | b"kustomization.yml" | b"Kustomization")
}

/// Whether a kustomization may make a part of a Secret of a file outside of its folder, told without reading what it
/// says: that takes two dots, and a generator or a patch; or an escape or another encoding that hides them.
pub fn may_reach_outside(bytes: &[u8]) -> bool {
    let reaches =
        has!(bytes, "..") && (has!(bytes, "enerator") || has!(bytes, "atch") || has!(bytes, "ransform"));
    reaches || has!(bytes, "\\") || bytes.contains(&0)
}

/// Whether the document configures a generator or transformer of kustomize's own that names files.
pub fn is_plugin(root: NodeRef<'_>) -> bool {
    root.says("apiVersion", "builtin")
        && root.values("kind").filter_map(NodeRef::text).any(|kind| PLUGINS.contains(&kind.trim()))
}

/// Generators and transformers that name files.
const PLUGINS: [&str; 5] = [
    "SecretGenerator",
    "PatchTransformer",
    "PatchJson6902Transformer",
    "PatchStrategicMergeTransformer",
    "ReplacementTransformer",
];

/// Looks at a document. `folder` is where the file stands, with a trailing slash unless it is the root; what
/// the document names is relative to it. Nothing for documents that are no kustomization.
pub fn find(root: NodeRef<'_>, folder: &[u8]) -> Kustomization {
    find_at(root, folder, true)
}

fn find_at(root: NodeRef<'_>, folder: &[u8], outer: bool) -> Kustomization {
    let mut found = Finder { folder, outer, found: Kustomization::default() };
    if root.sort() != Sort::Mapping {
        return found.found;
    }
    let root_path = KeyPath::root();
    found.each(root, &root_path, "secretGenerator", Finder::generator);
    if root.says("kind", "SecretGenerator") {
        found.generator(root, &root_path);
    }
    if root.values("kind").filter_map(NodeRef::text).any(|kind| kind.starts_with("Patch")) {
        found.patch(root, &root_path);
    }
    fields::find(root, &root_path, &mut found.found.patches);
    for name in ["generators", "transformers"] {
        found.each(root, &root_path, name, Finder::plugin);
    }
    found.patches(root, &root_path);
    // Flux and Argo hand a part of a kustomization on to kustomize.
    for keys in DELEGATED {
        found.delegated(root, &root_path, keys);
    }
    found.found
}

/// Where objects of Flux and Argo hold what would stand in a kustomization.
const DELEGATED: [&[&str]; 7] = [
    &["spec"],
    &["spec", "postRenderers", "kustomize"],
    &["spec", "source", "kustomize"],
    &["spec", "sources", "kustomize"],
    &["spec", "template", "spec", "source", "kustomize"],
    &["spec", "template", "spec", "sources", "kustomize"],
    &["items", "spec"],
];

struct Finder<'f> {
    folder: &'f [u8],
    /// Not a configuration in a string of another.
    outer: bool,
    found: Kustomization,
}

impl Finder<'_> {
    /// Calls back for the items of a list below a map.
    fn each(
        &mut self,
        map: NodeRef<'_>,
        path: &KeyPath,
        name: &str,
        call: fn(&mut Self, NodeRef<'_>, &KeyPath),
    ) {
        for list in map.values(name) {
            for (index, item) in list.items().enumerate() {
                let path = path.below(&[name]).with(Step::Index(index), |path| path.clone());
                call(self, item, &path);
            }
        }
    }

    fn patches(&mut self, map: NodeRef<'_>, path: &KeyPath) {
        for name in ["patches", "patchesJson6902"] {
            self.each(map, path, name, Finder::patch);
        }
        self.each(map, path, "patchesStrategicMerge", Finder::merge_patch);
    }

    /// Patches of a kustomization that an object holds under these keys; lists on the way are gone through.
    fn delegated(&mut self, node: NodeRef<'_>, path: &KeyPath, keys: &[&str]) {
        for (index, item) in node.items().enumerate() {
            let path = path.clone().with(Step::Index(index), |path| path.clone());
            self.delegated(item, &path, keys);
        }
        match keys.split_first() {
            Some((key, rest)) => {
                node.values(key).for_each(|value| self.delegated(value, &path.below(&[key]), rest));
            }
            None => self.patches(node, path),
        }
    }

    /// A generator or transformer: a file, or its configuration itself.
    fn plugin(&mut self, item: NodeRef<'_>, path: &KeyPath) {
        let text = item.text().unwrap_or_default();
        if !text.contains('\n') && !text.trim_start().starts_with('{') {
            return self.refer(&text, Role::File);
        }
        let source = Source::new(text.as_bytes());
        for (_, stream) in readings(&source, Limits::DEFAULT).iter().filter(|_| self.outer) {
            for (_, root) in stream.documents() {
                let inner = find_at(root, self.folder, false);
                let place = |(_, _): (KeyPath, Span)| (path.clone(), item.span());
                self.found.literals.extend(inner.literals.into_iter().map(place).take(1));
                self.found.patches.extend(inner.patches.into_iter().map(place).take(1));
                self.found.references.extend(inner.references);
            }
        }
    }

    fn generator(&mut self, generator: NodeRef<'_>, path: &KeyPath) {
        for literals in generator.values("literals") {
            for (index, literal) in literals.items().enumerate() {
                let text = literal.text().unwrap_or_default();
                let value = text.split_once('=').map_or(text.as_ref(), |(_, value)| value);
                if !matches!(leaf(literal), Leaf::Sealed) && is_literal(unquoted(value)) {
                    let path = path.below(&["literals"]).with(Step::Index(index), |path| path.clone());
                    self.found.literals.push((path, literal.span()));
                }
            }
        }
        for name in ["envs", "env", "files"] {
            for value in generator.values(name) {
                for item in value.items().chain((value.sort() == Sort::Scalar).then_some(value)) {
                    let text = item.text().unwrap_or_default();
                    // `key=path`, or a path alone.
                    let file = if name == "files" {
                        text.split_once('=').map_or(text.as_ref(), |(_, f)| f)
                    } else {
                        &text
                    };
                    self.refer(file, Role::SecretSource);
                }
            }
        }
    }

    fn patch(&mut self, patch: NodeRef<'_>, path: &KeyPath) {
        let target = patch.get("target").map_or(Target::Others, Target::of);
        for file in patch.values("path").filter_map(NodeRef::text) {
            let role = match target {
                Target::Secrets => Role::Patch,
                Target::Any => Role::PatchOfAny,
                Target::Others => Role::File,
            };
            self.refer(&file, role);
        }
        for name in ["patch", "jsonOp", "patches"] {
            // Patches under `patches` of a map are visited for themselves.
            let inline = |value: &NodeRef<'_>| value.sort() == Sort::Scalar || name != "patches";
            for value in patch.values(name).filter(inline) {
                self.inline(value, target, &path.below(&[name]));
            }
        }
    }

    /// A path, or a patch itself.
    fn merge_patch(&mut self, item: NodeRef<'_>, path: &KeyPath) {
        let text = item.text().unwrap_or_default();
        if text.contains('\n') || text.contains(": ") || text.trim_start().starts_with('{') {
            self.inline(item, Target::Others, path);
        } else {
            self.refer(&text, Role::File);
        }
    }

    fn inline(&mut self, node: NodeRef<'_>, target: Target, path: &KeyPath) {
        match node.text() {
            Some(text) if hits_in(&text, target).iter().any(|hit| hit.what != What::NoMetadata) => {
                self.found.patches.push((path.clone(), node.span()));
            }
            Some(_) => {}
            // Operations as they are: each has a place of its own.
            None => {
                let hits = secret::find(node, target.context(node)).into_iter();
                self.found.patches.extend(hits.filter(|hit| hit.what != What::NoMetadata).map(|hit| {
                    let mut place = path.clone();
                    hit.key_path.steps().iter().for_each(|step| place.push(step.clone()));
                    (place, hit.span)
                }));
            }
        }
    }

    fn refer(&mut self, file: &str, role: Role) {
        if let Some(path) = normalise(self.folder, file) {
            self.found.references.push(Reference { path, role });
        }
    }
}

fn hits_in(text: &str, target: Target) -> Vec<Hit> {
    let source = Source::new(text.as_bytes());
    let mut hits = Vec::new();
    for (_, stream) in readings(&source, Limits::DEFAULT) {
        for (_, root) in stream.documents() {
            hits.extend(secret::find(root, target.context(root)));
        }
    }
    hits
}

/// What a patch is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Secrets, by their kind.
    Secrets,
    /// Objects by name, label or annotation: of any kind.
    Any,
    /// Other kinds, or what the patch itself says.
    Others,
}

impl Target {
    /// Kustomize takes `kind` as an anchored regular expression. Names and choices of names are compared; any other
    /// pattern may mean a Secret.
    fn of(target: NodeRef<'_>) -> Self {
        let said = |name| target.values(name).filter_map(NodeRef::text).filter(|text| !text.is_empty());
        let means_secret = |kind: &str| {
            kind.split('|')
                .any(|name| name == "Secret" || name.contains(|c: char| !c.is_ascii_alphanumeric()))
        };
        match (said("kind").next().is_some(), said("group").next().is_some()) {
            (true, _) if said("kind").any(|kind| means_secret(&kind)) => Self::Secrets,
            (false, false) => Self::Any,
            _ => Self::Others,
        }
    }

    fn context(self, patch: NodeRef<'_>) -> Context {
        let is_secret = self == Self::Secrets || (self == Self::Any && !patch.has("kind"));
        Context { has_metadata: false, is_secret }
    }
}

fn unquoted(value: &str) -> &str {
    let value = value.trim();
    ['"', '\''].into_iter().find_map(|q| value.strip_prefix(q)?.strip_suffix(q)).unwrap_or(value)
}

/// The path in the repository of what a file in `folder` names. `None` for URLs, for absolute paths and for
/// what leads out of the repository.
pub fn normalise(folder: &[u8], file: &str) -> Option<Vec<u8>> {
    let file = file.trim();
    if file.is_empty()
        || file.contains("://")
        || file.starts_with('/')
        || file.starts_with("git@")
        || file.contains('\n')
    {
        return None;
    }
    let mut parts: Vec<&[u8]> = folder.split(|b| *b == b'/').filter(|part| !part.is_empty()).collect();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name.as_bytes()),
        }
    }
    (!parts.is_empty()).then(|| parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<R>(text: &str, call: impl FnOnce(Kustomization) -> R) -> R {
        let source = Source::new(text.as_bytes());
        let streams = readings(&source, Limits::DEFAULT);
        assert_eq!(streams[0].1.errors(), []);
        let (_, root) = streams[0].1.documents().next().unwrap();
        call(find(root, b"apps/db/"))
    }

    #[test]
    fn generators_give_literals_and_files() {
        let text = "
secretGenerator:
  - name: a
    literals: [user=app, 'password=${PASS}', empty=]
    envs: [secret.env, ../common/other.env]
    files:
      - tls.key=certs/tls.key
      - ./plain.txt
  - {name: b, env: one.env}
configMapGenerator:
  - literals: [x=y]
    files: [c.txt]
";
        with(text, |found| {
            let literals = found.literals.iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>();
            assert_eq!(literals, ["secretGenerator[0].literals[0]"]);
            let paths = found
                .references
                .iter()
                .map(|r| String::from_utf8_lossy(&r.path).into_owned())
                .collect::<Vec<_>>();
            let wanted = [
                "apps/db/secret.env",
                "apps/common/other.env",
                "apps/db/certs/tls.key",
                "apps/db/plain.txt",
                "apps/db/one.env",
            ];
            assert_eq!(paths, wanted);
            assert!(found.references.iter().all(|r| r.role == Role::SecretSource));
        });
    }

    #[test]
    fn patches_are_told_by_their_target() {
        let text = r#"
patches:
  - path: a.yaml
    target: {kind: Secret}
  - path: b.yaml
    target: {kind: Deployment}
  - target: {kind: "Sec.*"}
    patch: '[{"op": "add", "path": "/data/x", "value": "aHVudGVyMg=="}]'
  - target: {kind: ConfigMap}
    patch: '[{"op": "add", "path": "/data/x", "value": "plain"}]'
  - patch: |
      kind: Secret
      stringData: {a: b}
  - patch: '[{"op": "replace", "path": "/stringData/x", "value": "v"}]'
patchesStrategicMerge:
  - c.yaml
  - |-
    apiVersion: v1
    kind: Secret
    data: {x: eA==}
  - https://example.com/p.yaml
"#;
        with(text, |found| {
            let patches = found.patches.iter().map(|(path, _)| path.to_string()).collect::<Vec<_>>();
            assert_eq!(
                patches,
                ["patches[2].patch", "patches[4].patch", "patches[5].patch", "patchesStrategicMerge[1]"]
            );
            let roles = found.references.iter().map(|r| (r.path.as_slice(), r.role)).collect::<Vec<_>>();
            assert_eq!(
                roles,
                [
                    (&b"apps/db/a.yaml"[..], Role::Patch),
                    (b"apps/db/b.yaml", Role::File),
                    (b"apps/db/c.yaml", Role::File)
                ]
            );
        });
    }

    #[test]
    fn paths_are_normalised_and_stay_inside() {
        assert_eq!(normalise(b"a/b/", "../c//./d").unwrap(), b"a/c/d");
        assert_eq!(normalise(b"", "x").unwrap(), b"x");
        assert_eq!(normalise(b"a/", "../../x"), None);
        assert_eq!(normalise(b"a/", "https://x/y"), None);
        assert_eq!(normalise(b"a/", "/etc/passwd"), None);
    }
}
