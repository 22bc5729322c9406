//! An infra cluster from nothing: inputs → plan (a plain value) → shown or carried out.

mod carry_out;
mod decryption;
mod document;
mod inputs;
mod plan;
mod preflight;
mod settings;
mod show;
mod sops_age;
mod workers;

pub use carry_out::{Carried, CarryOut, Event, carry_out};
pub(crate) use decryption::own_file;
pub use decryption::{Decryption, DecryptionRequest};
pub use document::{
    AgeSection, ApiVersion, BootstrapDocument, BootstrapSpec, DocumentKind, DocumentMetadata, FluxSection,
    GitSection, NamespaceSection, SettingsSection, WorkerSection,
};
pub(crate) use inputs::AGE_SECRET;
pub use inputs::{Inputs, Options, Request, Worker, WorkerRequest};
pub use plan::{Live, Plan, PlanError, Stage, Wait, plan};
pub use preflight::{How, Preflight, preflight};
pub use settings::{Place, Remembered, Setting, Settings};
pub use show::{differences, export, result_document};
pub use workers::Candidates;
