//! What a run's model calls cost, and who is told.

use std::{net::SocketAddr, path::Path, time::Duration};

use serde_json::{Value, json};
use streamnest::{
    StreamingOptions, Streamnest,
    models::{ChatModelExt as _, Script, ScriptedModel},
    prelude::*,
    runtime::{EngineOptions, ModelPrice},
};
use streamnest_tests::{http, server::Server, socket::Socket};
use tokio::time::{sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(20);

/// What is called.
#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Calls {
    /// `known` and `strange` answer and tell what they used, `broken` breaks off, `hanging` never ends.
    models: Vec<String>,
    /// Whether the first attempt fails after its calls.
    #[state(default)]
    fails_once: bool,
}

struct Caller;

#[workflow(name = "caller", state = Calls)]
impl Caller {
    #[node(start, kind = "llm", retry(attempts = 2, backoff = "1ms"))]
    #[stream_token]
    async fn call(&self, state: &Calls, ctx: &NodeContext) -> NodeResult<()> {
        for name in &state.models {
            let script = Script::new().text("A few words.");
            let script = match name.as_str() {
                "broken" => script.break_off(),
                "hanging" => script.hang(),
                _ => script.usage(1_000, 500),
            };
            let model = ScriptedModel::new().with_name(name).script(script);
            let answer = model.generate("Say something.").await;
            assert_eq!(answer.is_err(), name == "broken");
        }
        if state.fails_once && ctx.attempt() == 1 {
            return Err(NodeError::public("once more"));
        }
        Ok(())
    }
}

/// Half a dollar a million either way would be too easy.
fn prices() -> Vec<ModelPrice> {
    ["known=0.15/0.6", "hanging=1/1"].map(|price| price.parse().unwrap()).to_vec()
}

/// What one call of `known` comes to.
const KNOWN: u64 = 1_000 * 150 + 500 * 600;

async fn server(directory: &Path) -> Server {
    let builder = Streamnest::builder()
        .workflow(Caller)
        .engine_options(EngineOptions::default().with_prices(prices()))
        .data_dir(directory);
    Server::start(builder).await
}

async fn get(server: SocketAddr, path: &str) -> Value {
    let (status, body) = http::json(server, "GET", path, &[], None).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn cost(server: SocketAddr, id: &str) -> Value {
    get(server, &format!("/executions/{id}/cost")).await
}

/// Starts a run and follows it.
async fn call(server: SocketAddr, id: &str, input: Value) -> Socket {
    let mut socket = Socket::connect(server).await;
    let start = json!({"workflow": "caller", "executionId": id, "input": input});
    socket.send("start_execution", start).await;
    socket.expect("execution_started").await;
    socket.subscribe(id, json!({})).await;
    socket
}

async fn end_of(mut socket: Socket) -> Value {
    timeout(PATIENCE, socket.entries()).await.unwrap().last().unwrap()["payload"].clone()
}

#[tokio::test]
async fn what_models_used_is_told_with_its_price_at_the_end_by_http_and_to_the_operator() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let address = server.address;
    let models = json!(["known", "strange", "broken", "known"]);
    let end = end_of(call(address, "a", json!({"models": models})).await).await;
    assert_eq!(end["status"], "completed");
    let expected = json!({
        "calls": 4, "inputTokens": 3_000, "outputTokens": 1_500, "nanoUsd": 2 * KNOWN, "unpriced": 1, "unreported": 1
    });
    assert_eq!(end["cost"], expected);
    // A call that was paid for was paid for, whatever became of its attempt.
    let again = end_of(call(address, "b", json!({"models": ["known"], "fails_once": true})).await).await;
    let twice = json!({"calls": 2, "inputTokens": 2_000, "outputTokens": 1_000, "nanoUsd": 2 * KNOWN});
    assert_eq!(again["cost"], twice);
    // What is not known is not free, and what nobody called costs nothing.
    let strange = end_of(call(address, "c", json!({"models": ["strange"]})).await).await;
    assert_eq!(
        strange["cost"],
        json!({"calls": 1, "inputTokens": 1_000, "outputTokens": 500, "unpriced": 1})
    );
    let nothing = end_of(call(address, "d", json!({"models": []})).await).await;
    assert!(nothing.get("cost").is_none(), "{nothing}");

    for (name, count) in [
        ("streamnest_model_calls_total{cost=\"priced\"}", 4),
        ("streamnest_model_calls_total{cost=\"unpriced\"}", 2),
        ("streamnest_model_calls_total{cost=\"unreported\"}", 1),
        ("streamnest_model_tokens_total{kind=\"input\"}", 6_000),
        ("streamnest_model_tokens_total{kind=\"output\"}", 3_000),
        ("streamnest_cost_nano_usd_total", 4 * KNOWN),
    ] {
        assert_eq!(http::metric(address, &[], name).await, Some(count), "{name}");
    }
    assert_eq!(get(address, "/admin/statistics").await["costNanoUsd"], 4 * KNOWN);
    server.stop().await;

    // The next process reads it from the log.
    let server = self::server(directory.path()).await;
    let of_a = cost(server.address, "a").await;
    assert_eq!((&of_a["executionId"], &of_a["nanoUsd"]), (&json!("a"), &json!(2 * KNOWN)));
    let none = json!({"executionId": "d", "calls": 0, "inputTokens": 0, "outputTokens": 0});
    assert_eq!(cost(server.address, "d").await, none);
    assert_eq!(http::json(server.address, "GET", "/executions/none/cost", &[], None).await.0, 404);
}

#[tokio::test]
async fn a_run_that_was_interrupted_tells_that_what_it_spent_is_not_known() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (directory.path().join("first"), directory.path().join("second"));
    let running = server(&first).await;
    let _socket = call(running.address, "a", json!({"models": ["known", "hanging"]})).await;
    let spent =
        json!({"executionId": "a", "calls": 1, "inputTokens": 1_000, "outputTokens": 500, "nanoUsd": KNOWN});
    timeout(PATIENCE, async {
        while cost(running.address, "a").await != spent {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    // The files as a killed process leaves them.
    crate::restart::copy(&first, &second);
    let server = server(&second).await;
    let unknown = json!({"calls": 0, "inputTokens": 0, "outputTokens": 0, "incomplete": true});
    let mut again = Socket::connect(server.address).await;
    again.subscribe("a", json!({})).await;
    let end = end_of(again).await;
    assert_eq!((&end["error"]["code"], &end["cost"]), (&json!("interrupted"), &unknown));
    let mut told = unknown;
    told["executionId"] = json!("a");
    assert_eq!(cost(server.address, "a").await, told);
    // Nobody reads from the numbers that it ended here, or for how much.
    let completed = "streamnest_run_duration_seconds_count{status=\"failed\"}";
    assert_eq!(http::metric(server.address, &[], completed).await.unwrap_or_default(), 0);
    assert_eq!(
        http::metric(server.address, &[], "streamnest_model_calls_total{cost=\"priced\"}").await,
        Some(0)
    );
    server.stop().await;
}

#[tokio::test]
async fn a_run_that_is_stopped_tells_what_it_spent_and_that_a_call_did_not_tell() {
    let directory = tempfile::tempdir().unwrap();
    let server = server(directory.path()).await;
    let socket = call(server.address, "a", json!({"models": ["known", "hanging"]})).await;
    let spent =
        json!({"executionId": "a", "calls": 1, "inputTokens": 1_000, "outputTokens": 500, "nanoUsd": KNOWN});
    let told = async {
        while cost(server.address, "a").await != spent {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, told).await.expect("what was spent so far is told while it runs");
    let json = [("content-type", "application/json")];
    http::json(server.address, "POST", "/executions/a/cancel", &json, None).await;
    let end = end_of(socket).await;
    assert_eq!(end["status"], "cancelled");
    assert_eq!(
        end["cost"],
        json!({"calls": 2, "inputTokens": 1_000, "outputTokens": 500, "nanoUsd": KNOWN, "unreported": 1})
    );
}

#[tokio::test]
async fn a_price_that_is_none_and_a_second_one_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("options.toml");
    std::fs::write(&path, "[engine]\nprices = [\"known=0.15\"]\n").unwrap();
    let refused = StreamingOptions::from_file(&path).unwrap_err().to_string();
    assert!(refused.contains("known=0.15") && refused.contains("MODEL=INPUT/OUTPUT"), "{refused}");
    std::fs::write(&path, "[engine]\nprices = [\"known=0.15/0.60\", \"hanging=1/1\"]\n").unwrap();
    assert_eq!(StreamingOptions::from_file(&path).unwrap().engine.prices, prices());

    let twice = ["known=1/2", "known=1/3"].map(|price| price.parse().unwrap()).to_vec();
    let builder = Streamnest::builder()
        .workflow(Caller)
        .engine_options(EngineOptions::default().with_prices(twice))
        .in_memory();
    let refused = builder.build().await.unwrap_err();
    assert!(refused.to_string().contains("`EngineOptions::prices` has model `known` twice"), "{refused}");
}
