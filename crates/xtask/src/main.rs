//! The project's own commands.
//!
//! - `cargo xtask test [STEP…]` runs every check there is, in order, and stops at the first that fails;
//! - `cargo xtask tidy` holds the house rules;
//! - `cargo xtask chaos [TEST…]` runs the randomized tests in their long forms, in release.
#![allow(clippy::print_stdout, reason = "a program for the terminal speaks through it")]

mod chaos;
mod command;
mod suite;
mod tidy;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "usage: cargo xtask <command>

  test [STEP…]   every check, in order; with names, only those steps
  tidy           the house rules
  chaos [TEST…]  randomized tests in their long forms, in release; with names, only tests whose name contains one";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let workspace = Workspace::here();
    let result = match arguments.split_first() {
        Some((command, steps)) if command == "test" => suite::run(&workspace, steps),
        Some((command, [])) if command == "tidy" => tidy::run(&workspace).map(|report| println!("{report}")),
        Some((command, names)) if command == "chaos" => chaos::run(&workspace, names),
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Nothing may follow the last line of `test`, which it has printed itself.
        Err(message) if message.is_empty() => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
