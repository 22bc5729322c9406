//! A plan and its result as documents.

use super::{Carried, Plan, Wait};
use crate::cluster::{Action, FieldChange, Manifest};
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

/// The plan for programs: its stages in order, each with its objects, without secret data, and what must be true
/// before the next.
#[must_use]
pub fn plan_document(plan: &Plan) -> Value {
    let wait = |wait: &Wait| match wait {
        Wait::Established(name) => json!({"established": name}),
        Wait::Served(kind) => json!({"served": format!("{} {}", kind.api_version(), kind.kind)}),
        Wait::RolledOut { namespace, name } => json!({"rolledOut": format!("{namespace}/{name}")}),
    };
    let object = |manifest: &Manifest| {
        let shown = manifest.shown();
        json!({
            "apiVersion": shown["apiVersion"],
            "kind": manifest.kind(),
            "name": manifest.name(),
            "secret": manifest.holds_secret(),
        })
    };
    let stages = plan.stages.iter().map(|stage| {
        json!({
            "title": stage.title,
            "objects": stage.objects.iter().map(object).collect::<Vec<_>>(),
            "waits": stage.waits.iter().map(wait).collect::<Vec<_>>(),
        })
    });
    json!(stages.collect::<Vec<_>>())
}

/// The result for programs; with the plan where nothing was to be carried out.
#[must_use]
pub fn result_document(carried: &Carried, plan: Option<&Plan>, revision: Option<&str>) -> Value {
    let mut document = json!({
        "apiVersion": "kubiya.dev/v1alpha1",
        "kind": "BootstrapResult",
        "dryRun": plan.is_some(),
        "changed": carried.changed(),
        "revision": revision,
        "objects": carried.applied,
    });
    if let Some(plan) = plan {
        document["plan"] = plan_document(plan);
    }
    document
}
