use std::time::Duration;

use futures_util::StreamExt as _;
use proptest::prelude::*;
use tokio::time::{Instant, timeout};

use super::*;
use crate::{ChatModelExt as _, FinishReason};

#[tokio::test]
async fn calls_take_the_scripts_in_their_order_and_are_remembered() {
    let model = ScriptedModel::new().answer("first").answer("second");
    let handle = model.clone();
    assert_eq!(model.generate("one").await.unwrap().text, "first");
    handle.push(Script::from("third"));
    assert_eq!(model.generate("two").await.unwrap().text, "second");
    let request = ChatRequest::from("three").with_seed(3);
    assert_eq!(model.generate(request.clone()).await.unwrap().text, "third");
    assert_eq!(handle.calls(), [ChatRequest::from("one"), ChatRequest::from("two"), request]);
    assert_eq!(handle.remaining(), 0);
}

#[tokio::test]
async fn a_call_too_many_says_how_many_there_may_be() {
    let model = ScriptedModel::new().with_name("writer").answer("only");
    model.generate("").await.unwrap();
    let error = model.generate("").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "model `writer` was called 2 times and has 1 scripts; add one for each call"
    );
    assert_eq!((error.code(), error.is_retryable()), ("model_script_exhausted", false));
    assert_eq!(model.calls().len(), 1);
    assert_eq!(model.drops(), 0);
}

#[tokio::test(start_paused = true)]
async fn delays_take_exactly_their_time() {
    let script =
        Script::new().paced(Duration::from_millis(250), ["a", "b"]).delay(Duration::from_secs(1)).token("c");
    let mut stream = ScriptedModel::new().script(script).stream("");
    let began = Instant::now();
    let mut times = Vec::new();
    while let Some(delta) = stream.next().await {
        if let Delta::Token(token) = delta.unwrap() {
            times.push((token.content, began.elapsed().as_millis()));
        }
    }
    assert_eq!(times, [("a".into(), 250), ("b".into(), 500), ("c".into(), 1500)]);
}

#[tokio::test(start_paused = true)]
async fn a_hanging_script_never_ends_by_itself() {
    let model = ScriptedModel::new().script(Script::new().token("wait").hang().token("never"));
    let mut stream = model.call("".into());
    assert!(stream.next().await.is_some());
    assert!(timeout(Duration::from_secs(365 * 86_400), stream.next()).await.is_err());
    assert_eq!(model.drops(), 0);
    drop(stream);
    assert_eq!(model.drops(), 1);
}

#[tokio::test]
async fn only_streams_that_had_more_to_say_count_as_dropped() {
    let model = ScriptedModel::new();
    for _ in 0..4 {
        model.push(Script::new().token("a").token("b"));
    }
    model.push(Script::new().error(Error::NoMessages { model: "scripted".into() }));
    drop(model.call("".into()));
    assert_eq!(model.drops(), 1, "never polled");
    let mut stream = model.call("".into());
    stream.next().await;
    drop(stream);
    assert_eq!(model.drops(), 2, "half read");
    let mut stream = model.call("".into());
    while stream.next().await.is_some() {}
    assert!(stream.next().await.is_none(), "polled after its end");
    drop(stream);
    model.generate("").await.unwrap();
    model.generate("").await.unwrap_err();
    assert_eq!(model.drops(), 2, "read to the end, or failed");
}

#[tokio::test]
async fn an_answer_ends_as_its_script_says_or_implies() {
    let tool = || Script::new().tool_call("c", "search", serde_json::json!({"q": 1}));
    for (script, finish) in [
        (Script::new(), FinishReason::Stop),
        (Script::from("text"), FinishReason::Stop),
        (tool(), FinishReason::ToolCalls),
        (tool().finish(FinishReason::Stop), FinishReason::Stop),
        (Script::from("too long").finish(FinishReason::Length).usage(1, 2), FinishReason::Length),
    ] {
        let answer = ScriptedModel::new().script(script).generate("").await.unwrap();
        assert_eq!(answer.finish, finish);
    }
    let model = ScriptedModel::new().script(Script::from("cut").break_off());
    assert!(matches!(model.generate("").await, Err(Error::BrokenOff { .. })));
}

fn tokens(script: Script) -> Vec<String> {
    let token = |step| match step {
        ScriptStep::Say(Delta::Token(token)) => Some(token.content),
        _ => None,
    };
    script.into_steps().into_iter().filter_map(token).collect()
}

#[test]
fn a_text_becomes_words_with_their_leading_blanks() {
    assert_eq!(tokens("To be,  or\nnot ".into()), ["To", " be,", "  or", "\nnot", " "]);
    assert_eq!(tokens("  ".into()), ["  "]);
    assert!(tokens("".into()).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_character_of_a_text_is_lost(text in "(\\PC| |\n|\u{2003}){0,60}") {
        let tokens = tokens(Script::from(text.as_str()));
        prop_assert_eq!(tokens.concat(), text);
        prop_assert!(tokens.iter().all(|token| !token.is_empty()));
    }
}
