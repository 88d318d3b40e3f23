//! The test kit, tested on a workflow that says little.
#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

use std::time::Duration;

use serde_json::json;
use streamnest::{
    core::{ExecutionId, Status},
    prelude::*,
};
use streamnest_testing::{Error, Golden, PausedClock, Script, TestApp, TestAppBuilder, assert_events};

#[derive(State, Clone, Serialize)]
struct Draft {
    topic: String,
    #[state(default)]
    text: String,
}

#[injectable]
struct Author {
    model: Arc<dyn ChatModel>,
}

#[workflow(name = "draft", state = Draft)]
impl Author {
    #[node(kind = "llm", start)]
    #[stream_token(buffer_size = 1)]
    async fn write(&self, state: &Draft, ctx: &NodeContext) -> NodeResult<DraftUpdate> {
        ctx.emit("asked", json!({"of": ctx.execution_id(), "at": "2026-11-25T17:00:00.000000Z"})).await?;
        Ok(DraftUpdate::new().text(self.model.generate(state.topic.as_str()).await?.text))
    }

    #[node(after = "write")]
    async fn wait(&self, _: &Draft) -> NodeResult<()> {
        tokio::time::sleep(Duration::from_secs(30)).await;
        Ok(())
    }
}

#[module(providers(Author, OfflineModel as dyn ChatModel), workflows(Author))]
struct AppModule;

fn app(model: &ScriptedModel) -> TestAppBuilder {
    TestApp::of(AppModule).model(model)
}

fn input() -> serde_json::Value {
    json!({"topic": "logs"})
}

#[tokio::test(start_paused = true)]
async fn a_run_is_told_line_by_line_and_held_to_what_is_expected() {
    let model = ScriptedModel::new().script(Script::new().tokens(["A ", "log."]));
    let app = app(&model).start().await.unwrap();
    let run = app.run("draft", input()).await.unwrap();
    assert_events!(
        run,
        [
            "status running",
            "workflow_start",
            "node_start write",
            ..,
            "token write \"A \"",
            "token write \"log.\"",
            ..,
            "node_complete write",
            "node_start wait",
            ..,
            "workflow_end",
            "status completed",
        ]
    );
    assert_eq!((run.text().as_str(), run.text_by("wait")), ("A log.", String::new()));
    assert_eq!((run.status(), run.failure()), (Status::Completed, None));
    assert_eq!(run.result()["text"], "A log.");
    assert_eq!(model.calls().len(), 1);
    // Half a minute passed in no time, and the log says so.
    let times: Vec<_> = run.entries().iter().map(|entry| entry.time()).collect();
    assert_eq!(times.last().unwrap().since(times[0]), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn what_is_expected_in_vain_is_told_with_the_whole_run() {
    let model = ScriptedModel::new().answer("A log.");
    let run = app(&model).start().await.unwrap().run("draft", input()).await.unwrap();
    let told = std::panic::catch_unwind(|| {
        assert_events!(run, ["status running", .., "token write \"A lock.\"", ..])
    });
    let told = told.unwrap_err().downcast::<String>().unwrap();
    assert!(told.starts_with("run does not say `token write \"A lock.\"`, expectation 3 of 4"), "{told}");
    assert!(told.contains("   1  status running"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_run_is_followed_to_a_point_and_stopped_there() {
    let model = ScriptedModel::new().script(Script::new().token("A ").hang());
    let app = app(&model).start().await.unwrap();
    let mut run = app.start("draft", input()).await.unwrap();
    assert_eq!(run.until("token write").await.unwrap(), "token write \"A \"");
    run.cancel("enough").await;
    let run = run.finish().await.unwrap();
    assert_events!(run, [.., "status cancelled enough"]);
    assert_eq!(model.drops(), 1, "the model's call was dropped");
    assert_eq!(run.result(), json!(null));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_waits_for_ever_or_ends_early_is_told_with_what_it_said() {
    let model = ScriptedModel::new().script(Script::new().token("A ").hang()).answer("B");
    let app = app(&model).patience(Duration::from_secs(40)).start().await.unwrap();
    let error = app.run("draft", input()).await.unwrap_err();
    assert_eq!(error.code(), "run_stuck");
    assert!(error.to_string().contains("40s"), "{error}");
    assert!(error.to_string().contains("token write \"A \""), "{error}");

    let mut run = app.start_as(ExecutionId::new("second").unwrap(), "draft", input()).await.unwrap();
    let error = run.until("token write \"C\"").await.unwrap_err();
    assert_eq!(error.code(), "run_ended");
    assert_eq!(run.transcript().execution_id().as_str(), "second");
    assert!(matches!(app.run("drafts", input()).await, Err(Error::Start(_))));
}

#[tokio::test(start_paused = true)]
async fn a_golden_run_is_the_same_on_another_day_and_a_difference_is_told_by_lines() {
    let run = |text: &'static str| async move {
        let model = ScriptedModel::new().script(Script::new().tokens(text.split_inclusive(' ')));
        app(&model).start().await.unwrap().run("draft", input()).await.unwrap()
    };
    // Another execution id and other durations, and the same file.
    let golden = Golden::new("tests/golden/draft.json");
    golden.check(&run("A log is enough.").await).unwrap();
    golden.check(&run("A log is enough.").await).unwrap();
    let error = golden.clone().update(false).check(&run("A log is much.").await).unwrap_err();
    assert_eq!(error.code(), "not_golden");
    let told = error.to_string();
    assert!(told.contains("STREAMNEST_GOLDEN=update"), "{told}");
    let changed: Vec<_> = told.lines().filter(|line| line.starts_with(['-', '+'])).collect();
    assert!(changed.iter().any(|line| line.starts_with('-') && line.contains("enough.")), "{told}");
    assert!(changed.iter().any(|line| line.starts_with('+') && line.contains("much.")), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_golden_run_is_written_only_when_it_is_asked_for() {
    let model = ScriptedModel::new().answer("A log.");
    let run = app(&model).start().await.unwrap().run("draft", input()).await.unwrap();
    let path = std::env::temp_dir().join(format!("streamnest-golden-{}/new.json", std::process::id()));
    let golden = Golden::new(&path).update(false);
    assert_eq!(golden.check(&run).unwrap_err().code(), "no_golden");
    golden.clone().update(true).check(&run).unwrap();
    golden.check(&run).unwrap();
    let written: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let asked = written.as_array().unwrap().iter().find(|entry| entry["type"] == "asked").unwrap();
    assert_eq!(asked["data"], json!({"of": "<execution>", "at": "<time>"}));
    std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_paused_clock_stands_and_leaps_with_time() {
    use streamnest::core::Clock as _;
    let clock = PausedClock::new();
    let began = clock.now();
    assert_eq!(&began.to_rfc3339()[..20], b"2030-01-01T00:00:00.");
    assert_eq!(clock.now(), began);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(clock.now().since(began), Duration::from_secs(3600));
}
