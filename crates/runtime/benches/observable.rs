//! What one item costs on its way from a log to a subscriber, beside what the plain cursor costs.
//!
//! A log of 10,000 tokens in memory is read whole, on one thread, to its end. The cursor counts entries; the views count
//! items, as a stream, by a subscriber in a task of its own, and behind operators. Writing the log is not measured.
//! Besides criterion's figures, the medians are printed side by side with their ratio to the cursor's.

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures_util::StreamExt as _;
use streamnest_core::{
    Event, ExecutionId, NodeName,
    payload::{StatusUpdate, Token},
};
use streamnest_log::{LogOptions, MemoryStore, Read, ReadLimit, Registry, Start, SystemClock};
use streamnest_runtime::{Batching, FilterCriteria, Observable, StreamUpdate};
use tokio::runtime::Runtime;

const ITEMS: usize = 10_000;
/// How often each way is measured for the table.
const ROUNDS: usize = 31;

fn id() -> ExecutionId {
    ExecutionId::new("bench").expect("the id is legal")
}

/// A finished log of tokens, all of them in the hot tail.
async fn filled() -> Registry {
    let clock = Arc::new(SystemClock);
    let options = LogOptions::default().with_hot_entries(2 * ITEMS);
    let logs = Registry::new(Arc::new(MemoryStore::new(clock.clone())), clock, options);
    let writer = logs.create(&id()).await.expect("there is room");
    let node = NodeName::new("generate").expect("the name is legal");
    for index in 0..ITEMS as u64 - 1 {
        let token = Token { content: "Hello".into(), index, count: 1, ..Token::default() };
        writer.append([Event::token(node.clone(), &token)]).await.expect("the log takes entries");
    }
    writer.finish(StatusUpdate::completed(1.into())).await.expect("the log ends");
    logs
}

async fn cursor(logs: &Registry) -> usize {
    let mut cursor = logs.get(&id()).expect("the log is there").observer(Start::Beginning);
    let mut count = 0;
    while let Some(read) =
        cursor.next_batch(ReadLimit { entries: 256, bytes: 256 << 10 }).await.expect("it reads")
    {
        if let Read::Batch(batch) = read {
            batch.into_iter().for_each(|entry| count += usize::from(black_box(entry).seq().get() > 0));
        }
    }
    count
}

fn view(logs: &Registry) -> Observable<StreamUpdate> {
    Observable::of_execution(logs, &id(), Start::Beginning, FilterCriteria::all()).expect("the log is there")
}

async fn stream<T: Send + 'static>(view: Observable<T>, weigh: impl Fn(&T) -> usize) -> usize {
    view.items().fold(0, |count, item| std::future::ready(count + item.as_ref().map_or(0, &weigh))).await
}

async fn subscriber<T: Send + 'static>(
    view: Observable<T>,
    weigh: impl Fn(&T) -> usize + Send + 'static,
) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let subscription = view.subscribe(move |item| {
        counted.fetch_add(weigh(&item), Ordering::Relaxed);
    });
    subscription.ended().await.expect("nothing breaks");
    count.load(Ordering::Relaxed)
}

fn chain(logs: &Registry) -> Observable<u64> {
    view(logs)
        .filter(|update| update.sequence().get() > 0)
        .map(|update| update.sequence().get())
        .scan(0, |_, seq| seq)
}

/// The ways, by name.
const WAYS: [&str; 5] = ["cursor", "stream", "subscriber", "filter + map + scan", "batches of 100"];

async fn go(way: &str, logs: &Registry) -> usize {
    match way {
        "cursor" => cursor(logs).await,
        "stream" => stream(view(logs), |_| 1).await,
        "subscriber" => subscriber(view(logs), |_| 1).await,
        "filter + map + scan" => subscriber(chain(logs), |_| 1).await,
        _ => subscriber(view(logs).batches(Batching::default().with_max_items(100)), Vec::len).await,
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn per_item(c: &mut Criterion) {
    let runtime = runtime();
    let logs = runtime.block_on(filled());
    let mut group = c.benchmark_group("one item");
    group.throughput(Throughput::Elements(ITEMS as u64));
    for way in WAYS {
        group.bench_function(way, |b| {
            b.iter(|| assert_eq!(runtime.block_on(go(way, &logs)), ITEMS));
        });
    }
    group.finish();
    let median = |way: &str| {
        let mut took: Vec<Duration> = (0..ROUNDS)
            .map(|_| {
                let began = Instant::now();
                assert_eq!(runtime.block_on(go(way, &logs)), ITEMS);
                began.elapsed()
            })
            .collect();
        took.sort_unstable();
        took.get(ROUNDS / 2).map_or(0.0, Duration::as_secs_f64) * 1e9 / ITEMS as f64
    };
    let cursor = median("cursor");
    for way in WAYS {
        let nanoseconds = median(way);
        #[expect(clippy::print_stdout, reason = "the ratios are for who runs the bench")]
        {
            println!("{way}: {nanoseconds:.1} ns an item, {:.1} times the cursor", nanoseconds / cursor);
        }
    }
}

criterion_group!(benches, per_item);
criterion_main!(benches);
