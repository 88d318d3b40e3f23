//! The runtime over stores that record, refuse, or take their time.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use streamnest_core::{
    Appended, AttributeChange, BoxFuture, Class, Delivery, DurabilityWatch, Entry, Epoch,
    ExecutionControl as _, LogName, LogStore, Mark, Seq, Status, StoreError, StoredLog, Term,
};
use streamnest_log::{LogOptions, ReadLimit, Start};
use streamnest_runtime::{EngineOptions, EventOptions, NodeContext, NodeResult, TokenOptions};
use tokio::{
    sync::Notify,
    task::yield_now,
    time::{Instant, sleep, timeout},
};

use crate::support::{Definition, engine_on, engine_with, memory, play, registry, request, start, told};

/// What a test decides about each append.
pub(crate) trait Judge: Send + Sync + 'static {
    /// Called with the entries of an append, or with none for the seal. `Pending` entries become durable when
    /// [`Judged::release`] is called.
    fn judge(&self, entries: &[Arc<Entry>]) -> Result<Appended, StoreError>;
}

impl<F: Fn(&[Arc<Entry>]) -> Result<Appended, StoreError> + Send + Sync + 'static> Judge for F {
    fn judge(&self, entries: &[Arc<Entry>]) -> Result<Appended, StoreError> {
        self(entries)
    }
}

/// A store over the memory store whose appends are judged.
pub(crate) struct Judged {
    inner: Arc<dyn LogStore>,
    judge: Arc<dyn Judge>,
    watches: Mutex<Vec<Arc<dyn DurabilityWatch>>>,
}

struct JudgedLog {
    inner: Arc<dyn StoredLog>,
    judge: Arc<dyn Judge>,
}

impl Judged {
    pub(crate) fn new(judge: impl Judge) -> Arc<Self> {
        Arc::new(Self { inner: memory(), judge: Arc::new(judge), watches: Mutex::default() })
    }

    /// Everything up to `seq` is durable.
    pub(crate) fn release(&self, seq: u64, sealed: bool) {
        for watch in self.watches.lock().unwrap().iter() {
            watch.durable(Mark { last: seq.try_into().unwrap(), sealed, ..Mark::default() });
        }
    }

    /// What is pending is lost.
    fn fail(&self, error: &StoreError) {
        for watch in self.watches.lock().unwrap().iter() {
            watch.failed(error.clone());
        }
    }
}

impl LogStore for Judged {
    fn create<'a>(
        &'a self,
        name: &'a LogName,
        attributes: &'a [AttributeChange],
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        self.watches.lock().unwrap().push(watch.clone());
        let judge = self.judge.clone();
        Box::pin(async move {
            let inner = self.inner.create(name, attributes, watch).await?;
            Ok(Arc::new(JudgedLog { inner, judge }) as Arc<dyn StoredLog>)
        })
    }

    forward!(inner: open, delete, list);
}

impl StoredLog for JudgedLog {
    forward!(inner: head, read, trim);

    fn append(
        &self,
        term: Term,
        expected_last: Seq,
        entries: &[Arc<Entry>],
        attributes: &[AttributeChange],
    ) -> Result<Appended, StoreError> {
        let appended = self.judge.judge(entries)?;
        self.inner.append(term, expected_last, entries, attributes)?;
        Ok(appended)
    }

    fn seal(&self, term: Term, expected_last: Seq) -> Result<Appended, StoreError> {
        let appended = self.judge.judge(&[])?;
        self.inner.seal(term, expected_last)?;
        Ok(appended)
    }
}

/// A store that thinks before it opens a log.
pub(crate) struct SlowToOpen(pub(crate) Arc<dyn LogStore>);

impl LogStore for SlowToOpen {
    fn create<'a>(
        &'a self,
        name: &'a LogName,
        attributes: &'a [AttributeChange],
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        Box::pin(async move {
            for _ in 0..10 {
                yield_now().await;
            }
            self.0.create(name, attributes, watch).await
        })
    }

    forward!(0: open, delete, list);
}

pub(crate) fn unavailable() -> StoreError {
    StoreError::Unavailable { source: Arc::new(std::io::Error::other("on purpose")) }
}

/// How many entries of which class each append of a run had, of those that the node made.
async fn appends(definition: Definition) -> Vec<(Class, usize)> {
    let seen: Arc<Mutex<Vec<(Class, usize)>>> = Arc::default();
    let sees = seen.clone();
    let store = Judged::new(move |entries: &[Arc<Entry>]| {
        if let Some(first) = entries.first().filter(|entry| entry.event().node().is_some()) {
            assert!(entries.iter().all(|entry| entry.event().class() == first.event().class()));
            sees.lock().unwrap().push((first.event().class(), entries.len()));
        }
        Ok(Appended::Durable)
    });
    told(&start(&engine_on(definition, store)).await).await;
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[tokio::test(start_paused = true)]
async fn events_go_into_the_log_in_batches_and_a_full_buffer_does_not_wait_for_the_node_to_pause() {
    let emits = |buffer_size: usize, batch_size: usize| {
        let options = EventOptions::default().with_events(vec![streamnest_core::EventType::CUSTOM]);
        play(
            |node| node.stream_event(options.with_buffer_size(buffer_size).with_batch_size(batch_size)),
            |ctx| async move {
                for n in 0..25 {
                    ctx.emit("mine", n).await?;
                }
                Ok(())
            },
        )
    };
    let sizes = |appends: Vec<(Class, usize)>| appends.into_iter().map(|(_, size)| size).collect::<Vec<_>>();
    assert_eq!(sizes(appends(emits(100, 10)).await), [10, 10, 5]);
    assert_eq!(sizes(appends(emits(100, 25)).await), [25]);
    assert_eq!(sizes(appends(emits(8, 5)).await), [5, 3, 5, 3, 5, 3, 1]);
    assert_eq!(sizes(appends(emits(1, 10)).await), [1; 25]);

    // A buffer of eight is full while the node has not paused once; what is left is said when it pauses.
    let options =
        EventOptions::default().with_events(vec![streamnest_core::EventType::CUSTOM]).with_buffer_size(8);
    let seen = Arc::new(Mutex::new(VecDeque::new()));
    let sees = seen.clone();
    let definition = play(
        |node| node.stream_event(options),
        move |ctx| {
            let sees = sees.clone();
            async move {
                for n in 0..9 {
                    ctx.emit("mine", n).await?;
                    sees.lock().unwrap().push_back(n);
                }
                sleep(Duration::from_secs(1)).await;
                Ok(())
            }
        },
    );
    let said = seen.clone();
    let when: Arc<Mutex<Vec<usize>>> = Arc::default();
    let notes = when.clone();
    let store = Judged::new(move |entries: &[Arc<Entry>]| {
        if entries.first().is_some_and(|entry| entry.event().node().is_some()) {
            notes.lock().unwrap().push(said.lock().unwrap().len());
        }
        Ok(Appended::Durable)
    });
    let engine = engine_on(definition, store);
    let run = start(&engine).await;
    sleep(Duration::from_millis(500)).await;
    // The eighth call appended before it returned; the ninth's event when the node paused, half a second ago.
    assert_eq!(*when.lock().unwrap(), [7, 9]);
    run.result().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_tokens_is_one_append() {
    let options = TokenOptions::default().with_buffer_size(30).with_batch_size(10);
    let seen = appends(play(
        |node| node.stream_token(options).stream_event(EventOptions::default().with_enabled(false)),
        |ctx| async move {
            for n in 0..61 {
                ctx.token(n.to_string()).await;
            }
            Ok(())
        },
    ))
    .await;
    assert_eq!(seen, [(Class::Token, 1), (Class::Token, 3), (Class::Token, 3)]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_refuses_ends_the_run_with_a_failure_wherever_it_begins_to() {
    let definition = || {
        play(
            |node| {
                node.stream_token(TokenOptions::default().with_buffer_size(1))
                    .timeout(Duration::from_secs(3600))
            },
            |ctx: NodeContext| async move {
                for n in 0..5 {
                    ctx.token(n.to_string()).await;
                    ctx.emit("mine", n).await?;
                    sleep(Duration::from_millis(1)).await;
                }
                ctx.emit_once("key", "keyed", ()).await?;
                Ok(())
            },
        )
    };
    let fenced = || StoreError::Fenced { term: 1, newest: 2 };
    for (error, code) in [(unavailable as fn() -> StoreError, "store_unavailable"), (fenced, "fenced")] {
        for good in 0..12 {
            let calls = Arc::new(AtomicUsize::new(0));
            let counts = calls.clone();
            let store = Judged::new(move |_: &[Arc<Entry>]| {
                if counts.fetch_add(1, Ordering::SeqCst) < good {
                    Ok(Appended::Durable)
                } else {
                    Err(error())
                }
            });
            let engine = engine_on(definition(), store);
            let run = start(&engine).await;
            let result = timeout(Duration::from_secs(60), run.result()).await.expect("the run ends");
            assert_eq!(result.unwrap_err().code(), code, "after {good} appends");
            assert!(calls.load(Ordering::SeqCst) > good);
            // Who waits for the engine to drain does not wait for it either.
            timeout(Duration::from_secs(60), engine.drain(Duration::ZERO)).await.expect("the drain ends");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_recovers_gets_the_terminal_entry() {
    let down = Arc::new(AtomicUsize::new(0));
    let is_down = down.clone();
    let store = Judged::new(move |_: &[Arc<Entry>]| {
        if is_down.load(Ordering::SeqCst) == 1 { Err(unavailable()) } else { Ok(Appended::Durable) }
    });
    let engine = engine_on(
        play(
            |node| node.stream_token(TokenOptions::default().with_buffer_size(1)),
            |ctx: NodeContext| async move {
                loop {
                    ctx.token("x").await;
                    sleep(Duration::from_millis(100)).await;
                }
                #[expect(unreachable_code, reason = "it gives the body its type")]
                Ok(())
            },
        ),
        store,
    );
    let run = start(&engine).await;
    sleep(Duration::from_secs(1)).await;
    down.store(1, Ordering::SeqCst);
    sleep(Duration::from_millis(500)).await;
    down.store(0, Ordering::SeqCst);
    assert_eq!(told(&run).await.ended(), "failed: store_unavailable");
}

#[tokio::test(start_paused = true)]
async fn readers_of_a_run_whose_end_cannot_be_written_hear_of_it_and_its_log_makes_room() {
    let down = Arc::new(AtomicUsize::new(0));
    let is_down = down.clone();
    let store = Judged::new(move |_: &[Arc<Entry>]| {
        if is_down.load(Ordering::SeqCst) == 1 { Err(unavailable()) } else { Ok(Appended::Durable) }
    });
    let definition = play(
        |node| node,
        |_| async {
            sleep(Duration::from_secs(1)).await;
            Ok(())
        },
    );
    let logs = registry(store, LogOptions::default().with_max_logs(1));
    let engine = engine_with(definition, logs, EngineOptions::default());
    let run = start(&engine).await;
    down.store(1, Ordering::SeqCst);
    let mut cursor = run.log().observer(Start::Beginning);
    let read = async {
        loop {
            match cursor.next_batch(ReadLimit::default()).await {
                Ok(Some(_)) => {}
                ended => return ended,
            }
        }
    };
    let ended = timeout(Duration::from_secs(60), read).await.expect("the reader hears of it");
    assert_eq!(ended.unwrap_err().code(), "store_unavailable");
    run.result().await.unwrap_err();
    down.store(0, Ordering::SeqCst);
    start(&engine).await.result().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn entries_that_are_lost_after_they_were_accepted_end_the_run_with_a_failure() {
    let store = Judged::new(|_: &[Arc<Entry>]| Ok(Appended::Pending));
    let engine = engine_on(play(|node| node, |_| std::future::pending::<NodeResult<()>>()), store.clone());
    let run = start(&engine).await;
    sleep(Duration::from_secs(1)).await;
    store.fail(&unavailable());
    timeout(Duration::from_secs(60), run.cancel("enough")).await.expect("the cancel returns");
    assert!(run.result().await.is_err());
}

/// Bytes that wait for the store, counted by what was appended and what was released.
#[tokio::test(start_paused = true)]
async fn a_producer_waits_for_durability_and_never_for_readers() {
    let accepted = Arc::new(AtomicUsize::new(0));
    let pending = Arc::new(AtomicUsize::new(0));
    let (counts, weighs) = (accepted.clone(), pending.clone());
    let store = Judged::new(move |entries: &[Arc<Entry>]| {
        counts.fetch_add(entries.len(), Ordering::SeqCst);
        weighs.fetch_add(entries.iter().map(|entry| entry.weight()).sum(), Ordering::SeqCst);
        Ok(Appended::Pending)
    });
    let limit = 16 << 10;
    let said = Arc::new(AtomicUsize::new(0));
    let says = said.clone();
    let definition = play(
        |node| node.stream_token(TokenOptions::default().with_buffer_size(1)),
        move |ctx: NodeContext| {
            let says = says.clone();
            async move {
                for _ in 0..1_000 {
                    ctx.token("x".repeat(100)).await;
                    says.fetch_add(1, Ordering::SeqCst);
                }
                Ok(())
            }
        },
    );
    let logs = registry(store.clone(), LogOptions::default().with_max_pending_bytes(limit));
    let engine = engine_with(definition, logs, EngineOptions::default());
    let run = start(&engine).await;
    // A reader that never reads slows nobody, below.
    let _stalled = run.log().cursor(Start::Beginning);
    sleep(Duration::from_secs(10)).await;
    let first = said.load(Ordering::SeqCst);
    assert!((20..100).contains(&first), "{first} tokens were said");
    assert!(pending.load(Ordering::SeqCst) <= limit);
    assert_eq!(run.log().head().last, Seq::BEFORE_FIRST, "nothing is visible that is not durable");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(said.load(Ordering::SeqCst), first, "it waits");
    while !run.log().head().sealed {
        pending.store(0, Ordering::SeqCst);
        store.release(accepted.load(Ordering::SeqCst) as u64, accepted.load(Ordering::SeqCst) > 1_000);
        sleep(Duration::from_millis(1)).await;
        assert!(pending.load(Ordering::SeqCst) <= limit);
    }
    let told = told(&run).await;
    assert_eq!((told.text().len(), told.ended().as_str()), (100_000, "completed"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_waiting_does_not_fill_the_memory() {
    let store = Judged::new(|_: &[Arc<Entry>]| Ok(Appended::Pending));
    let tried = Arc::new(Notify::new());
    let told_tried = tried.clone();
    let definition = play(
        |node| node.stream_token(TokenOptions::default().with_buffer_size(1)),
        move |ctx: NodeContext| {
            let tried = told_tried.clone();
            async move {
                for n in 0..500 {
                    let _ = timeout(Duration::from_millis(1), ctx.token(format!("{n} "))).await;
                    let _ = timeout(Duration::from_millis(1), ctx.emit("mine", n)).await;
                    let _ = timeout(Duration::from_millis(1), ctx.progress(n, 500)).await;
                }
                tried.notify_one();
                std::future::pending::<NodeResult<()>>().await
            }
        },
    );
    let logs = registry(store.clone(), LogOptions::default().with_max_pending_bytes(4 << 10));
    let engine = engine_with(definition, logs, EngineOptions::default());
    let run = start(&engine).await;
    tried.notified().await;
    // What was taken is said when there is room again: what fitted, and one batch of what did not.
    let cancel = run.cancel("enough");
    let release = async {
        for _ in 0..50 {
            store.release(u64::from(u32::MAX), true);
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::join!(cancel, release);
    let last = run.log().head().last.get();
    assert!(last < 60, "{last} entries");
}

#[tokio::test(start_paused = true)]
async fn who_has_read_the_terminal_entry_may_delete_at_once() {
    let store = Judged::new(|_: &[Arc<Entry>]| Ok(Appended::Pending));
    let engine = engine_on(play(|node| node, |_| async { Ok(()) }), store.clone());
    for sealed_with_it in [true, false] {
        let run = start(&engine).await;
        let id = run.execution_id();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(engine.delete(id).await.unwrap_err().code(), "still_running", "nobody has read an end");
        store.release(u64::from(u32::MAX), sealed_with_it);
        // No task has run since: the run's own has not heard of it yet.
        assert!(run.log().head().status.is_some_and(Status::is_terminal));
        let deleted = engine.delete(id);
        let seal = async { store.release(u64::from(u32::MAX), true) };
        let (deleted, ()) = tokio::join!(biased; deleted, seal);
        deleted.unwrap();
        assert_eq!(engine.delete(id).await.unwrap_err().code(), "unknown_execution");
    }
}

#[tokio::test(start_paused = true)]
async fn emit_once_returns_when_its_event_is_durable() {
    let store = Judged::new(|_: &[Arc<Entry>]| Ok(Appended::Pending));
    let began = Instant::now();
    let at: Arc<Mutex<Option<(bool, Duration)>>> = Arc::default();
    let notes = at.clone();
    let definition = play(
        |node| node,
        move |ctx: NodeContext| {
            let notes = notes.clone();
            async move {
                let emitted = ctx.emit_once("key", "paid", ()).await?;
                *notes.lock().unwrap() = Some((emitted, began.elapsed()));
                Ok(())
            }
        },
    );
    let engine = engine_on(definition, store.clone());
    let run = start(&engine).await;
    sleep(Duration::from_secs(7)).await;
    assert_eq!(*at.lock().unwrap(), None);
    store.release(4, false);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(at.lock().unwrap().map(|(emitted, after)| (emitted, after.as_secs())), Some((true, 7)));
    store.release(u64::from(u32::MAX), true);
    run.result().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_exactly_once_is_durable_when_emit_returns() {
    for (delivery, after) in
        [(Delivery::AtMostOnce, 0), (Delivery::AtLeastOnce, 0), (Delivery::ExactlyOnce, 7)]
    {
        let store = Judged::new(|_: &[Arc<Entry>]| Ok(Appended::Pending));
        let began = Instant::now();
        let at: Arc<Mutex<Option<u64>>> = Arc::default();
        let notes = at.clone();
        let definition = play(
            |node| node.stream_event(EventOptions::default().with_delivery(delivery)),
            move |ctx: NodeContext| {
                let notes = notes.clone();
                async move {
                    ctx.emit("paid", ()).await?;
                    *notes.lock().unwrap() = Some(began.elapsed().as_secs());
                    sleep(Duration::from_secs(3600)).await;
                    Ok(())
                }
            },
        );
        let engine = engine_on(definition, store.clone());
        let _run = start(&engine).await;
        sleep(Duration::from_secs(7)).await;
        store.release(u64::from(u32::MAX), false);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(*at.lock().unwrap(), Some(after), "{delivery:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_keyed_event_that_is_given_up_before_it_was_taken_leaves_its_key_free() {
    let store = Judged::new(|_: &[Arc<Entry>]| Ok(Appended::Pending));
    let definition = play(
        |node| node.stream_event(EventOptions::default().with_buffer_size(1)),
        |ctx: NodeContext| async move {
            let second = Duration::from_secs(1);
            while timeout(second, ctx.emit("filler", "x".repeat(500))).await.is_ok() {}
            assert!(timeout(second, ctx.emit_once("key", "paid", 1)).await.is_err(), "there is no room");
            sleep(Duration::from_secs(60)).await;
            assert!(ctx.emit_once("key", "paid", 2).await?, "the key is free");
            assert!(!ctx.emit_once("key", "paid", 3).await?);
            Ok(())
        },
    );
    let logs = registry(store.clone(), LogOptions::default().with_max_pending_bytes(4_096));
    let engine = engine_with(definition, logs, EngineOptions::default());
    let run = start(&engine).await;
    sleep(Duration::from_secs(10)).await;
    for _ in 0..100 {
        store.release(u64::from(u32::MAX), false);
        sleep(Duration::from_secs(1)).await;
    }
    store.release(u64::from(u32::MAX), true);
    assert_eq!(told(&run).await.data("paid"), [2]);
    run.result().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_open_a_log_refuses_the_start_and_the_id_stays_free() {
    struct Down(Arc<dyn LogStore>, AtomicUsize);
    impl LogStore for Down {
        fn create<'a>(
            &'a self,
            name: &'a LogName,
            attributes: &'a [AttributeChange],
            watch: Arc<dyn DurabilityWatch>,
        ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
            if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
                return Box::pin(async { Err(unavailable()) });
            }
            self.0.create(name, attributes, watch)
        }

        forward!(0: open, delete, list);
    }
    let engine =
        engine_on(play(|node| node, |_| async { Ok(()) }), Arc::new(Down(memory(), AtomicUsize::new(0))));
    let refused = engine.start(request(Some("one"))).await.unwrap_err();
    assert_eq!((refused.code(), refused.is_retryable()), ("store_unavailable", true));
    let run = engine.run(request(Some("one"))).await.unwrap();
    let mut cursor = run.log().cursor(Start::Beginning);
    while cursor.next_batch(ReadLimit::default()).await.unwrap().is_some() {}
    run.result().await.unwrap();
    let _: Epoch = run.log().identity().epoch();
}

/// A store whose index is full: no log is made.
struct IndexIsFull(Arc<dyn LogStore>);

impl LogStore for IndexIsFull {
    fn create<'a>(
        &'a self,
        _: &'a LogName,
        _: &'a [AttributeChange],
        _: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        Box::pin(async { Err(index_full()) })
    }

    forward!(0: open, delete, list);
}

fn index_full() -> StoreError {
    StoreError::IndexFull { limit: 4_096 }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_the_index_has_no_room_for_says_so_and_what_helps() {
    let engine = engine_on(play(|node| node, |_| async { Ok(()) }), Arc::new(IndexIsFull(memory())));
    let refused = engine.start(request(None)).await.unwrap_err();
    assert_eq!((refused.code(), refused.is_retryable()), ("store_index_full", true));
    assert!(refused.to_string().contains("max_index_bytes"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_the_index_has_no_room_for_is_told_to_the_node_and_the_run_goes_on() {
    let store = Judged::new(|entries: &[Arc<Entry>]| {
        let keyed = entries.iter().any(|entry| entry.event().event_type().as_str() == "keyed");
        if keyed { Err(index_full()) } else { Ok(Appended::Durable) }
    });
    let definition = play(
        |node| node,
        |ctx: NodeContext| async move {
            let error = ctx.emit_once("key", "keyed", ()).await.unwrap_err();
            assert!(error.to_string().contains("max_index_bytes"), "{error}");
            ctx.emit("after", ()).await?;
            Ok(())
        },
    );
    let run = start(&engine_on(definition, store)).await;
    run.result().await.unwrap();
}
