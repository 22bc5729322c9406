//! `policies`: admission policies as manifests.

use crate::alerts::{flux_alert, prometheus_rules};
use crate::policies::{PolicySpec, policies};
use clap::{Args, ValueEnum};
use kubiya_hook::edge::{Console, Failure, Outcome};

/// Print admission policies against secrets in clear, and alerts
///
/// ValidatingAdmissionPolicies: Secrets that people write past Git, and private age keys and kubeconfigs in ConfigMaps. They
/// warn and are noted in the audit log; --deny refuses. Service accounts, the control plane and Secrets of Helm and of
/// tokens are exempt. Asks no cluster: print, read, and pipe into `kubectl apply --server-side -f -`. With --print, alerts
/// for what fails of Flux and for tokens of workers that end.
#[derive(Args, Debug)]
pub(crate) struct PoliciesArgs {
    /// What to print
    #[arg(long, value_name = "WHAT", default_value = "admission", value_enum)]
    print: Print,
    /// With --print=alert: the Provider of Flux's notification-controller that is told
    #[arg(long, value_name = "NAME", default_value = "kubiya")]
    provider: String,
    /// Refuse instead of warning
    #[arg(long)]
    deny: bool,
    /// User who may write Secrets by hand, by the name that the API server knows; may be repeated
    #[arg(long, value_name = "NAME")]
    allow_user: Vec<String>,
    /// Judge service accounts like everybody: only those listed by --allow-user may write Secrets
    #[arg(long, requires = "allow_user")]
    strict: bool,
    /// Only this namespace; may be repeated
    #[arg(long, value_name = "NAME")]
    only_namespace: Vec<String>,
    /// Not this namespace; may be repeated
    #[arg(long, value_name = "NAME")]
    exempt_namespace: Vec<String>,
}

/// Which manifests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Print {
    /// ValidatingAdmissionPolicies.
    Admission,
    /// An Alert of Flux's notification-controller.
    Alert,
    /// A PrometheusRule, and what kube-state-metrics needs for it.
    Prometheus,
}

/// Runs the command.
pub(crate) fn run(args: &PoliciesArgs, namespace: &str, console: &mut Console) -> Outcome {
    let spec = PolicySpec {
        deny: args.deny,
        allowed_users: args.allow_user.clone(),
        strict: args.strict,
        only_namespaces: args.only_namespace.clone(),
        exempt_namespaces: args.exempt_namespace.clone(),
    };
    let manifests = match args.print {
        Print::Admission => policies(&spec),
        Print::Alert => vec![flux_alert(namespace, &args.provider)],
        Print::Prometheus => prometheus_rules(namespace).to_vec(),
    };
    for manifest in manifests {
        let text = serde_yaml::to_string(&manifest)
            .map_err(|error| Failure::unverified("cannot write the policies as YAML").because(&error))?;
        // A closed pipe is no failure; the console tells it from a full disk.
        let _ = console.out.bytes(format!("---\n{text}").as_bytes());
    }
    Ok(0)
}
