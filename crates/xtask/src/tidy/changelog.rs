//! What a user is told of a change.

use super::Violations;
use crate::workspace::SourceFile;

const PATH: &str = "CHANGELOG.md";
/// What an entry may begin with, in bold.
const KINDS: [&str; 6] = ["breaking", "added", "changed", "fixed", "removed", "security"];

/// Refuses a changelog without a section for what is not released, and an entry that does not say its kind.
pub(super) fn check(files: &[SourceFile]) -> Violations {
    let Some(file) = files.iter().find(|file| file.path == PATH) else {
        return vec![format!("{PATH} is missing")];
    };
    let mut violations = Violations::new();
    if !file.text.lines().any(|line| line.trim() == "## Unreleased") {
        violations.push(format!("{PATH} has no section `## Unreleased`"));
    }
    let has_kind = |entry: &str| KINDS.iter().any(|kind| entry.starts_with(&format!("**{kind}**")));
    for (number, line) in file.text.lines().enumerate() {
        if line.strip_prefix("- ").is_some_and(|entry| !has_kind(entry)) {
            violations.push(format!(
                "{PATH}:{} does not begin with its kind: {}",
                number + 1,
                KINDS.map(|k| format!("**{k}**")).join(", ")
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    #[test]
    fn a_changelog_has_an_unreleased_section_and_entries_with_a_kind() {
        assert!(
            check(&[file(PATH, "# Changelog\n\n## Unreleased\n\n- **added** A thing,\n  and more.\n")])
                .is_empty()
        );
        assert_eq!(check(&[file(PATH, "# Changelog\n")]), ["CHANGELOG.md has no section `## Unreleased`"]);
        assert_eq!(check(&[]), ["CHANGELOG.md is missing"]);
        let found = check(&[file(PATH, "## Unreleased\n\n- a thing\n")]);
        assert!(found[0].starts_with("CHANGELOG.md:3 does not begin with its kind"), "{found:?}");
    }
}
