//! Events that say what we changed, where `kubectl describe` and `kubectl events` show them.

use super::{ClusterError, Connection, FIELD_MANAGER};
use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Api, PostParams};

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its apiVersion.
    pub api_version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID, by which `kubectl describe` finds the event.
    pub uid: String,
}

impl Connection {
    /// Leaves an event at an object.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn report(&self, about: &About, reason: &str, message: &str) -> Result<(), ClusterError> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &about.namespace);
        let now = Time(jiff::Timestamp::now());
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}.", about.name)),
                namespace: Some(about.namespace.clone()),
                ..ObjectMeta::default()
            },
            involved_object: ObjectReference {
                api_version: Some(about.api_version.to_owned()),
                kind: Some(about.kind.to_owned()),
                namespace: Some(about.namespace.clone()),
                name: Some(about.name.clone()),
                uid: Some(about.uid.clone()),
                ..ObjectReference::default()
            },
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            type_: Some("Normal".to_owned()),
            count: Some(1),
            first_timestamp: Some(now.clone()),
            last_timestamp: Some(now),
            source: Some(EventSource { component: Some(FIELD_MANAGER.to_owned()), host: None }),
            ..Event::default()
        };
        api.create(&PostParams::default(), &event).await.map(|_| ()).map_err(|error| {
            ClusterError::of_request("create", format!("an event at {} {}", about.kind, about.name), &error)
        })
    }
}
