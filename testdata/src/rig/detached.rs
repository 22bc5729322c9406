//! Rigs that stay until somebody stops them: started, listed and stopped from the command line.

use super::RigInfo;
use super::run_dir;
use crate::talk::say;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process, setsid};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The argument by which a supervisor knows that it is to stay.
pub const STAY: &str = "--stay";

/// Starts a supervisor that outlives this process, passes on what it says until it is up, and
/// describes the rig.
///
/// # Errors
/// When the rig does not come up; the supervisor has said why.
pub fn start(arguments: &[String]) -> Result<RigInfo> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .arg(STAY)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the supervisor")?;
    let stderr = child.stderr.take().context("the supervisor has no stderr")?;
    let relay = std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            say(line);
        }
    });
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("the supervisor has no stdout")?).read_line(&mut line)?;
    if line.is_empty() {
        let status = child.wait()?;
        let _ = relay.join();
        bail!("the local control plane did not come up ({status})");
    }
    serde_json::from_str(&line).context("the supervisor printed no description of the rig")
}

/// Leaves the terminal's session, so that neither Ctrl-C nor its end reaches the supervisor.
pub fn leave_session() {
    // It fails for the leader of a process group, who is then in no terminal's foreground group either.
    let _ = setsid();
}

/// The rigs of this user that run now. What killed ones left is cleaned up first.
///
/// # Errors
/// When the run folders cannot be read.
pub fn running() -> Result<Vec<RigInfo>> {
    let base = run_dir::base()?;
    for path in run_dir::clean_leftovers(&base)? {
        say(format!("removed what a killed run left in {}", path.display()));
    }
    let used = run_dir::list(&base)?.into_iter().filter(|(_, used)| *used);
    // A rig that is still coming up has no description yet.
    Ok(used.filter_map(|(path, _)| RigInfo::read(&path.join(RigInfo::FILE)).ok()).collect())
}

/// Stops a rig and waits until nothing of it is left.
///
/// # Errors
/// When it does not go within half a minute.
pub fn stop(rig: &RigInfo) -> Result<()> {
    let pid = i32::try_from(rig.supervisor.pid).ok().and_then(Pid::from_raw).context("no process number")?;
    if rig.supervisor.is_alive() {
        kill_process(pid, Signal::TERM).context("cannot stop the supervisor")?;
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while rig.run_dir.exists() || rig.supervisor.is_alive() {
        if Instant::now() > deadline {
            bail!("the rig {} does not go; its logs are in {}", rig.id, rig.log_dir.display());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Writes what a person needs to use a rig.
///
/// # Errors
/// When the stream is closed.
pub fn explain(rig: &RigInfo, mut out: impl std::io::Write) -> Result<()> {
    writeln!(out, "rig {}, process {}", rig.id, rig.supervisor.pid)?;
    writeln!(out, "  kubeconfig   {}", rig.kubeconfig.display())?;
    let contexts = std::iter::once(super::HUB).chain(rig.workers.keys().map(String::as_str));
    writeln!(out, "  contexts     {}", contexts.collect::<Vec<_>>().join(", "))?;
    writeln!(out, "  flux install {}", rig.flux_manifests.display())?;
    writeln!(out, "  logs         {}", rig.log_dir.display())?;
    writeln!(out, "  programs     {}", rig.bin_dir.display())?;
    out.flush()?;
    Ok(())
}

/// Picks rigs by name; without names, all that are detached.
///
/// # Errors
/// When a name is none of theirs.
pub fn pick(rigs: Vec<RigInfo>, names: &[String]) -> Result<Vec<RigInfo>> {
    if names.is_empty() {
        return Ok(rigs.into_iter().filter(|rig| rig.detached).collect());
    }
    if let Some(unknown) = names.iter().find(|name| !rigs.iter().any(|rig| rig.id == **name)) {
        bail!("no rig named {unknown} is running");
    }
    Ok(rigs.into_iter().filter(|rig| names.contains(&rig.id)).collect())
}
