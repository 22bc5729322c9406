//! Fields that another manager set to another value: who it is decides what becomes of it.

use kube::core::Status;
use kube::core::response::StatusCause;

/// One field and who set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) field: String,
    pub(super) owner: String,
}

impl Owned {
    /// For people.
    pub(super) fn text(&self) -> String {
        format!("{} of `{}`", self.field.trim_start_matches('.'), self.owner)
    }

    /// What somebody typed by hand, what the flux CLI installed and what was there before server-side apply is what
    /// this command is to repair: kustomize-controller takes the same managers' fields.
    fn is_ours_to_repair(&self) -> bool {
        self.owner == "flux" || self.owner == "before-first-apply" || self.owner.starts_with("kubectl")
    }
}

/// The fields of a conflict.
pub(super) fn fields(status: &Status) -> Vec<Owned> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.filter(|cause| cause.reason == "FieldManagerConflict").map(owned).collect()
}

/// Whether all of them may be taken over without being told.
pub(super) fn may_be_taken(fields: &[Owned]) -> bool {
    !fields.is_empty() && fields.iter().all(Owned::is_ours_to_repair)
}

/// From `conflict with "kubectl-create" using v1 at …`.
fn owned(cause: &StatusCause) -> Owned {
    let owner = cause.message.split('"').nth(1).unwrap_or(&cause.message);
    Owned { field: cause.field.clone(), owner: owner.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_people_and_flux_left_is_taken_over() {
        let status = |owners: &[&str]| -> Status {
            let causes = owners.iter().map(|owner| {
                serde_json::json!({"reason": "FieldManagerConflict", "field": ".spec.url",
                    "message": format!("conflict with \"{owner}\" using v1 at 2026-01-01T00:00:00Z")})
            });
            let causes: Vec<_> = causes.collect();
            serde_json::from_value(serde_json::json!({"code": 409, "details": {"causes": causes}})).unwrap()
        };
        for owner in ["flux", "kubectl", "kubectl-client-side-apply", "kubectl-edit", "before-first-apply"] {
            assert!(may_be_taken(&fields(&status(&[owner]))), "{owner}");
        }
        for owners in
            [&["argocd-controller"][..], &["kubectl", "kustomize-controller"], &["flux-operator"], &[]]
        {
            assert!(!may_be_taken(&fields(&status(owners))), "{owners:?}");
        }
        assert_eq!(fields(&status(&["helm"]))[0].text(), "spec.url of `helm`");
    }
}
