//! Which of our crates may depend on which.

use serde_json::Value;

use super::Violations;

/// The arrows that leave one crate.
struct Row {
    krate: &'static str,
    /// Ours that it may depend on.
    may: &'static [&'static str],
    /// Ours that only its tests, benches and examples may depend on, besides.
    dev: &'static [&'static str],
    /// Everything from outside that it may depend on, where that is limited.
    outside: Option<&'static [&'static str]>,
    /// Why it is so.
    why: &'static str,
}

/// Every crate of the workspace and its arrows. They point downwards.
const ROWS: &[Row] = &[
    Row {
        krate: "streamnest-core",
        may: &[],
        dev: &[],
        outside: Some(&["bytes", "futures-core", "serde", "serde_json", "thiserror"]),
        why: "the vocabulary does no I/O and needs no async runtime",
    },
    Row {
        krate: "streamnest-log",
        may: &["streamnest-core"],
        // Its benches measure the encodings that are really sent.
        dev: &["streamnest-protocol"],
        outside: None,
        why: "the log knows neither who writes nor who reads",
    },
    Row {
        krate: "streamnest-log-disk",
        may: &["streamnest-core"],
        // Its tests run the suite of all stores, and its benches measure through the registry.
        dev: &["streamnest-log"],
        outside: Some(&["bytes", "crc32fast", "serde", "thiserror", "tracing"]),
        why: "a store knows core's traits, and needs files and threads but no async runtime",
    },
    Row {
        krate: "streamnest-protocol",
        may: &["streamnest-core"],
        dev: &[],
        outside: Some(&["bytes", "serde", "serde_json", "thiserror"]),
        why: "wire formats are pure functions: no async, no sockets",
    },
    Row {
        krate: "streamnest-macros",
        may: &[],
        dev: &[],
        outside: Some(&["proc-macro2", "quote", "regex-syntax", "syn"]),
        why: "generated code names the facade, the macros themselves need none of it",
    },
    Row {
        krate: "streamnest-modules",
        may: &["streamnest-core"],
        dev: &[],
        outside: None,
        why: "modules know of executions and of nothing that runs in them",
    },
    Row {
        krate: "streamnest-models",
        may: &["streamnest-core", "streamnest-modules"],
        dev: &[],
        outside: None,
        why: "a model finds its node by core's `Scope`, and says what it is made of",
    },
    Row {
        krate: "streamnest-runtime",
        may: &["streamnest-core", "streamnest-log", "streamnest-modules"],
        // Its tests call models in nodes, its benches encode what nodes say.
        dev: &["streamnest-models", "streamnest-protocol"],
        outside: None,
        why: "runtime and gateway meet in the log and in core's `ExecutionControl`, nowhere else",
    },
    Row {
        krate: "streamnest-gateway",
        may: &["streamnest-core", "streamnest-log", "streamnest-modules", "streamnest-protocol"],
        dev: &[],
        outside: None,
        why: "runtime and gateway meet in the log and in core's `ExecutionControl`, nowhere else",
    },
    Row {
        krate: "streamnest-client",
        may: &["streamnest-core", "streamnest-protocol"],
        dev: &[],
        outside: None,
        why: "a client knows the wire and nothing behind it",
    },
    Row {
        krate: "streamnest",
        may: &[
            "streamnest-core",
            "streamnest-gateway",
            "streamnest-log",
            "streamnest-log-disk",
            "streamnest-macros",
            "streamnest-models",
            "streamnest-modules",
            "streamnest-protocol",
            "streamnest-runtime",
        ],
        dev: &["streamnest-client"],
        outside: None,
        why: "the facade composes all of them",
    },
    Row {
        krate: "streamnest-testing",
        may: &["streamnest"],
        dev: &[],
        outside: None,
        why: "it tests what users write, and a user has the facade",
    },
    Row {
        krate: "streamnest-tests",
        may: &[
            "axum-mount",
            "content-generation",
            "parallel-research",
            "services",
            "streamnest",
            "streamnest-client",
            "streamnest-core",
            "streamnest-gateway",
            "streamnest-log",
            "streamnest-models",
            "streamnest-modules",
            "streamnest-protocol",
            "streamnest-runtime",
            "streamnest-testing",
            "subgraph",
            "token-fountain",
        ],
        dev: &[],
        outside: None,
        why: "tests across crates use public interfaces only",
    },
    Row {
        krate: "approval",
        may: &["streamnest"],
        dev: &["streamnest-testing"],
        outside: None,
        why: EXAMPLE,
    },
    Row { krate: "axum-mount", may: &["streamnest"], dev: &[], outside: None, why: EXAMPLE },
    Row { krate: "by-hand", may: &["streamnest"], dev: &[], outside: None, why: EXAMPLE },
    Row {
        krate: "content-generation",
        may: &["streamnest"],
        dev: &["streamnest-testing"],
        outside: None,
        why: EXAMPLE,
    },
    Row { krate: "parallel-research", may: &["streamnest"], dev: &[], outside: None, why: EXAMPLE },
    Row { krate: "services", may: &["streamnest"], dev: &[], outside: None, why: EXAMPLE },
    Row { krate: "subgraph", may: &["streamnest"], dev: &[], outside: None, why: EXAMPLE },
    Row { krate: "token-fountain", may: &["streamnest"], dev: &[], outside: None, why: EXAMPLE },
    Row {
        krate: "streamnest-bench",
        may: &[],
        dev: &[],
        outside: None,
        why: "what measures must not share code with what is measured",
    },
    Row {
        krate: "xtask",
        may: &[],
        dev: &[],
        outside: None,
        why: "it builds in seconds, and when nothing else does",
    },
];

const EXAMPLE: &str = "an example shows what a user writes, and a user has the facade";

/// Holds the arrows between the crates of the workspace.
pub(super) fn check(metadata: &Value) -> Violations {
    check_rows(metadata, ROWS)
}

fn check_rows(metadata: &Value, rows: &[Row]) -> Violations {
    let members = members(metadata);
    let mut violations = Violations::new();
    for package in &members {
        let name = text(package, "name");
        let Some(row) = rows.iter().find(|row| row.krate == name) else {
            violations
                .push(format!("crate `{name}` has no row in crates/xtask/src/tidy/arrows.rs; give it one"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = text(dependency, "name");
            let is_ours = members.iter().any(|member| text(member, "name") == on);
            let is_dev = dependency["kind"] == "dev";
            let legal = if is_ours {
                row.may.contains(&on) || (is_dev && row.dev.contains(&on))
            } else {
                is_dev || row.outside.is_none_or(|outside| outside.contains(&on))
            };
            if !legal {
                let dev = if is_dev { " in its tests" } else { "" };
                violations.push(format!("`{name}` must not depend on `{on}`{dev}: {}", row.why));
            }
        }
    }
    for row in rows {
        if !members.iter().any(|package| text(package, "name") == row.krate) {
            violations.push(format!(
                "row `{}` of crates/xtask/src/tidy/arrows.rs names no crate; remove it",
                row.krate
            ));
        }
    }
    violations
}

/// The packages of the workspace itself.
pub(super) fn members(metadata: &Value) -> Vec<&Value> {
    let ids: Vec<&Value> = metadata["workspace_members"].as_array().into_iter().flatten().collect();
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages.filter(|package| ids.contains(&&package["id"])).collect()
}

/// A field of text, empty if there is none.
pub(super) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TWO: &[Row] = &[
        Row { krate: "low", may: &[], dev: &["high"], outside: Some(&["bytes"]), why: "low is low" },
        Row { krate: "high", may: &["low"], dev: &[], outside: None, why: "high is high" },
    ];

    fn workspace(low: Value, high: Value) -> Value {
        json!({
            "workspace_members": ["low", "high"],
            "packages": [
                {"id": "low", "name": "low", "dependencies": low},
                {"id": "high", "name": "high", "dependencies": high},
                {"id": "bytes", "name": "bytes", "dependencies": []},
            ],
        })
    }

    #[test]
    fn an_arrow_downwards_is_legal_and_one_upwards_names_both_crates_and_the_rule() {
        let good =
            workspace(json!([]), json!([{"name": "low", "kind": null}, {"name": "tokio", "kind": null}]));
        assert!(check_rows(&good, TWO).is_empty());
        let bad = workspace(json!([{"name": "high", "kind": null}]), json!([]));
        assert_eq!(check_rows(&bad, TWO), ["`low` must not depend on `high`: low is low"]);
    }

    #[test]
    fn tests_may_point_upwards_only_where_listed() {
        let good = workspace(json!([{"name": "high", "kind": "dev"}]), json!([]));
        assert!(check_rows(&good, TWO).is_empty());
        let bad = workspace(json!([]), json!([{"name": "high", "kind": "dev"}]));
        assert_eq!(check_rows(&bad, TWO), ["`high` must not depend on `high` in its tests: high is high"]);
    }

    #[test]
    fn what_comes_from_outside_can_be_limited() {
        let good = workspace(
            json!([{"name": "bytes", "kind": null}, {"name": "proptest", "kind": "dev"}]),
            json!([]),
        );
        assert!(check_rows(&good, TWO).is_empty());
        let bad = workspace(json!([{"name": "tokio", "kind": null}]), json!([]));
        assert_eq!(check_rows(&bad, TWO), ["`low` must not depend on `tokio`: low is low"]);
    }

    #[test]
    fn a_crate_without_a_row_and_a_row_without_a_crate_are_errors() {
        let metadata = workspace(json!([]), json!([]));
        let found = check_rows(&metadata, &TWO[..1]);
        assert!(found[0].starts_with("crate `high` has no row"), "{found:?}");
        let mut metadata = metadata;
        metadata["workspace_members"] = json!(["low"]);
        let found = check_rows(&metadata, TWO);
        assert!(found[0].starts_with("row `high` of"), "{found:?}");
    }
}
