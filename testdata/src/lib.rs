//! Development only: hermetic environments, Git servers, and a local control plane of real parts.

mod controllers;
pub mod git_server;
pub mod parts;
pub mod rig;
mod talk;
