//! How long files are, and what they are called.

use super::Violations;
use crate::workspace::SourceFile;

/// The most lines that a file may have.
const LINES: usize = 700;
/// Whose lines are counted.
const COUNTED: [&str; 6] = ["rs", "js", "mjs", "css", "html", "c"];
/// Names that say what a file is for the programmer, not what is in it.
const ROLES: [&str; 8] =
    ["utils.rs", "util.rs", "helpers.rs", "helper.rs", "manager.rs", "common.rs", "misc.rs", "types.rs"];

/// Refuses files that are too long to be one idea. Rust tests are not counted.
pub(super) fn check_length(files: &[SourceFile]) -> Violations {
    let counted = |file: &&SourceFile| {
        COUNTED.contains(&file.extension()) && !(file.extension() == "rs" && file.is_test())
    };
    let too_long = |file: &SourceFile| {
        let lines = file.text.lines().count();
        (lines > LINES)
            .then(|| format!("{} has {lines} lines, over the limit of {LINES}; split it", file.path))
    };
    files.iter().filter(counted).filter_map(too_long).collect()
}

/// Refuses `mod.rs` and files that are named by a role.
pub(super) fn check_names(files: &[SourceFile]) -> Violations {
    let refused = |file: &SourceFile| match file.name() {
        "mod.rs" => Some(format!("{} is a mod.rs; name it like its folder, beside it", file.path)),
        name if ROLES.contains(&name) => {
            Some(format!("{} is named by a role; name it by the one thing it holds", file.path))
        }
        _ => None,
    };
    files.iter().filter_map(refused).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    #[test]
    fn a_file_of_701_lines_is_too_long() {
        let (fits, long) = ("x\n".repeat(700), "x\n".repeat(701));
        for extension in COUNTED {
            let path = format!("crates/a/src/b.{extension}");
            assert!(check_length(&[file(&path, &fits)]).is_empty());
            let found = check_length(&[file(&path, &long)]);
            assert_eq!(found, [format!("{path} has 701 lines, over the limit of 700; split it")]);
        }
    }

    #[test]
    fn rust_tests_and_prose_are_not_counted_but_browser_tests_are() {
        let long = "x\n".repeat(701);
        let files =
            ["crates/a/src/b/tests.rs", "tests/it/main.rs", "docs/a.md"].map(|path| file(path, &long));
        assert!(check_length(&files).is_empty());
        assert_eq!(check_length(&[file("tests/browser/a.test.mjs", &long)]).len(), 1);
    }

    #[test]
    fn files_are_named_by_what_they_hold() {
        assert!(check_names(&[file("src/cursor.rs", ""), file("src/commonplace.rs", "")]).is_empty());
        for name in ROLES.iter().chain(&["mod.rs"]) {
            assert_eq!(check_names(&[file(&format!("src/{name}"), "")]).len(), 1, "{name}");
        }
    }
}
