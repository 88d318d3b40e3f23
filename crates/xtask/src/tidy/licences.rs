//! Under which licences the crates may be that we build with.

use serde_json::Value;

use super::{
    Violations,
    arrows::{members, text},
};

/// A licence, and why it is no burden to who uses Streamnest under MIT or Apache-2.0.
struct Allowed {
    licence: &'static str,
    why: &'static str,
}

const ALLOWED: &[Allowed] = &[
    Allowed { licence: "MIT", why: "asks for its notice, like our own" },
    Allowed { licence: "Apache-2.0", why: "our own" },
    Allowed { licence: "Apache-2.0 WITH LLVM-exception", why: "asks for less than Apache-2.0" },
    Allowed { licence: "BSD-2-Clause", why: "asks for its notice" },
    Allowed { licence: "BSD-3-Clause", why: "asks for its notice, and not to advertise with its authors" },
    Allowed { licence: "ISC", why: "asks for its notice" },
    Allowed { licence: "MIT-0", why: "asks for nothing" },
    Allowed { licence: "Unicode-3.0", why: "the tables of the Unicode Consortium; asks for its notice" },
    Allowed { licence: "Unlicense", why: "asks for nothing" },
    Allowed { licence: "Zlib", why: "asks not to be misrepresented" },
];

/// Refuses crates under other licences, and crates that name none.
pub(super) fn check(metadata: &Value) -> Violations {
    let ours = members(metadata);
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter(|package| !ours.contains(package))
        .filter_map(|package| {
            let (name, version, licence) =
                (text(package, "name"), text(package, "version"), text(package, "license"));
            let list = || {
                ALLOWED.iter().map(|a| format!("{} ({})", a.licence, a.why)).collect::<Vec<_>>().join(", ")
            };
            match licence {
                "" => Some(format!("`{name}` {version} names no licence; choose another crate")),
                _ if is_allowed(licence) => None,
                _ => Some(format!("`{name}` {version} is under `{licence}`; allowed are {}", list())),
            }
        })
        .collect()
}

/// Evaluates an SPDX expression; `/` is an old way to write `OR`.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words<'_>) -> bool {
    let mut legal = all_of(words);
    while words.next_if_eq(&"OR").is_some() {
        // The right side is read in any case.
        legal |= all_of(words);
    }
    legal
}

fn all_of(words: &mut Words<'_>) -> bool {
    let mut legal = one(words);
    while words.next_if_eq(&"AND").is_some() {
        legal &= one(words);
    }
    legal
}

fn one(words: &mut Words<'_>) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let legal = any_of(words);
        return words.next() == Some(")") && legal;
    }
    let mut licence = word.to_owned();
    if words.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", words.next().unwrap_or_default());
    }
    ALLOWED.iter().any(|allowed| allowed.licence == licence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn expressions_are_read_by_their_grammar() {
        for legal in [
            "MIT",
            "GPL-3.0 OR MIT",
            "MIT/GPL-3.0",
            "(MIT OR GPL-3.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
            "(GPL-3.0 OR (MIT AND ISC))",
        ] {
            assert!(is_allowed(legal), "{legal}");
        }
        for illegal in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(MIT OR ISC) AND GPL-3.0",
            "MIT WITH x",
            "",
            "(MIT",
            "MIT MIT",
            "OR",
        ] {
            assert!(!is_allowed(illegal), "{illegal}");
        }
    }

    #[test]
    fn a_crate_under_another_licence_or_none_is_named() {
        let metadata = json!({"workspace_members": ["ours"], "packages": [
            {"id": "ours", "name": "ours", "version": "1.0.0", "license": null},
            {"id": "a", "name": "a", "version": "1.0.0", "license": "MIT"},
            {"id": "b", "name": "b", "version": "2.0.0", "license": "GPL-3.0"},
            {"id": "c", "name": "c", "version": "3.0.0", "license": null},
        ]});
        let found = check(&metadata);
        assert_eq!(found.len(), 2);
        assert!(found[0].starts_with("`b` 2.0.0 is under `GPL-3.0`; allowed are MIT ("), "{found:?}");
        assert!(found[1].starts_with("`c` 3.0.0 names no licence"), "{found:?}");
    }
}
