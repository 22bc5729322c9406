//! libgit2's process-wide settings.

use std::sync::Once;

static ONCE: Once = Once::new();

/// Sets what every repository of this process is read with. Called before the first one is opened.
///
/// * The owner of a repository is not checked: `git` has done so before it ran us, by rules that
///   libgit2 does not know (an explicit `GIT_DIR` is exempt).
/// * Objects are not hashed again when they are read: `index-pack` has just done so, and it takes
///   about a third of the time.
#[expect(unsafe_code, reason = "libgit2 keeps this setting in a plain global variable")]
pub(crate) fn apply() {
    ONCE.call_once(|| {
        git2::opts::strict_hash_verification(false);
        // SAFETY: the setting must not change while another thread uses libgit2. `Once` lets one
        // thread in, and every way into libgit2 in this crate goes through here first.
        let outcome = unsafe { git2::opts::set_verify_owner_validation(false) };
        // An old system library may not know the option; then opening says so, if it matters.
        drop(outcome);
    });
}
