//! The only place that talks to an API server.

mod apply;
mod certificate;
mod conflict;
mod connect;
mod diff;
mod error;
mod event;
mod kinds;
mod kubeconfig;
mod lease;
mod many;
mod owned;
mod patience;
mod remote;
mod secret;
mod wait;

pub use apply::{Action, Applied, Applier, FIELD_MANAGER, Manifest, Mode, dynamic};
pub use certificate::CertificateProblem;
pub use connect::{Connection, ConnectionArgs};
pub(crate) use connect::{anonymous, base64};
pub use diff::FieldChange;
pub use error::ClusterError;
pub use event::About;
pub use kinds::Kinds;
pub use kubeconfig::{KubeconfigSource, Kubeconfigs, Selection};
pub use lease::{LEASE, Taken};
pub(crate) use lease::{let_go, lost, remove as remove_lease};
pub use remote::{RemoteKubeconfig, RemoteProblem, remote_kubeconfig};
pub use secret::{LiveSecret, SecretChange};
pub use wait::{Deadline, crd_established, established_now, kind_served, rolled_out, rolled_out_now};
