//! Reading many objects with one request for each kind.

use super::{Applier, Manifest};
use futures::StreamExt as _;
use kube::ResourceExt as _;
use kube::api::{DynamicObject, ListParams};
use std::collections::BTreeMap;

/// How many requests are under way at once.
const CONCURRENCY: usize = 8;
/// The label that changes with every upgrade.
const VERSION: &str = "app.kubernetes.io/version";

impl Applier {
    /// Objects as they are, by what [`Manifest::id`] says. Those that share a kind, a namespace and a label are asked for
    /// together; what is not among the answers may be there even so, without the label or out of our sight.
    pub async fn read_many<'m>(
        &self,
        manifests: impl Iterator<Item = &'m Manifest>,
    ) -> BTreeMap<String, DynamicObject> {
        let mut groups: BTreeMap<(&str, &str, Option<&str>), Vec<&Manifest>> = BTreeMap::new();
        for manifest in manifests {
            let object = manifest.object();
            let types = object.types.as_ref().map_or("", |types| types.api_version.as_str());
            let place = object.metadata.namespace.as_deref();
            groups.entry((types, manifest.kind(), place)).or_default().push(manifest);
        }
        let groups = groups.into_values().filter(|group| group.len() > 1);
        let found: Vec<Vec<(String, DynamicObject)>> = futures::stream::iter(groups)
            .map(|group| self.read_group(group))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        found.into_iter().flatten().collect()
    }

    /// A group that has no label in common, or that we may not list, is asked for one by one later on.
    async fn read_group(&self, group: Vec<&Manifest>) -> Vec<(String, DynamicObject)> {
        let (Some(first), Some(selector)) = (group.first(), common_labels(&group)) else { return Vec::new() };
        let Ok(api) = self.kinds.api(&self.connection.client, first.object()) else { return Vec::new() };
        let Ok(list) = api.list(&ListParams::default().labels(&selector)).await else { return Vec::new() };
        let named = list.items.into_iter().filter_map(|mut object| {
            let wanted = group.iter().find(|manifest| manifest.object().name_any() == object.name_any())?;
            // Items of a list do not say what they are.
            object.types.clone_from(&wanted.object().types);
            Some((wanted.id(), object))
        });
        named.collect()
    }
}

/// The labels that all have, as a selector.
fn common_labels(group: &[&Manifest]) -> Option<String> {
    let (first, rest) = group.split_first()?;
    let labels = first.object().labels().iter().filter(|(key, value)| {
        *key != VERSION && rest.iter().all(|other| other.object().labels().get(*key) == Some(value))
    });
    let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
    (!labels.is_empty()).then(|| labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::dynamic;
    use serde_json::json;

    #[test]
    fn what_all_have_in_common_selects_them() {
        let object = |labels: serde_json::Value| {
            Manifest::new(dynamic(
                json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "labels": labels}}),
            ))
        };
        let a = object(json!({"part-of": "flux", "app.kubernetes.io/version": "v1", "app": "a"}));
        let b = object(json!({"part-of": "flux", "app.kubernetes.io/version": "v1", "app": "b"}));
        assert_eq!(common_labels(&[&a, &b]).as_deref(), Some("part-of=flux"));
        assert_eq!(common_labels(&[&a, &object(json!({}))]), None);
    }
}
