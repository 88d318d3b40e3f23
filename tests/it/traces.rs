//! A run belongs to the trace of whoever starts it, and what its nodes call belongs to it.

use std::collections::HashSet;

use serde_json::{Value, json};
use streamnest::{core::TraceContext, prelude::*};
use streamnest_client::Client;
use streamnest_tests::{http, server::Server};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    client_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct CallsState {
    #[state(default, reducer = append)]
    sent: Vec<String>,
    #[state(default)]
    state: Option<String>,
}

/// Two nodes that would call something, and tell with which headers.
struct Calls;

#[workflow(name = "calls", state = CallsState)]
impl Calls {
    #[node(start)]
    async fn first(&self, _state: &CallsState, ctx: &NodeContext) -> NodeResult<CallsStateUpdate> {
        let state = ctx.trace().tracestate().map(String::from);
        Ok(CallsStateUpdate::new().sent(vec![ctx.traceparent(), ctx.traceparent()]).state(state))
    }

    #[node(after = "first")]
    async fn second(&self, _state: &CallsState, ctx: &NodeContext) -> NodeResult<CallsStateUpdate> {
        Ok(CallsStateUpdate::new().sent(vec![ctx.traceparent()]))
    }
}

async fn server() -> Server {
    Server::start(Streamnest::builder().workflow(Calls)).await
}

/// What the run sent: checks that each node is a part of its own of one trace, which it gives with the state.
async fn sent(server: &Server, id: &str) -> (String, Option<String>) {
    let run = server.app.attach(&id.parse().unwrap()).await.unwrap();
    let result = run.result().await.unwrap();
    let sent: Vec<String> = serde_json::from_value(result["sent"].clone()).unwrap();
    assert_eq!(sent.len(), 3);
    assert_eq!(sent[0], sent[1], "a node is one part");
    let parts: Vec<_> =
        sent.iter().map(|text| TraceContext::parse(text, None).unwrap_or_else(|| panic!("{text}"))).collect();
    let spans: HashSet<_> = parts.iter().map(TraceContext::span_id).collect();
    assert_eq!(spans.len(), 2, "each node is another part: {sent:?}");
    assert!(!sent.iter().any(|sent| sent.contains("b7ad6b7169203331")), "none is the caller's own part");
    let traces: HashSet<_> = parts.iter().map(|part| part.trace_id().to_string()).collect();
    assert_eq!(traces.len(), 1, "all belong to one trace");
    (traces.into_iter().next().unwrap(), result["state"].as_str().map(String::from))
}

async fn start(server: &Server, headers: &[(&str, &str)]) -> String {
    let body = json!({"input": {}});
    let path = "/workflows/calls/executions";
    let (status, body) = http::json(server.address, "POST", path, headers, Some(&body)).await;
    assert_eq!(status, 202, "{body}");
    body["executionId"].as_str().unwrap().into()
}

#[tokio::test]
async fn a_run_that_is_started_over_http_goes_on_in_its_callers_trace() {
    let server = server().await;
    let headers = [("traceparent", PARENT), ("tracestate", "rojo=1"), ("tracestate", "congo=2")];
    let id = start(&server, &headers).await;
    assert_eq!(sent(&server, &id).await, (TRACE.into(), Some("rojo=1,congo=2".into())));
    // What is no context begins a trace of its own, and so does nothing; no two are one.
    let mut traces = HashSet::new();
    for headers in [&[("traceparent", "00-0-0-01")][..], &[("traceparent", PARENT); 2], &[]] {
        let id = start(&server, headers).await;
        let (trace, state) = sent(&server, &id).await;
        assert_eq!(state, None);
        assert_ne!(trace, TRACE);
        traces.insert(trace);
    }
    assert_eq!(traces.len(), 3);
}

#[tokio::test]
async fn a_run_that_is_started_over_a_websocket_takes_the_trace_of_its_frame_or_of_the_handshake() {
    let server = server().await;
    let mut request = format!("ws://{}/ws", server.address).into_client_request().unwrap();
    request.headers_mut().insert("traceparent", PARENT.parse().unwrap());
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (mut socket, _) = client_async(request, stream).await.unwrap();
    let mut ask = async |payload: Value| -> Value {
        use futures_util::{SinkExt as _, StreamExt as _};
        let frame = json!({"type": "start_execution", "id": "1", "payload": payload});
        socket.send(Message::text(frame.to_string())).await.unwrap();
        loop {
            let Message::Text(text) = socket.next().await.unwrap().unwrap() else { continue };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["replyTo"] == "1" {
                return frame["payload"].clone();
            }
        }
    };
    let by_handshake = ask(json!({"workflow": "calls", "input": {}})).await;
    let other = "11111111111111111111111111111111";
    let parent = format!("00-{other}-b7ad6b7169203331-01");
    let by_frame =
        ask(json!({"workflow": "calls", "input": {}, "traceparent": parent, "tracestate": "a=b"})).await;
    let wrong = ask(json!({"workflow": "calls", "input": {}, "traceparent": "00-1-2-3"})).await;
    assert_eq!(sent(&server, by_handshake["executionId"].as_str().unwrap()).await, (TRACE.into(), None));
    let (trace, state) = sent(&server, by_frame["executionId"].as_str().unwrap()).await;
    assert_eq!((trace.as_str(), state.as_deref()), (other, Some("a=b")));
    assert_eq!(wrong["code"], "invalid_field");
    assert!(wrong["message"].as_str().unwrap().contains("`payload.traceparent`"), "{wrong}");
}

#[tokio::test]
async fn the_client_and_the_program_itself_start_runs_in_a_trace() {
    let server = server().await;
    let trace = TraceContext::parse(PARENT, Some("rojo=1"));
    let request = |id: &str| streamnest::core::StartExecution {
        workflow: "calls".into(),
        input: json!({}),
        execution_id: Some(id.parse().unwrap()),
        on_disconnect: None,
        trace: trace.clone(),
    };
    let client = Client::new(&format!("http://{}", server.address)).unwrap();
    client.start_execution(request("by-client")).await.unwrap();
    server.app.start_with(request("by-program")).await.unwrap();
    for id in ["by-client", "by-program"] {
        assert_eq!(sent(&server, id).await, (TRACE.into(), Some("rojo=1".into())), "{id}");
    }
}
