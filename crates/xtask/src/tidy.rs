//! `cargo xtask tidy`: the house rules, held by a program.
//!
//! Each rule is a function of texts or of `cargo metadata`, so that its tests need no files.

mod arrows;
mod changelog;
mod codes;
mod layout;
mod licences;
mod links;
mod manifests;
mod named_tests;
mod rust_text;
mod versions;
mod words;

use crate::workspace::Workspace;

/// What a rule found wrong: one line that names the place, the rule and the way out.
type Violations = Vec<String>;

/// Checks every rule. The answer tells what was looked at.
///
/// # Errors
/// Every violation, one on each line.
pub(crate) fn run(workspace: &Workspace) -> Result<String, String> {
    let files = workspace.files()?;
    let metadata = workspace.metadata()?;
    let rules: [(&str, Violations); 13] = [
        ("arrows", arrows::check(&metadata)),
        ("manifests", manifests::check(&metadata, &files)),
        ("licences", licences::check(&metadata)),
        ("versions", versions::check(&metadata)),
        ("length", layout::check_length(&files)),
        ("file names", layout::check_names(&files)),
        ("words", words::check(&files)),
        ("unsafe", rust_text::check_unsafe(&files)),
        ("codes in use", codes::check_documented(&files)),
        ("codes in docs", codes::check_in_use(&files)),
        ("changelog", changelog::check(&files)),
        ("links", links::check(&files)),
        ("named tests", named_tests::check(&files)),
    ];
    let count = rules.len();
    let violations: Violations = rules
        .into_iter()
        .flat_map(|(rule, found)| {
            found.into_iter().map(move |violation| format!("tidy ({rule}): {violation}"))
        })
        .collect();
    if violations.is_empty() {
        Ok(format!("{count} rules hold for {} files", files.len()))
    } else {
        Err(violations.join("\n"))
    }
}

/// A file for the tests of rules.
#[cfg(test)]
fn file(path: &str, text: &str) -> crate::workspace::SourceFile {
    crate::workspace::SourceFile { path: path.into(), text: text.into() }
}
