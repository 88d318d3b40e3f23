//! An axum program of its own into which workflows are mounted.
//!
//! ```sh
//! cargo run --release -p axum-mount -- --listen 127.0.0.1:8080
//! curl http://127.0.0.1:8080/orders/7                     # the program's own route
//! curl -X POST http://127.0.0.1:8080/orders/7/letter      # starts a run, and says where it is followed
//! curl -N http://127.0.0.1:8080/streams/executions/order-7/events
//! ```
//!
//! Everything of Streamnest stands below `/streams`, its page too: <http://127.0.0.1:8080/streams>. The program keeps its own
//! routes, its own state, its own flags and its own way to stop. Letters are kept in `streamnest-data/axum-mount`, or where its own
//! flag `--data-dir` says, and survive the program; `--memory` goes without. Needs no key: the model is the offline one.

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use serde_json::{Value, json};
use streamnest::{
    core::{ControlError, StartExecution},
    prelude::*,
};

/// Where the routes of Streamnest are mounted.
const MOUNT: &str = "/streams";
/// The tokens a second of the offline model.
const PACE: f64 = 30.0;

/// A letter about an order.
#[derive(streamnest::State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Letter {
    /// The number of the order.
    order: u32,
    /// The letter.
    #[state(default)]
    text: String,
}

/// Writes letters.
#[injectable]
pub struct Secretary {
    model: Arc<dyn ChatModel>,
}

#[workflow(name = "letter", state = Letter, description = "Writes a letter about an order")]
impl Secretary {
    #[node(kind = "llm", start)]
    #[stream_token]
    async fn write(&self, state: &Letter) -> NodeResult<LetterUpdate> {
        let answer = self.model.generate(format!("Thank the customer for order {}.", state.order)).await?;
        Ok(LetterUpdate::new().text(answer.text))
    }
}

/// What streams.
#[module(
    providers(
        Secretary,
        OfflineModel as dyn ChatModel,
        value(OfflineOptions::default().with_tokens_per_second(PACE))
    ),
    workflows(Secretary)
)]
pub struct LetterModule;

/// The routes of the program, and those of `app` below them.
pub fn routes(app: App) -> Router {
    Router::new()
        .route("/orders/{number}", get(order))
        .route("/orders/{number}/letter", post(letter))
        .with_state(app.clone())
        .nest(MOUNT, app.into_router())
}

/// What the program knows of an order.
async fn order(Path(number): Path<u32>) -> Json<Value> {
    Json(json!({"order": number, "paid": true}))
}

/// Has a letter written. Asked twice it is the same letter: the order's number is the execution's id.
async fn letter(State(app): State<App>, Path(order): Path<u32>) -> (StatusCode, Json<Value>) {
    match start(&app, order).await {
        Ok(id) => {
            let events = format!("{MOUNT}/executions/{id}/events");
            (StatusCode::ACCEPTED, Json(json!({"execution": id, "events": events})))
        }
        Err(error) => {
            let status =
                if error.is_retryable() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::CONFLICT };
            (status, Json(json!({"code": error.code(), "message": error.to_string()})))
        }
    }
}

async fn start(app: &App, order: u32) -> Result<ExecutionId, ControlError> {
    let id = ExecutionId::new(&format!("order-{order}")).expect("letters, a dash and digits are an id");
    let request = StartExecution {
        workflow: "letter".into(),
        input: json!({"order": order}),
        execution_id: Some(id),
        on_disconnect: None,
        trace: None,
    };
    Ok(app.start_with(request).await?.execution_id().clone())
}
