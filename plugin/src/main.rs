//! The binary `kubectl-kubiya`; all of it is in the library.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kubectl_kubiya::main(std::env::args_os().collect())
}
