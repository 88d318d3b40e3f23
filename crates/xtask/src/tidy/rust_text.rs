//! Rust text without its comments and literals, and the rule that needs it.

use super::{Violations, words::contains_word};
use crate::workspace::SourceFile;

/// The one crate that may say `unsafe`, with a reason at each block.
const MAY_BE_UNSAFE: &str = "crates/bench/";

/// Refuses `unsafe`, and lifting the lint against it, outside of the one crate.
pub(super) fn check_unsafe(files: &[SourceFile]) -> Violations {
    let mut violations = Violations::new();
    let is_searched = |file: &&SourceFile| {
        // A form that must not compile may say what it likes: it is never run.
        let never_compiles = file.path.contains("/ui/") && file.path.contains("/fail/");
        file.extension() == "rs" && !file.path.starts_with(MAY_BE_UNSAFE) && !never_compiles
    };
    for file in files.iter().filter(is_searched) {
        for (number, line) in code_only(&file.text).lines().enumerate() {
            // The token as syn spells it names the keyword and uses nothing.
            let line = line.replace("Token![unsafe]", "");
            if contains_word(&line, "unsafe") || contains_word(&line, "unsafe_code") {
                violations.push(format!(
                    "{}:{} says `unsafe`; only {MAY_BE_UNSAFE} may, with a reason",
                    file.path,
                    number + 1
                ));
            }
        }
    }
    violations
}

/// `text` with everything inside comments and string literals turned into blanks; lines stay where they are.
pub(super) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(hashes) = raw_string(rest, code.chars().next_back()) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = rest.find('"').map_or(rest.len(), |quote| quote + 1);
            rest.get(start..)
                .and_then(|inner| inner.find(&end))
                .map_or(rest.len(), |at| start + at + end.len())
        } else if c == '"' {
            quoted(rest, '"')
        } else if let Some(length) = character(rest) {
            length
        } else {
            code.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            continue;
        };
        let (blank, after) = rest.split_at(length);
        code.extend(blank.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = after;
    }
    code
}

/// The length of a block comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// How many `#` a raw string that starts here has.
fn raw_string(text: &str, before: Option<char>) -> Option<usize> {
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = rest.chars().take_while(|c| *c == '#').count();
    rest.get(hashes..)?.starts_with('"').then_some(hashes)
}

/// The length of a literal with escapes, its quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The length of a character literal that starts here, if it is none of a lifetime.
fn character(text: &str) -> Option<usize> {
    let mut inner = text.strip_prefix('\'')?.chars();
    match (inner.next()?, inner.next()) {
        ('\\', _) => Some(quoted(text, '\'')),
        (c, Some('\'')) => Some(2 + c.len_utf8()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::file, *};

    #[test]
    fn unsafe_is_refused_outside_of_the_bench() {
        let code = "fn f() {\n    unsafe { g() }\n}";
        assert!(check_unsafe(&[file("crates/bench/src/main.rs", code)]).is_empty());
        let found = check_unsafe(&[file("crates/log/src/lib.rs", code)]);
        assert_eq!(found, ["crates/log/src/lib.rs:2 says `unsafe`; only crates/bench/ may, with a reason"]);
    }

    #[test]
    fn lifting_the_lint_is_refused_too() {
        assert_eq!(check_unsafe(&[file("src/lib.rs", "#![allow(unsafe_code)]")]).len(), 1);
    }

    #[test]
    fn speaking_of_it_is_legal() {
        let speaks = [
            "// unsafe\n/* unsafe /* unsafe */ unsafe */",
            r##"const A: &str = "unsafe \" unsafe"; const B: &str = r#"unsafe " unsafe"#;"##,
            "let a = '\"'; // unsafe '\"'\nlet b: &'static str = f(Token![unsafe]);",
            r"let c = '\''; // unsafe",
        ];
        for text in speaks {
            assert_eq!(check_unsafe(&[file("src/lib.rs", text)]), Violations::new(), "{text}");
        }
        assert!(check_unsafe(&[file("tests/ui/node/fail/keyword.rs", "unsafe fn f() {}")]).is_empty());
    }

    #[test]
    fn a_literal_hides_no_more_than_itself() {
        for text in [
            "let a = '\"'; unsafe {}",
            "let b = \"x\"; unsafe {}",
            "let c = r\"\\\"; unsafe {}",
            "f::<'a>('b'); unsafe {}",
        ] {
            assert_eq!(check_unsafe(&[file("src/lib.rs", text)]).len(), 1, "{text}");
        }
    }
}
