//! What Git runs, as `git-setup` installs it: not for people.

pub(crate) mod merge;
pub(crate) mod textconv;
