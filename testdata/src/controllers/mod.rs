//! placeholder
use crate::parts::Toolbox;
use crate::rig::cluster::Cluster;
use crate::rig::process::Processes;
use std::path::Path;
pub(crate) async fn run(
    _hub: &Cluster,
    _toolbox: &Toolbox,
    _processes: &Processes,
    _run: &Path,
) -> anyhow::Result<()> {
    std::future::pending().await
}
