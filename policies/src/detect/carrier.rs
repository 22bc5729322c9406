//! Credentials outside of Secrets: in the values of charts, in the objects of Flux and Argo, in templates from
//! which controllers make Secrets, in configuration of any kind.

mod kinds;
mod values;

use std::collections::HashSet;

use super::credential::Named;
use super::credential::{
    Strictness, assignment, in_urls, is_credential, is_referring, is_value, may_hold_credential, named,
};
use super::literal::{is_base64_literal, is_literal, leaf_text};
use crate::finding::Span;
use crate::sops::state::{Leaf, leaf};
use crate::yaml::{KeyPath, Limits, NodeRef, Sort, Source, Step, Style, readings};
use kinds::{Kind, Template};

/// How many strings in strings are opened.
const DEPTH: u8 = 2;

/// Hits that are kept for one document.
const MOST: usize = 1000;

/// What holds a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// Anything else.
    Anything,
    /// A kustomization, or a docker configuration: given to whoever builds or pulls.
    Build,
    /// An object of Flux, Argo CD or a Helm controller: its values are applied as they are.
    Deployer,
    /// The template of a Secret that a controller makes.
    SecretTemplate,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A literal under a key that is named like a credential.
    Value,
    /// A user and a password in an address.
    Url,
    /// A registry's credential in a docker configuration.
    Docker,
    /// The same as a value, in a line of a text that is no tree.
    Line,
}

/// Something found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// What.
    pub what: What,
    /// In what.
    pub carrier: Carrier,
    /// Where in the document.
    pub key_path: KeyPath,
    /// Where in the file.
    pub span: Span,
}

/// The credentials of a document; those of Secrets are not among them. `is_build` says that the file is a
/// kustomization by its name.
pub fn find(root: NodeRef<'_>, is_build: bool) -> Vec<Hit> {
    let carrier = if is_build { Carrier::Build } else { Carrier::Anything };
    find_at(root, carrier, DEPTH)
}

fn find_at(root: NodeRef<'_>, carrier: Carrier, depth: u8) -> Vec<Hit> {
    let mut finder = Finder { depth, hits: Vec::new(), opened: HashSet::new() };
    if !kinds::is_schema(root) {
        finder.visit(root, &mut KeyPath::root(), Place { carrier, template: None, referring: false });
    }
    finder.hits
}

/// What is known of a node by those above it.
#[derive(Clone, Copy)]
struct Place {
    carrier: Carrier,
    /// How the kind of object around it makes Secrets.
    template: Option<Template>,
    /// The key above says that what is below is a name or a description.
    referring: bool,
}

impl Place {
    fn strictness(self) -> Strictness {
        if self.carrier >= Carrier::Deployer { Strictness::Applied } else { Strictness::Anywhere }
    }
}

struct Finder {
    depth: u8,
    hits: Vec<Hit>,
    /// Strings that were opened: aliases show the same one many times.
    opened: HashSet<std::ops::Range<usize>>,
}

impl Finder {
    fn hit(&mut self, what: What, carrier: Carrier, path: &KeyPath, node: NodeRef<'_>) {
        if self.hits.len() < MOST {
            self.hits.push(Hit { what, carrier, key_path: path.clone(), span: node.span() });
        }
    }

    fn visit(&mut self, node: NodeRef<'_>, path: &mut KeyPath, place: Place) {
        match node.sort() {
            Sort::Scalar => self.string(node, path, place),
            Sort::Sequence => {
                self.flags(node, path, place);
                for (index, item) in node.items().enumerate() {
                    path.with(Step::Index(index), |path| {
                        self.listed(item, path, place);
                        self.visit(item, path, place);
                    });
                }
            }
            Sort::Mapping if node.is_template_action() => {}
            Sort::Mapping => self.mapping(node, path, place),
        }
    }

    /// `KEY=value` in a list, as in `env` of a compose file or `literals` of a generator.
    fn listed(&mut self, item: NodeRef<'_>, path: &KeyPath, place: Place) {
        let Some(text) = item.text() else { return };
        if let Some((key, value)) = text.split_once('=')
            && !text.contains('\n')
            && is_credential(key.trim_start_matches('-'), value.trim_matches(['"', '\'']), place.strictness())
        {
            self.hit(What::Value, place.carrier, path, item);
        }
    }

    fn mapping(&mut self, node: NodeRef<'_>, path: &mut KeyPath, mut place: Place) {
        let kind = Kind::of(node);
        if kind.is_schema {
            return;
        }
        place.carrier = place.carrier.max(kind.carrier);
        place.template = kind.template.or(place.template);
        self.pair(node, path, place);
        if !path.ends_with_key("auths") && is_legacy_docker(node) {
            self.docker(node, path, place);
        }
        for entry in node.entries() {
            let key = entry.key.text().unwrap_or_default();
            let passed_over = matches!(key.as_ref(), "encryptedData" | "openAPIV3Schema")
                || (key == "sops" && path.steps().is_empty())
                || (kind.is_secret && matches!(key.as_ref(), "data" | "stringData"));
            if passed_over {
                continue;
            }
            let below = Place { referring: is_referring(&key), ..place };
            path.with(Step::key(entry.key), |path| match place.template {
                Some(template) if template.is_at(path) => self.template(entry.value, path, template),
                _ => {
                    if key == "auths" {
                        self.docker(entry.value, path, place);
                    }
                    self.entry(key.trim(), entry.value, path, place);
                    self.beneath(key.trim(), entry.value, path, place);
                    self.visit(entry.value, path, below);
                }
            });
        }
    }

    /// A value under a key.
    fn entry(&mut self, key: &str, value: NodeRef<'_>, path: &KeyPath, place: Place) {
        if is_plain_value(value)
            && !place.referring
            && let Some(text) = leaf_text(value)
            && is_credential(key, &text, place.strictness())
            && !is_small_number(value)
        {
            self.hit(What::Value, place.carrier, path, value);
        }
    }

    /// `name: KEY` beside `value: …`, as in a container's environment.
    fn pair(&mut self, node: NodeRef<'_>, path: &mut KeyPath, place: Place) {
        for value in node.values("value").filter(|value| value.sort() == Sort::Scalar) {
            for name in node.values("name").chain(node.values("key")).filter_map(NodeRef::text) {
                path.with(Step::Key("value".to_owned()), |path| self.entry(name.trim(), value, path, place));
            }
        }
    }

    /// `auths` of a docker configuration: a map of registries.
    fn docker(&mut self, auths: NodeRef<'_>, path: &mut KeyPath, place: Place) {
        for registry in auths.entries() {
            for name in ["auth", "password", "identitytoken", "registrytoken"] {
                for value in registry.value.values(name).filter(|value| is_plain_value(*value)) {
                    let path = path.with(Step::key(registry.key), |path| path.below(&[name]));
                    if leaf_text(value).is_some_and(|text| is_base64_literal(&text) && is_value(&text)) {
                        self.hit(What::Docker, place.carrier.max(Carrier::Build), &path, value);
                    }
                }
            }
        }
    }

    /// `data` or `stringData` of a template for a Secret.
    fn template(&mut self, section: NodeRef<'_>, path: &mut KeyPath, template: Template) {
        let base64 = template == Template::Whole && path.ends_with_key("data");
        crate::yaml::leaves(section, path, &mut |path, node| {
            if matches!(leaf(node), Leaf::Empty | Leaf::Sealed) {
                return;
            }
            let text = leaf_text(node).unwrap_or_default();
            let literal = if base64 { is_base64_literal(&text) } else { is_literal(&text) };
            let key = path.keys().last().map_or_else(String::new, ToString::to_string);
            let counts = match template {
                Template::Whole | Template::Literal => true,
                // Names of databases and hosts stand beside the credentials that are fetched.
                Template::Fetched => {
                    (named(&key) != Named::No && is_value(&text))
                        || holds_credential_lines(&text)
                        || !in_urls(&text, Strictness::Applied).is_empty()
                }
            };
            if literal && counts {
                self.hit(What::Value, Carrier::SecretTemplate, path, node);
            }
        });
    }

    /// A text: a document in it, lines with assignments, an address. One finding for a string: it has one place.
    fn string(&mut self, node: NodeRef<'_>, path: &KeyPath, place: Place) {
        let Some(text) = node.text() else { return };
        let may_be_tree = text.contains(['\n', '{']) || text.contains(": ");
        // A template of a Secret needs no key that is named like a credential; escapes can spell any word.
        let telling = may_hold_credential(text.as_bytes())
            || text.contains("Secret")
            || text.contains('\\')
            || text.contains("!!");
        let open = may_be_tree && telling && self.opened.insert(node.range());
        let inside = if open { inside(&text, place, self.depth) } else { None };
        let url = || (!in_urls(&text, place.strictness()).is_empty()).then_some((What::Url, place.carrier));
        if let Some((what, carrier)) = inside.or_else(url) {
            self.hit(what, carrier, path, node);
        }
    }
}

/// The gravest thing in a text that is a document or has lines with assignments.
fn inside(text: &str, place: Place, depth: u8) -> Option<(What, Carrier)> {
    let source = Source::new(text.as_bytes());
    let streams = readings(&source, Limits::DEFAULT);
    let trees = streams.iter().filter(|(_, stream)| stream.errors().is_empty());
    let roots = trees.flat_map(|(_, stream)| stream.documents()).map(|(_, root)| root);
    let mut roots = roots.filter(|root| root.sort() != Sort::Scalar).peekable();
    if roots.peek().is_none() {
        return holds_credential_lines(text).then_some((What::Line, place.carrier));
    }
    let depth = depth.checked_sub(1)?;
    let found = roots.flat_map(|root| find_at(root, place.carrier, depth));
    found.max_by_key(|hit| hit.carrier).map(|hit| (hit.what, hit.carrier))
}

/// A `.dockercfg`: registries without `auths` around them, each with `auth` or with a user and a password.
fn is_legacy_docker(node: NodeRef<'_>) -> bool {
    let entries = node.entries();
    let is_registry = |key: &str| key == "localhost" || key.contains(['.', ':']);
    let has_login =
        |value: NodeRef<'_>| value.has("auth") || (value.has("username") && value.has("password"));
    !entries.is_empty()
        && entries.iter().all(|entry| {
            entry.key.text().is_some_and(|key| is_registry(&key))
                && entry.value.sort() == Sort::Mapping
                && has_login(entry.value)
        })
}

/// Not empty, not encrypted, and not made by a tag of the reader's own, such as `!Ref` or `!vault`.
fn is_plain_value(node: NodeRef<'_>) -> bool {
    let local = node.tag().is_some_and(|tag| tag.core().is_none() && tag.name != "!");
    node.sort() == Sort::Scalar && leaf(node) != Leaf::Empty && leaf(node) != Leaf::Sealed && !local
}

/// A count or a size: `token: 512`.
fn is_small_number(node: NodeRef<'_>) -> bool {
    node.style() == Some(Style::Plain)
        && node
            .raw_text()
            .is_some_and(|text| text.len() < 4 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
}

fn holds_credential_lines(text: &str) -> bool {
    text.contains('\n')
        && text
            .lines()
            .filter_map(assignment)
            .any(|found| is_credential(found.key, found.value, Strictness::Anywhere))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let source = Source::new(text.as_bytes());
        let streams = readings(&source, Limits::DEFAULT);
        assert_eq!(streams[0].1.errors(), [], "{text}");
        let hits = streams[0].1.documents().flat_map(|(_, root)| find(root, false));
        hits.map(|hit| format!("{:?} {:?} {}", hit.carrier, hit.what, hit.key_path)).collect()
    }

    #[test]
    fn objects_that_deploy_apply_their_values() {
        let release = "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nspec:\n  values:\n";
        assert_eq!(
            found(&format!("{release}    auth: {{password: hunter2}}\n")),
            ["Deployer Value spec.values.auth.password"]
        );
        assert_eq!(
            found(&format!(
                "{release}    env:\n    - name: DB_PASSWORD\n      value: hunter2\n    - {{name: HOST, value: db}}\n"
            )),
            ["Deployer Value spec.values.env[0].value"]
        );
        assert_eq!(
            found(&format!("{release}    config: |\n      db:\n        password: hunter2\n")),
            ["Deployer Value spec.values.config"]
        );
        assert_eq!(
            found(&format!("{release}    ini: |\n      [db]\n      password = hunter2\n")),
            ["Deployer Line spec.values.ini"]
        );
        assert_eq!(
            found(&format!(
                "{release}    auth: {{password: '${{PW}}', existingSecret: x, passwordKey: y}}\n"
            )),
            [""; 0]
        );
        let application =
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nspec:\n  source:\n    helm:\n";
        for helm in [
            "valuesObject: {db: {password: hunter2}}",
            "values: |\n        password: hunter2\n",
            "parameters: [{name: db.password, value: hunter2}]",
        ] {
            assert_eq!(found(&format!("{application}      {helm}\n")).len(), 1, "{helm}");
        }
        let chart = "apiVersion: helm.cattle.io/v1\nkind: HelmChart\nspec:\n  set: {adminPassword: hunter2}\n  valuesContent: |-\n    token: hunter2\n";
        assert_eq!(
            found(chart),
            ["Deployer Value spec.set.adminPassword", "Deployer Value spec.valuesContent"]
        );
        let substitute = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nspec:\n  postBuild:\n    substitute: {DB_PASSWORD: hunter2, REGION: eu}\n";
        assert_eq!(found(substitute), ["Deployer Value spec.postBuild.substitute.DB_PASSWORD"]);
        let source = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nspec: {url: 'https://me:hunter2@example.com/x'}\n";
        assert_eq!(found(source), ["Deployer Url spec.url"]);
    }

    #[test]
    fn templates_of_secrets_hold_no_values_of_their_own() {
        let sealed = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nspec:\n  template:\n    data: {user: app}\n    stringData: {a: '{{ .x }}'}\n";
        assert_eq!(found(sealed), ["SecretTemplate Value spec.template.data.user"]);
        let sops = "apiVersion: isindir.github.com/v1alpha3\nkind: SopsSecret\nspec:\n  secretTemplates:\n  - name: a\n    data: {a: aHVudGVyMg==, b: JHtWQVJ9}\n    stringData: {b: c}\n";
        assert_eq!(
            found(sops),
            [
                "SecretTemplate Value spec.secretTemplates[0].data.a",
                "SecretTemplate Value spec.secretTemplates[0].stringData.b"
            ]
        );
        let external = |data: &str| {
            found(&format!(
                "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nspec:\n  target:\n    template:\n      data: {{{data}}}\n  data: [{{secretKey: password, remoteRef: {{key: a, property: password}}}}]\n"
            ))
        };
        assert_eq!(
            external("host: db.svc, name: app, url: 'postgres://app:{{ .password }}@db/app'"),
            [""; 0]
        );
        assert_eq!(
            external("password: hunter2"),
            ["SecretTemplate Value spec.target.template.data.password"]
        );
        assert_eq!(external("url: 'postgres://app:hunter2@db/app'").len(), 1);
        assert_eq!(external("conf: \"user = a\\npassword = hunter2\\n\"").len(), 1);
    }

    #[test]
    fn docker_configurations_and_names_are_told_apart() {
        assert_eq!(
            found("auths: {ghcr.io: {auth: bWU6aHVudGVyMg==}}\n"),
            ["Build Docker auths[\"ghcr.io\"].auth"]
        );
        assert_eq!(found("auths: {ghcr.io: {auth: '{{ .auth }}'}, r.io: {}}\n"), [""; 0]);
        for good in [
            "env:\n- name: PASSWORD\n  valueFrom: {secretKeyRef: {name: db, key: password}}\n",
            "secretKeys: {adminPassword: admin-password}\n",
            "openapi: 3.0.0\ncomponents: {schemas: {a: {properties: {password: {type: string, default: hunter2}}}}}\n",
            "permissions: {id-token: write, contents: read}\n",
            "password: !vault |\n  $ANSIBLE_VAULT;1.1\n",
            "password: !Ref DbPassword\n",
            "token: 512\nmaxTokens: 4096\nkeepPassword: true\n",
            "services: {db: {environment: ['POSTGRES_PASSWORD=${PW}', 'PASSWORD_FILE=/run/secrets/pw']}}\n",
            "labels: {token: issued1}\n",
        ] {
            assert_eq!(found(good), [""; 0], "{good}");
        }
        assert_eq!(found("services: {db: {environment: ['POSTGRES_PASSWORD=hunter2']}}\n").len(), 1);
    }
}
