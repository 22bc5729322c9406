//! The binary `kubiya-hook`; all of it is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubiya_hook::main(std::env::args_os().collect())
}
