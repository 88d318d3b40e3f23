//! `cargo xtask chaos`: the randomized tests in their long forms.
//!
//! A randomized test reads `STREAMNEST_CHAOS`: with `1` it runs more cases, more clients or longer. It prints its seed,
//! and its figures as one line of `name=number` pairs, which stand together at the end of this command's output.

use crate::{command::Run, suite, workspace::Workspace};

/// Runs all tests in release with `STREAMNEST_CHAOS=1`, or those whose name contains one of `names`.
///
/// # Errors
/// If a test fails, or cargo-nextest is missing.
pub(crate) fn run(workspace: &Workspace, names: &[String]) -> Result<(), String> {
    if !suite::has_nextest(workspace) {
        return Err("cargo-nextest is missing; install with: cargo install --locked cargo-nextest".into());
    }
    let output = Run::cargo(workspace)
        .args(["nextest", "run", "--locked", "--workspace", "--release", "--profile", "chaos"])
        .args(["--no-fail-fast", "--success-output", "immediate"])
        .args(names.iter().map(String::as_str))
        .env("STREAMNEST_CHAOS", "1")
        .run_to_end()?;
    let figures = figures(&output.both);
    println!("\n===== figures =====");
    for line in &figures {
        println!("{line}");
    }
    // Tests that were not asked for are not run, and that is no fault here.
    let text = if names.is_empty() { output.both } else { without_unasked(&output.both) };
    let note = suite::check_nextest(&text, output.success)?;
    println!("\n{note}");
    Ok(())
}

/// The lines that hold figures: two or more `name=number` pairs.
fn figures(output: &str) -> Vec<&str> {
    let is_figure = |word: &&str| {
        word.split_once('=').is_some_and(|(name, number)| {
            !name.is_empty() && number.starts_with(|c: char| c.is_ascii_digit()) && !number.contains('=')
        })
    };
    output
        .lines()
        .map(str::trim)
        .filter(|line| line.split_whitespace().filter(is_figure).count() >= 2)
        .collect()
}

/// The output with the count of skipped tests in its summary set to none.
fn without_unasked(output: &str) -> String {
    let rewrite =
        |line: &str| match line.trim_start().starts_with("Summary [").then(|| line.rsplit_once(", ")) {
            Some(Some((kept, skipped))) if skipped.ends_with("skipped") => format!("{kept}, 0 skipped\n"),
            _ => format!("{line}\n"),
        };
    output.lines().map(rewrite).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_lines_of_two_or_more_pairs() {
        let output = "    lost=0 doubled=0 reordered=0 silent_gaps=0\nrunning 1 test\nlet x = 1\nseed=42\nclients=50 p99_ms=3.5 ok";
        assert_eq!(
            figures(output),
            ["lost=0 doubled=0 reordered=0 silent_gaps=0", "clients=50 p99_ms=3.5 ok"]
        );
    }

    #[test]
    fn tests_that_were_not_asked_for_do_not_count_as_skipped() {
        let summary = "     Summary [   1.0s] 1 test run: 1 passed, 41 skipped";
        assert_eq!(
            suite::check_nextest(&without_unasked(summary), true),
            Ok("1 passed, 0 failed, 0 skipped".into())
        );
        assert!(suite::check_nextest(summary, true).is_err());
    }
}
