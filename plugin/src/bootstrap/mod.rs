//! An infra cluster from nothing: inputs → plan (a plain value) → shown or carried out.

mod carry_out;
mod document;
mod inputs;
mod plan;
mod preflight;
mod show;
mod worker_section;
mod workers;

pub use carry_out::{Carried, CarryOut, Event, carry_out};
pub use document::{
    AgeSection, ApiVersion, BootstrapDocument, BootstrapSpec, DocumentKind, DocumentMetadata, FluxSection,
    GitSection,
};
pub use inputs::{Inputs, Options, Request, Worker, WorkerRequest};
pub(crate) use plan::AGE_ENTRY;
pub use plan::{Live, Plan, PlanError, Stage, Wait, plan};
pub use preflight::{How, Preflight, preflight};
pub use show::{differences, export, result_document};
pub use worker_section::{Credential, WorkerSection};
pub use workers::{TakenIn, Workers};
