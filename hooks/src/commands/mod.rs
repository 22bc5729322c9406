//! One file for each subcommand.

mod baseline;
pub(crate) mod commit_msg;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod install;
pub(crate) mod man;
pub(crate) mod pre_commit;
pub(crate) mod pre_push;
pub(crate) mod pre_receive;
pub(crate) mod scan;
pub(crate) mod update;
