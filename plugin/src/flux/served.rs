//! Which versions of its kinds Flux serves, by its own definitions.

use kube::api::DynamicObject;
use std::collections::BTreeMap;

/// Kinds with the versions that are served, the one that is stored last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    kinds: BTreeMap<(String, String), Vec<String>>,
}

impl Served {
    /// What the CustomResourceDefinitions among these objects serve.
    #[must_use]
    pub fn by(objects: &[DynamicObject]) -> Self {
        let mut served = Self::default();
        let definitions = objects
            .iter()
            .filter(|object| object.types.as_ref().is_some_and(|t| t.kind == "CustomResourceDefinition"));
        for definition in definitions {
            let spec = &definition.data["spec"];
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            let versions = spec["versions"].as_array().into_iter().flatten();
            let versions = versions.filter(|v| v["served"].as_bool() != Some(false));
            let versions: Vec<String> = versions.map(|v| text(&v["name"])).collect();
            served.kinds.insert((text(&spec["group"]), text(&spec["names"]["kind"])), versions);
        }
        served
    }

    /// The versions in place of one of Flux's that is not served: none for a kind that Flux does not have. `None`
    /// where it is served, and where it is no business of Flux.
    #[must_use]
    pub fn instead_of(&self, api_version: &str, kind: &str) -> Option<&[String]> {
        let (group, version) = api_version.split_once('/')?;
        if !group.ends_with(".toolkit.fluxcd.io") {
            return None;
        }
        let versions = self.kinds.get(&(group.to_owned(), kind.to_owned())).map_or(&[][..], Vec::as_slice);
        (!versions.iter().any(|served| served == version)).then_some(versions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_version_that_is_not_served_names_those_that_are() {
        let definition = crate::cluster::dynamic(json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "x"},
            "spec": {"group": "helm.toolkit.fluxcd.io", "names": {"kind": "HelmRelease"},
                "versions": [{"name": "v2beta1", "served": false}, {"name": "v2", "served": true}]},
        }));
        let served = Served::by(&[definition]);
        assert_eq!(served.instead_of("helm.toolkit.fluxcd.io/v2beta1", "HelmRelease").unwrap(), ["v2"]);
        assert_eq!(served.instead_of("helm.toolkit.fluxcd.io/v2", "HelmRelease"), None);
        assert!(served.instead_of("image.toolkit.fluxcd.io/v1", "ImagePolicy").unwrap().is_empty());
        assert_eq!(served.instead_of("apps/v1beta1", "Deployment"), None);
        assert_eq!(served.instead_of("v1", "Secret"), None);
    }
}
