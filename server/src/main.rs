//! The binary `magpie`.

use std::process::ExitCode;

fn main() -> ExitCode {
    server::main()
}
