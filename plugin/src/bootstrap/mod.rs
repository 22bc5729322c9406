//! An infra cluster from nothing: inputs → plan (a plain value) → shown or carried out.

mod carry_out;
mod decryption;
mod document;
mod export_dir;
mod inputs;
mod install;
mod plan;
mod preflight;
mod record;
mod settings;
mod show;
mod sops_age;
mod worker_section;
mod workers;

pub use carry_out::{Carried, CarryOut, Event, carry_out};
pub(crate) use decryption::own_file;
pub use decryption::{Decryption, DecryptionRequest};
pub use document::{
    AgeSection, ApiVersion, BootstrapDocument, BootstrapSpec, DocumentKind, DocumentMetadata, FluxSection,
    GitSection, GithubAppSection, NamespaceSection, PoliciesSection, PolicyAction, ProxySection,
    SettingsSection,
};
pub use export_dir::export_dir;
pub(crate) use inputs::AGE_SECRET;
pub use inputs::{Inputs, Options, Request, Worker, WorkerRequest};
pub use install::{InstallRequest, Installation};
pub(crate) use plan::AGE_ENTRY;
pub use plan::{Live, Plan, PlanError, Stage, Wait, plan};
pub use preflight::{How, Preflight, preflight};
pub use record::record;
pub use settings::{Place, Remembered, Setting, Settings};
pub use show::{differences, export, plan_document, result_document};
pub use worker_section::{Credential, WorkerSection};
pub use workers::{TakenIn, Workers};
