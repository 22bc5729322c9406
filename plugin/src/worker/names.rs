//! How things are called: on the infra cluster by the worker's name, on the worker by the infra cluster's.

/// Who manages an object that is ours.
pub(super) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "kubectl-kubiya");
/// Label of what belongs to a worker, on the infra cluster.
pub(crate) const WORKER_LABEL: &str = "kubiya.dev/worker";
/// Label of what belongs to an infra cluster, on a worker: the UID of its `kube-system`.
pub(super) const HUB_LABEL: &str = "kubiya.dev/hub";
/// Name of Flux's ServiceAccount on a worker.
pub(super) const ACCOUNT: &str = "flux";

/// Whether a name is an RFC 1123 label, as Kubernetes wants it for namespaces and we for workers.
#[must_use]
pub fn is_label(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let ends = |c: Option<char>| c.is_some_and(|c| c != '-' && allowed(c));
    name.len() <= 63
        && name.chars().all(allowed)
        && ends(name.chars().next())
        && ends(name.chars().next_back())
}

/// Name of the Secret by which Flux reaches a worker.
#[must_use]
pub fn secret_name(worker: &str) -> String {
    format!("{worker}-kubeconfig")
}

/// Namespace that an infra cluster has on a worker, from the UID of the infra cluster's `kube-system`: a worker
/// may have several infra clusters, and they may call it differently.
#[must_use]
pub(super) fn tenant_namespace(hub: &str) -> String {
    let short: String = hub.chars().filter(char::is_ascii_alphanumeric).take(8).collect();
    format!("kubiya-{}", short.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels() {
        for good in ["a", "worker01", "a-b", &"x".repeat(63)] {
            assert!(is_label(good), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a.b", "ä", &"x".repeat(64)] {
            assert!(!is_label(bad), "{bad}");
        }
    }

    #[test]
    fn what_an_infra_cluster_has_on_a_worker_is_told_apart() {
        assert_eq!(tenant_namespace("1f0C9e2a-77aa-4d11-8c00-123456789abc"), "kubiya-1f0c9e2a");
        assert_eq!(secret_name("w"), "w-kubeconfig");
    }
}
