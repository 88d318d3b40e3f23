//! The examples, each run to its end: in process, or over HTTP where its routes are what it shows.

use std::net::SocketAddr;

use serde_json::Value;
use streamnest::{AppBuilder, prelude::*};
use streamnest_testing::{Error, TestApp};
use streamnest_tests::http::EventStream;

mod axum_mount;
mod parallel_research;
mod subgraph;

/// The application of an example, with the offline model as fast as it goes.
fn fast<Kind>(module: impl streamnest::modules::IntoModule<Kind>) -> AppBuilder {
    let model = Provider::value(OfflineModel::default()).bind::<dyn ChatModel>(|model| model);
    Streamnest::builder().module(module).replace(model)
}

/// The same without sockets.
async fn in_process<Kind>(module: impl streamnest::modules::IntoModule<Kind>) -> Result<TestApp, Error> {
    TestApp::builder(fast(module)).start().await
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
