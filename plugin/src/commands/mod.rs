//! One file per subcommand: its arguments, whose comments are the help, and what it does.

pub(crate) mod bootstrap;
pub(crate) mod completion;
pub(crate) mod man;
pub(crate) mod plugin;
