//! `cargo xtask test`: every check there is, in order, with its duration and its counts.

mod autobahn;
mod browser;
mod counts;
mod debian;
mod durable;
mod guide;
mod programs;

use std::time::{Duration, Instant};

use counts::Counts;

use crate::{command::Run, tidy, workspace::Workspace};

/// One check. It tells how many tests it ran, or for a check without tests what it looked at.
struct Step {
    name: &'static str,
    run: fn(&Workspace) -> Result<Report, Failed>,
}

/// What a step that held has to tell.
#[derive(Debug)]
struct Report {
    tests: Counts,
    note: String,
}

/// What a step that did not hold has to tell.
#[derive(Debug)]
struct Failed {
    tests: Counts,
    why: String,
}

/// Each uses what the ones before it have built: cheap and telling ones first, one target directory for all.
const STEPS: [Step; 13] = [
    Step { name: "fetch", run: fetch },
    Step { name: "fmt", run: fmt },
    Step { name: "tidy", run: house_rules },
    Step { name: "clippy", run: clippy },
    Step { name: "tests", run: tests },
    Step { name: "otlp", run: otlp },
    Step { name: "doctests", run: doctests },
    Step { name: "rustdoc", run: rustdoc },
    Step { name: "guide", run: guide::run },
    Step { name: "release", run: release },
    Step { name: "autobahn", run: autobahn::run },
    Step { name: "durable", run: durable::run },
    Step { name: "browser", run: browser_tests },
];

/// Runs every step, or those of `names`; the last line printed is `N passed, M failed`.
///
/// # Errors
/// If a step fails; those after it are not run.
pub(crate) fn run(workspace: &Workspace, names: &[String]) -> Result<(), String> {
    let steps = choose(names)?;
    let (began, count) = (Instant::now(), steps.len());
    let (mut total, mut lines, mut why) = (Counts::default(), Vec::new(), None);
    for (index, step) in steps.into_iter().enumerate() {
        println!("\n===== {}/{count} {} =====", index + 1, step.name);
        let began = Instant::now();
        let (tests, note, failure) = match (step.run)(workspace) {
            Ok(Report { tests, note }) => (tests, note, None),
            // A step without tests of its own that fails is one failure.
            Err(Failed { tests, why }) => (tests, "FAILED".into(), Some((tests.failed.max(1), why))),
        };
        let took = seconds(began.elapsed());
        println!("----- {}: {note}, {took}", step.name);
        lines.push(format!("{:<10}{took:>10}  {note}", step.name));
        total += Counts { failed: failure.as_ref().map_or(0, |(failed, _)| *failed), ..tests };
        if let Some((_, reason)) = failure {
            why = Some(format!("{}: {reason}", step.name));
            break;
        }
    }
    println!("\n===== summary, {} =====\n{}", seconds(began.elapsed()), lines.join("\n"));
    if let Some(why) = &why {
        println!("\n{why}");
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
    why.map_or(Ok(()), |_| Err(String::new()))
}

fn choose(names: &[String]) -> Result<Vec<&'static Step>, String> {
    let known = || STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
    if let Some(unknown) = names.iter().find(|name| !STEPS.iter().any(|step| step.name == **name)) {
        return Err(format!("there is no step `{unknown}`; steps: {}", known()));
    }
    let chosen = |step: &&Step| names.is_empty() || names.iter().any(|name| name == step.name);
    Ok(STEPS.iter().filter(chosen).collect())
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

impl Report {
    /// A step without tests of its own.
    fn checked(note: impl Into<String>) -> Result<Self, Failed> {
        Ok(Self { tests: Counts::default(), note: note.into() })
    }

    /// A step whose runner printed `tests`, and ended well or not.
    fn counted(tests: Option<Counts>, success: bool) -> Result<Self, Failed> {
        let Some(tests) = tests else { return Err("the test runner printed no summary".to_owned().into()) };
        match tests.check() {
            Err(why) => Err(Failed { tests, why }),
            Ok(()) if !success => Err(Failed { tests, why: "the test runner failed".into() }),
            Ok(()) => Ok(Self { tests, note: format!("{} passed, 0 failed, 0 skipped", tests.passed) }),
        }
    }
}

impl From<String> for Failed {
    fn from(why: String) -> Self {
        Self { tests: Counts::default(), why }
    }
}

/// Brings the dependencies, so that every later step works without the network.
fn fetch(workspace: &Workspace) -> Result<Report, Failed> {
    Run::cargo(workspace).args(["fetch", "--locked", "--target", &workspace.host()?]).run()?;
    Report::checked("dependencies are here, Cargo.lock fits")
}

fn fmt(workspace: &Workspace) -> Result<Report, Failed> {
    Run::cargo(workspace).args(["fmt", "--all", "--", "--check", "--color", "never"]).run()?;
    Report::checked("formatted")
}

fn house_rules(workspace: &Workspace) -> Result<Report, Failed> {
    Report::checked(tidy::run(workspace)?)
}

fn clippy(workspace: &Workspace) -> Result<Report, Failed> {
    Run::cargo(workspace)
        .args(["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])
        .run()?;
    Report::checked("no warnings")
}

/// The store's tests look at its system calls, and let some fail.
const STRACE: debian::Program = debian::Program { names: &["strace"], packages: &["strace"] };

fn tests(workspace: &Workspace) -> Result<Report, Failed> {
    if cfg!(target_os = "linux") {
        debian::find_or_install(workspace, &STRACE)?;
    }
    if has_nextest(workspace) {
        let output = Run::cargo(workspace)
            .args(["nextest", "run", "--locked", "--workspace", "--no-fail-fast"])
            .run_to_end()?;
        return Report::counted(Counts::from_nextest(&output.both), output.success);
    }
    let output = Run::cargo(workspace)
        .args(["test", "--locked", "--workspace", "--all-targets", "--no-fail-fast"])
        .run_to_end()?;
    Report::counted(Counts::from_libtest(&output.both), output.success)
}

/// Whether cargo-nextest is installed.
pub(crate) fn has_nextest(workspace: &Workspace) -> bool {
    Run::cargo(workspace).args(["nextest", "--version"]).silent().run().is_ok()
}

/// What is only there with the feature, which the other steps leave off as most programs do.
fn otlp(workspace: &Workspace) -> Result<Report, Failed> {
    let feature = ["--locked", "--package", "streamnest", "--features", "otlp"];
    let lints = ["clippy"].iter().chain(&feature).chain(&["--all-targets", "--", "-D", "warnings"]);
    Run::cargo(workspace).args(lints.copied()).run()?;
    let tests = ["test"].iter().chain(&feature).chain(&["--test", "otlp"]);
    let output = Run::cargo(workspace).args(tests.copied()).run_to_end()?;
    Report::counted(Counts::from_libtest(&output.both), output.success)
}

fn doctests(workspace: &Workspace) -> Result<Report, Failed> {
    let output = Run::cargo(workspace)
        .args(["test", "--locked", "--workspace", "--doc", "--no-fail-fast"])
        .run_to_end()?;
    Report::counted(Counts::from_libtest(&output.both), output.success)
}

fn rustdoc(workspace: &Workspace) -> Result<Report, Failed> {
    Run::cargo(workspace)
        .args(["doc", "--locked", "--no-deps", "--workspace", "--keep-going"])
        .env("RUSTDOCFLAGS", "-D warnings -D rustdoc::broken_intra_doc_links")
        .run()?;
    Report::checked("no warnings")
}

fn release(workspace: &Workspace) -> Result<Report, Failed> {
    let servers = programs::servers(workspace)?;
    let names: Vec<&str> = servers.iter().map(|server| server.name).collect();
    Report::checked(format!("built {}", names.join(", ")))
}

fn browser_tests(workspace: &Workspace) -> Result<Report, Failed> {
    let output = browser::run(workspace)?;
    Report::counted(Counts::from_node(&output.stdout), output.success)
}

/// Runs the randomized tests for [`crate::chaos`], which prints them itself.
pub(crate) fn check_nextest(output: &str, success: bool) -> Result<String, String> {
    Report::counted(Counts::from_nextest(output), success)
        .map(|report| report.note)
        .map_err(|failed| failed.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_chosen_by_name_and_keep_their_order() {
        let names = |chosen: &[&str]| -> Result<Vec<&str>, String> {
            let chosen: Vec<String> = chosen.iter().map(|name| (*name).into()).collect();
            Ok(choose(&chosen)?.into_iter().map(|step| step.name).collect())
        };
        assert_eq!(names(&[]).unwrap().len(), STEPS.len());
        assert_eq!(names(&["tests", "fmt"]).unwrap(), ["fmt", "tests"]);
        assert!(
            names(&["fmt", "tset"]).unwrap_err().starts_with("there is no step `tset`; steps: fetch, fmt")
        );
    }

    #[test]
    fn a_runner_that_fails_is_not_believed_whatever_it_counts() {
        let good = Counts { passed: 3, failed: 0, skipped: 0 };
        assert!(Report::counted(Some(good), true).is_ok());
        assert_eq!(Report::counted(Some(good), false).unwrap_err().why, "the test runner failed");
        assert_eq!(Report::counted(None, true).unwrap_err().why, "the test runner printed no summary");
    }

    #[test]
    fn a_skipped_test_fails_the_step() {
        let skipped = Counts { passed: 3, failed: 0, skipped: 1 };
        assert!(Report::counted(Some(skipped), true).unwrap_err().why.contains("1 did not run"));
    }
}
