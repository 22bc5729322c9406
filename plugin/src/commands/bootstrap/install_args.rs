//! What `bootstrap` can be told of the installation itself, and what comes after it.

use super::merge::fill;
use crate::bootstrap::{FluxSection, InstallRequest, PoliciesSection, PolicyAction};
use crate::policies::PolicySpec;
use clap::Args;
use kubiya_hook::edge::Failure;
use std::path::PathBuf;

/// Heading in the help.
const INSTALLATION: &str = "Installation";

/// How Flux is installed where its own manifests do not fit.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = INSTALLATION)]
pub(crate) struct InstallArgs {
    /// Keep tenants apart, by Flux's lockdown flags; what they break in the repository is listed
    #[arg(long)]
    pub multitenant: bool,
    /// Registry and folder with the controllers' images, in place of ghcr.io/fluxcd
    #[arg(long, value_name = "HOST/FOLDER")]
    pub registry: Option<String>,
    /// Secret by which the controllers' images are pulled
    #[arg(long, value_name = "NAME")]
    pub image_pull_secret: Option<String>,
    /// Docker's config.json for that Secret, which is written before the controllers
    #[arg(long, value_name = "FILE", requires = "image_pull_secret")]
    pub image_pull_secret_file: Option<PathBuf>,
    /// Proxy that the controllers use
    #[arg(long, value_name = "URL")]
    pub controller_proxy: Option<String>,
    /// What they reach without it, besides the cluster's own services
    #[arg(long, value_name = "LIST", requires = "controller_proxy")]
    pub controller_no_proxy: Option<String>,
    /// Certificates (PEM) that the controllers trust besides the usual ones
    #[arg(long, value_name = "FILE")]
    pub controller_ca_file: Option<PathBuf>,
    /// Leave the pods' user and group to OpenShift
    #[arg(long)]
    pub openshift: bool,
    /// Apply a kustomization of yours, too, when Flux is there: built by `kubectl kustomize`
    #[arg(long, value_name = "FOLDER")]
    pub apply_kustomize: Option<PathBuf>,
    /// Admission policies against secrets in clear, as the command `policies` prints them
    #[arg(long, value_name = "ACTION", value_enum)]
    pub policies: Option<PolicyAction>,
    /// With --policies: user who may write Secrets by hand; may be repeated
    #[arg(long, value_name = "NAME", requires = "policies")]
    pub policy_allow_user: Vec<String>,
}

impl InstallArgs {
    /// What is asked for, unchecked.
    ///
    /// # Errors
    /// Policies that would keep out whoever runs this.
    pub(super) fn request(&self) -> Result<InstallRequest, Failure> {
        if self.policies == Some(PolicyAction::Deny) && self.policy_allow_user.is_empty() {
            return Err(Failure::usage(
                "--policies=deny: nobody could write Secrets by hand, not even this command",
            )
            .hint("--policy-allow-user NAME   # the name that `kubectl auth whoami` says"));
        }
        Ok(InstallRequest {
            multitenant: self.multitenant,
            registry: self.registry.clone(),
            image_pull_secret: self.image_pull_secret.clone(),
            image_pull_secret_file: self.image_pull_secret_file.clone(),
            proxy: self.controller_proxy.clone(),
            no_proxy: self.controller_no_proxy.clone(),
            ca_file: self.controller_ca_file.clone(),
            openshift: self.openshift,
            kustomize: self.apply_kustomize.clone(),
            policies: self.policies.map(|action| PolicySpec {
                deny: action == PolicyAction::Deny,
                allowed_users: self.policy_allow_user.clone(),
                ..PolicySpec::default()
            }),
        })
    }

    /// Puts what a document says where no flag said anything.
    pub(super) fn fill(
        &mut self,
        flux: FluxSection,
        kustomize: Option<PathBuf>,
        policies: Option<PoliciesSection>,
    ) {
        self.multitenant |= flux.multitenant;
        self.openshift |= flux.openshift;
        fill(&mut self.registry, flux.registry);
        fill(&mut self.image_pull_secret, flux.image_pull_secret);
        fill(&mut self.image_pull_secret_file, flux.image_pull_secret_file);
        fill(&mut self.controller_proxy, flux.proxy);
        fill(&mut self.controller_no_proxy, flux.no_proxy);
        fill(&mut self.controller_ca_file, flux.ca_file);
        fill(&mut self.apply_kustomize, kustomize);
        if let Some(policies) = policies.filter(|_| self.policies.is_none()) {
            self.policies = Some(policies.action);
            self.policy_allow_user = policies.allow_users;
        }
    }
}
