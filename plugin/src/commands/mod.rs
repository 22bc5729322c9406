//! One file per subcommand: its arguments, whose comments are the help, and what it does.

pub(crate) mod bootstrap;
pub(crate) mod check;
pub(crate) mod completion;
pub(crate) mod decrypt;
pub(crate) mod edit;
pub(crate) mod encrypt;
pub(crate) mod explain;
mod formats;
pub(crate) mod git_drivers;
pub(crate) mod git_setup;
mod lines;
pub(crate) mod man;
pub(crate) mod plugin;
pub(crate) mod rotate_key;
pub(crate) mod schema;
pub(crate) mod set;
pub(crate) mod worker;
