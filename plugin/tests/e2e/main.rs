//! bootstrap on a real control plane: real kube-apiserver, real kustomize-controller, real sops, called
//! through the real kubectl and the real flux CLI.

#![expect(clippy::unwrap_used, reason = "what fails in a test fails the test")]

mod alerts;
mod bootstrap;
mod decryption;
mod demo;
mod document;
mod elsewhere;
mod every_fault;
mod faults;
mod keys;
mod killed;
mod lifetime;
mod places;
mod policies;
mod preflight;
mod private_git;
mod proxy;
mod repair;
mod rotate_beside_work;
mod rotate_client;
mod rotate_faults;
mod rotate_key;
mod rotation;
mod signed;
mod two_at_once;
#[path = "../cli/typist.rs"]
mod typist;
mod vault;
mod worker;
mod worker_faults;
mod world;
