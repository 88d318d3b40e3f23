use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::future::join;
use proptest::prelude::*;
use streamnest_core::{BoxFuture, NodePort, ScopeExt as _};
use tokio::{sync::Semaphore, time::timeout};

use super::*;
use crate::{ChatModel, ChatModelExt as _, FinishReason, Script, ScriptedModel};

/// A node that writes down what it is given.
struct Node {
    messages: Mutex<Vec<Message>>,
    reports: Mutex<Vec<String>>,
    /// How many tokens it has room for.
    room: Semaphore,
}

#[derive(Clone, Debug)]
struct Message {
    origin: MessageOrigin,
    tokens: Vec<TokenDelta>,
    end: End,
}

#[derive(Clone, PartialEq, Debug)]
enum End {
    Open,
    Finished(Option<Usage>),
    BrokenOff,
}

impl Message {
    fn text(&self) -> String {
        self.tokens.iter().map(|token| token.content.as_str()).collect()
    }
}

/// A message of a [`Node`], by its index.
struct Sink(Arc<Node>, usize);

impl Node {
    fn new() -> Arc<Self> {
        Self::with_room(Semaphore::MAX_PERMITS)
    }

    fn with_room(tokens: usize) -> Arc<Self> {
        Arc::new(Self { messages: Mutex::default(), reports: Mutex::default(), room: Semaphore::new(tokens) })
    }

    fn scope(self: &Arc<Self>) -> Scope {
        Scope::new(Arc::new(Port(Arc::clone(self))))
    }

    fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    fn texts(&self) -> Vec<String> {
        self.messages().iter().map(Message::text).collect()
    }

    fn end(&self) -> End {
        self.messages().last().expect("a message was opened").end.clone()
    }
}

struct Port(Arc<Node>);

impl NodePort for Port {
    fn open_message(&self, origin: MessageOrigin) -> Box<dyn MessageSink> {
        let mut messages = self.0.messages.lock().unwrap();
        messages.push(Message { origin, tokens: Vec::new(), end: End::Open });
        Box::new(Sink(Arc::clone(&self.0), messages.len() - 1))
    }
    fn model_called_without_scope(&self, model: &str) {
        self.0.reports.lock().unwrap().push(model.to_owned());
    }
}

impl MessageSink for Sink {
    fn token(&mut self, token: TokenDelta) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.0.room.acquire().await.unwrap().forget();
            self.0.messages.lock().unwrap()[self.1].tokens.push(token);
        })
    }
    fn finish(self: Box<Self>, usage: Option<Usage>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.0.messages.lock().unwrap()[self.1].end = End::Finished(usage) })
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        let end = &mut self.0.messages.lock().unwrap()[self.1].end;
        if *end == End::Open {
            *end = End::BrokenOff;
        }
    }
}

fn scripted(script: Script) -> ScriptedModel {
    ScriptedModel::new().script(script)
}

#[tokio::test]
async fn a_node_receives_exactly_the_tokens_and_then_the_usage() {
    let node = Node::new();
    let model = scripted(Script::new().tokens(["Hel", "lo", " ", "wörld"]).usage(3, 4));
    let answer = async { model.generate("hello?").await }.in_scope(node.scope()).await.unwrap();
    assert_eq!(answer.text, "Hello wörld");
    let [message] = &node.messages()[..] else { panic!("one call is one message") };
    let origin = MessageOrigin { model: Some("scripted".into()), role: Some("assistant".into()) };
    assert_eq!(message.origin, origin);
    assert_eq!(message.tokens, ["Hel", "lo", " ", "wörld"].map(TokenDelta::from));
    let usage = Usage { input_tokens: 3, output_tokens: 4, estimated: false };
    assert_eq!(message.end, End::Finished(Some(usage.clone())));
    assert_eq!(answer.usage, Some(usage));
}

#[tokio::test(start_paused = true)]
async fn the_first_token_reaches_the_node_while_the_model_still_speaks() {
    let node = Node::new();
    let model = scripted(Script::new().token("early").delay(Duration::from_secs(60)).token(" late"));
    let call = tokio::spawn(async move { model.generate("").await }.in_scope(node.scope()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.texts(), ["early"]);
    assert_eq!(node.end(), End::Open);
    assert_eq!(call.await.unwrap().unwrap().text, "early late");
    assert_eq!(node.end(), End::Finished(None));
}

#[tokio::test]
async fn the_scope_is_the_one_that_stands_when_the_method_is_called() {
    let (caller, poller) = (Node::new(), Node::new());
    let model = ScriptedModel::new().answer("by task").answer("by another node");
    let spawned = caller.scope().enter(|| model.generate(""));
    tokio::spawn(spawned).await.unwrap().unwrap();
    let called = caller.scope().enter(|| model.stream(""));
    called.count().in_scope(poller.scope()).await;
    assert_eq!(caller.texts(), ["by task", "by another node"]);
    assert!(poller.messages().is_empty());
}

#[tokio::test]
async fn without_a_scope_at_the_call_the_one_that_polls_counts() {
    let node = Node::new();
    let model = ScriptedModel::new().answer("generated").answer("streamed");
    let (whole, pieces) = (model.generate(""), model.stream(""));
    whole.in_scope(node.scope()).await.unwrap();
    pieces.count().in_scope(node.scope()).await;
    assert_eq!(node.texts(), ["generated", "streamed"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_any_scope_is_reported_once_and_answers_all_the_same() {
    let node = Node::new();
    let port: Arc<dyn NodePort> = Arc::new(Port(Arc::clone(&node)));
    Scope::announce(&port);
    let script = Script::new().paced(Duration::from_secs(1), ["one", " two", " three"]);
    let model = ScriptedModel::new().with_name("lost").script(script.clone()).script(script);
    let reports = || node.reports.lock().unwrap().iter().filter(|model| *model == "lost").count();

    let call = model.generate("");
    assert_eq!(reports(), 0, "what is not polled calls nobody");
    assert_eq!(call.await.unwrap().text, "one two three");
    assert_eq!(reports(), 1);
    assert_eq!(model.stream("").count().await, 4);
    assert_eq!(reports(), 2);
    assert!(node.messages().is_empty());

    let found = Node::new();
    async { model.answer("seen").generate("").await }.in_scope(found.scope()).await.unwrap();
    assert_eq!(reports(), 2, "a call with a scope is not reported");
}

#[tokio::test(start_paused = true)]
async fn two_calls_at_once_in_one_node_are_two_messages_that_do_not_mix() {
    let node = Node::new();
    let slow = Script::new().paced(Duration::from_millis(30), ["s", "l", "o", "w"]);
    let fast = Script::new().paced(Duration::from_millis(20), ["f", "a", "s", "t"]);
    let model = ScriptedModel::new().script(slow).script(fast);
    let both = async { join(model.generate("a"), model.generate("b")).await };
    let (slow, fast) = both.in_scope(node.scope()).await;
    assert_eq!((slow.unwrap().text.as_str(), fast.unwrap().text.as_str()), ("slow", "fast"));
    assert_eq!(node.texts(), ["slow", "fast"]);
}

#[tokio::test(start_paused = true)]
async fn a_full_node_holds_the_model_back() {
    let node = Node::with_room(2);
    let model = scripted(Script::new().tokens(["a", "b", "c", "d"]));
    let mut stream = node.scope().enter(|| model.stream(""));
    assert_eq!(stream.next().await.unwrap().unwrap(), Delta::Token("a".into()));
    assert_eq!(stream.next().await.unwrap().unwrap(), Delta::Token("b".into()));
    assert!(timeout(Duration::from_secs(60), stream.next()).await.is_err(), "the third waits for room");
    node.room.add_permits(1);
    assert_eq!(
        stream.next().await.unwrap().unwrap(),
        Delta::Token("c".into()),
        "and is not lost by the wait"
    );
    assert_eq!(node.texts(), ["abc"]);

    let node = Node::with_room(2);
    let model = scripted(Script::new().tokens(["a", "b", "c", "d"]));
    let whole = node.scope().enter(|| model.generate(""));
    assert!(timeout(Duration::from_secs(60), whole).await.is_err());
    assert_eq!(node.texts(), ["ab"]);
}

#[tokio::test(start_paused = true)]
async fn dropping_a_call_drops_the_models_stream_and_breaks_the_message_off() {
    let node = Node::new();
    let model = ScriptedModel::new()
        .script(Script::new().token("so").hang())
        .script(Script::new().tokens(["so", " far"]).hang());
    let whole = node.scope().enter(|| model.generate(""));
    assert!(timeout(Duration::from_secs(1), whole).await.is_err());
    assert_eq!((model.drops(), node.end()), (1, End::BrokenOff));

    let mut pieces = node.scope().enter(|| model.stream(""));
    pieces.next().await.unwrap().unwrap();
    assert_eq!(model.drops(), 1, "it is still read");
    drop(pieces);
    assert_eq!((model.drops(), node.end()), (2, End::BrokenOff));
    assert_eq!(node.texts(), ["so", "so"]);
}

#[tokio::test]
async fn an_error_breaks_the_message_off_and_is_the_last_item() {
    let node = Node::new();
    let script = Script::new().token("half").error(Error::provider("scripted", true, "502"));
    let model = ScriptedModel::new().script(script.clone()).script(script);
    let error = node.scope().enter(|| model.generate("")).await.unwrap_err();
    assert!(matches!(error, Error::Provider { retryable: true, .. }));
    assert_eq!((node.texts().concat().as_str(), node.end()), ("half", End::BrokenOff));

    let mut stream = node.scope().enter(|| model.stream(""));
    assert!(stream.next().await.unwrap().is_ok());
    assert!(stream.next().await.unwrap().is_err());
    assert_eq!(node.end(), End::BrokenOff);
    assert!(stream.next().await.is_none());
    assert!(stream.next().await.is_none());
    assert_eq!(model.drops(), 0, "what has failed was not dropped before its end");
}

#[tokio::test]
async fn half_an_answer_is_never_taken_for_a_whole_one() {
    let node = Node::new();
    let model = scripted(Script::new().token("half").break_off());
    let error = node.scope().enter(|| model.generate("")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "stream of model `scripted` ended before its answer was finished; try again"
    );
    assert_eq!(node.end(), End::BrokenOff);
}

#[tokio::test]
async fn usage_may_follow_the_finish_and_nothing_else_may() {
    let finished = || Script::new().token("done").usage(1, 1).finish(FinishReason::Stop);
    let answer = scripted(finished().usage(5, 1)).generate("").await.unwrap();
    assert_eq!(answer.usage.unwrap().input_tokens, 5, "the last one counts");
    for (script, what) in [
        (finished().token("!"), "a token"),
        (finished().tool_call("c", "f", serde_json::json!({})), "a tool call"),
        (finished().finish(FinishReason::Length), "a second finish"),
    ] {
        let node = Node::new();
        let error = node.scope().enter(|| scripted(script).generate("")).await.unwrap_err();
        let expected = format!("stream of model `scripted` is malformed: {what} came after its finish");
        assert_eq!(error.to_string(), expected);
        assert_eq!(node.end(), End::BrokenOff);
    }
}

#[tokio::test]
async fn the_raw_stream_of_a_call_passes_no_node() {
    let node = Node::new();
    let model = ScriptedModel::new().answer("unseen");
    async { model.call("".into()).count().await }.in_scope(node.scope()).await;
    assert!(node.messages().is_empty());
}

#[tokio::test]
async fn a_model_behind_a_trait_object_generates_and_streams_across_threads() {
    fn sent<T: Send + 'static>(value: T) -> T {
        value
    }
    let model: Arc<dyn ChatModel> =
        Arc::new(ScriptedModel::new().answer("one").answer("two").answer("three"));
    let prompt = String::from("count");
    assert_eq!(sent(model.generate(&prompt)).await.unwrap().text, "one");
    assert_eq!(sent(model.stream(prompt)).count().await, 2);
    assert_eq!((*model).generate("again").await.unwrap().text, "three");
    assert_eq!(format!("{model:?}"), "ChatModel { name: \"scripted\", .. }");
}

/// Any script that ends well: texts of any characters, blanks and empty ones, with pauses, usage and tool calls between.
fn any_script() -> impl Strategy<Value = Script> {
    let step = prop_oneof![
        4 => any::<String>().prop_map(|text| Script::new().token(text)),
        2 => "[ \n\t]{0,3}".prop_map(|blank| Script::new().token(blank)),
        1 => "(\\PC| ){0,40}".prop_map(|text| Script::new().text(&text)),
        1 => (0..5_u64).prop_map(|millis| Script::new().delay(Duration::from_millis(millis))),
        1 => (0..9_u64, 0..9_u64).prop_map(|(input, output)| Script::new().usage(input, output)),
        1 => any::<String>().prop_map(|id| Script::new().tool_call(id, "tool", serde_json::json!({}))),
    ];
    prop::collection::vec(step, 0..30).prop_map(|parts| parts.into_iter().fold(Script::new(), Script::then))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn the_concatenation_of_the_deltas_is_the_answer_for_any_script(script in any_script()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let node = Node::new();
            let model = ScriptedModel::new().script(script.clone()).script(script.clone()).script(script);
            let (answer, streamed) = async {
                let answer = model.generate("").await.unwrap();
                let streamed: Vec<_> = model.stream("").map(Result::unwrap).collect().await;
                (answer, streamed)
            }.in_scope(node.scope()).await;
            let raw: Vec<_> = model.call("".into()).map(Result::unwrap).collect().await;
            assert_eq!(streamed, raw, "the stream is the model's, unchanged");
            let text: String = raw.iter().filter_map(|delta| match delta {
                Delta::Token(token) => Some(token.content.as_str()),
                _ => None,
            }).collect();
            assert_eq!(text, answer.text);
            assert_eq!(node.texts(), [text.clone(), text]);
            assert_eq!(node.end(), End::Finished(answer.usage));
            assert_eq!(model.drops(), 0);
        });
    }
}
