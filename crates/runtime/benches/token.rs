//! What one token costs on its way from an annotated node to the bytes that a connection sends.
//!
//! A real engine over the memory store runs a workflow of one node that streams tokens as fast as it can, each in a frame
//! of its own (`buffer_size = 1`, `batch_size = 1`), and a reader follows the run by a cursor and encodes what it reads as
//! WebSocket frames. Measured is the whole run on one thread, from the start of the execution until the reader has the bytes
//! of the terminal entry, divided by the tokens. The same without a reader is the share of the producer. Sockets are not
//! measured.

use std::{hint::black_box, sync::Arc, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde::Serialize;
use serde_json::{Value, json};
use streamnest_core::StartExecution;
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
    let request =
        StartExecution { workflow: "fountain".into(), input, execution_id: None, on_disconnect: None };
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
    // Finished runs are evicted at once, so that memory does not grow with the measurement.
    let options = LogOptions::default().with_max_logs(2);
    let logs = Registry::new(Arc::new(MemoryStore::new(clock.clone())), clock, options);
    let engine = Engine::builder(logs).workflow(Fountain).build().expect("the workflow is sound");
    (runtime, engine)
}

fn token(c: &mut Criterion) {
    let mut group = c.benchmark_group("token");
    group.throughput(Throughput::Elements(TOKENS)).sample_size(20).measurement_time(Duration::from_secs(5));
    let (runtime, engine) = engine();
    group.bench_function("said, visible and encoded", |b| {
        b.iter(|| {
            runtime.block_on(async {
                let run = start(&engine).await;
                assert!(follow(&run).await > TOKENS, "every token has an entry of its own");
            });
        });
    });
    group.bench_function("said", |b| {
        b.iter(|| {
            runtime.block_on(async {
                start(&engine).await.result().await.expect("the run completes");
            });
        });
    });
    group.finish();
}

criterion_group!(benches, token);
criterion_main!(benches);
