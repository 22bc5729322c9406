//! A plan and its result as documents.

use super::{Carried, Plan};
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
