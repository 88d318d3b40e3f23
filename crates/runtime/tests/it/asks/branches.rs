//! Questions beside other work: in branches, items, subgraphs and attempts.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamnest_core::{AskId, ExecutionControl as _, StartExecution, Status};
use streamnest_log::LogOptions;
use streamnest_runtime::{
    Engine, NodeBuilder, NodeContext, NodeError, NodeKind, NodeResult, Question, RetryOptions, Run, Workflow,
    WorkflowBuilder,
};
use tokio::time::{Instant, sleep};

use super::{SECOND, answer, open, question};
use crate::support::{
    Board, BoardUpdate, Definition, Node, does, engine, memory, one, registry, start, told,
};

fn text() -> Value {
    json!({"type": "string"})
}

/// A node that asks by its own name, and takes the answer for its text.
fn asking(name: &str) -> Node {
    does(NodeBuilder::new(name), |ctx: NodeContext| async move {
        let answer = ctx.ask_json(Question::new(ctx.node_id().as_str()), text()).await?;
        Ok(BoardUpdate::text(answer.as_str().unwrap_or_default()))
    })
}

fn begin() -> Node {
    does(NodeBuilder::new("begin").start(), |_| async { Ok(()) })
}

fn play(nodes: impl IntoIterator<Item = Node>) -> Definition {
    nodes.into_iter().fold(WorkflowBuilder::new("play").node(begin()), WorkflowBuilder::node)
}

/// The number of the open question of that text.
fn of(run: &Run, text: &str) -> u32 {
    run.waiting().iter().find(|open| open.question == text).unwrap().ask.number()
}

#[tokio::test(start_paused = true)]
async fn branches_ask_at_once_and_others_go_on() {
    let works = does(NodeBuilder::new("works").after("begin"), |ctx: NodeContext| async move {
        sleep(SECOND).await;
        ctx.emit("worked", json!(1)).await?;
        Ok(())
    });
    let join = does(NodeBuilder::new("join").after_all(&["left", "right", "works"]), |_| async {
        Ok(BoardUpdate::text("!"))
    });
    let definition = play([asking("left").after("begin"), asking("right").after("begin"), works, join]);
    let engine = engine(definition);
    let run = start(&engine).await;
    open(&run, 2).await;
    sleep(60 * SECOND).await;
    run.signal(answer(of(&run, "right"), "b".into())).await.unwrap();
    assert_eq!(engine.execution(run.execution_id()).unwrap().status, Status::Paused, "the other one is open");
    run.signal(answer(of(&run, "left"), "a".into())).await.unwrap();
    let told = told(&run).await;
    assert_eq!(told.end().result.unwrap()["text"], "ab!");
    let words = told.words();
    let at = |word: &str| words.iter().position(|said| said == word).unwrap();
    assert!(at("worked") < at("approval_answer"), "a branch beside them went on: {words:?}");
}

#[tokio::test(start_paused = true)]
async fn the_clock_of_the_run_stands_but_not_that_of_a_branch_beside_the_one_that_asks() {
    let hangs = does(NodeBuilder::new("hangs").after("begin").timeout(5 * SECOND), |_| async {
        std::future::pending::<NodeResult<()>>().await
    });
    let began = Instant::now();
    let definition = play([asking("asks").after("begin"), hangs]).timeout(2 * SECOND);
    let run = start(&engine(definition)).await;
    let told = told(&run).await;
    assert_eq!(told.ended(), "failed: node_timeout");
    assert_eq!(began.elapsed(), 5 * SECOND);
    assert_eq!(told.data("approval_answer"), [json!({"ask": "ask1", "outcome": "withdrawn"})]);
}

#[tokio::test(start_paused = true)]
async fn a_question_of_a_branch_that_is_no_longer_needed_is_withdrawn() {
    let quick = does(NodeBuilder::new("quick").after("begin"), |_| async {
        sleep(SECOND).await;
        Ok(BoardUpdate::text("quick"))
    });
    let first = does(NodeBuilder::new("first").after_any(&["asks", "quick"]), |_| async { Ok(()) });
    let run = start(&engine(play([asking("asks").after("begin"), quick, first]))).await;
    let told = told(&run).await;
    assert_eq!(told.end().result.unwrap()["text"], "quick");
    assert_eq!(told.data("approval_answer"), [json!({"ask": "ask1", "outcome": "withdrawn"})]);
    let late = run.signal(answer(1, "late".into())).await.unwrap_err();
    assert_eq!(late.code(), "ask_closed");
}

#[tokio::test(start_paused = true)]
async fn items_ask_as_many_at_once_as_run_at_once() {
    let each = NodeBuilder::new("each").concurrency(3).timeout(SECOND).gather_each(
        |_: &Board| (0..7).collect(),
        |_, _, item: u32, ctx: NodeContext| async move {
            let answer = ctx.ask_json(Question::new(item.to_string()), text()).await?;
            Ok(answer.as_str().unwrap_or_default().to_owned())
        },
        |texts: Vec<String>| BoardUpdate::text(&texts.concat()),
    );
    let run = start(&engine(one(each))).await;
    for _ in 0..7 {
        // A person is slower than the timeout of an item, which stands meanwhile.
        sleep(60 * SECOND).await;
        let waiting = run.waiting();
        assert!(waiting.len() <= 3, "{}", waiting.len());
        let last = waiting.last().unwrap();
        assert_eq!(last.item.map(|item| item.to_string()), Some(last.question.clone()));
        run.signal(answer(last.ask.number(), last.question.clone().into())).await.unwrap();
    }
    assert_eq!(told(&run).await.end().result.unwrap()["text"], "0123456", "in the order of the items");
}

/// Asks within another workflow.
struct Inner;

impl Workflow for Inner {
    type State = Board;

    fn definition() -> WorkflowBuilder<Self> {
        let asks =
            NodeBuilder::new("asks").start().timeout(SECOND).run(|_, _, ctx: NodeContext| async move {
                let answer = ctx.ask_json(question(), text()).await?;
                NodeResult::Ok(BoardUpdate::text(answer.as_str().unwrap_or_default()))
            });
        WorkflowBuilder::new("inner").timeout(SECOND).node(asks)
    }
}

struct Outer(Arc<Inner>);

impl Workflow for Outer {
    type State = Board;

    fn definition() -> WorkflowBuilder<Self> {
        let runs = NodeBuilder::new("runs").start().kind(NodeKind::Subgraph).subgraph::<Inner>();
        let runs = runs.timeout(SECOND).run(|outer: Arc<Self>, _, ctx: NodeContext| async move {
            let found = ctx.run_subgraph(&outer.0, Board::default()).await?;
            NodeResult::Ok(BoardUpdate::text(&found.text))
        });
        WorkflowBuilder::new("outer").timeout(SECOND).node(runs)
    }
}

#[tokio::test(start_paused = true)]
async fn every_clock_around_a_question_in_a_subgraph_stands() {
    let logs = registry(memory(), LogOptions::default());
    let engine = Engine::builder(logs).workflow(Outer(Arc::new(Inner))).build().unwrap();
    let request = StartExecution {
        workflow: "outer".into(),
        input: json!({}),
        execution_id: None,
        on_disconnect: None,
        trace: None,
    };
    let run = engine.run(request).await.unwrap();
    sleep(3600 * SECOND).await;
    let waiting = run.waiting().remove(0);
    assert_eq!(waiting.node_id.as_str(), "runs/asks");
    run.signal(answer(1, "yes".into())).await.unwrap();
    assert_eq!(run.result().await.unwrap()["text"], "yes");
}

#[tokio::test(start_paused = true)]
async fn another_attempt_asks_anew() {
    let node = does(
        NodeBuilder::new("node").retry(RetryOptions::default().with_attempts(2).with_backoff(SECOND)),
        |ctx: NodeContext| async move {
            let answer = ctx.ask_json(question(), text()).await?;
            if ctx.attempt() == 1 {
                return Err(NodeError::public("broke after the answer"));
            }
            Ok(BoardUpdate::text(answer.as_str().unwrap_or_default()))
        },
    );
    let run = start(&engine(one(node))).await;
    for attempt in [1, 2] {
        sleep(Duration::from_secs(60)).await;
        let waiting = run.waiting().remove(0);
        assert_eq!((waiting.ask, waiting.attempt), (AskId::new(attempt), attempt));
        run.signal(answer(attempt, attempt.to_string().into())).await.unwrap();
    }
    assert_eq!(run.result().await.unwrap()["text"], "2");
}
