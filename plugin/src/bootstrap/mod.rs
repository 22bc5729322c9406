//! An infra cluster from nothing: inputs → plan (a plain value) → shown or carried out.

mod carry_out;
mod inputs;
mod plan;
mod preflight;
mod show;
mod workers;

pub use carry_out::{Carried, CarryOut, Event, carry_out};
pub use inputs::{Inputs, Options, Request, Worker, WorkerRequest};
pub use plan::{Live, Plan, PlanError, Stage, Wait, plan};
pub use preflight::{How, Preflight, preflight};
pub use show::{export, result_document};
pub use workers::Candidates;
