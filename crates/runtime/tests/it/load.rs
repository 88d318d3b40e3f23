//! Many runs at once.

use streamnest_core::ExecutionControl as _;
use streamnest_log::LogOptions;
use streamnest_runtime::{EngineOptions, NodeBuilder, WorkflowBuilder};
use tokio::sync::Semaphore;

use crate::support::{does, engine_with, memory, registry, start};

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
