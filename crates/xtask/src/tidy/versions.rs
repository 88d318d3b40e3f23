//! One version of each crate, or a reason why not.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Violations, arrows::text};

/// A crate that we build in more than one version, and why we cannot help it.
struct Doubled {
    krate: &'static str,
    why: &'static str,
}

/// Why jsonwebtoken brings older ones.
const JWT: &str = "jsonwebtoken is at the generation of RustCrypto before that of tungstenite's sha1";

const DOUBLED: &[Doubled] = &[
    Doubled { krate: "block-buffer", why: JWT },
    Doubled { krate: "const-oid", why: JWT },
    Doubled { krate: "cpufeatures", why: JWT },
    Doubled { krate: "crypto-common", why: JWT },
    Doubled { krate: "digest", why: JWT },
    Doubled { krate: "rand", why: JWT },
    Doubled { krate: "rand_core", why: JWT },
    Doubled { krate: "getrandom", why: "ahash (of jsonschema, in tests) is at 0.3, rand and uuid at 0.4" },
    Doubled { krate: "hashbrown", why: "governor is at 0.16, indexmap and jsonschema at 0.17" },
    Doubled {
        krate: "syn",
        why: "tracing-attributes, zerocopy-derive and strum_macros are at 2, serde and tokio at 3",
    },
];

/// Refuses a crate in two versions that is not listed, and a listed one that is not in two versions.
pub(super) fn check(metadata: &Value) -> Violations {
    check_list(metadata, DOUBLED)
}

fn check_list(metadata: &Value, list: &[Doubled]) -> Violations {
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        versions.entry(text(package, "name")).or_default().push(text(package, "version"));
    }
    let is_double = |name: &str| versions.get(name).is_some_and(|versions| versions.len() > 1);
    let mut violations = Violations::new();
    for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
        if !list.iter().any(|doubled| doubled.krate == *name) {
            violations.push(format!(
                "`{name}` is built in versions {}; see `cargo tree -d`, or give the reason in crates/xtask/src/tidy/versions.rs",
                versions.join(", ")
            ));
        }
    }
    for doubled in list.iter().filter(|doubled| !is_double(doubled.krate)) {
        violations.push(format!(
            "`{}` is built in one version again; remove it from crates/xtask/src/tidy/versions.rs ({})",
            doubled.krate, doubled.why
        ));
    }
    violations
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(packages: &[(&str, &str)]) -> Value {
        let package = |(name, version): &(&str, &str)| json!({"name": name, "version": version});
        json!({"packages": packages.iter().map(package).collect::<Vec<_>>()})
    }

    #[test]
    fn a_crate_in_two_versions_needs_a_reason() {
        let two = metadata(&[("a", "1.0.0"), ("b", "1.0.0"), ("b", "2.0.0")]);
        let found = check_list(&two, &[]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("`b` is built in versions 1.0.0, 2.0.0;"), "{found:?}");
        assert!(check_list(&two, &[Doubled { krate: "b", why: "c is slow" }]).is_empty());
    }

    #[test]
    fn a_reason_that_is_no_longer_needed_is_an_error() {
        let found = check_list(&metadata(&[("b", "1.0.0")]), &[Doubled { krate: "b", why: "c is slow" }]);
        assert!(found[0].starts_with("`b` is built in one version again"), "{found:?}");
    }
}
