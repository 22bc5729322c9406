//! A plan and its result as documents.

use super::{Carried, Plan};
use crate::cluster::{Action, FieldChange};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The manifests as a YAML stream. Data of Secrets is left out, and said to be, unless the user asked
/// for private keys.
#[must_use]
pub fn export(plan: &Plan, with_private_keys: bool) -> String {
    let mut text = String::new();
    for manifest in plan.objects() {
        text.push_str("---\n");
        if manifest.holds_secret() && !with_private_keys {
            let _ =
                writeln!(text, "# {}: its data is left out; --export-private-keys puts it in", manifest.id());
        }
        let value = if with_private_keys { manifest.expose() } else { manifest.shown() };
        // A tree of maps with string keys always renders.
        text.push_str(&serde_yaml::to_string(&value).unwrap_or_default());
    }
    text
}

/// What would change, for people: objects with their fields.
#[must_use]
pub fn differences(dry_run: &Carried) -> String {
    let mut text = String::new();
    for one in dry_run.applied.iter().filter(|one| one.action != Action::Unchanged) {
        let _ = writeln!(text, "{} {}", one.kind, one.name);
        if one.action == Action::Created {
            text.push_str("  is not there yet\n");
        }
        for line in one.changes.iter().map(FieldChange::line).chain(one.notes.iter().cloned()) {
            let _ = writeln!(text, "  {line}");
        }
        if one.action == Action::Configured && one.changes.is_empty() && one.notes.is_empty() {
            text.push_str("  only who keeps its fields changes\n");
        }
    }
    text
}

/// The result for programs.
#[must_use]
pub fn result_document(carried: &Carried, dry_run: bool, revision: Option<&str>) -> Value {
    json!({
        "apiVersion": "kubiya.dev/v1alpha1",
        "kind": "BootstrapResult",
        "dryRun": dry_run,
        "changed": carried.changed(),
        "revision": revision,
        "objects": carried.applied,
    })
}
