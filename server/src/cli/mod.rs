//! The command line: `tidegate serve`, `migrate`, `user`, `token`, `key`, `flags`, `audit`, `evaluate`, `explain`.

use std::process::ExitCode;

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
