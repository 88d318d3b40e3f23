//! The programs that other steps start, built as their users build them.

use std::path::PathBuf;

use serde_json::Value;

use crate::{command::Run, workspace::Workspace};

/// An example that tests start, and the variable by which they find it.
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) variable: &'static str,
    pub(super) path: PathBuf,
}

/// The names of those examples and their variables.
const SERVERS: [(&str, &str); 3] = [
    ("content-generation", "STREAMNEST_SERVER"),
    ("token-fountain", "STREAMNEST_FOUNTAIN"),
    ("approval", "STREAMNEST_APPROVAL"),
];

/// Builds the examples that the tests start, as their users do.
pub(super) fn servers(workspace: &Workspace) -> Result<Vec<Server>, String> {
    let packages = SERVERS.iter().flat_map(|(name, _)| ["--package", name]);
    let built = build(Run::cargo(workspace).args(["build", "--locked", "--release"]).args(packages))?;
    let server = |(name, variable)| Ok(Server { name, variable, path: built.program(name)? });
    SERVERS.into_iter().map(server).collect()
}

/// What cargo has built.
pub(super) struct Built {
    /// Its messages, one JSON object each line.
    messages: String,
}

/// Runs a `cargo` that builds.
pub(super) fn build(cargo: Run) -> Result<Built, String> {
    let output = cargo.args(["--message-format", "json-render-diagnostics"]).only_stderr().run()?;
    Ok(Built { messages: output.stdout })
}

impl Built {
    /// Where the program `name` is.
    ///
    /// # Errors
    /// If it was not built.
    pub(super) fn program(&self, name: &str) -> Result<PathBuf, String> {
        let messages = self.messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut programs = messages.filter_map(|message| {
            let is_it = message.pointer("/target/name")? == name;
            let path = message.get("executable")?.as_str()?;
            is_it.then(|| path.into())
        });
        programs.next().ok_or_else(|| format!("cargo built no program `{name}`"))
    }
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
        let built = Built { messages: messages.into() };
        assert_eq!(built.program("content-generation"), Ok("/t/release/content-generation".into()));
        assert!(built.program("by-hand").is_err_and(|error| error.contains("`by-hand`")));
    }
}
