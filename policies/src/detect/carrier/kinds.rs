//! What kind of object a map is, as far as credentials go.

use super::Carrier;
use crate::detect::secret::names_secret;
use crate::yaml::{KeyPath, NodeRef, Sort};

/// How a template becomes a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Template {
    /// Its values are those of the Secret, `data` in base64.
    Whole,
    /// Its values are texts, put beside encrypted ones.
    Literal,
    /// Its values are texts around what is fetched from elsewhere.
    Fetched,
}

impl Template {
    /// Whether the values of the Secret are under this path.
    pub(super) fn is_at(self, path: &KeyPath) -> bool {
        let keys = path.keys();
        let above = keys.len().checked_sub(2).and_then(|at| keys.get(at));
        let section = matches!(keys.last(), Some(&("data" | "stringData")));
        let template = match self {
            Self::Whole => above == Some(&"secretTemplates"),
            Self::Literal | Self::Fetched => above == Some(&"template"),
        };
        section && template
    }
}

/// What a map with `apiVersion` and `kind` is.
pub(super) struct Kind {
    pub(super) carrier: Carrier,
    pub(super) template: Option<Template>,
    /// A Kubernetes Secret: its values are judged for themselves.
    pub(super) is_secret: bool,
    /// It describes what documents look like.
    pub(super) is_schema: bool,
}

impl Kind {
    pub(super) fn of(node: NodeRef<'_>) -> Self {
        let mut kind =
            Self { carrier: Carrier::Anything, template: None, is_secret: false, is_schema: false };
        kind.is_secret = node.values("kind").any(names_secret);
        for name in node.values("kind").filter_map(NodeRef::text) {
            kind.is_schema |= name == "CustomResourceDefinition";
            for version in node.values("apiVersion").filter_map(NodeRef::text) {
                let group = version.trim().split_once('/').map_or("", |(group, _)| group);
                kind.carrier = kind.carrier.max(carrier(group, name.trim()));
                kind.template = kind.template.or_else(|| template(name.trim()));
            }
        }
        kind
    }
}

fn carrier(group: &str, kind: &str) -> Carrier {
    let argo = matches!(kind, "Application" | "ApplicationSet" | "AppProject");
    match group {
        "fluxcd.controlplane.io" | "helm.cattle.io" => Carrier::Deployer,
        "argoproj.io" if argo => Carrier::Deployer,
        "kustomize.config.k8s.io" => Carrier::Build,
        _ if group.ends_with(".toolkit.fluxcd.io") => Carrier::Deployer,
        _ => Carrier::Anything,
    }
}

fn template(kind: &str) -> Option<Template> {
    Some(match kind {
        "SopsSecret" => Template::Whole,
        "SealedSecret" => Template::Literal,
        "ExternalSecret" | "ClusterExternalSecret" | "PushSecret" | "ClusterPushSecret" => Template::Fetched,
        _ => return None,
    })
}

/// A document that describes others: JSON Schema, OpenAPI.
pub(super) fn is_schema(root: NodeRef<'_>) -> bool {
    root.sort() == Sort::Mapping
        && (root.has("openapi") || root.has("swagger") || (root.has("$schema") && root.has("properties")))
}
