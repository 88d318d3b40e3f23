//! What every crate says of itself.

use serde_json::Value;

use super::{
    Violations,
    arrows::{members, text},
};
use crate::workspace::SourceFile;

/// Refuses a crate without a description, and a library or program whose root file has no documentation.
pub(super) fn check(metadata: &Value, files: &[SourceFile]) -> Violations {
    let root = text(metadata, "workspace_root");
    let mut violations = Violations::new();
    for package in members(metadata) {
        let name = text(package, "name");
        if text(package, "description").is_empty() {
            violations.push(format!("crate `{name}` has no description in its Cargo.toml"));
        }
        for target in package["targets"].as_array().into_iter().flatten() {
            let is =
                |kind: &str| target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|k| k == kind));
            let path = text(target, "src_path");
            let path =
                path.strip_prefix(root).unwrap_or(path).trim_start_matches(['/', '\\']).replace('\\', "/");
            let documented = files.iter().any(|file| file.path == path && has_docs(&file.text));
            if (is("lib") || is("proc-macro") || is("bin")) && !documented {
                violations.push(format!("{path} of crate `{name}` does not begin with `//!` and what it is"));
            }
        }
    }
    violations
}

/// Whether a root file begins with documentation; attributes may come first.
fn has_docs(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| {
        !line.is_empty() && (!line.starts_with("#!") || line.starts_with("#![doc = include_str!"))
    });
    first.is_some_and(|line| {
        line.starts_with("#![doc = include_str!")
            || line.strip_prefix("//!").is_some_and(|sentence| !sentence.trim().is_empty())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::file, *};

    fn metadata(description: Option<&str>) -> Value {
        json!({"workspace_root": "/w", "workspace_members": ["a"], "packages": [{
            "id": "a", "name": "a", "description": description,
            "targets": [
                {"kind": ["lib"], "src_path": "/w/crates/a/src/lib.rs"},
                {"kind": ["test"], "src_path": "/w/crates/a/tests/it/main.rs"},
            ],
        }]})
    }

    #[test]
    fn a_crate_has_a_description_and_documentation() {
        let documented = [file("crates/a/src/lib.rs", "#![warn(x)]\n\n//! A crate.\n")];
        assert!(check(&metadata(Some("A crate")), &documented).is_empty());
        assert_eq!(check(&metadata(None), &documented), ["crate `a` has no description in its Cargo.toml"]);
    }

    #[test]
    fn documentation_may_be_a_file() {
        assert!(has_docs("#![doc = include_str!(\"../../../README.md\")]\n"));
        for text in ["", "use a::b;\n//! Late.", "//!\n", "// A comment."] {
            let found = check(&metadata(Some("A crate")), &[file("crates/a/src/lib.rs", text)]);
            assert_eq!(
                found,
                ["crates/a/src/lib.rs of crate `a` does not begin with `//!` and what it is"],
                "{text}"
            );
        }
    }
}
