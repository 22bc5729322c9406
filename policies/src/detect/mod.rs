//! What a file means: one file for each thing that must not be plain.

pub mod carrier;
pub mod comment;
pub mod credential;
pub mod kubeconfig;
pub mod kustomize;
pub mod literal;
pub mod private_key;
pub mod secret;
mod sink;

pub(crate) use sink::Sink;
