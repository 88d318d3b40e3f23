//! The browser tests: a page in Chromium against a real server.

use std::path::Path;

use super::{
    debian::{self, Program},
    guide, programs,
};
use crate::{
    command::{Output, Run},
    workspace::Workspace,
};

/// Where the tests are.
const FOLDER: &str = "tests/browser";

/// The oldest Node that the tests run on, as in their `package.json`.
const NODE: (u32, u32) = (20, 19);

/// The browser, with a font, without which its pages show boxes.
const CHROMIUM: Program = Program {
    names: &["chromium", "chromium-browser", "google-chrome"],
    packages: &["chromium", "fonts-liberation"],
};

/// Runs the tests.
pub(super) fn run(workspace: &Workspace) -> Result<Output, String> {
    check_node(workspace)?;
    let chromium = match std::env::var_os("STREAMNEST_CHROMIUM") {
        Some(path) => path.into(),
        None => debian::find_or_install(workspace, &CHROMIUM)?,
    };
    let folder = Path::new(FOLDER);
    Run::new(workspace, "npm").args(["ci", "--no-audit", "--no-fund"]).inside(folder).run()?;
    // A test that hangs is a failure, after ten minutes.
    let mut tests = Run::new(workspace, "node")
        .args(["--test", "--test-reporter=spec", "--test-timeout=600000"])
        .inside(folder);
    tests = tests.env("STREAMNEST_CHROMIUM", chromium);
    for server in programs::servers(workspace)? {
        tests = tests.env(server.variable, server.path);
    }
    tests.env("STREAMNEST_HAIKU", guide::build(workspace)?).run_to_end()
}

/// Refuses a Node that is missing or too old, which no Debian package would be sure to cure.
pub(super) fn check_node(workspace: &Workspace) -> Result<(), String> {
    let found = Run::new(workspace, "node").args(["--version"]).silent().run().map(|output| output.stdout);
    let version = found.as_deref().unwrap_or("none").trim();
    if is_recent(version) {
        return Ok(());
    }
    Err(format!("Node {}.{} or newer is needed, found {version}; see https://nodejs.org", NODE.0, NODE.1))
}

/// Whether a version like `v20.20.2` will do.
fn is_recent(version: &str) -> bool {
    let mut numbers =
        version.trim_start_matches('v').split('.').map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= NODE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_node_is_refused() {
        for good in ["v20.19.0", "v20.20.2", "v24.0.1"] {
            assert!(is_recent(good), "{good}");
        }
        for bad in ["v18.19.1", "v20.18.3", "none", ""] {
            assert!(!is_recent(bad), "{bad}");
        }
    }
}
