//! Git hooks that let no plaintext secret in: `pre-commit`, `pre-receive`, `scan`.

pub mod edge;
pub mod git;
pub mod judge;
