//! The recipe of a file: what its creation rule says.

use super::encrypt::no_recipients;
use super::{Configs, Governed};
use kubiya_hook::edge::Failure;
use kubiya_policies::sops::file::Recipe;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

/// The rules for a file and the recipe of the one that matches; `None` where none does.
///
/// # Errors
/// A `.sops.yaml` that cannot be used, a rule without recipients.
pub fn recipe_for(path: &Path, configs: &Configs) -> Result<Option<(Arc<Governed>, Recipe)>, Failure> {
    let Some(governed) = configs.governing(path)? else { return Ok(None) };
    let found = governed.rules.for_path(path.as_os_str().as_bytes());
    let Some((number, recipe)) = found.map(|(number, rule)| (number, rule.recipe())) else {
        return Ok(None);
    };
    if recipe.groups.iter().all(|group| group.recipients.is_empty()) {
        return Err(no_recipients(path, &governed, number));
    }
    Ok(Some((governed, recipe)))
}
