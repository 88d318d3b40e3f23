//! Many runs at once, and runs that are cancelled at every moment.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use streamnest_core::ExecutionControl as _;
use streamnest_log::LogOptions;
use streamnest_runtime::{EngineOptions, NodeBuilder, NodeResult, RetryOptions, WorkflowBuilder};
use tokio::{sync::Semaphore, time::sleep};

use crate::support::{
    Board, BoardUpdate, Definition, Node, does, engine, engine_with, memory, registry, start, told,
};

/// What every body under way holds, so that one that is left behind shows.
static HELD: LazyLock<Arc<()>> = LazyLock::new(Arc::default);

/// A node that takes `millis`.
fn takes(name: &str, millis: u64) -> Node {
    does(NodeBuilder::new(name), move |_| async move {
        let _held = HELD.clone();
        sleep(Duration::from_millis(millis)).await;
        Ok(BoardUpdate::text("x"))
    })
}

/// Branches that race and join, items, and a node that fails at first: 20 ms in all.
fn busy() -> Definition {
    let items = NodeBuilder::new("items").after("s").concurrency(2).run_each(
        |_: &Board| vec![1, 2, 3, 4],
        |_, _, item: u64, _| async move {
            let _held = HELD.clone();
            sleep(Duration::from_millis(item)).await;
            NodeResult::Ok(())
        },
    );
    let retried = does(NodeBuilder::new("retried"), |ctx| async move {
        let _held = HELD.clone();
        sleep(Duration::from_millis(1)).await;
        if ctx.attempt() == 1 { Err("at first".parse::<u8>().unwrap_err().into()) } else { Ok(()) }
    });
    let retry = RetryOptions::default().with_backoff(Duration::from_millis(2)).with_jitter(0.0);
    WorkflowBuilder::new("play")
        .node(takes("s", 2).start())
        .node(items)
        .node(retried.after("s").retry(retry))
        .node(takes("slow", 9).after("s"))
        .node(takes("fast", 3).after("s"))
        .node(takes("first", 2).after_any(&["slow", "fast"]))
        .node(takes("join", 3).after_all(&["items", "retried", "first"]))
}

#[tokio::test(start_paused = true)]
async fn a_cancel_at_every_moment_leaves_nothing_behind_and_one_terminal_entry() {
    let mut ends = std::collections::BTreeMap::<String, u32>::new();
    for moment in 0..40 {
        let engine = engine(busy());
        let run = start(&engine).await;
        // Half of them between two moments of the clock, at whatever await the run then stands.
        for _ in 0..moment % 2 * 7 {
            tokio::task::yield_now().await;
        }
        sleep(Duration::from_millis(moment / 2)).await;
        engine.cancel(run.execution_id(), None).await.unwrap();
        let told = told(&run).await;
        told.check_attempts();
        *ends.entry(told.ended()).or_default() += 1;
        assert_eq!(Arc::strong_count(&HELD), 1, "a body is left after a cancel at {moment}: {told:?}");
        engine.delete(run.execution_id()).await.unwrap();
        assert_eq!(engine.executions(10, None).executions.len(), 0);
        assert_eq!(engine.logs().len(), 0);
    }
    assert!(ends["cancelled"] > 10 && ends["completed"] > 10, "{ends:?}");
}

/// The memory of this process that is in use, in bytes.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()));
    pages.unwrap_or_default() * 4096
}

#[tokio::test]
async fn ten_thousand_executions_at_once_finish() {
    const RUNS: usize = 10_000;
    static GATE: Semaphore = Semaphore::const_new(0);
    let wait = does(NodeBuilder::new("wait"), |_| async {
        drop(GATE.acquire().await);
        Ok(())
    });
    let definition = WorkflowBuilder::new("play")
        .node(does(NodeBuilder::new("begin"), |_| async { Ok(()) }).start())
        .node(wait.after("begin"))
        .node(does(NodeBuilder::new("end"), |_| async { Ok(()) }).after("wait"));
    let logs = registry(memory(), LogOptions::default().with_max_logs(2 * RUNS));
    let engine = engine_with(definition, logs, EngineOptions::default());
    // What the first run costs, the others do not.
    let first = start(&engine).await;
    tokio::task::yield_now().await;
    let before = resident();
    let mut runs = vec![first];
    while runs.len() < RUNS {
        runs.push(start(&engine).await);
    }
    while runs.iter().any(|run| run.log().head().last.get() < 5) {
        tokio::task::yield_now().await;
    }
    let running = resident().saturating_sub(before);
    GATE.add_permits(1);
    for run in &runs {
        run.result().await.unwrap();
    }
    let finished = resident().saturating_sub(before);
    println!("bytes per running execution: {}, per finished one: {}", running / RUNS, finished / RUNS);
    for run in runs {
        let id = run.execution_id().clone();
        drop(run);
        engine.delete(&id).await.unwrap();
    }
    assert_eq!((engine.logs().len(), engine.executions(1, None).executions.len()), (0, 0));
}
