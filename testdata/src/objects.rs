//! One task for each object of a kind, told what is wanted of it.

use anyhow::{Result, bail};
use futures::{Stream, StreamExt as _};
use kube::api::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::pin::pin;
use tokio::sync::watch;

/// Namespace and name.
pub(crate) type Key = (String, String);

/// What is wanted of one object now; nothing when the object is gone or asks for nothing.
pub(crate) type Wanted<T> = watch::Receiver<Option<T>>;

/// Watches all objects of a kind. For each that ever asked for something, a task runs for as long as
/// this function; `view` says what the object asks for, and the task is woken only when that changes.
///
/// # Errors
/// When the watch ends, which it does not by itself: whatever the API server says, it is asked again,
/// after growing pauses.
pub(crate) async fn each<K, T, F>(
    api: Api<K>,
    view: impl Fn(&K) -> Option<T>,
    task: impl Fn(Key, Wanted<T>) -> F,
) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Default + Clone,
    T: Clone + PartialEq,
    F: Future<Output = ()> + Send + 'static,
{
    each_of(watcher(api, watcher::Config::default()).default_backoff(), view, task).await
}

/// As [`each`], for any stream of events.
pub(crate) async fn each_of<K, T, F>(
    events: impl Stream<Item = watcher::Result<watcher::Event<K>>>,
    view: impl Fn(&K) -> Option<T>,
    task: impl Fn(Key, Wanted<T>) -> F,
) -> Result<()>
where
    K: Resource,
    T: Clone + PartialEq,
    F: Future<Output = ()> + Send + 'static,
{
    let mut tasks = tokio::task::JoinSet::new();
    let mut known: HashMap<Key, watch::Sender<Option<T>>> = HashMap::new();
    let mut listed: HashSet<Key> = HashSet::new();
    let mut events = pin!(events);
    while let Some(event) = events.next().await {
        // What the API server refuses now (a kind that is not there yet) it may grant later.
        let Ok(event) = event else { continue };
        let (key, wanted) = match event {
            watcher::Event::Init => {
                listed.clear();
                continue;
            }
            watcher::Event::InitDone => {
                for (_, sender) in known.iter().filter(|(key, _)| !listed.contains(*key)) {
                    tell(sender, None);
                }
                continue;
            }
            watcher::Event::InitApply(object) => {
                listed.insert(key(&object));
                (key(&object), view(&object))
            }
            watcher::Event::Apply(object) => (key(&object), view(&object)),
            watcher::Event::Delete(object) => (key(&object), None),
        };
        if let Some(sender) = known.get(&key) {
            tell(sender, wanted);
        } else if wanted.is_some() {
            let (sender, receiver) = watch::channel(wanted);
            tasks.spawn(task(key.clone(), receiver));
            known.insert(key, sender);
        }
    }
    bail!("the watch ended")
}

fn key<K: Resource>(object: &K) -> Key {
    (object.meta().namespace.clone().unwrap_or_default(), object.name_any())
}

fn tell<T: PartialEq>(sender: &watch::Sender<Option<T>>, wanted: Option<T>) {
    sender.send_if_modified(|current| {
        let changed = *current != wanted;
        *current = wanted;
        changed
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::ObjectMeta;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    fn object(name: &str, value: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
            data: Some([("v".to_owned(), value.to_owned())].into()),
            ..ConfigMap::default()
        }
    }

    #[tokio::test]
    async fn tasks_hear_of_changes_deletions_and_what_a_new_list_lacks() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let events = [
            Init,
            InitApply(object("a", "1")),
            InitDone,
            Apply(object("a", "1")),
            Apply(object("a", "2")),
            Delete(object("a", "2")),
            Apply(object("a", "3")),
            Init,
            InitDone,
        ];
        let events = stream::iter(events).then(|event| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(event)
        });
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = heard.clone();
        let outcome = each_of(
            events.chain(stream::once(async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok(Init)
            })),
            |object| object.data.as_ref()?.get("v").cloned(),
            move |_, mut wanted| {
                let heard = sink.clone();
                async move {
                    loop {
                        let now = wanted.borrow_and_update().clone();
                        heard.lock().unwrap().push(now.unwrap_or_else(|| "-".into()));
                        if wanted.changed().await.is_err() {
                            return;
                        }
                    }
                }
            },
        );
        assert!(outcome.await.is_err());
        assert_eq!(*heard.lock().unwrap(), ["1", "2", "-", "3", "-"]);
    }
}
