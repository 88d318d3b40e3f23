//! What each operator of a view does with items.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use streamnest_runtime::{Batching, Group, Observable, Subscriber, ViewError};
use tokio::time::{Instant, sleep};

/// All items of a view, read as a stream and heard by a subscriber, which must be the same.
async fn all<T: Clone + PartialEq + Debug + Send + 'static>(view: &Observable<T>) -> Vec<T> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = heard.clone();
    view.subscribe(move |item| into.lock().unwrap().push(item)).ended().await.unwrap();
    let read: Vec<T> = view.items().map(Result::unwrap).collect().await;
    assert_eq!(*heard.lock().unwrap(), read);
    read
}

fn numbers() -> Observable<u32> {
    Observable::from_items(0..10)
}

#[tokio::test]
async fn each_operator_does_what_its_name_says() {
    assert_eq!(all(&numbers().filter(|n| n % 2 == 1)).await, [1, 3, 5, 7, 9]);
    assert_eq!(all(&numbers().map(|n| n * 10).take(3)).await, [0, 10, 20]);
    assert_eq!(all(&numbers().filter_map(|n| n.checked_sub(8))).await, [0, 1]);
    assert_eq!(all(&numbers().scan(0, |sum, n| sum + n)).await, [0, 1, 3, 6, 10, 15, 21, 28, 36, 45]);
    assert_eq!(all(&numbers().take(0)).await, [0; 0]);
    assert_eq!(all(&numbers().take_while(|n| *n < 3)).await, [0, 1, 2]);
    assert_eq!(all(&numbers().skip(8)).await, [8, 9]);
    assert_eq!(all(&numbers().skip(7).pairwise()).await, [(7, 8), (8, 9)]);
    assert_eq!(all(&numbers().map(|n| n / 4).distinct_until_changed()).await, [0, 1, 2]);
    let tapped = Arc::new(Mutex::new(0));
    let sum = tapped.clone();
    assert_eq!(all(&numbers().tap(move |n| *sum.lock().unwrap() += n).skip(9)).await, [9]);
    assert_eq!(*tapped.lock().unwrap(), 2 * 45, "once for each of two subscriptions");
}

#[tokio::test]
async fn distinct_remembers_no_more_keys_than_its_window() {
    let repeated = Observable::from_items([1, 2, 1, 3, 1, 4, 1]);
    assert_eq!(all(&repeated.distinct(10, |n| *n)).await, [1, 2, 3, 4]);
    // Of a window of two, the 1 is forgotten when the 3 comes.
    assert_eq!(all(&repeated.distinct(2, |n| *n)).await, [1, 2, 3, 1, 4]);
}

#[tokio::test]
async fn merge_yields_the_items_of_both_and_ends_with_the_later_one() {
    let mut merged = all(&numbers().take(3).merge(&numbers().skip(8))).await;
    merged.sort_unstable();
    assert_eq!(merged, [0, 1, 2, 8, 9]);
}

#[tokio::test]
async fn merge_lets_neither_view_starve_the_other_however_busy_the_subscriber_is() {
    let endless = Observable::from_stream(|| stream::repeat(0_u32));
    let second = Observable::from_items([1; 1_200]);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let into = heard.clone();
    let busy = Subscriber::new(move |n| {
        // Longer than a turn may take, so that each turn hands on one item.
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_micros(1_500) {
            std::hint::spin_loop();
        }
        into.lock().unwrap().push(n);
    });
    let subscription =
        endless.merge(&second).take(100).subscribe_with(busy.slow_after(Duration::from_secs(3600)));
    subscription.ended().await.unwrap();
    let of_second = heard.lock().unwrap().iter().filter(|n| **n == 1).count();
    assert!((40..=60).contains(&of_second), "{of_second} of 100 items are the second view's");
}

#[tokio::test]
async fn what_a_function_keeps_is_kept_for_one_subscription() {
    let mut calls = 0;
    let counted = numbers().map(move |_| {
        calls += 1;
        calls
    });
    let last = counted.skip(9);
    assert_eq!((all(&last).await, all(&last).await), (vec![10], vec![10]));
}

#[tokio::test]
async fn groups_hear_all_their_items_and_no_other() {
    let heard = Arc::new(Mutex::new(std::collections::BTreeMap::<u32, Vec<u32>>::new()));
    let into = heard.clone();
    let grouped = numbers().group_by(3, |n| n % 3).subscribe(move |group| {
        let (into, key) = (into.clone(), *group.key());
        group.for_each(move |n| into.lock().unwrap().entry(key).or_default().push(n));
    });
    grouped.ended().await.unwrap();
    let expected = [(0, vec![0, 3, 6, 9]), (1, vec![1, 4, 7]), (2, vec![2, 5, 8])];
    assert_eq!(*heard.lock().unwrap(), expected.into());
}

type Grouped = std::collections::BTreeMap<u32, Vec<u32>>;

/// Hears a group into a map.
fn hear(into: &Arc<Mutex<Grouped>>, group: Group<u32, u32>) {
    let (into, key) = (into.clone(), *group.key());
    group.for_each(move |n| into.lock().unwrap().entry(key).or_default().push(n));
}

fn by_three(items: u32) -> Grouped {
    (0..3).map(|key| (key, (key..items).step_by(3).collect())).collect()
}

#[tokio::test]
async fn groups_lose_nothing_behind_a_stream_or_an_operator_that_holds_them() {
    // More items than one read of a source gives, so that some come before a group is heard and some after.
    let groups = Observable::from_items(0..2_000).group_by(3, |n: &u32| n % 3);
    let heard = Arc::new(Mutex::new(Grouped::new()));
    let mut items = groups.items();
    while let Some(group) = items.next().await {
        hear(&heard, group.unwrap());
    }
    assert_eq!(*heard.lock().unwrap(), by_three(2_000), "as a stream");
    let heard = Arc::new(Mutex::new(Grouped::new()));
    let into = heard.clone();
    let batches = groups.batches(Batching::default().with_max_items(3));
    let subscription =
        batches.subscribe(move |groups| groups.into_iter().for_each(|group| hear(&into, group)));
    subscription.ended().await.unwrap();
    assert_eq!(*heard.lock().unwrap(), by_three(2_000), "behind batches");
    // All groups first, their items then.
    let heard = Arc::new(Mutex::new(Grouped::new()));
    let all: Vec<_> = groups.items().map(Result::unwrap).collect().await;
    all.into_iter().for_each(|group| hear(&heard, group));
    assert_eq!(*heard.lock().unwrap(), by_three(2_000), "after the view has ended");
}

#[tokio::test]
async fn groups_that_are_kept_unheard_are_bounded_and_those_that_are_dropped_keep_nothing() {
    let many = Observable::from_items(0..20_000).group_by(3, |n: &u32| n % 3);
    let kept: Vec<_> = many.items().collect().await;
    let error = kept.last().unwrap().as_ref().unwrap_err();
    assert!(matches!(error, ViewError::UnheardGroups { limit: 4_096 }), "{error}");
    // One group is chosen; the others are dropped, and keep nothing.
    let heard = Arc::new(Mutex::new(Grouped::new()));
    let into = heard.clone();
    let chosen = many.filter(|group| *group.key() == 1).subscribe(move |group| hear(&into, group));
    chosen.ended().await.unwrap();
    assert_eq!(heard.lock().unwrap()[&1].len(), 6_667);
}

#[tokio::test]
async fn more_keys_than_groups_may_be_end_the_view_and_are_told() {
    let groups = Arc::new(Mutex::new(Vec::new()));
    let into = groups.clone();
    let ended =
        numbers().group_by(2, |n| n / 2).subscribe(move |group| into.lock().unwrap().push(*group.key()));
    let error = ended.ended().await.unwrap_err();
    assert!(matches!(error, ViewError::TooManyGroups { limit: 2 }), "{error}");
    assert_eq!(*groups.lock().unwrap(), [0, 1]);
}

/// Numbers with a pause before each, in milliseconds.
fn paced(pauses: &[u64]) -> Observable<u64> {
    let pauses: Arc<[u64]> = pauses.into();
    Observable::from_stream(move || {
        stream::iter(pauses.to_vec()).enumerate().then(|(index, pause)| async move {
            sleep(Duration::from_millis(pause)).await;
            index as u64
        })
    })
}

/// The items, each with the time at which it came, in milliseconds.
async fn timed<T: Send + 'static>(view: Observable<T>) -> Vec<(u64, T)> {
    let began = Instant::now();
    view.items().map(|item| (began.elapsed().as_millis() as u64, item.unwrap())).collect().await
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_by_count_by_quiet_and_by_age_and_the_tail_is_kept() {
    let batching = Batching::default();
    let by_count = timed(paced(&[10; 5]).batches(batching.with_max_items(2))).await;
    assert_eq!(by_count, [(20, vec![0, 1]), (40, vec![2, 3]), (50, vec![4])]);
    let bursts = paced(&[10, 10, 100, 10, 100]);
    let by_quiet = timed(bursts.batches(batching.with_debounce(Duration::from_millis(30)))).await;
    assert_eq!(by_quiet, [(50, vec![0, 1]), (160, vec![2, 3]), (230, vec![4])]);
    let by_age = timed(paced(&[10; 7]).batches(batching.with_max_wait(Duration::from_millis(25)))).await;
    assert_eq!(by_age, [(35, vec![0, 1, 2]), (65, vec![3, 4, 5]), (70, vec![6])]);
}

#[tokio::test(start_paused = true)]
async fn debounce_yields_what_came_last_before_a_quiet_time_and_at_the_end() {
    let bursts = paced(&[10, 10, 100, 10]);
    assert_eq!(timed(bursts.debounce(Duration::from_millis(30))).await, [(50, 1), (130, 3)]);
}

#[tokio::test(start_paused = true)]
async fn sample_yields_the_first_item_at_once_and_the_newest_one_so_often() {
    let steady = paced(&[10; 8]);
    let sampled = timed(steady.sample(Duration::from_millis(25))).await;
    assert_eq!(sampled, [(10, 0), (35, 2), (60, 4), (80, 7)]);
}

#[tokio::test(start_paused = true)]
async fn activity_tells_when_items_begin_and_when_they_have_stopped_and_takes_none_away() {
    let began = Instant::now();
    let changes = Arc::new(Mutex::new(Vec::new()));
    let into = changes.clone();
    let bursts = paced(&[10, 10, 100, 10]).activity(Duration::from_millis(30), move |active| {
        into.lock().unwrap().push((began.elapsed().as_millis() as u64, active));
    });
    assert_eq!(timed(bursts).await, [(10, 0), (20, 1), (120, 2), (130, 3)]);
    // Quiet from 20 on for 30 ms; at 130 the items end, and with them the activity.
    assert_eq!(*changes.lock().unwrap(), [(10, true), (50, false), (120, true), (130, false)]);
}

#[tokio::test]
async fn batches_of_any_size_hold_every_item_once_in_order() {
    for (items, max_items) in [(0, 1), (1, 1), (255, 16), (256, 256), (257, 256), (10_000, 7), (10_000, 0)] {
        let batches =
            all(&Observable::from_items(0..items).batches(Batching::default().with_max_items(max_items)))
                .await;
        assert!(batches.iter().all(|batch| (1..=max_items.max(1)).contains(&batch.len())));
        assert_eq!(batches.concat(), (0..items).collect::<Vec<_>>());
    }
}
