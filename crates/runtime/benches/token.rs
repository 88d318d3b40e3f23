//! What one token costs on its way from an annotated node to the bytes that a connection sends.
//!
//! A real engine over the memory store runs a workflow of one node that streams tokens as fast as it can, each in a frame
//! of its own (`buffer_size = 1`, `batch_size = 1`), and a reader follows the run by a cursor and encodes what it reads as
//! WebSocket frames. Measured is the whole run on one thread, from the start of the execution until the reader has the bytes
//! of the terminal entry, divided by the tokens. The same without a reader is the share of the producer. Not measured are
//! sockets, and the time it takes to forget a finished run, which is deleted before the next one starts.

use std::{
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Serialize;
use serde_json::{Value, json};
use streamnest_core::{ExecutionControl as _, StartExecution};
use streamnest_log::{LogOptions, MemoryStore, Read, ReadLimit, Registry, Start, SystemClock};
use streamnest_protocol::native::WebSocketFrame;
use streamnest_runtime::{
    Engine, InputError, InputReader, NodeBuilder, NodeContext, Run, SchemaBuilder, State, StateUpdate,
    TokenOptions, Workflow, WorkflowBuilder,
};
use tokio::runtime::Runtime;

/// Enough that the start and the end of a run weigh little.
const TOKENS: u64 = 20_000;

#[derive(Clone, Debug, Serialize)]
struct Count {
    tokens: u64,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Nothing {}

impl State for Count {
    type Update = Nothing;

    fn from_input(input: Value) -> Result<Self, InputError> {
        Ok(Self { tokens: InputReader::new(input)?.required("tokens")? })
    }

    fn apply(&mut self, _: Nothing) {}

    fn input_schema() -> Value {
        SchemaBuilder::new("Count").field::<u64>("tokens", true, None).finish()
    }
}

impl StateUpdate for Nothing {
    type State = Count;
}

/// Streams as many tokens as it is told.
struct Fountain;

impl Workflow for Fountain {
    type State = Count;

    fn definition() -> WorkflowBuilder<Self> {
        let options = TokenOptions::default().with_buffer_size(1).with_batch_size(1);
        let node = NodeBuilder::new("pour").start().stream_token(options);
        WorkflowBuilder::new("fountain").node(node.run(|_, state: Arc<Count>, ctx: NodeContext| async move {
            for _ in 0..state.tokens {
                ctx.token("Hello").await;
            }
            Ok(())
        }))
    }
}

async fn start(engine: &Engine) -> Run {
    let input = json!({"tokens": TOKENS});
    let request = StartExecution {
        workflow: "fountain".into(),
        input,
        execution_id: None,
        on_disconnect: None,
        trace: None,
    };
    engine.run(request).await.expect("the engine has room")
}

/// Reads the run to its end and encodes every entry.
async fn follow(run: &Run) -> u64 {
    let mut cursor = run.log().cursor(Start::Beginning);
    let mut pieces = Vec::new();
    let mut entries = 0;
    while let Some(read) = cursor.next_batch(ReadLimit::default()).await.expect("the log is readable") {
        let Read::Batch(batch) = read else { unreachable!("nothing was trimmed") };
        entries += batch.len() as u64;
        cursor.log().encoded::<WebSocketFrame>(&batch, &mut pieces);
        black_box(&pieces);
        pieces.clear();
    }
    entries
}

fn engine() -> (Runtime, Engine) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime can be built");
    let clock = Arc::new(SystemClock);
    let logs = Registry::new(Arc::new(MemoryStore::new(clock.clone())), clock, LogOptions::default());
    let engine = Engine::builder(logs).workflow(Fountain).build().expect("the workflow is sound");
    (runtime, engine)
}

/// The time of `runs` runs, each from its start until `read` is done.
fn measure(runtime: &Runtime, engine: &Engine, runs: u64, read: impl AsyncFn(&Run)) -> Duration {
    runtime.block_on(async {
        let mut time = Duration::ZERO;
        for _ in 0..runs {
            let began = Instant::now();
            let run = start(engine).await;
            read(&run).await;
            time += began.elapsed();
            run.result().await.expect("the run completes");
            engine.delete(run.execution_id()).await.expect("a finished run can be deleted");
        }
        time
    })
}

fn token(c: &mut Criterion) {
    let mut group = c.benchmark_group("token");
    group.throughput(Throughput::Elements(TOKENS)).sample_size(20).measurement_time(Duration::from_secs(5));
    let (runtime, engine) = engine();
    group.bench_function("said, visible and encoded", |b| {
        b.iter_custom(|runs| {
            measure(&runtime, &engine, runs, async |run| {
                assert!(follow(run).await > TOKENS, "every token has an entry of its own");
            })
        });
    });
    group.bench_function("said", |b| {
        b.iter_custom(|runs| {
            measure(&runtime, &engine, runs, async |run| {
                run.result().await.expect("the run completes");
            })
        });
    });
    group.finish();
}

criterion_group!(benches, token);
criterion_main!(benches);
