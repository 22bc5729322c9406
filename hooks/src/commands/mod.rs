//! One file for each subcommand.

mod baseline;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod explain;
pub(crate) mod man;
pub(crate) mod pre_commit;
pub(crate) mod pre_receive;
pub(crate) mod scan;
