//! The services together, as a program without workflows uses them, followed over real sockets.

use std::time::Duration;

use ::services::{Radio, archive};
use serde_json::{Value, json};
use streamnest::{core::TokenDelta, gateway::GatewayOptions, prelude::*};
use streamnest_tests::{http, server::Server, socket::Socket};

async fn server() -> Server {
    // Nobody is waited for when a server stops.
    let options = GatewayOptions::default()
        .with_drain_grace(Duration::from_millis(100))
        .with_drain_jitter(Duration::from_millis(50));
    Server::start(Streamnest::builder().gateway_options(options)).await
}

fn id(text: &str) -> ExecutionId {
    ExecutionId::new(text).unwrap()
}

/// Everything that an execution says, from its start to its end.
async fn follow(server: &Server, execution: &str) -> Vec<Value> {
    let mut socket = Socket::connect(server.address).await;
    socket.subscribe(execution, json!({})).await;
    socket.entries().await
}

fn text_of(entries: &[Value], node: &str) -> String {
    let of_node = entries.iter().filter(|entry| entry["type"] == "token" && entry["nodeId"] == node);
    of_node.map(|entry| entry["payload"]["content"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_program_without_a_workflow_is_followed_like_a_run() {
    let server = server().await;
    let archived = archive(&server.app);
    let radio = Radio { model: OfflineModel::default(), pause: Duration::ZERO };
    let mut listener = Socket::connect(server.address).await;
    listener.subscribe_waiting("programme").await;
    radio.send(&server.app, &id("programme"), "Why is a log enough?").await.unwrap();
    let entries = listener.entries().await;
    assert_eq!(text_of(&entries, "weather"), "And now the weather: sunny with a chance of tokens.");
    let host = text_of(&entries, "host");
    assert!(host.split_whitespace().count() > 10, "{host}");
    assert_eq!(entries.last().unwrap()["payload"]["status"], "completed");
    let late = follow(&server, "programme").await;
    assert_eq!(late, entries, "whoever comes late hears the same");
    let (status, shown) = http::json(server.address, "GET", "/executions/programme", &[], None).await;
    assert_eq!((status.as_u16(), &shown["workflow"]), (200, &json!("token-streaming")));
    archived.stop().await;
}

#[tokio::test]
async fn a_client_cancels_and_deletes_what_no_workflow_runs() {
    let server = server().await;
    let tokens = server.app.token_streaming();
    let stream =
        tokens.initialize_token_stream(&id("chat"), "answer", TokenOptions::default()).await.unwrap();
    stream.token("first").await.unwrap();
    let (status, _) = http::json(server.address, "DELETE", "/executions/chat", &[], Some(&json!({}))).await;
    assert_eq!(status.as_u16(), 409, "it goes on");
    http::json(server.address, "POST", "/executions/chat/cancel", &[], Some(&json!({"reason": "enough"})))
        .await;
    assert_eq!(stream.token("late").await.unwrap_err().code(), "token_stream_not_open");
    let entries = follow(&server, "chat").await;
    assert_eq!(entries.last().unwrap()["payload"], json!({"status": "cancelled", "reason": "enough"}));
    let (status, _) = http::json(server.address, "DELETE", "/executions/chat", &[], Some(&json!({}))).await;
    assert_eq!(status.as_u16(), 202);
}

/// What no client may ever read.
const SECRET: &str = "postgres://ada:hunter2@db.internal";

fn leaks(text: &str, _: &TokenMetadata) -> String {
    assert!(text != "bad", "cannot reach {SECRET}");
    text.into()
}

struct Leaky;

#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Nothing {}

#[workflow(name = "leaky", state = Nothing)]
impl Leaky {
    #[node(start)]
    async fn fail(&self, _: &Nothing) -> NodeResult<()> {
        Err(std::io::Error::other(format!("cannot reach {SECRET}")).into())
    }
}

#[workflow(name = "panicky", state = Nothing)]
impl Panicky {
    #[node(start)]
    async fn panic(&self, _: &Nothing) -> NodeResult<()> {
        panic!("cannot reach {SECRET}")
    }
}

struct Panicky;

#[derive(State, Clone, Debug, Deserialize, JsonSchema)]
struct Unwritable {
    #[state(default)]
    text: String,
}

impl Serialize for Unwritable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(format!("cannot reach {SECRET}")))
    }
}

struct Unwritten;

#[workflow(name = "unwritten", state = Unwritable)]
impl Unwritten {
    #[node(start)]
    async fn write(&self, _: &Unwritable) -> NodeResult<UnwritableUpdate> {
        Ok(UnwritableUpdate::new().text("x"))
    }
}

struct UnwrittenValues;

#[workflow(name = "unwritten-values", state = Unwritable, values)]
impl UnwrittenValues {
    #[node(start)]
    async fn write(&self, _: &Unwritable) -> NodeResult<UnwritableUpdate> {
        Ok(UnwritableUpdate::new().text("x"))
    }
}

#[tokio::test]
async fn what_went_wrong_inside_is_told_to_clients_by_code_and_never_by_its_text() {
    let app =
        Streamnest::builder().workflow(Leaky).workflow(Panicky).workflow(Unwritten).workflow(UnwrittenValues);
    let server = Server::start(app).await;
    let tokens = server.app.token_streaming();
    // A processor that panics, a subscriber that panics, one that panics and survives.
    let options = TokenOptions::default().with_processor(leaks);
    let stream = tokens.initialize_token_stream(&id("tokens"), "answer", options).await.unwrap();
    let view = tokens.get_token_stream(&id("tokens"), None).unwrap();
    let broken = view.subscribe(|_| panic!("cannot reach {SECRET}"));
    let surviving =
        Subscriber::new(|_| panic!("cannot reach {SECRET}")).named("surviving").survives_panics(true);
    let surviving = view.subscribe_with(surviving);
    stream.token("good ").await.unwrap();
    broken.ended().await.unwrap_err();
    while surviving.panics() == 0 {
        tokio::task::yield_now().await;
    }
    let mut follower = Socket::connect(server.address).await;
    follower.subscribe("tokens", json!({})).await;
    let bad: TokenDelta = "bad".into();
    let _ = stream.token(bad).await;
    let mut said = follower.entries().await;
    let warnings = said.iter().filter(|entry| entry["payload"]["type"] == "warning");
    let mut warned: Vec<_> = warnings.map(|entry| entry["payload"]["data"]["subscriber"].clone()).collect();
    warned.sort_by_key(Value::to_string);
    assert_eq!(warned, ["subscriber", "surviving"]);
    assert_eq!(said.last().unwrap()["payload"]["error"]["code"], "processor_panicked");
    // A node that fails, one that panics, and a state that cannot be written as the result, or after a step.
    for (workflow, code) in [
        ("leaky", "node_failed"),
        ("panicky", "node_panicked"),
        ("unwritten", "state_not_json"),
        ("unwritten-values", "state_not_json"),
    ] {
        let run = server.app.start(workflow, json!({})).await.unwrap();
        let entries = follow(&server, run.execution_id()).await;
        assert_eq!(entries.last().unwrap()["payload"]["error"]["code"], code);
        let path = format!("/executions/{}", run.execution_id());
        said.push(http::json(server.address, "GET", &path, &[], None).await.1);
        said.extend(entries);
    }
    for entry in said {
        let text = entry.to_string();
        assert!(!text.contains("hunter2") && !text.contains("db.internal"), "{text}");
    }
}
