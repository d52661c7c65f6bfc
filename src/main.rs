//! The binary. All code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    magic_tunnel_exporter::cli::main()
}
