//! An infra cluster from nothing: inputs → plan (a plain value) → shown or carried out.

mod carry_out;
mod document;
mod inputs;
mod install;
mod plan;
mod preflight;
mod record;
mod show;
mod workers;

pub use carry_out::{Carried, CarryOut, Event, carry_out};
pub use document::{
    AgeSection, ApiVersion, BootstrapDocument, BootstrapSpec, DocumentKind, DocumentMetadata, FluxSection,
    GitSection, PoliciesSection, PolicyAction, WorkerSection,
};
pub use inputs::{Inputs, Options, Request, Worker, WorkerRequest};
pub use install::{InstallRequest, Installation};
pub use plan::{Live, Plan, PlanError, Stage, Wait, plan};
pub use preflight::{How, Preflight, preflight};
pub use record::record;
pub use show::{differences, export, result_document};
pub use workers::Candidates;
