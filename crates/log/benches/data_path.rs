//! What one entry costs on its way from a writer to the bytes that a connection sends.
//!
//! Over the memory store, on one thread, everything drained before the clock stops. Making the event is not measured
//! (its clone is, about 20 ns); neither are sockets, nor the scheduling of tasks except where the name says `tokio`.

use std::{
    future::Future,
    hint::black_box,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use streamnest_core::{Entry, Event, ExecutionId, NodeName, payload::Token};
use streamnest_log::{
    Batch, Cursor, LogOptions, MemoryStore, Read, ReadLimit, Registry, Retention, Start, SystemClock, Writer,
};
use streamnest_protocol::native::{SseEvent, WebSocketFrame};

const READERS: usize = 1_000;

/// A token of five letters, as models send them.
fn token() -> Event {
    let node = NodeName::new("generate").expect("the name is legal");
    Event::token(node, &Token { content: "Hello".into(), count: 1, visit: 1, attempt: 1, ..Token::default() })
}

fn writer(options: LogOptions) -> Writer {
    let clock = Arc::new(SystemClock);
    let registry = Registry::new(Arc::new(MemoryStore::new(clock.clone())), clock, options);
    now(registry.create(&ExecutionId::new("bench").expect("the id is legal"))).expect("the registry has room")
}

fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the memory store is durable at once"),
    }
}

fn append(writer: &Writer, event: &Event) {
    now(writer.append([event.clone()])).expect("the log takes entries");
}

fn read(cursor: &mut Cursor, waker: &Waker) -> Option<Batch> {
    match cursor.poll_next_batch(&mut Context::from_waker(waker), ReadLimit::default()) {
        Poll::Ready(Ok(Some(Read::Batch(batch)))) => Some(batch),
        Poll::Pending => None,
        Poll::Ready(other) => unreachable!("nothing was trimmed, and the log goes on: {other:?}"),
    }
}

/// Append and publish without a reader, to a log that is at its bound of entries, so that each also forgets one: a
/// bound that fits into the processor's cache, and the default one, where the entry that is forgotten is cold.
fn appending(c: &mut Criterion) {
    let mut group = c.benchmark_group("append");
    let event = token();
    let default = Retention::default().max_entries;
    for (count, max_entries) in [(1, 1_024), (10, 1_024), (1, default), (10, default)] {
        let retention = Retention::default().with_max_entries(max_entries);
        let writer = writer(LogOptions::default().with_retention(retention));
        (0..max_entries).for_each(|_| append(&writer, &event));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} at once, {max_entries} kept"), |b| {
            b.iter(|| now(writer.append(std::iter::repeat_n(&event, count).cloned())));
        });
    }
    group.finish();
}

/// Raised when its reader is woken.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

/// One entry to a thousand waiting readers: wake, read, wait again. Per reader.
fn fan_out(c: &mut Criterion) {
    let mut group = c.benchmark_group("fan-out");
    group.throughput(Throughput::Elements(READERS as u64));
    let event = token();
    group.bench_function("1 to 1,000 cursors", |b| {
        let writer = writer(LogOptions::default().with_wake_inline(usize::MAX));
        let mut readers: Vec<_> = (0..READERS)
            .map(|_| {
                let flag = Arc::new(Flag::default());
                let waker = Waker::from(flag.clone());
                let mut cursor = writer.log().cursor(Start::Now);
                assert!(read(&mut cursor, &waker).is_none());
                (cursor, flag, waker)
            })
            .collect();
        b.iter(|| {
            append(&writer, &event);
            for (cursor, flag, waker) in &mut readers {
                assert!(flag.0.swap(false, Ordering::Acquire));
                assert_eq!(read(cursor, waker).map(|batch| batch.len()), Some(1));
                assert!(read(cursor, waker).is_none());
            }
        });
    });
    group.bench_function("1 to 1,000 tokio tasks", |b| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        b.iter_custom(|rounds| runtime.block_on(tasks(rounds, &event)));
    });
    group.finish();
}

/// Entries one by one to a task per reader, each on its way once the one before has reached all.
async fn tasks(rounds: u64, event: &Event) -> Duration {
    let writer = writer(LogOptions::default().with_wake_inline(usize::MAX));
    let received = Arc::new(AtomicUsize::new(0));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (mut cursor, received) = (writer.log().cursor(Start::Now), received.clone());
            tokio::spawn(async move {
                while let Ok(Some(Read::Batch(batch))) = cursor.next_batch(ReadLimit::default()).await {
                    received.fetch_add(batch.len(), Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::task::yield_now().await;
    let started = Instant::now();
    for round in 1..=rounds {
        append(&writer, event);
        while received.load(Ordering::Relaxed) < READERS * round as usize {
            tokio::task::yield_now().await;
        }
    }
    let took = started.elapsed();
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    took
}

/// A log of `count` tokens and its entries, none of them encoded yet.
fn filled(count: usize, options: LogOptions) -> (Writer, Vec<Arc<Entry>>) {
    let writer = writer(options);
    let event = token();
    (0..count).for_each(|_| append(&writer, &event));
    let mut cursor = writer.log().cursor(Start::Beginning);
    let mut entries = Vec::with_capacity(count);
    while let Some(batch) = read(&mut cursor, Waker::noop()) {
        entries.extend(batch);
    }
    assert_eq!(entries.len(), count);
    (writer, entries)
}

/// Entries to the bytes of the native protocol, a thousand at once and one by one, and to bytes that are there already.
fn encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode");
    let count = 1_000;
    group.throughput(Throughput::Elements(count as u64));
    let fresh = || filled(count, LogOptions::default());
    group.bench_function("WebSocket, 1,000 at once", |b| {
        let encode = |(writer, entries): &mut (Writer, Vec<Arc<Entry>>)| {
            let mut out = Vec::new();
            writer.log().encoded::<WebSocketFrame>(entries, &mut out);
            out
        };
        b.iter_batched_ref(fresh, encode, BatchSize::LargeInput);
    });
    group.bench_function("WebSocket, one by one", |b| {
        let encode = |(writer, entries): &mut (Writer, Vec<Arc<Entry>>)| {
            let mut out = Vec::new();
            for entry in entries {
                writer.log().encoded::<WebSocketFrame>(std::slice::from_ref(entry), &mut out);
            }
            out
        };
        b.iter_batched_ref(fresh, encode, BatchSize::LargeInput);
    });
    group.bench_function("SSE, 1,000 at once", |b| {
        let encode = |(writer, entries): &mut (Writer, Vec<Arc<Entry>>)| {
            let mut out = Vec::new();
            writer.log().encoded::<SseEvent>(entries, &mut out);
            out
        };
        b.iter_batched_ref(fresh, encode, BatchSize::LargeInput);
    });
    group.bench_function("WebSocket, 1,000 again", |b| {
        let (writer, entries) = fresh();
        let mut out = Vec::new();
        b.iter(|| {
            out.clear();
            writer.log().encoded::<WebSocketFrame>(black_box(&entries), &mut out);
            out.len()
        });
    });
    group.finish();
}

/// A reader that comes back and is owed 10,000 entries: cursor reads and shared bytes, from the hot tail and from the
/// store.
fn resuming(c: &mut Criterion) {
    let mut group = c.benchmark_group("resume of 10,000");
    let count = 10_000;
    group.throughput(Throughput::Elements(count as u64));
    for (name, hot_entries) in [("from the hot tail", 2 * count), ("from the memory store", 1)] {
        let (writer, _) = filled(count, LogOptions::default().with_hot_entries(hot_entries));
        group.bench_function(name, |b| {
            let mut out = Vec::new();
            b.iter(|| {
                let mut cursor = writer.log().cursor(Start::Beginning);
                let mut entries = 0;
                out.clear();
                while let Some(batch) = read(&mut cursor, Waker::noop()) {
                    writer.log().encoded::<WebSocketFrame>(&batch, &mut out);
                    entries += batch.len();
                }
                assert_eq!(entries, count);
                out.iter().map(bytes::Bytes::len).sum::<usize>()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, appending, fan_out, encoding, resuming);
criterion_main!(benches);
