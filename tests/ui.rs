//! The messages and the forms of the attributes, held by the compiler itself.
//!
//! `ui/<attribute>/fail` has one mistake a file, and beside it what the compiler says; `ui/<attribute>/pass` has forms
//! that must compile, and runs them. After a change of a message, `TRYBUILD=overwrite cargo test -p streamnest-tests
//! --test ui` writes the new ones; read them before they are committed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use std::{fs, path::PathBuf};

const ATTRIBUTES: [&str; 9] = [
    "injectable",
    "module",
    "node",
    "state",
    "stream_all",
    "stream_event",
    "stream_progress",
    "stream_token",
    "workflow",
];

#[test]
fn every_mistake_has_its_message_and_every_form_compiles() {
    let cases = trybuild::TestCases::new();
    for attribute in ATTRIBUTES {
        cases.compile_fail(format!("ui/{attribute}/fail/*.rs"));
        cases.pass(format!("ui/{attribute}/pass/*.rs"));
    }
    cases.pass("ui/by_hand.rs");
    cases.pass("ui/hygiene.rs");
}

/// The files of one kind under every attribute.
fn files(kind: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for attribute in ATTRIBUTES {
        let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "ui", attribute, kind].iter().collect();
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let paths = entries.map(|entry| entry.unwrap().path());
        found.extend(paths.filter(|path| path.extension().is_some_and(|found| found == extension)));
    }
    found
}

#[test]
fn a_file_tells_one_mistake_in_one_message() {
    let told = files("fail", "stderr");
    assert!(told.len() >= 45, "{} messages are held", told.len());
    assert_eq!(told.len(), files("fail", "rs").len(), "each mistake stands beside its message");
    assert!(files("pass", "rs").len() >= 22, "{} forms are held", files("pass", "rs").len());
    for path in told {
        let text = fs::read_to_string(&path).unwrap();
        let messages = text.lines().filter(|line| line.starts_with("error") || line.starts_with("warning"));
        assert_eq!(messages.count(), 1, "{}:\n{text}", path.display());
    }
}
