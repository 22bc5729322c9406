//! Flux goes from an infra cluster, in the order in which nothing gets stuck: the controllers first, so that nobody prunes
//! or puts back; then the finalizers to which nobody would answer any more; then the definitions, and with them all
//! objects of Flux; access and credentials last. What Flux has applied stays where it is.

use crate::cluster::{ClusterError, Connection, Deadline};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
};
use kube::{Resource as _, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};

/// How many requests are under way at once.
const CONCURRENCY: usize = 8;
/// The label of what is part of Flux.
const FLUX: &str = "app.kubernetes.io/part-of=flux";
/// The label of the Secrets that bootstrap wrote.
const OURS: &str = "app.kubernetes.io/managed-by=kubectl-kubiya";
/// The Secret with the age identities.
const KEYS: &str = "sops-age";

/// One object that goes.
#[derive(Clone, Debug, Serialize)]
pub struct Going {
    /// Kind.
    pub kind: String,
    /// `namespace/name`, or the name alone.
    pub name: String,
    /// How many objects it has applied, which stay; only of Kustomizations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves: Option<usize>,
    #[serde(skip)]
    resource: ApiResource,
    #[serde(skip)]
    namespace: Option<String>,
    #[serde(skip)]
    has_finalizers: bool,
}

/// All that goes, in this order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Uninstall {
    /// Flux's controllers.
    pub controllers: Vec<Going>,
    /// Objects of Flux's kinds.
    pub objects: Vec<Going>,
    /// Flux's definitions.
    pub definitions: Vec<Going>,
    /// Roles, accounts, policies.
    pub access: Vec<Going>,
    /// Credentials for workers and for Git; the age identities only when told.
    pub secrets: Vec<Going>,
}

impl Uninstall {
    /// All of it.
    pub fn all(&self) -> impl Iterator<Item = &Going> {
        [&self.controllers, &self.objects, &self.definitions, &self.access, &self.secrets]
            .into_iter()
            .flatten()
    }
}

/// Looks for all that belongs to the Flux of a namespace.
///
/// # Errors
/// Those of the requests.
pub async fn look(hub: &Connection, namespace: &str, delete_keys: bool) -> Result<Uninstall, ClusterError> {
    let kind = |group: &str, kind: &str, plural: &str| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", kind), plural)
    };
    // Everything that is not in a namespace carries the namespace of its Flux in a label.
    let instance = format!("{FLUX},app.kubernetes.io/instance={namespace}");
    let inside = Some(namespace);
    let deployments = kind("apps", "Deployment", "deployments");
    let definitions = kind("apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions");
    let rbac = "rbac.authorization.k8s.io";
    let access = [
        (kind(rbac, "ClusterRoleBinding", "clusterrolebindings"), None),
        (kind(rbac, "ClusterRole", "clusterroles"), None),
        (kind("", "ServiceAccount", "serviceaccounts"), inside),
        (kind("", "Service", "services"), inside),
        (kind("networking.k8s.io", "NetworkPolicy", "networkpolicies"), inside),
        (kind("", "ResourceQuota", "resourcequotas"), inside),
    ];
    let secret = kind("", "Secret", "secrets");
    let (controllers, crds, secrets) = futures::join!(
        list(hub, &deployments, inside, FLUX),
        list(hub, &definitions, None, &instance),
        list(hub, &secret, inside, OURS)
    );
    let (controllers, crds, secrets) = (controllers?, crds?, secrets?);
    let objects = futures::stream::iter(crds.iter().filter_map(served))
        .map(async |resource| list(hub, &resource, None, "").await.map(|found| going(&resource, &found)))
        .buffered(CONCURRENCY)
        .try_collect::<Vec<_>>();
    let access = futures::stream::iter(&access)
        .map(async |(resource, place)| {
            list(hub, resource, *place, &instance).await.map(|found| going(resource, &found))
        })
        .buffered(CONCURRENCY)
        .try_collect::<Vec<_>>();
    let (objects, access) = futures::join!(objects, access);
    let mut secrets = going(&secret, &secrets);
    secrets.retain(|secret| delete_keys || secret.name != format!("{namespace}/{KEYS}"));
    Ok(Uninstall {
        controllers: going(&deployments, &controllers),
        objects: objects?.into_iter().flatten().collect(),
        definitions: going(&definitions, &crds),
        access: access?.into_iter().flatten().collect(),
        secrets,
    })
}

/// Carries it out; `say` gets each group when it is gone. A re-run goes on where this one stopped.
///
/// # Errors
/// Those of the requests, and the deadline.
pub async fn carry_out(
    hub: &Connection,
    plan: &Uninstall,
    deadline: Deadline,
    mut say: impl FnMut(&str, &[Going]),
) -> Result<(), ClusterError> {
    gone(hub, &plan.controllers, deadline).await?;
    say("controllers", &plan.controllers);
    for object in plan.objects.iter().filter(|object| object.has_finalizers) {
        release(hub, object).await?;
    }
    // Their objects go with them.
    gone(hub, &plan.definitions, deadline).await?;
    say("objects", &plan.objects);
    say("definitions", &plan.definitions);
    gone(hub, &plan.access, deadline).await?;
    say("access", &plan.access);
    gone(hub, &plan.secrets, deadline).await?;
    say("secrets", &plan.secrets);
    Ok(())
}

async fn list(
    hub: &Connection,
    resource: &ApiResource,
    namespace: Option<&str>,
    labels: &str,
) -> Result<Vec<DynamicObject>, ClusterError> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(hub.client.clone(), namespace, resource),
        None => Api::all_with(hub.client.clone(), resource),
    };
    match api.list(&ListParams::default().labels(labels)).await {
        Ok(found) => Ok(found.items),
        // A kind that is just going, or a namespace that is not there.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(ClusterError::of_request("list", resource.plural.clone(), &error)),
    }
}

/// The resource of a definition, in the version that is stored.
fn served(definition: &DynamicObject) -> Option<ApiResource> {
    let spec = &definition.data["spec"];
    let versions = spec["versions"].as_array()?;
    let stored = versions.iter().find(|version| version["storage"] == true)?["name"].as_str()?;
    let gvk = GroupVersionKind::gvk(spec["group"].as_str()?, stored, spec["names"]["kind"].as_str()?);
    Some(ApiResource::from_gvk_with_plural(&gvk, spec["names"]["plural"].as_str()?))
}

fn going(resource: &ApiResource, objects: &[DynamicObject]) -> Vec<Going> {
    let one = |object: &DynamicObject| {
        let (name, namespace) = (object.name_any(), object.meta().namespace.clone());
        let inventory = object.data["status"]["inventory"]["entries"].as_array();
        let is_kustomization = resource.kind == "Kustomization";
        Going {
            kind: resource.kind.clone(),
            name: namespace.as_ref().map_or_else(|| name.clone(), |place| format!("{place}/{name}")),
            leaves: is_kustomization.then(|| inventory.map_or(0, Vec::len)),
            resource: resource.clone(),
            namespace,
            has_finalizers: !object.finalizers().is_empty(),
        }
    };
    objects.iter().map(one).collect()
}

impl Going {
    fn api(&self, hub: &Connection) -> Api<DynamicObject> {
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(hub.client.clone(), namespace, &self.resource),
            None => Api::all_with(hub.client.clone(), &self.resource),
        }
    }

    fn bare_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    fn id(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}

/// Takes the finalizers off: those who would answer to them are gone.
async fn release(hub: &Connection, object: &Going) -> Result<(), ClusterError> {
    let patch = json!({"metadata": {"finalizers": Value::Null}});
    match object.api(hub).patch(object.bare_name(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(ClusterError::of_request("patch", object.id(), &error)),
    }
}

/// Deletes objects, with what belongs to them first, and waits until they are gone.
async fn gone(hub: &Connection, objects: &[Going], deadline: Deadline) -> Result<(), ClusterError> {
    futures::stream::iter(objects)
        .map(async |object| one_gone(hub, object, deadline).await)
        .buffered(CONCURRENCY)
        .try_collect::<Vec<()>>()
        .await
        .map(|_| ())
}

async fn one_gone(hub: &Connection, object: &Going, deadline: Deadline) -> Result<(), ClusterError> {
    let api = object.api(hub);
    match api.delete(object.bare_name(), &DeleteParams::foreground()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(ClusterError::of_request("delete", object.id(), &error)),
    }
    loop {
        let cause = match api.get_opt(object.bare_name()).await {
            Ok(None) => return Ok(()),
            Ok(Some(left)) => {
                format!("it is still there, with the finalizers {}", left.finalizers().join(", "))
            }
            Err(error) => ClusterError::of_get(object.id(), &error).to_string(),
        };
        if deadline.has_passed() {
            let (what, after) = (object.id(), deadline.total());
            return Err(ClusterError::TimedOut { what, wanted: "gone", after, causes: vec![cause] });
        }
        deadline.pause().await;
    }
}
