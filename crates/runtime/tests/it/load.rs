//! Many runs at once.

use stats_alloc::INSTRUMENTED_SYSTEM;
use streamnest_core::ExecutionControl as _;
use streamnest_log::LogOptions;
use streamnest_runtime::{EngineOptions, NodeBuilder, WorkflowBuilder};
use tokio::sync::Semaphore;

use crate::support::{does, engine_with, memory, registry, start};

/// The memory of this process: what is allocated and not freed, and what the system has given for it.
#[derive(Clone, Copy)]
struct Memory {
    live: usize,
    resident: usize,
}

impl Memory {
    fn now() -> Self {
        let pages = std::fs::read_to_string("/proc/self/statm").ok();
        let pages =
            pages.and_then(|text| text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()));
        let counted = INSTRUMENTED_SYSTEM.stats();
        let live = counted.bytes_allocated - counted.bytes_deallocated;
        Self { live, resident: pages.unwrap_or_default() * 4096 }
    }

    /// In bytes, what there is more than before.
    fn since(before: Self) -> Self {
        let now = Self::now();
        Self {
            live: now.live.saturating_sub(before.live),
            resident: now.resident.saturating_sub(before.resident),
        }
    }
}

/// Nothing else may run in this process meanwhile; `cargo nextest` gives each test one of its own.
#[tokio::test]
async fn ten_thousand_executions_at_once_finish_and_each_takes_little_memory() {
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
    let logs = registry(memory(), LogOptions::default().with_max_logs(RUNS + 1));
    let engine = engine_with(definition, logs, EngineOptions::default());
    // What the first run costs, the others do not.
    GATE.add_permits(1);
    start(&engine).await.result().await.unwrap();
    engine.delete(&engine.executions(1, None).executions[0].execution_id).await.unwrap();
    GATE.forget_permits(1);
    let before = Memory::now();
    let mut runs = Vec::with_capacity(RUNS);
    while runs.len() < RUNS {
        runs.push(start(&engine).await);
    }
    while runs.iter().any(|run| run.log().head().last.get() < 5) {
        tokio::task::yield_now().await;
    }
    let running = Memory::since(before);
    GATE.add_permits(1);
    for run in &runs {
        run.result().await.unwrap();
    }
    let finished = Memory::since(before);
    // As many finish after them as the registry keeps, so that these are evicted.
    drop(runs);
    for _ in 0..=RUNS {
        start(&engine).await.result().await.unwrap();
    }
    assert_eq!(engine.logs().len(), RUNS + 1);
    let ids: Vec<_> = engine.executions(2 * RUNS, None).executions;
    assert_eq!(ids.len(), RUNS + 1);
    for listed in ids {
        engine.delete(&listed.execution_id).await.unwrap();
    }
    let evicted = Memory::since(before);
    let each = |memory: Memory| format!("{} ({})", memory.live / RUNS, memory.resident / RUNS);
    println!(
        "bytes per execution, allocated (resident): running {}, finished {}, evicted {}",
        each(running),
        each(finished),
        each(evicted)
    );
    assert!(running.live < RUNS * (8 << 10), "a running execution takes 8 KiB or more");
    assert!(evicted.live < 64 << 10, "{} bytes are left of executions that are gone", evicted.live);
    assert_eq!((engine.logs().len(), engine.executions(1, None).executions.len()), (0, 0));
}
