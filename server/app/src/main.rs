//! The Loupe program.

use std::process::ExitCode;

fn main() -> ExitCode {
    loupe_app::cli::main()
}
