//! What a step of a run costs beside its body.
//!
//! A real engine over the memory store runs a loop of two nodes that do nothing, 10,000 steps, once with the events that every
//! node says and once without streaming, which leaves the scheduler, the state and the visit itself. Measured is the whole run on
//! one thread, from its start to its end, divided by the steps.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Serialize;
use serde_json::Value;
use streamnest_core::{ExecutionControl as _, StartExecution};
use streamnest_log::{LogOptions, MemoryStore, Registry, SystemClock};
use streamnest_runtime::{
    Engine, Goto, InputError, NodeBuilder, NodeContext, NodeResult, State, StateUpdate, Workflow,
    WorkflowBuilder,
};

const STEPS: u32 = 10_000;

#[derive(Clone, Debug, Serialize)]
struct Nothing {}

#[derive(Clone, Debug, Default, Serialize)]
struct Change {}

impl State for Nothing {
    type Update = Change;

    fn from_input(_: Value) -> Result<Self, InputError> {
        Ok(Self {})
    }

    fn apply(&mut self, _: Change) {}

    fn input_schema() -> Value {
        Value::Bool(true)
    }
}

impl StateUpdate for Change {
    type State = Nothing;
}

struct Loop<const STREAMING: bool>;

impl<const STREAMING: bool> Workflow for Loop<STREAMING> {
    type State = Nothing;

    fn definition() -> WorkflowBuilder<Self> {
        let work = NodeBuilder::new("work").start().run(|_, _, _| async { Ok(Change {}) });
        let again = NodeBuilder::new("again").after("work").routes(&["work"], true);
        let again = again.run(|_, _, ctx: NodeContext| async move {
            NodeResult::Ok(if ctx.visit() < STEPS / 2 { Goto::<Change>::to("work") } else { Goto::end() })
        });
        let name = if STREAMING { "told" } else { "silent" };
        WorkflowBuilder::new(name).streaming(STREAMING).max_steps(STEPS).node(work).node(again)
    }
}

fn step(c: &mut Criterion) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be built");
    let clock = Arc::new(SystemClock);
    let logs = Registry::new(Arc::new(MemoryStore::new(clock.clone())), clock, LogOptions::default());
    let engine = Engine::builder(logs).workflow(Loop::<true>).workflow(Loop::<false>);
    let engine = engine.build().expect("the workflows are sound");
    let mut group = c.benchmark_group("step");
    group
        .throughput(Throughput::Elements(STEPS.into()))
        .sample_size(10)
        .measurement_time(Duration::from_secs(3));
    for workflow in ["silent", "told"] {
        group.bench_function(workflow, |b| {
            b.iter_custom(|runs| {
                runtime.block_on(async {
                    let mut time = Duration::ZERO;
                    for _ in 0..runs {
                        let request = StartExecution {
                            workflow: workflow.into(),
                            input: Value::Null,
                            execution_id: None,
                            on_disconnect: None,
                            trace: None,
                        };
                        let began = Instant::now();
                        let run = engine.run(request).await.expect("the engine has room");
                        run.result().await.expect("the run completes");
                        time += began.elapsed();
                        engine.delete(run.execution_id()).await.expect("a finished run can be deleted");
                    }
                    time
                })
            });
        });
    }
    group.finish();
}

criterion_group!(benches, step);
criterion_main!(benches);
