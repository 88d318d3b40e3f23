//! No option does nothing: each option of each attribute is tried, and its effect found in the log of a run.
//!
//! The list of options is the macros' own. An option that is added there without a proof here fails this test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

mod branches;
mod event;
mod injectable;
mod module;
mod node;
mod progress;
mod script;
mod state;
mod token;
mod workflow;

// The macros' list needs nothing but `core`, so that it can be read here as it stands.
#[path = "../../crates/macros/src/options.rs"]
mod list;

use list::{ATTRIBUTES, Attribute, Opt};

/// Every option as `attribute.option`, or `attribute.group.option`.
fn options() -> Vec<String> {
    fn walk(prefix: &str, options: &[Opt], found: &mut Vec<String>) {
        for option in options {
            let name = format!("{prefix}.{}", option.name);
            assert!(option.example.starts_with(option.name), "{name}: `{}`", option.example);
            walk(&name, option.options, found);
            found.push(name);
        }
    }
    let mut found = Vec::new();
    for Attribute { name, options } in ATTRIBUTES {
        walk(name, options, &mut found);
    }
    found
}

#[tokio::test(start_paused = true)]
async fn every_option_of_every_attribute_has_its_effect() {
    let options = options();
    for option in &options {
        let (attribute, rest) = option.split_once('.').unwrap();
        let proven = match attribute {
            "workflow" => workflow::prove(rest).await,
            "node" => node::prove(rest).await,
            "stream_token" => token::prove(rest).await,
            "stream_event" => event::prove(rest).await,
            "stream_progress" => progress::prove(rest).await,
            "stream_all" => prove_all(rest, &options).await,
            "module" => module::prove(rest).await,
            "injectable" => injectable::prove(rest).await,
            "inject" => injectable::prove_field(rest).await,
            "state" => state::prove(rest).await,
            _ => false,
        };
        assert!(proven, "option `{option}` has no proof of its effect");
    }
    assert!(options.len() > 100, "{} options were tried", options.len());
}

/// The groups of `#[stream_all]` are tried here; what stands in them is read by the same code as the three attributes,
/// so that the proof of the attribute's option is the proof of the group's.
async fn prove_all(option: &str, all: &[String]) -> bool {
    let (group, inner) = option.split_once('.').unwrap_or((option, ""));
    if !inner.is_empty() {
        return all.contains(&format!("stream_{group}.{inner}"));
    }
    match group {
        "token" => token::prove_group().await,
        "event" => event::prove_group().await,
        "progress" => progress::prove_group().await,
        _ => return false,
    }
    true
}
