//! The messages and the forms of the attributes, held by the compiler itself.
//!
//! `ui/<attribute>/fail` has one mistake a file, and beside it what the compiler says; `ui/<attribute>/pass` has forms
//! that must compile, and runs them. After a change of a message, `TRYBUILD=overwrite cargo test -p streamnest-tests
//! --test ui` writes the new ones; read them before they are committed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

// The macros' list needs nothing but `core`, so that it can be read here as it stands.
#[path = "../crates/macros/src/options.rs"]
#[expect(dead_code, reason = "the names are enough here")]
mod options;

use std::{collections::BTreeSet, fs, path::PathBuf};

use options::{ATTRIBUTES as ALL, Opt};

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

/// Apart from the forms: `trybuild` has the compiler look at all mistakes at once only if nothing is to be run.
#[test]
fn every_mistake_has_its_message() {
    let cases = trybuild::TestCases::new();
    ATTRIBUTES.iter().for_each(|attribute| cases.compile_fail(format!("ui/{attribute}/fail/*.rs")));
}

#[test]
fn every_form_compiles() {
    let cases = trybuild::TestCases::new();
    ATTRIBUTES.iter().for_each(|attribute| cases.pass(format!("ui/{attribute}/pass/*.rs")));
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
        // The compiler may repeat itself, in the same words at the same place.
        let begins = |line: &str| line.starts_with("error") || line.starts_with("warning");
        let messages = text.lines().zip(text.lines().skip(1)).filter(|(line, _)| begins(line));
        assert_eq!(messages.collect::<BTreeSet<_>>().len(), 1, "{}:\n{text}", path.display());
    }
}

/// The lines of the user's code that a message marks, each with the folder of its attribute.
fn marked() -> Vec<(String, String)> {
    let mut marked = Vec::new();
    for path in files("fail", "stderr") {
        let folder = path.parent().and_then(|fail| fail.parent()).and_then(|folder| folder.file_name());
        let folder = folder.unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        for (line, mark) in text.lines().zip(text.lines().skip(1)) {
            let code = line.split_once('|').filter(|(number, _)| number.trim().parse::<u32>().is_ok());
            if let Some((_, code)) = code.filter(|_| mark.contains('^')) {
                marked.push((folder.clone(), code.to_owned()));
            }
        }
    }
    marked
}

fn holds_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

#[test]
fn every_option_of_every_attribute_has_a_mistake_whose_message_marks_it() {
    fn walk(attribute: &str, options: &[Opt], marked: &[(String, String)], missing: &mut Vec<String>) {
        for option in options {
            // `#[inject]` stands on the fields of an `#[injectable]`.
            let folder = if attribute == "inject" { "injectable" } else { attribute };
            if !marked.iter().any(|(of, code)| of == folder && holds_word(code, option.name)) {
                missing.push(format!("{attribute}.{}", option.name));
            }
            // What stands in the groups of `#[stream_all]` is read by the code of the three attributes.
            if attribute != "stream_all" {
                walk(attribute, option.options, marked, missing);
            }
        }
    }
    let (marked, mut missing) = (marked(), Vec::new());
    ALL.iter().for_each(|attribute| walk(attribute.name, attribute.options, &marked, &mut missing));
    assert!(missing.is_empty(), "no message marks a mistake in {missing:?}");
}
