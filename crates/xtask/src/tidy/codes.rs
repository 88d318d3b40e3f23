//! Error codes: what the code says and what `docs/errors.md` says of it.

use std::collections::BTreeMap;

use super::Violations;
use crate::workspace::SourceFile;

/// Where every code stands with its cause and its cure, in the first cell of a table.
const DOCS: &str = "docs/errors.md";

/// Refuses a code that clients may see and that nobody can look up.
pub(super) fn check_documented(files: &[SourceFile]) -> Violations {
    let documented = documented(files);
    let missing = |(code, path): (String, String)| {
        (!documented.contains(&code))
            .then(|| format!("{path} has the code `{code}`, which {DOCS} does not explain"))
    };
    in_use(files).into_iter().filter_map(missing).collect()
}

/// Refuses an explanation of a code that nothing gives.
pub(super) fn check_in_use(files: &[SourceFile]) -> Violations {
    let in_use = in_use(files);
    let stale = |code: String| {
        (!in_use.contains_key(&code))
            .then(|| format!("{DOCS} explains the code `{code}`, which nothing gives"))
    };
    documented(files).into_iter().filter_map(stale).collect()
}

/// What the first literal after is a code, if it looks like one.
const INTRODUCTIONS: [&str; 6] =
    ["code: ", "coded(", "failure(", "ServerFrame::error(", "Refusal::new(", "Self::new(StatusCode::"];

/// Every code, with the first file that gives it: the literals in the bodies of functions named `code`, and those
/// that errors are made of elsewhere.
fn in_use(files: &[SourceFile]) -> BTreeMap<String, String> {
    let mut codes = BTreeMap::new();
    let is_searched = |file: &&SourceFile| {
        file.extension() == "rs"
            && file.path.contains("/src/")
            && !file.path.starts_with("crates/xtask/")
            && !file.is_test()
    };
    for file in files.iter().filter(is_searched) {
        let text = file.text.split("#[cfg(test)]").next().unwrap_or_default();
        let after = |introduction: &'static str| {
            text.match_indices(introduction).filter_map(move |(at, _)| text.get(at + introduction.len()..))
        };
        let bodies = after("fn code(").flat_map(|rest| literals(body(rest)));
        let introduced = INTRODUCTIONS.into_iter().flat_map(after).filter_map(first_literal);
        for code in bodies.chain(introduced).filter(|code| is_code(code)) {
            codes.entry(code.to_owned()).or_insert_with(|| file.path.clone());
        }
    }
    codes
}

/// The first literal of an argument list or field, if nothing but a path or a name stands before it.
fn first_literal(text: &str) -> Option<&str> {
    let (before, rest) = text.split_once('"')?;
    let is_name = |c: char| c.is_alphanumeric() || c.is_whitespace() || matches!(c, '_' | ':' | ',');
    before.chars().all(is_name).then(|| rest.split('"').next())?
}

/// The text between the first brace and its partner.
fn body(text: &str) -> &str {
    let (mut depth, start) = (0_usize, text.find('{').unwrap_or(text.len()));
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < start) {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return text.get(start..at).unwrap_or_default(),
            '}' => depth -= 1,
            _ => {}
        }
    }
    ""
}

/// The string literals of a text; codes need no escapes.
fn literals(text: &str) -> Vec<&str> {
    text.split('"').skip(1).step_by(2).collect()
}

fn is_code(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The codes in the first cells of the tables of the page.
fn documented(files: &[SourceFile]) -> Vec<String> {
    let page = files.iter().find(|file| file.path == DOCS).map(|file| file.text.as_str()).unwrap_or_default();
    let first = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    page.lines().filter_map(first).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    const CODE: &str = r#"
        pub const fn code(&self) -> &'static str {
            match self {
                Self::Fenced { .. } | Self::Old => "fenced",
                Self::Store { source } => source.code(),
                Self::Sealed { .. } => "sealed",
            }
        }
        fn message() -> &'static str { "elsewhere" }
        #[cfg(test)]
        mod tests { fn code() -> &'static str { "only_in_tests" } }
    "#;

    fn check(code: &str, docs: &str) -> (Violations, Violations) {
        let files = [file("crates/log/src/error.rs", code), file(DOCS, docs)];
        (check_documented(&files), check_in_use(&files))
    }

    #[test]
    fn every_code_is_explained_and_every_explanation_is_of_a_code() {
        let good = "| code | cause |\n|---|---|\n| `fenced` | … |\n| `sealed` | … |\n";
        assert_eq!(check(CODE, good), (vec![], vec![]));
        let (missing, stale) = check(CODE, "| `fenced` | … |\n| `fence` | like `sealed` |\n");
        assert_eq!(
            missing,
            ["crates/log/src/error.rs has the code `sealed`, which docs/errors.md does not explain"]
        );
        assert_eq!(stale, ["docs/errors.md explains the code `fence`, which nothing gives"]);
    }

    #[test]
    fn a_code_that_an_error_is_made_of_counts_too() {
        for code in [
            r#"Failure { code: "the_code".into(), message: "it is code: x" }"#,
            r#"NodeError::coded("the_code", format!("node `{name}` is slow"))"#,
            r#"Refusal::new(StatusCode::BAD_REQUEST, "the_code", "said \"code: x\"")"#,
            "Self::new(\n    StatusCode::NOT_FOUND, \"no_code\")\nSelf::new(StatusCode::NOT_FOUND, \"the_code\", x)",
            r#"Refusal::new(status, "the_code", message)"#,
            r#"ServerFrame::error("the_code", message, false)"#,
            r#"Outcome::Failed(failure("the_code", error.to_string()))"#,
        ] {
            let (missing, _) = check(code, "");
            assert_eq!(missing.len(), 1, "{code}: {missing:?}");
            assert!(missing[0].contains("`the_code`"), "{missing:?}");
        }
        let (missing, _) =
            check("Refusal::new(status, error.code(), \"message\"); fn new(code: &str) { f(\"x\") }", "");
        assert!(missing.is_empty(), "{missing:?}");
    }
}
