//! The creation rules of a `.sops.yaml`.

/// The rules of one `.sops.yaml`.
#[derive(Clone, Debug)]
pub struct Rules {}
