//! Workflows that run within nodes of others.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamnest_core::StartExecution;
use streamnest_log::LogOptions;
use streamnest_runtime::{
    Engine, EngineOptions, Goto, NodeBuilder, NodeContext, NodeError, NodeKind, NodeResult, RetryOptions,
    TokenOptions, Workflow, WorkflowBuilder,
};
use tokio::time::sleep;

use crate::support::{Board, BoardUpdate, Told, memory, registry, told};

/// `think → say`, as long as its prompt tells.
struct Inner;

impl Workflow for Inner {
    type State = Board;

    fn definition() -> WorkflowBuilder<Self> {
        let think = NodeBuilder::new("think").start().stream_token(TokenOptions::default());
        let think = think.run(|_, state: Arc<Board>, ctx: NodeContext| async move {
            match state.prompt.as_deref() {
                Some("fail") => return Err(NodeError::public("cannot think")),
                Some("hang") => std::future::pending().await,
                Some("fail once") if ctx.visit() == 1 => return Err(NodeError::public("later")),
                _ => ctx.token("hm").await,
            }
            Ok(BoardUpdate::text("thought "))
        });
        let say = NodeBuilder::new("say").after("think");
        let say = say.run(|_, state: Arc<Board>, _| async move {
            NodeResult::Ok(BoardUpdate::text(&format!("of {}", state.count)))
        });
        WorkflowBuilder::new("inner").timeout(Duration::from_secs(60)).node(think).node(say)
    }
}

/// `ask → again?`, where `ask` runs [`Inner`], twice in all.
struct Outer {
    inner: Arc<Inner>,
}

impl Workflow for Outer {
    type State = Board;

    fn definition() -> WorkflowBuilder<Self> {
        let ask = NodeBuilder::new("ask").start().kind(NodeKind::Subgraph).subgraph::<Inner>();
        let ask = ask.retry(RetryOptions::default().with_attempts(2).with_jitter(0.0));
        let ask = ask.timeout(Duration::from_secs(600));
        let ask = ask.run(|outer: Arc<Self>, state: Arc<Board>, ctx: NodeContext| async move {
            let given = Board { prompt: state.prompt.clone(), count: ctx.visit(), ..Board::default() };
            let found = ctx.run_subgraph(&outer.inner, given).await?;
            Ok(BoardUpdate::text(&format!("[{}]", found.text)))
        });
        let again = NodeBuilder::new("again").after("ask").routes(&["ask"], true);
        let again = again.run(|_, _, ctx: NodeContext| async move {
            let goto = if ctx.visit() < 2 { Goto::to("ask") } else { Goto::end() };
            NodeResult::Ok(goto.with(BoardUpdate::default()))
        });
        WorkflowBuilder::new("outer").node(ask).node(again)
    }
}

fn engine() -> Engine {
    let logs = registry(memory(), LogOptions::default());
    let builder = Engine::builder(logs).options(EngineOptions::default());
    builder.workflow(Outer { inner: Arc::new(Inner) }).build().unwrap()
}

async fn start(engine: &Engine, prompt: Value) -> streamnest_runtime::Run {
    let input = json!({"prompt": prompt});
    let request = StartExecution {
        workflow: "outer".into(),
        input,
        execution_id: None,
        on_disconnect: None,
        trace: None,
    };
    engine.run(request).await.unwrap()
}

async fn run(prompt: Value) -> Told {
    told(&start(&engine(), prompt).await).await
}

/// `node visit` of each entry of a type.
fn places(told: &Told, event_type: &str) -> Vec<String> {
    let of_type = told.events().filter(|event| event.event_type().as_str() == event_type);
    of_type
        .map(|event| {
            let data = event.as_data().unwrap().unwrap();
            format!("{} {}", event.node().unwrap(), data["visit"])
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn inner_nodes_are_named_by_their_path_and_count_their_visits_over_the_whole_run() {
    let told = run(json!("x")).await;
    assert_eq!(told.end().result.unwrap()["text"], "[thought of 1][thought of 2]");
    assert_eq!(
        places(&told, "node_start"),
        ["ask 1", "ask/think 1", "ask/say 1", "again 1", "ask 2", "ask/think 2", "ask/say 2", "again 2"]
    );
    let visits: Vec<_> = told.tokens().iter().map(|token| token.visit).collect();
    assert_eq!(visits, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_failure_within_names_the_inner_node_and_the_outer_one_may_try_again() {
    let failed = run(json!("fail")).await;
    let error = failed.end().error.unwrap();
    assert_eq!(
        (error.code.as_str(), error.message.as_str(), error.node_id.as_deref()),
        ("node_failed", "cannot think", Some("ask/think"))
    );
    assert_eq!(places(&failed, "node_error"), ["ask/think 1", "ask/think 2", "ask 1"]);
    assert_eq!(places(&failed, "node_retry"), ["ask 1"]);
    let recovered = run(json!("fail once")).await;
    assert_eq!(recovered.ended(), "completed");
    assert_eq!(places(&recovered, "node_error"), ["ask/think 1"]);
}

#[tokio::test(start_paused = true)]
async fn cancels_and_timeouts_go_through_and_every_entry_is_complete() {
    let engine = engine();
    let run = start(&engine, json!("hang")).await;
    sleep(Duration::from_secs(1)).await;
    run.cancel("enough").await;
    let cancelled = told(&run).await;
    cancelled.check_attempts();
    assert_eq!(cancelled.ended(), "cancelled");
    assert_eq!(places(&cancelled, "node_cancelled"), ["ask/think 1", "ask 1"]);
    // The inner workflow has a timeout of its own, which its node reports; it is tried again.
    let late = self::run(json!("hang")).await;
    assert_eq!(late.ended(), "failed: workflow_timeout");
    assert_eq!(late.end().error.unwrap().message, "workflow `inner` ran longer than 60s");
    assert_eq!(places(&late, "node_cancelled"), ["ask/think 1", "ask/think 2"]);
}

#[tokio::test(start_paused = true)]
async fn the_graph_shows_what_is_within() {
    let engine = engine();
    let graph = engine.graph("outer").unwrap().to_json();
    assert_eq!(graph["nodes"][0]["subgraph"]["nodes"][1]["name"], "say");
    assert_eq!(
        engine.graph("outer").unwrap().to_mermaid(),
        "flowchart TD\n    start(( )) --> n0\n    subgraph n0[\"ask\"]\n        n0_0[\"think\"]\n        n0_1[\"say\"]\n        \
         n0_0 --> n0_1\n    end\n    n1[\"again\"]\n    stop((( )))\n    n0 --> n1\n    n1 -.-> n0\n    n1 -.-> stop\n"
    );
}

/// A workflow that runs itself.
struct Snake;

impl Workflow for Snake {
    type State = Board;

    fn definition() -> WorkflowBuilder<Self> {
        let head = NodeBuilder::new("head").start().kind(NodeKind::Subgraph).subgraph::<Self>();
        WorkflowBuilder::new("snake").node(head.run(|_, _, _| async { Ok(()) }))
    }
}

/// A workflow that runs another one than it says.
struct Liar;

impl Workflow for Liar {
    type State = Board;

    fn definition() -> WorkflowBuilder<Self> {
        let node = NodeBuilder::new("node").start().kind(NodeKind::Subgraph).subgraph::<Inner>();
        WorkflowBuilder::new("outer").node(node.run(|_, _, ctx: NodeContext| async move {
            ctx.run_subgraph(&Arc::new(Snake), Board::default()).await.map(drop)
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn a_workflow_within_itself_and_one_that_was_not_declared_are_refused() {
    let logs = || registry(memory(), LogOptions::default());
    let error = Engine::builder(logs()).workflow(Snake).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "workflow `snake` runs itself: `head` of `snake` → `snake`; loop by `routes` instead"
    );
    let engine = Engine::builder(logs()).workflow(Liar).build().unwrap();
    let error = told(&start(&engine, json!("x")).await).await.end().error.unwrap();
    assert_eq!(error.code, "subgraph_not_declared");
    assert!(
        error
            .message
            .starts_with("node `node` declares the workflow `inner` and ran `it::subgraph::Snake`; "),
        "{error:?}"
    );
}
