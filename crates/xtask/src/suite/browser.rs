//! The browser tests: a page in Chromium against a real server.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::debian::{self, Program};
use crate::{
    command::{Output, Run},
    workspace::Workspace,
};

/// Where the tests are.
const FOLDER: &str = "tests/browser";

/// What they need beside cargo.
const PROGRAMS: [Program; 3] = [
    Program { names: &["node"], package: "nodejs" },
    Program { names: &["npm"], package: "npm" },
    Program { names: &["chromium", "chromium-browser", "google-chrome"], package: "chromium" },
];

/// An example that the tests start, and the variable by which they find it.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) variable: &'static str,
    pub(super) path: PathBuf,
}

/// Builds the examples that the tests start.
pub(super) fn servers(workspace: &Workspace) -> Result<[Server; 2], String> {
    let (content, fountain) = ("content-generation", "token-fountain");
    let output = Run::cargo(workspace)
        .args(["build", "--locked", "--release", "--package", content, "--package", fountain])
        .args(["--message-format", "json-render-diagnostics"])
        .only_stderr()
        .run()?;
    let server = |name, variable| {
        let path =
            executable(&output.stdout, name).ok_or_else(|| format!("cargo built no program `{name}`"))?;
        Ok::<_, String>(Server { name, variable, path })
    };
    Ok([server(content, "STREAMNEST_SERVER")?, server(fountain, "STREAMNEST_FOUNTAIN")?])
}

/// Finds the path of the program `name` in cargo's messages, one JSON object each line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(|message| {
        let is_it = message.pointer("/target/name")? == name;
        let path = message.get("executable")?.as_str()?;
        is_it.then(|| path.into())
    })
}

/// Runs the tests.
pub(super) fn run(workspace: &Workspace) -> Result<Output, String> {
    debian::install(workspace, &PROGRAMS)?;
    let folder = Path::new(FOLDER);
    Run::new(workspace, "npm").args(["ci", "--no-audit", "--no-fund"]).inside(folder).run()?;
    let mut tests = Run::new(workspace, "node").args(["--test", "--test-reporter=spec"]).inside(folder);
    for server in servers(workspace)? {
        tests = tests.env(server.variable, server.path);
    }
    tests.run_to_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_program_in_the_messages_of_cargo() {
        let messages = r#"{"reason":"compiler-artifact","target":{"name":"content-generation"},"executable":null}
{"reason":"compiler-artifact","target":{"name":"token-fountain"},"executable":"/t/release/token-fountain"}
{"reason":"compiler-artifact","target":{"name":"content-generation"},"executable":"/t/release/content-generation"}
{"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages, "content-generation"), Some("/t/release/content-generation".into()));
        assert_eq!(executable(messages, "by-hand"), None);
    }
}
