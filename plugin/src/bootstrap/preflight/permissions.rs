//! Whether we may do what the plan does, by the API server's own word, before it is asked to do it.

use crate::bootstrap::Plan;
use crate::cluster::{ClusterError, Connection, Kinds};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::{Api, PostParams};
use kubiya_hook::edge::Failure;
use std::collections::BTreeSet;

/// How many requests are under way at once.
const CONCURRENCY: usize = 8;

/// What server-side apply needs of each kind.
const VERBS: [&str; 3] = ["get", "create", "patch"];

/// What taking and giving back the Lease needs.
const LEASE_VERBS: [&str; 3] = ["get", "create", "update"];

/// What is not allowed, as one problem. Whoever may do everything is asked about once.
///
/// # Errors
/// Those of the requests.
pub(super) async fn missing(
    hub: &Connection,
    namespace: &str,
    plan: &Plan,
    kinds: &Kinds,
) -> Result<Option<Failure>, ClusterError> {
    let any = || Some("*".to_owned());
    let everything =
        ResourceAttributes { verb: any(), group: any(), resource: any(), ..ResourceAttributes::default() };
    if allowed(hub, everything).await? {
        return Ok(None);
    }
    let mut wanted = BTreeSet::new();
    let (group, plural, place) = ("coordination.k8s.io", "leases", Some(namespace.to_owned()));
    wanted.extend(LEASE_VERBS.map(|verb| (group.to_owned(), plural.to_owned(), place.clone(), verb)));
    for manifest in plan.objects() {
        // A kind that is not served is said elsewhere.
        if let Ok((resource, namespace)) = kinds.resource(manifest.object()) {
            wanted.extend(
                VERBS.map(|verb| (resource.group.clone(), resource.plural.clone(), namespace.clone(), verb)),
            );
        }
    }
    let answers: Vec<Option<String>> = futures::stream::iter(wanted)
        .map(async |(group, resource, namespace, verb)| {
            let place = namespace.as_ref().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
            let dotted = if group.is_empty() { String::new() } else { format!(".{group}") };
            let said = format!("{verb} {resource}{dotted}{place}");
            let attributes = ResourceAttributes {
                verb: Some(verb.to_owned()),
                group: Some(group),
                resource: Some(resource),
                namespace,
                ..ResourceAttributes::default()
            };
            Ok::<_, ClusterError>((!allowed(hub, attributes).await?).then_some(said))
        })
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let missing: Vec<String> = answers.into_iter().flatten().collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let count = missing.len();
    let failure = Failure::unverified(format!("{} may not do {count} things that are needed", hub.username))
        .hint("bootstrap needs cluster-admin on the infra cluster, as `flux install` does")
        .hint(format!("kubectl --context {} auth can-i --list", hub.context));
    Ok(Some(missing.into_iter().fold(failure, Failure::because_of)))
}

async fn allowed(hub: &Connection, attributes: ResourceAttributes) -> Result<bool, ClusterError> {
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(hub.client.clone());
    let answer = api.create(&PostParams::default(), &review).await;
    let answer = answer
        .map_err(|error| ClusterError::of_request("create", "SelfSubjectAccessReview".to_owned(), &error))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
