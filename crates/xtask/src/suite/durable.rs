//! The Durable Streams protocol: its own conformance suite, and its official clients, against a real server.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Failed, Report, browser, counts::Counts, programs};
use crate::{
    command::{Run, which},
    workspace::Workspace,
};

/// Where the tests are.
const FOLDER: &str = "tests/durable-streams";
/// What the suite itself leaves out: the interface of subscriptions, which a server may have or not.
const OPTIONAL: &str = "Reserved subscription APIs";
/// How many tests that are, in version 0.3.6.
const OPTIONAL_TESTS: usize = 6;
/// How many tests of the suite have to run. Fewer would mean that it was not run as it is.
const SUITE_TESTS: u64 = 332;
/// The file that runs the suite.
const SUITE: &str = "conformance.test.js";

/// Runs the suite and the clients' tests.
pub(super) fn run(workspace: &Workspace) -> Result<Report, Failed> {
    browser::check_node(workspace)?;
    let python = python(workspace)?;
    let folder = Path::new(FOLDER);
    Run::new(workspace, "npm").args(["ci", "--no-audit", "--no-fund"]).inside(folder).run()?;
    let report = workspace.root().join("target/durable-streams.json");
    // What an earlier run has left is not for this one to be judged by.
    let _ = std::fs::remove_file(&report);
    let output = format!("--outputFile.json={}", report.display());
    let mut tests = Run::new(workspace, "npx")
        .args([
            "--no-install",
            "vitest",
            "run",
            "--no-color",
            "--reporter=default",
            "--reporter=json",
            &output,
        ])
        .inside(folder)
        .env("STREAMNEST_PYTHON", python);
    for server in programs::servers(workspace)? {
        tests = tests.env(server.variable, server.path);
    }
    let ended = tests.run_to_end()?;
    let text =
        std::fs::read_to_string(&report).map_err(|error| format!("vitest wrote no report: {error}"))?;
    let (suite, clients) = read(&text)?;
    let mut all = suite;
    all += clients;
    let note = format!(
        "{} passed of the suite, {OPTIONAL_TESTS} are for servers with subscriptions; {} passed of the clients",
        suite.passed, clients.passed
    );
    Report::counted(Some(all), ended.success).map(|report| Report { note, ..report })
}

/// What became of the suite's tests and of the others, read from the report of vitest. The suite's optional tests do not
/// count, but have to be there.
fn read(text: &str) -> Result<(Counts, Counts), String> {
    let report: Value = serde_json::from_str(text).map_err(|error| format!("report is not JSON: {error}"))?;
    let (mut suite, mut others, mut optional) = (Counts::default(), Counts::default(), 0);
    for file in items(&report, "testResults") {
        let is_suite = file.get("name").and_then(Value::as_str).is_some_and(|name| name.ends_with(SUITE));
        let counts = if is_suite { &mut suite } else { &mut others };
        for test in items(file, "assertionResults") {
            let text = |field| test.get(field).and_then(Value::as_str).unwrap_or_default();
            match text("status") {
                "passed" => counts.passed += 1,
                "failed" => counts.failed += 1,
                _ if is_suite && text("fullName").trim_start().starts_with(OPTIONAL) => optional += 1,
                _ => counts.skipped += 1,
            }
        }
    }
    if suite.failed == 0 && (suite.passed, optional) != (SUITE_TESTS, OPTIONAL_TESTS) {
        return Err(format!(
            "the suite ran {} tests and left out {optional}, but has {SUITE_TESTS} and {OPTIONAL_TESTS}",
            suite.passed
        ));
    }
    Ok((suite, others))
}

fn items<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    value.get(field).and_then(Value::as_array).into_iter().flatten()
}

/// A Python that has the official client, in an environment of its own.
fn python(workspace: &Workspace) -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("STREAMNEST_PYTHON") {
        return Ok(path.into());
    }
    let install =
        "install with: apt-get update && apt-get install -y --no-install-recommends python3 python3-venv";
    if which("python3").is_none() {
        return Err(format!("python3 is missing; {install}"));
    }
    let environment = workspace.root().join("target/durable-streams-python");
    let python = environment.join("bin/python");
    let place = environment.display().to_string();
    Run::new(workspace, "python3")
        .args(["-m", "venv", &place])
        .silent()
        .run()
        .map_err(|error| format!("{error}\npython3 makes no environment; {install}"))?;
    let requirements = format!("{FOLDER}/requirements.txt");
    let line =
        ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", &requirements];
    Run::new(workspace, &python.display().to_string()).args(line).silent().run()?;
    Ok(python)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of so many tests of the suite, and of one test of the clients.
    fn report(passed: u64, optional: usize, extra: &str) -> String {
        let test = |name: &str, status: &str| format!(r#"{{"fullName":"{name}","status":"{status}"}}"#);
        let suite = (0..passed).map(|number| test(&format!(" Basic {number}"), "passed"));
        let skipped = (0..optional).map(|number| test(&format!("{OPTIONAL} {number}"), "skipped"));
        let suite: Vec<_> = suite.chain(skipped).collect();
        format!(
            r#"{{"testResults":[{{"name":"/t/{SUITE}","assertionResults":[{}]}},
                {{"name":"/t/clients.test.js","assertionResults":[{},{extra}]}}]}}"#,
            suite.join(","),
            test("follows", "passed")
        )
    }

    #[test]
    fn the_whole_suite_has_to_run_and_nothing_else_may_be_left_out() {
        let passed = r#"{"fullName":"x","status":"passed"}"#;
        let skipped = r#"{"fullName":"Reserved subscription APIs x","status":"skipped"}"#;
        let (suite, clients) = read(&report(SUITE_TESTS, OPTIONAL_TESTS, passed)).unwrap();
        assert_eq!((suite.passed, suite.skipped, clients.passed), (SUITE_TESTS, 0, 2));
        let (_, clients) = read(&report(SUITE_TESTS, OPTIONAL_TESTS, skipped)).unwrap();
        assert_eq!(clients.skipped, 1, "only the suite leaves tests out");
        assert!(read(&report(SUITE_TESTS - 1, OPTIONAL_TESTS, passed)).is_err());
        assert!(read(&report(SUITE_TESTS, OPTIONAL_TESTS + 1, passed)).is_err());
        assert!(read("").is_err());
    }
}
