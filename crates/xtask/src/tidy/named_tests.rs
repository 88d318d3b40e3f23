//! Tests that the documentation names.

use super::Violations;
use crate::workspace::SourceFile;

/// The page that names the test which holds each invariant.
const PAGE: &str = "docs/architecture.md";
/// The name of a test is a sentence, so it has more words than an option.
const WORDS: usize = 4;

/// Refuses the name of a test that does not exist: an invariant that nothing holds.
pub(super) fn check(files: &[SourceFile]) -> Violations {
    let page = files.iter().find(|file| file.path == PAGE).map(|file| file.text.as_str()).unwrap_or_default();
    let exists = |name: &str| {
        let function = format!("fn {name}(");
        files.iter().any(|file| file.extension() == "rs" && file.text.contains(&function))
    };
    let names = page.split('`').skip(1).step_by(2).filter(|name| is_test(name));
    names
        .filter(|name| !exists(name))
        .map(|name| format!("{PAGE} names the test `{name}`, which does not exist"))
        .collect()
}

fn is_test(name: &str) -> bool {
    let mut words = 0;
    let is_word =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    name.split('_').inspect(|_| words += 1).all(is_word) && words >= WORDS
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    #[test]
    fn a_test_that_the_page_names_exists() {
        let code = file("crates/log/src/cursor/tests.rs", "#[test]\nfn resumes_after_trim_with_a_gap() {}");
        let page = |text| file(PAGE, text);
        assert!(check(&[code, page("Held by `resumes_after_trim_with_a_gap`.")]).is_empty());
        assert_eq!(
            check(&[page("Held by `resumes_after_trim_with_a_gap`.")]),
            ["docs/architecture.md names the test `resumes_after_trim_with_a_gap`, which does not exist"]
        );
    }

    #[test]
    fn options_and_types_are_no_tests() {
        assert!(
            check(&[file(PAGE, "`max_pending_bytes` and `EventLog` and `Cursor::next_batch(a_b_c_d)`")])
                .is_empty()
        );
    }
}
