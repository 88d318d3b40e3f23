//! A run asks people, and is answered over real sockets.

use std::time::Duration;

use serde_json::{Value, json};
use streamnest::{gateway::GatewayOptions, prelude::*};
use streamnest_client::{AskId, Client, Error, Item, Signal, Signalled};
use streamnest_tests::{http, server::Server, socket::Socket};

#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Errand {
    item: String,
    #[state(default)]
    bought: Option<u32>,
}

/// What a person says to a price.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Order {
    /// Whether to buy at all.
    buy: bool,
    /// How many.
    #[schemars(range(min = 1, max = 9))]
    count: Option<u32>,
}

struct Shopper;

#[workflow(name = "errand", state = Errand)]
impl Shopper {
    #[node(start)]
    async fn shop(&self, state: &Errand, ctx: &NodeContext) -> NodeResult<ErrandUpdate> {
        let order: Order = ctx.ask(Question::new(format!("Buy {}?", state.item))).await?;
        let count = if order.buy { order.count.unwrap_or(1) } else { 0 };
        Ok(ErrandUpdate::new().bought(count))
    }
}

/// A server with a run that waits for `ask1`, and its id.
async fn waiting() -> (Server, ExecutionId) {
    // Nobody is waited for when a server stops.
    let options = GatewayOptions::default()
        .with_drain_grace(Duration::from_millis(100))
        .with_drain_jitter(Duration::from_millis(50));
    let server = Server::start(Streamnest::builder().workflow(Shopper).gateway_options(options)).await;
    let run = server.app.start("errand", json!({"item": "apples"})).await.unwrap();
    let id = run.execution_id().clone();
    let mut socket = Socket::connect(server.address).await;
    socket.subscribe(id.as_str(), json!({"events": ["approval"]})).await;
    assert_eq!(socket.expect("event").await["payload"]["data"]["question"], "Buy apples?");
    (server, id)
}

async fn signal(server: &Server, id: &ExecutionId, body: Value) -> (u16, Value) {
    let path = format!("/executions/{id}/signals");
    let (status, answer) = http::json(server.address, "POST", &path, &[], Some(&body)).await;
    (status.as_u16(), answer)
}

async fn shown(server: &Server, id: &ExecutionId) -> Value {
    http::json(server.address, "GET", &format!("/executions/{id}"), &[], None).await.1
}

#[tokio::test]
async fn a_wrong_answer_over_http_names_the_field_and_the_run_still_waits() {
    let (server, id) = waiting().await;
    for (answer, field) in [
        (json!({}), "`buy` is missing"),
        (json!({"buy": "yes"}), "`buy` is not of type \"boolean\""),
        (json!({"buy": true, "count": 10}), "`count`"),
        (json!({"buy": true, "counts": 1}), "`counts` is not known"),
    ] {
        let (status, refused) = signal(&server, &id, json!({"ask": "ask1", "answer": answer})).await;
        assert_eq!((status, &refused["error"]["code"]), (422, &json!("invalid_answer")));
        let message = refused["error"]["message"].as_str().unwrap();
        assert!(message.contains(field), "{message}");
        assert_eq!(refused["error"]["retryable"], false);
    }
    let run = shown(&server, &id).await;
    assert_eq!(run["status"], "paused");
    assert_eq!(run["waiting"][0]["ask"], "ask1");
    assert_eq!(run["waiting"][0]["schema"]["required"], json!(["buy"]));

    let (status, taken) =
        signal(&server, &id, json!({"ask": "ask1", "answer": {"buy": true, "count": 3}})).await;
    assert_eq!((status, taken), (200, json!({"executionId": id, "ask": "ask1", "repeated": false})));
    let mut late = Socket::connect(server.address).await;
    late.subscribe(id.as_str(), json!({})).await;
    let entries = late.entries().await;
    assert_eq!(entries.last().unwrap()["payload"]["result"]["bought"], 3);
    let told = |kind: &str| entries.iter().filter(|entry| entry["payload"]["type"] == kind).count();
    assert_eq!((told("approval"), told("approval_answer")), (1, 1), "who comes late sees both");
    let run = shown(&server, &id).await;
    assert_eq!((&run["status"], run.get("waiting")), (&json!("completed"), None));
    let (status, late) = signal(&server, &id, json!({"ask": "ask1", "answer": {"buy": false}})).await;
    assert_eq!((status, &late["error"]["code"]), (409, &json!("already_answered")));
    server.stop().await;
}

#[tokio::test]
async fn the_rust_client_hears_a_question_and_answers_it() {
    let (server, id) = waiting().await;
    let client = Client::new(&format!("http://{}", server.address)).unwrap();
    let mut run = client.subscribe(id.clone()).connect().await.unwrap();
    let (mut outcome, mut states) = (None, Vec::new());
    while let Some(item) = run.next().await {
        let Item::Entry(entry) = item.unwrap() else { continue };
        if let Some(status) = entry.status().unwrap() {
            states.push(status.status.as_str());
        }
        let Some(event) = entry.event().unwrap() else { continue };
        match event.event_type.as_str() {
            "approval" => {
                let approval: streamnest_client::Approval = serde_json::from_value(event.data).unwrap();
                let answer =
                    |answer: Value| Signal { by: Some("Ada".into()), ..Signal::new(approval.ask, answer) };
                let refused = client.signal(id.clone(), answer(json!({"buy": 1}))).await.unwrap_err();
                assert!(matches!(&refused, Error::Refused { .. }), "{refused}");
                assert!(refused.to_string().contains("`buy`"), "{refused}");
                for repeated in [false, true] {
                    let taken = client.signal(id.clone(), answer(json!({"buy": true}))).await.unwrap();
                    assert_eq!(taken, Signalled { ask: AskId::new(1), repeated });
                }
            }
            "approval_answer" => outcome = Some(event.data),
            _ => {}
        }
    }
    let expected = json!({"ask": "ask1", "outcome": "answered", "answer": {"buy": true}, "by": "Ada"});
    assert_eq!(outcome, Some(expected));
    assert_eq!(states, ["running", "completed"], "a status that is not running is the end");
    server.stop().await;
}

#[tokio::test]
async fn every_viewer_sees_the_answer_that_one_of_them_gave() {
    let (server, id) = waiting().await;
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let mut viewer = Socket::connect(server.address).await;
        assert_eq!(viewer.subscribe(id.as_str(), json!({})).await["payload"]["state"], "running");
        viewers.push(viewer);
    }
    let answer = json!({"executionId": id, "ask": "ask1", "answer": {"buy": false}, "by": "Grace"});
    viewers[1].send("signal", answer).await;
    for viewer in &mut viewers {
        let mut answered = None;
        while answered.is_none() {
            let frame = viewer.next().await.unwrap();
            answered =
                (frame["payload"]["type"] == "approval_answer").then(|| frame["payload"]["data"].clone());
        }
        assert_eq!(answered.unwrap()["by"], "Grace");
    }
}

#[tokio::test]
async fn a_server_that_stops_cancels_a_run_that_waits_and_says_so() {
    let (server, id) = waiting().await;
    let mut viewer = Socket::connect(server.address).await;
    viewer.subscribe(id.as_str(), json!({})).await;
    let (entries, ()) = tokio::join!(viewer.entries(), server.stop());
    let last = entries.last().unwrap();
    assert_eq!(last["payload"]["status"], "cancelled", "{last}");
    assert_eq!(last["payload"]["reason"], "server is shutting down");
}
