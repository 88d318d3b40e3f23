use super::*;
use crate::Script;

fn piece(id: &str, name: Option<&str>, arguments: &str) -> Delta {
    Delta::ToolCall(ToolCallDelta {
        id: id.into(),
        name: name.map(str::to_owned),
        arguments: arguments.into(),
    })
}

fn assemble(deltas: impl IntoIterator<Item = Delta>) -> Result<ChatAnswer, Error> {
    let mut assembly = Assembly::new("test");
    for delta in deltas {
        assembly.take(&delta)?;
    }
    assembly.finish()
}

#[test]
fn pieces_of_tool_calls_are_joined_by_their_id_also_when_they_alternate() {
    let answer = assemble([
        piece("a", Some("search"), "{\"q\":"),
        piece("b", Some("add"), "{\"x\":1"),
        piece("a", None, "\"logs\"}"),
        piece("b", None, "}"),
        Delta::Finish(FinishReason::ToolCalls),
    ])
    .unwrap();
    let calls: Vec<_> = answer
        .tool_calls
        .iter()
        .map(|call| (call.id.as_str(), call.name.as_str(), call.arguments.as_str()))
        .collect();
    assert_eq!(calls, [("a", "search", "{\"q\":\"logs\"}"), ("b", "add", "{\"x\":1}")]);
    assert_eq!(answer.tool_calls[1].parse::<serde_json::Value>().unwrap()["x"], 1);
}

#[test]
fn a_tool_call_that_begins_without_a_name_is_malformed() {
    let error = assemble([piece("a", None, "{}")]).unwrap_err();
    assert_eq!(error.to_string(), "stream of model `test` is malformed: tool call `a` begins without a name");
}

#[test]
fn tool_calls_without_end_are_malformed() {
    let calls = (0..).map(|n: u32| piece(&n.to_string(), Some("again"), ""));
    let error = assemble(calls).unwrap_err();
    assert!(error.to_string().ends_with("more than 256 tool calls in one answer"), "{error}");
}

#[test]
fn an_answer_without_a_finish_is_broken_off() {
    let error = assemble([Delta::Token("half a".into())]).unwrap_err();
    assert!(matches!(error, Error::BrokenOff { .. }));
    assert!(error.is_retryable());
}

#[test]
fn arguments_that_are_not_json_say_so_and_none_at_all_are_an_empty_object() {
    let call = |arguments: &str| ToolCall { id: "c".into(), name: "add".into(), arguments: arguments.into() };
    let error = call("{\"x\":").parse::<serde_json::Value>().unwrap_err();
    assert_eq!(error.code(), "model_tool_arguments");
    assert!(std::error::Error::source(&error).is_some());
    assert_eq!(call(" ").parse::<serde_json::Value>().unwrap(), serde_json::json!({}));
}

#[tokio::test]
async fn reasoning_stands_beside_the_text_and_not_in_it() {
    use crate::{ChatModelExt as _, ScriptedModel};
    let script = Script::new().reasoning("Is it? ").reasoning("It is.").text("Yes, it is.");
    let answer = ScriptedModel::new().script(script).generate("Is it?").await.unwrap();
    assert_eq!(answer.text, "Yes, it is.");
    assert_eq!(answer.reasoning, "Is it? It is.");
}
