//! Development only: hermetic environments, Git servers, and a local control plane of real parts.

mod controllers;
pub mod crowd;
pub mod env;
pub mod fault_proxy;
pub mod git;
pub mod git_server;
pub mod harness;
mod objects;
pub mod parts;
pub mod rig;
pub mod source_controller;
mod talk;
