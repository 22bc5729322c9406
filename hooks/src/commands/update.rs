//! `update`: the hook of a server that judges one ref at a time, and Gerrit's hooks of the same kind.

use super::pre_receive;
use crate::edge::{Console, Kind, Outcome};
use crate::git::{ObjectId, RefUpdate};
use clap::Args;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

/// Judge the update of one ref, as the hook of a server
///
/// For servers that have no pre-receive hook to give. When Git runs it, the objects of the push are in the
/// repository already, and stay there until Git cleans up: pre-receive refuses earlier, and sees those that
/// no ref leads to.
#[derive(Args, Debug)]
pub(crate) struct UpdateArgs {
    /// Name of the ref
    #[arg(allow_hyphen_values = true)]
    name: OsString,
    /// What it points at; zeroes where it is created
    old: String,
    /// What it shall point at; zeroes where it is deleted
    new: String,
}

/// Judge the update of one ref, as a hook of Gerrit
///
/// Gerrit's plugin `hooks` runs it in the repository, with options in place of arguments.
#[derive(Args, Debug)]
pub(crate) struct GerritArgs {
    /// Name of the ref
    #[arg(long)]
    refname: OsString,
    /// What it points at; zeroes where it is created
    #[arg(long)]
    oldrev: String,
    /// What it shall point at; zeroes where it is deleted
    #[arg(long)]
    newrev: String,
    /// Project
    #[arg(long)]
    project: Option<String>,
    /// Who pushes
    #[arg(long)]
    uploader: Option<String>,
    /// Who pushes, by the name of the account
    #[arg(long)]
    uploader_username: Option<String>,
    /// The ref that the pusher named
    #[arg(long)]
    cmdref: Option<String>,
}

pub(crate) fn run(args: &UpdateArgs, console: &mut Console) -> Outcome {
    judge(&args.name, &args.old, &args.new, console)
}

pub(crate) fn run_for_gerrit(args: &GerritArgs, console: &mut Console) -> Outcome {
    judge(&args.refname, &args.oldrev, &args.newrev, console)
}

fn judge(name: &OsString, old: &str, new: &str, console: &mut Console) -> Outcome {
    let ids = ObjectId::from_hex(old.as_bytes()).zip(ObjectId::from_hex(new.as_bytes()));
    let Some((old, new)) = ids else {
        return Ok(pre_receive::refuse(console, Kind::Usage, "the arguments are not those of an update"));
    };
    let some = |id: ObjectId| (!id.is_zero()).then_some(id);
    let update = RefUpdate { old: some(old), new: some(new), name: name.clone().into_vec() };
    Ok(pre_receive::judge(console, &[update]))
}
