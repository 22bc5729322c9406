//! The only place that talks to an API server.

mod apply;
mod connect;
mod error;
mod kinds;
mod kubeconfig;
mod remote;
mod wait;

pub use apply::{Action, Applied, Applier, FIELD_MANAGER, Manifest, Mode, dynamic};
pub use connect::{Connection, ConnectionArgs};
pub use error::ClusterError;
pub use kinds::Kinds;
pub use kubeconfig::{KubeconfigSource, Selection};
pub use remote::{RemoteKubeconfig, RemoteProblem, remote_kubeconfig};
pub use wait::{Deadline, crd_established, kind_served, rolled_out};
