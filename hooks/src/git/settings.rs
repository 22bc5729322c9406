//! libgit2's process-wide settings.

use std::sync::Once;

/// Bytes of a pack that are mapped together.
const MAPPED_AT_ONCE: usize = 1 << 20;

/// Bytes of all packs that are mapped.
const MAPPED_IN_ALL: usize = 16 << 20;

static ONCE: Once = Once::new();

/// Sets what every repository of this process is read with. Called before the first one is opened.
///
/// * The owner of a repository is not checked: `git` has done so before it ran us, by rules that
///   libgit2 does not know (an explicit `GIT_DIR` is exempt).
/// * Objects are not hashed again when they are read: `index-pack` has just done so, and it takes
///   about a third of the time.
/// * Objects are not kept by libgit2: what is needed again is kept by us, in less memory.
/// * Of a pack only a part is mapped at a time: mapped pages count as memory of the process.
#[expect(unsafe_code, reason = "libgit2 keeps these settings in plain global variables")]
pub(crate) fn apply() {
    ONCE.call_once(|| {
        git2::opts::strict_hash_verification(false);
        git2::opts::enable_caching(false);
        // SAFETY: the settings must not change while another thread uses libgit2. `Once` lets one
        // thread in, and every way into libgit2 in this crate goes through here first.
        let outcomes = unsafe {
            [
                git2::opts::set_verify_owner_validation(false),
                git2::opts::set_mwindow_size(MAPPED_AT_ONCE),
                git2::opts::set_mwindow_mapped_limit(MAPPED_IN_ALL),
            ]
        };
        // An old system library may not know an option; then opening says so, if it matters.
        drop(outcomes);
    });
}
