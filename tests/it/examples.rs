//! The examples, each run to its end over HTTP as its first lines tell.

use std::net::SocketAddr;

use serde_json::{Value, json};
use streamnest::{AppBuilder, prelude::*};
use streamnest_tests::{
    http::{self, EventStream},
    server::Server,
};

mod axum_mount;
mod parallel_research;
mod subgraph;

/// The application of an example, with the offline model as fast as it goes.
fn fast<Kind>(module: impl streamnest::modules::IntoModule<Kind>) -> AppBuilder {
    let model = Provider::value(OfflineModel::default()).bind::<dyn ChatModel>(|model| model);
    Streamnest::builder().module(module).replace(model)
}

/// Starts a run over HTTP, and reads all that it says.
async fn run(server: &Server, workflow: &str, input: Value) -> Vec<Value> {
    let path = format!("/workflows/{workflow}/executions");
    let body = json!({"executionId": "r1", "input": input});
    let (status, started) = http::json(server.address, "POST", &path, &[], Some(&body)).await;
    assert_eq!(status.as_u16(), 202, "{started}");
    entries(server.address, "", "r1").await
}

/// Everything that an execution says below `mount`, until the stream ends.
async fn entries(address: SocketAddr, mount: &str, execution: &str) -> Vec<Value> {
    let path = format!("{mount}/executions/{execution}/events");
    let mut events = EventStream::open_at(address, &path, None).await.expect("there is something to come");
    let mut entries = Vec::new();
    while let Some((_, entry)) = events.next().await {
        entries.push(entry);
    }
    entries
}

/// What an execution has come to, which its last entry tells.
fn result(entries: &[Value]) -> &Value {
    let end = &entries.last().unwrap()["payload"];
    assert_eq!(end["status"], "completed", "{end}");
    &end["result"]
}

/// The text of the tokens of a node.
fn text_of(entries: &[Value], node: &str) -> String {
    let of_node = entries.iter().filter(|entry| entry["type"] == "token" && entry["nodeId"] == node);
    of_node.map(|entry| entry["payload"]["content"].as_str().unwrap()).collect()
}
