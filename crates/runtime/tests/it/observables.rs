//! Views and their subscribers: nothing is lost, and nobody feels another.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use streamnest_core::{
    Class, Event, EventType, ExecutionId, LogStore, NodeName,
    payload::{StatusUpdate, Token},
};
use streamnest_log::{LogOptions, Registry, Retention, Start, Writer};
use streamnest_runtime::{
    FilterCriteria, Missed, NodeError, Observable, RetryOptions, StreamUpdate, Subscriber, ViewError,
};

use crate::support::{Random, cases, chaos, memory, registry};

fn id(text: &str) -> ExecutionId {
    ExecutionId::new(text).unwrap()
}

fn token(text: &str) -> Event {
    Event::token(
        NodeName::new("node").unwrap(),
        &Token { content: text.into(), count: 1, ..Token::default() },
    )
}

fn logs() -> Registry {
    registry(memory(), LogOptions::default())
}

async fn append(writer: &Writer, numbers: std::ops::Range<u32>) {
    for number in numbers {
        writer.append([token(&number.to_string())]).await.unwrap();
    }
}

fn view(logs: &Registry, execution: &str) -> Observable<StreamUpdate> {
    let tokens = FilterCriteria::all().with_classes([Class::Token]);
    Observable::of_execution(logs, &id(execution), Start::Beginning, tokens).unwrap()
}

fn number(update: &StreamUpdate) -> u32 {
    update.token().unwrap().content.parse().unwrap()
}

/// Where a subscriber puts what it hears.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u32>>>);

impl Heard {
    fn hears(&self) -> impl FnMut(StreamUpdate) + Send + 'static {
        let into = self.0.clone();
        move |update| into.lock().unwrap().push(number(&update))
    }

    #[track_caller]
    fn is(&self, numbers: std::ops::Range<u32>) {
        assert_eq!(*self.0.lock().unwrap(), numbers.collect::<Vec<_>>());
    }
}

/// The codes of the warnings in a log.
async fn warnings(logs: &Registry, execution: &str) -> Vec<(String, String)> {
    let warnings = FilterCriteria::all().with_types([EventType::WARNING]);
    let view = Observable::of_execution(logs, &id(execution), Start::Beginning, warnings).unwrap();
    let said = |update: StreamUpdate| {
        let data = update.data();
        (data["code"].as_str().unwrap().into(), data["subscriber"].as_str().unwrap().into())
    };
    view.items().map(|update| said(update.unwrap())).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panicking_a_slow_and_a_dropped_subscriber_harm_no_good_one_and_are_told_to_the_log() {
    let logs = logs();
    let writer = logs.create(&id("run")).await.unwrap();
    let view = view(&logs, "run");
    let (good, slow_heard, survivor) = (Heard::default(), Heard::default(), Heard::default());
    // However busy this machine is, only the slow one is slow.
    let patient = Duration::from_secs(3600);
    let good_one = view.subscribe_with(Subscriber::new(good.hears()).slow_after(patient));
    let panics = Subscriber::new(|update| assert!(number(&update) != 10, "panics on purpose"))
        .named("panicking")
        .slow_after(patient);
    let panicking = view.subscribe_with(panics);
    let mut hears = survivor.hears();
    let surviving = view.subscribe_with(
        Subscriber::new(move |update| {
            assert!(number(&update) % 2_000 != 7, "panics on purpose");
            hears(update);
        })
        .named("surviving")
        .slow_after(patient)
        .survives_panics(true),
    );
    let (release, released) = mpsc::channel::<()>();
    let mut hears = slow_heard.hears();
    let slow = view.subscribe_with(
        Subscriber::new(move |update| {
            // Blocks its thread at first, and until the good one has heard all.
            match number(&update) {
                0 => std::thread::sleep(Duration::from_millis(150)),
                100 => released.recv().unwrap(),
                _ => {}
            }
            hears(update);
        })
        .named("slow")
        .slow_after(Duration::from_millis(10)),
    );
    let dropped = Heard::default();
    append(&writer, 0..1).await;
    let gone = view.subscribe(dropped.hears());
    append(&writer, 1..50).await;
    drop(gone);
    append(&writer, 50..20_000).await;
    assert!(matches!(
        panicking.ended().await,
        Err(ViewError::SubscriberPanicked { subscriber }) if subscriber == "panicking"
    ));
    // Another one that blocks for ever does not keep the writer or the good one waiting.
    while good.0.lock().unwrap().len() < 20_000 {
        tokio::task::yield_now().await;
    }
    release.send(()).unwrap();
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    good_one.ended().await.unwrap();
    slow.ended().await.unwrap();
    while !surviving.is_over() {
        tokio::task::yield_now().await;
    }
    assert_eq!((surviving.panics(), surviving.delivered()), (10, 19_990));
    good.is(0..20_000);
    slow_heard.is(0..20_000);
    let but_ten: Vec<u32> = (0..20_000).filter(|number| number % 2_000 != 7).collect();
    assert_eq!(*survivor.0.lock().unwrap(), but_ten);
    assert!(dropped.0.lock().unwrap().len() <= 50);
    let mut told = warnings(&logs, "run").await;
    told.sort();
    let told: Vec<_> = told.iter().map(|(code, who)| (code.as_str(), who.as_str())).collect();
    assert_eq!(
        told,
        [
            ("subscriber_panicked", "panicking"),
            ("subscriber_panicked", "surviving"),
            ("subscriber_slow", "slow")
        ]
    );
}

#[tokio::test]
async fn one_that_says_it_blocks_holds_up_nobody_even_on_a_single_thread() {
    let logs = logs();
    let writer = logs.create(&id("run")).await.unwrap();
    let (release, released) = mpsc::channel::<()>();
    let blocked = view(&logs, "run").subscribe_with(
        Subscriber::new(move |_| released.recv().unwrap()).slow_after(Duration::ZERO).named("blocked"),
    );
    let good = Heard::default();
    let good_one = view(&logs, "run").subscribe(good.hears());
    append(&writer, 0..100).await;
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    good_one.ended().await.unwrap();
    good.is(0..100);
    assert_eq!(blocked.delivered(), 0);
    drop(release);
    assert!(matches!(blocked.ended().await, Err(ViewError::SubscriberPanicked { .. })));
}

#[tokio::test]
async fn one_that_blocks_a_little_each_time_is_served_apart_by_default_and_told() {
    let logs = logs();
    let writer = logs.create(&id("run")).await.unwrap();
    let threads = Arc::new(Mutex::new(Vec::new()));
    let seen = threads.clone();
    let blocking = view(&logs, "run").subscribe_with(
        Subscriber::new(move |_| {
            std::thread::sleep(Duration::from_millis(30));
            seen.lock().unwrap().push(std::thread::current().id());
        })
        .named("blocking"),
    );
    append(&writer, 0..20).await;
    while blocking.delivered() < 20 {
        tokio::task::yield_now().await;
    }
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    blocking.ended().await.unwrap();
    let here = std::thread::current().id();
    let on_this_thread = threads.lock().unwrap().iter().filter(|thread| **thread == here).count();
    assert_eq!(on_this_thread, 1, "the first item shows that it blocks");
    assert_eq!(warnings(&logs, "run").await, [("subscriber_slow".into(), "blocking".into())]);
}

#[tokio::test]
async fn a_panic_in_an_operator_ends_its_own_chain_only() {
    let logs = logs();
    let writer = logs.create(&id("run")).await.unwrap();
    let view = view(&logs, "run");
    let breaking = view.map(|update| {
        assert!(number(&update) < 5, "panics on purpose");
        number(&update)
    });
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = heard.clone();
    let broken = breaking.subscribe(move |number| into.lock().unwrap().push(number));
    let good = Heard::default();
    let good_one = view.subscribe(good.hears());
    append(&writer, 0..300).await;
    writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    assert_eq!(broken.ended().await.unwrap_err().code(), "subscriber_panicked");
    good_one.ended().await.unwrap();
    assert_eq!(*heard.lock().unwrap(), [0, 1, 2, 3, 4]);
    good.is(0..300);
    let mut items = breaking.items();
    for expected in 0..5 {
        assert_eq!(items.next().await.unwrap().unwrap(), expected);
    }
    assert_eq!(items.next().await.unwrap().unwrap_err().code(), "subscriber_panicked");
    assert!(items.next().await.is_none());
}

#[tokio::test]
async fn a_dropped_subscription_ends_its_task_and_lets_go_of_what_its_subscriber_held() {
    let logs = logs();
    let writer = logs.create(&id("run")).await.unwrap();
    let held = Arc::new(());
    let mine = held.clone();
    let subscription = view(&logs, "run").subscribe(move |_| drop(mine.clone()));
    append(&writer, 0..3).await;
    while subscription.delivered() < 3 {
        tokio::task::yield_now().await;
    }
    drop(subscription);
    while Arc::strong_count(&held) > 1 {
        tokio::task::yield_now().await;
    }
    let (held, mine) = (Arc::new(()), Arc::downgrade(&held));
    drop(held);
    assert!(mine.strong_count() <= 1);
    let stopped = view(&logs, "run").subscribe(|_| {});
    stopped.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_takes_nothing_is_owed_no_more_than_one_batch() {
    /// Counts how many of it are alive.
    struct Counted(Arc<AtomicUsize>);
    impl Counted {
        fn new(alive: &Arc<AtomicUsize>) -> Arc<Self> {
            alive.fetch_add(1, Ordering::SeqCst);
            Arc::new(Self(alive.clone()))
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (alive, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, total) = (alive.clone(), made.clone());
    let items = Observable::from_stream(move || {
        let (count, total) = (count.clone(), total.clone());
        stream::iter(0..1_000_000).map(move |_| {
            total.fetch_add(1, Ordering::SeqCst);
            Counted::new(&count)
        })
    });
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let blocked = items.batches(streamnest_runtime::Batching::default().with_max_items(50)).subscribe_with(
        Subscriber::new(move |_| {
            entered.send(()).unwrap();
            let _ = released.recv();
        })
        .slow_after(Duration::ZERO),
    );
    tokio::task::spawn_blocking(move || has_entered.recv().unwrap()).await.unwrap();
    let (alive_now, made_now) = (alive.load(Ordering::SeqCst), made.load(Ordering::SeqCst));
    println!("alive={alive_now} made={made_now} of=1000000");
    assert!(made_now <= 256, "{made_now} items were pulled for one that takes none");
    assert!(alive_now <= 256, "{alive_now} items are held for one that takes none");
    drop(release);
    blocked.stop().await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_hole_is_told_where_it_is_and_the_view_goes_on() {
    let retention = Retention::default().with_max_entries(10);
    let logs = registry(memory(), LogOptions::default().with_retention(retention));
    let writer = logs.create(&id("run")).await.unwrap();
    append(&writer, 0..30).await;
    let view = view(&logs, "run");
    let (heard, holes) = (Heard::default(), Arc::new(Mutex::new(Vec::new())));
    let into = holes.clone();
    let subscriber =
        Subscriber::new(heard.hears()).on_missed(move |missed| into.lock().unwrap().push(missed.clone()));
    let subscription = view.subscribe_with(subscriber);
    let mut items = view.items();
    let error = items.next().await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), ("view_missed", true));
    assert_eq!(number(&items.next().await.unwrap().unwrap()), 20);
    while subscription.delivered() < 10 {
        tokio::task::yield_now().await;
    }
    heard.is(20..30);
    let holes = holes.lock().unwrap();
    let [Missed::Entries { execution, gap }] = holes.as_slice() else { panic!("{holes:?}") };
    assert_eq!((&**execution, gap.from.get(), gap.to.get()), ("run", 1, 20));
}

#[tokio::test]
async fn an_operator_lets_go_of_what_it_holds_when_its_log_breaks() {
    let logs = logs();
    let writer = logs.create(&id("run")).await.unwrap();
    let batches = view(&logs, "run").batches(streamnest_runtime::Batching::default());
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let into = sizes.clone();
    let subscription = batches.subscribe(move |batch| into.lock().unwrap().push(batch.len()));
    append(&writer, 0..7).await;
    logs.remove(&id("run")).await.unwrap();
    assert_eq!(subscription.ended().await.unwrap_err().code(), "removed");
    assert_eq!(*sizes.lock().unwrap(), [7], "the tail is kept");
}

#[tokio::test]
async fn a_view_over_all_executions_hears_those_that_come_too_each_in_order() {
    let logs = logs();
    let early = logs.create(&id("early")).await.unwrap();
    append(&early, 0..5).await;
    let view = Observable::of_all(&logs, FilterCriteria::all().with_classes([Class::Token]));
    let mut items = view.items();
    append(&early, 5..8).await;
    let late = logs.create(&id("late")).await.unwrap();
    append(&late, 0..3).await;
    let mut heard = std::collections::BTreeMap::<String, Vec<u32>>::new();
    for _ in 0..6 {
        let update = items.next().await.unwrap().unwrap();
        heard.entry(update.execution_id().to_string()).or_default().push(number(&update));
    }
    assert_eq!(heard, [("early".into(), vec![5, 6, 7]), ("late".into(), vec![0, 1, 2])].into());
    let only = FilterCriteria::all().with_executions([id("late")]);
    let mut items = Observable::of_all(&logs, only).items();
    append(&early, 8..9).await;
    append(&late, 3..4).await;
    assert_eq!(&**items.next().await.unwrap().unwrap().execution_id(), "late");
}

#[tokio::test]
async fn a_view_of_an_execution_that_is_not_there_is_refused_by_its_id() {
    let refused = Observable::of_execution(&logs(), &id("nobody"), Start::Beginning, FilterCriteria::all());
    let error = refused.unwrap_err();
    assert_eq!(error.code(), "unknown_execution");
    assert!(error.to_string().contains("`nobody`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_is_tried_again_with_growing_waits_and_no_item_is_skipped() {
    let retry =
        RetryOptions::default().with_attempts(4).with_backoff(Duration::from_millis(100)).with_jitter(0.0);
    let (tries, began) = (Mutex::new(Vec::new()), tokio::time::Instant::now());
    let items = Observable::from_items(0..4_u32);
    let flaky = |item: u32| {
        let mut tries = tries.lock().unwrap();
        tries.push((item, began.elapsed().as_millis()));
        let of_item = tries.iter().filter(|(tried, _)| *tried == item).count();
        // The second item fails three times.
        let fails = item == 1 && of_item <= 3;
        async move { if fails { Err(NodeError::public("not now")) } else { Ok(()) } }
    };
    items.deliver(retry.clone(), flaky).await.unwrap();
    let expected = [(0, 0), (1, 0), (1, 100), (1, 300), (1, 700), (2, 700), (3, 700)];
    assert_eq!(*tries.lock().unwrap(), expected);
    let mut handled = 0;
    let gave_up = items.deliver(retry, |item| {
        handled += u32::from(item < 2);
        async move { if item < 2 { Ok(()) } else { Err(NodeError::public("never")) } }
    });
    let error = gave_up.await.unwrap_err();
    assert!(
        matches!(&error, ViewError::HandlerGaveUp { attempts: 4, error } if error.to_string() == "never"),
        "{error}"
    );
    assert!(error.is_retryable());
    assert_eq!(handled, 2);
    // Who viewed can tell what it was, and not only read it.
    let fails = |_| async { Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()) };
    let error = items.deliver(RetryOptions::default().with_attempts(1), fails).await.unwrap_err();
    let ViewError::HandlerGaveUp { error, .. } = error else { panic!("{error}") };
    let kind = error.source().and_then(|source| source.downcast_ref()).map(std::io::Error::kind);
    assert_eq!(kind, Some(std::io::ErrorKind::TimedOut));
}

/// A store in memory that says that it outlives the process, so that logs are let go from memory and found again.
struct Lasting(Arc<dyn LogStore>);

impl LogStore for Lasting {
    forward!(0: create, open, delete, list);

    fn is_persistent(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn an_execution_that_only_the_store_has_is_viewed_all_the_same() {
    let logs = registry(Arc::new(Lasting(memory())), LogOptions::default().with_max_logs(1));
    for execution in ["old", "new"] {
        let writer = logs.create(&id(execution)).await.unwrap();
        append(&writer, 0..3).await;
        writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
    }
    assert_eq!(logs.len(), 1, "the newer log took its place in memory");
    let old: Vec<u32> = view(&logs, "old").items().map(|update| number(&update.unwrap())).collect().await;
    assert_eq!(old, [0, 1, 2]);
    let unknown = view(&logs, "nobody").items().next().await.unwrap().unwrap_err();
    assert_eq!(unknown.code(), "unknown_execution");
    assert_eq!(
        view(&logs, "nobody").subscribe(|_| {}).ended().await.unwrap_err().code(),
        "unknown_execution"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_subscribes_when_and_however_hears_every_item_once_in_order() {
    cases(if chaos() { 300 } else { 10 }, |seed| async move {
        let mut random = Random::from_seed(seed);
        let logs = logs();
        let writer = logs.create(&id("run")).await.unwrap();
        let total = 500 + random.below(2_000) as u32;
        let (mut written, mut subscribers) = (0, Vec::new());
        while written < total {
            for _ in 0..random.below(4) {
                let heard = Arc::new(Mutex::new(Vec::new()));
                let into = heard.clone();
                let (view, size) = (view(&logs, "run"), 1 + random.below(64) as usize);
                let subscription = match random.below(3) {
                    0 => view.subscribe(move |update| into.lock().unwrap().push(number(&update))),
                    1 => {
                        let batches =
                            view.batches(streamnest_runtime::Batching::default().with_max_items(size));
                        batches.subscribe(move |batch| into.lock().unwrap().extend(batch.iter().map(number)))
                    }
                    _ => {
                        let apart = Subscriber::new(move |number| into.lock().unwrap().push(number));
                        view.map(|update| number(&update)).subscribe_with(apart.slow_after(Duration::ZERO))
                    }
                };
                subscribers.push((subscription, heard));
            }
            let upto = (written + 1 + random.below(400) as u32).min(total);
            append(&writer, written..upto).await;
            written = upto;
            // Some leave, at whatever moment.
            while subscribers.len() > 8 {
                let _leaves = subscribers.swap_remove(random.below(subscribers.len() as u64) as usize);
            }
        }
        writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
        for (subscription, heard) in subscribers {
            subscription.ended().await.unwrap();
            assert_eq!(*heard.lock().unwrap(), (0..total).collect::<Vec<_>>());
        }
    })
    .await;
}
