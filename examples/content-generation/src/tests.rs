//! The example, held to what it says: with a model that writes badly first.

use serde_json::json;
use streamnest_testing::{Golden, Script, TestApp, assert_events};

use super::*;

/// Long words in a long sentence.
const BAD: &str = "Institutional reorganisation necessitates interdepartmental communication.";
/// Short words in short sentences.
const GOOD: &str = "A log is a list. It grows. You read it.";

fn writes(drafts: &[&str]) -> ScriptedModel {
    drafts.iter().fold(ScriptedModel::new(), |model, draft| {
        model.script(Script::new().tokens(draft.split_inclusive(' ')))
    })
}

#[tokio::test(start_paused = true)]
async fn what_reads_badly_is_written_again() {
    let model = writes(&[BAD, GOOD]);
    let app = TestApp::of(AppModule).model(&model).start().await.expect("the modules are right");
    let run = app.run("ai-content-generation", json!({"prompt": "logs"})).await.expect("it comes to its end");
    assert_events!(
        run,
        [
            "status running",
            ..,
            "token generate_content",
            ..,
            "tool_start process_words",
            ..,
            "tool_complete process_words",
            ..,
            "quality quality_check again=true",
            ..,
            "node_start generate_content attempt=1 kind=\"llm\" visit=2",
            ..,
            "quality quality_check again=false",
            ..,
            "status completed",
        ]
    );
    assert_eq!(run.text(), format!("{BAD}{GOOD}"));
    assert_eq!(run.result()["drafts"], 2);
    assert_eq!(run.result()["content"], GOOD);
    // Each draft has a seed of its own.
    assert_eq!(model.calls().iter().map(|call| call.seed).collect::<Vec<_>>(), [Some(1), Some(2)]);
    Golden::new("tests/golden/two_drafts.json").check(&run).unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(start_paused = true)]
async fn after_three_drafts_the_last_one_stays() {
    let app = TestApp::of(AppModule).model(&writes(&[BAD, BAD, BAD])).start().await.expect("as above");
    let run = app.run("ai-content-generation", json!({"prompt": "logs"})).await.expect("it comes to its end");
    assert_events!(run, [.., "status completed"]);
    assert_eq!(run.result()["drafts"], 3);
}

#[tokio::test(start_paused = true)]
async fn the_offline_model_writes_it_as_well() {
    let app = TestApp::of(AppModule).start().await.expect("as above");
    let run =
        app.run("ai-content-generation", json!({"prompt": "Why a log?"})).await.expect("it comes to its end");
    assert_events!(run, [.., "progress process_words 100%", .., "status completed"]);
    assert!(!run.text_by("generate_content").is_empty());
}
