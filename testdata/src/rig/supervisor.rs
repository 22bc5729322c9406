//! Keeps one rig up as long as somebody wants it.

use super::cluster::{Cluster, Store};
use super::process::Processes;
use super::run_dir::{self, ProcessId, RunDir};
use super::{HUB, RigInfo, kubeconfig, worker_name};
use crate::controllers;
use crate::parts::{PartSet, Toolbox};
use crate::talk::say;
use anyhow::{Context as _, Result, bail};
use futures::future::try_join_all;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// What a rig is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many worker clusters.
    pub workers: usize,
    /// Which parts.
    pub set: PartSet,
    /// Whether to run Flux's controllers when their Deployments appear.
    pub controllers: bool,
    /// Whether it stays until a signal comes, rather than until standard input ends.
    pub detached: bool,
}

/// Brings a rig up, prints its [`RigInfo`] as one line on stdout, waits until it is to go, and takes it
/// down.
///
/// # Errors
/// When it does not come up, or when one of its processes ends that should not. It is taken down then too.
pub fn run(options: &Options) -> Result<()> {
    if options.set == PartSet::Quick {
        bail!("the set `quick` has no clusters");
    }
    let toolbox = Toolbox::ensure(options.set)?;
    let run = Arc::new(RunDir::create(&run_dir::base()?)?);
    let processes = Processes::new(run.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let outcome = supervise(options, &toolbox, &run, &processes).await;
        processes.stop_all().await;
        outcome
    });
    // Watches may still be open; nobody waits for them.
    runtime.shutdown_background();
    let removed = run.remove();
    outcome.and(removed)
}

/// Brings up and waits. Whoever drops this or sees it end takes the processes down.
async fn supervise(
    options: &Options,
    toolbox: &Toolbox,
    run: &Arc<RunDir>,
    processes: &Processes,
) -> Result<()> {
    let mut stop = std::pin::pin!(stop_asked(options.detached)?);
    let started = Instant::now();
    let clusters = tokio::select! {
        clusters = bring_up(options, toolbox, run, processes) => clusters?,
        () = &mut stop => return Ok(()),
    };
    let info = describe(options, toolbox, run, processes, &clusters)?;
    let line = serde_json::to_vec(&info)?;
    std::fs::write(run.path().join(RigInfo::FILE), &line)?;
    say(format!("the local control plane is up after {:.1} s", started.elapsed().as_secs_f32()));
    let mut stdout = std::io::stdout();
    stdout.write_all(&[line.as_slice(), b"\n"].concat())?;
    stdout.flush()?;

    let mut guests = std::pin::pin!(async {
        if options.controllers {
            controllers::run(&clusters[0], toolbox, processes, run.path()).await
        } else {
            std::future::pending().await
        }
    });
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            outcome = &mut guests => return outcome,
            () = tokio::time::sleep(Duration::from_millis(500)) => {}
        }
        if let Some((handle, status)) = processes.casualty() {
            bail!("{} ended ({status}); its log ends:\n{}", handle.name, handle.log_tail());
        }
    }
}

/// All clusters, the hub first. They start side by side.
async fn bring_up(
    options: &Options,
    toolbox: &Toolbox,
    run: &RunDir,
    processes: &Processes,
) -> Result<Vec<Cluster>> {
    let store = Store::start(toolbox, processes, run.path()).await?;
    let store = &store;
    let names = std::iter::once(HUB.to_owned()).chain((1..=options.workers).map(worker_name));
    let clusters = names.map(|name| async move {
        let cluster = Cluster::start(&name, toolbox, processes, store, run.path()).await?;
        if name == HUB {
            cluster.start_hub_parts(toolbox, processes).await?;
        } else {
            cluster.start_worker_parts(toolbox, processes).await?;
        }
        anyhow::Ok(cluster)
    });
    try_join_all(clusters).await
}

fn describe(
    options: &Options,
    toolbox: &Toolbox,
    run: &RunDir,
    processes: &Processes,
    clusters: &[Cluster],
) -> Result<RigInfo> {
    let kubeconfig = run.path().join("kubeconfig");
    let contexts = clusters.iter().map(Cluster::context).collect::<Vec<_>>();
    kubeconfig::write(&kubeconfig, &contexts)?;
    let (hub, workers) = clusters.split_first().context("a rig has a hub")?;
    Ok(RigInfo {
        id: run.id().to_owned(),
        supervisor: ProcessId::of(std::process::id()).context("/proc is not mounted")?,
        detached: options.detached,
        run_dir: run.path().to_owned(),
        log_dir: processes.logs().to_owned(),
        bin_dir: toolbox.bin.clone(),
        kubeconfig,
        hub: hub.kubeconfig.clone(),
        workers: workers.iter().map(|worker| (worker.name.clone(), worker.kubeconfig.clone())).collect(),
        flux_manifests: toolbox.flux_manifests.clone().context("the set has no manifest of Flux")?,
    })
}

/// Waits for the first signal to end or, unless `detached`, for the end of standard input.
///
/// # Errors
/// When signals cannot be had.
pub fn wait_for_stop(detached: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        stop_asked(detached)?.await;
        Ok(())
    })
}

/// Ends at the first signal to end or, unless the rig is detached, at the end of standard input: a
/// pipe that closes however its other side dies.
fn stop_asked(detached: bool) -> Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let input_ended = (!detached).then(end_of_input);
    let input_ended = async move {
        match input_ended {
            Some(ended) => drop(ended.await),
            None => std::future::pending().await,
        }
    };
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            () = input_ended => {}
        }
    })
}

/// Tells when standard input has ended. A thread reads it, because a read from a terminal cannot be
/// given up.
fn end_of_input() -> oneshot::Receiver<()> {
    let (sender, ended) = oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = [0; 256];
        let mut stdin = std::io::stdin().lock();
        while matches!(stdin.read(&mut sink), Ok(1..)) {}
        let _ = sender.send(());
    });
    ended
}
