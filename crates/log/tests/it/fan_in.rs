//! One reader of many logs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use streamnest_core::payload::StatusUpdate;
use streamnest_log::{FanIn, FanInCursor, FanInScope, Filter, LogOptions, ReadLimit, Registry, Retention};

use crate::support::{Random, Wakes, append, chaos, event, id, limit, number, registry};

/// What is found now; `None` if there is nothing more.
fn poll(fan: &mut FanInCursor, limit: ReadLimit) -> Option<FanIn> {
    match fan.poll_next(&mut Context::from_waker(Waker::noop()), limit) {
        Poll::Ready(found) => Some(found.unwrap()),
        Poll::Pending => None,
    }
}

/// Everything that is found now, as `run:seq`, `run:from-to` for a gap and `+n` for logs that were left out.
fn drain(fan: &mut FanInCursor, limit: ReadLimit) -> Vec<String> {
    let mut found = Vec::new();
    while let Some(next) = poll(fan, limit) {
        match next {
            FanIn::Entries { log, entries } => {
                let run = log.identity().execution().unwrap().clone();
                found.extend(entries.iter().map(|entry| format!("{run}:{}", entry.seq())));
            }
            FanIn::Gap { log, gap } => {
                found.push(format!("{}:{}-{}", log.identity().subject(), gap.from, gap.to));
            }
            FanIn::LeftOut { executions } => found.push(format!("+{executions}")),
        }
    }
    found
}

fn sorted(mut found: Vec<String>) -> Vec<String> {
    found.sort();
    found
}

fn all(registry: &Registry) -> FanInCursor {
    registry.fan_in(Filter::all(), FanInScope::All)
}

#[tokio::test]
async fn it_follows_what_is_there_from_now_on_and_what_comes_from_its_start() {
    let registry = registry(LogOptions::default());
    let old = registry.create(&id("old")).await.unwrap();
    append(&old, 2).await;
    let mut fan = all(&registry);
    assert_eq!(drain(&mut fan, limit(10)), [""; 0]);
    append(&old, 1).await;
    let new = registry.create(&id("new")).await.unwrap();
    append(&new, 2).await;
    assert_eq!(sorted(drain(&mut fan, limit(10))), ["new:1", "new:2", "old:3"]);
    assert_eq!(fan.following(), 2);
    new.finish(StatusUpdate::completed(1.into())).await.unwrap();
    assert_eq!(drain(&mut fan, limit(10)), ["new:3"]);
    assert_eq!(fan.following(), 1, "a log that has ended is let go");
    assert_eq!(old.log().subscribers(), 0, "a view over all is nobody's subscriber");
}

#[tokio::test]
async fn a_scope_takes_only_its_executions() {
    let registry = registry(LogOptions::default());
    let scope = FanInScope::Executions(HashSet::from([id("b"), id("c")]));
    let mut fan = registry.fan_in(Filter::all(), scope);
    for name in ["a", "b", "c"] {
        append(&registry.create(&id(name)).await.unwrap(), 1).await;
    }
    assert_eq!(sorted(drain(&mut fan, limit(10))), ["b:1", "c:1"]);
}

#[tokio::test]
async fn a_scope_that_chooses_is_asked_about_each_log_that_comes() {
    let registry = registry(LogOptions::default());
    let scope = FanInScope::Which(Arc::new(|id| id.as_str() != "a"));
    let (old, _) = (registry.create(&id("b")).await.unwrap(), registry.create(&id("a")).await.unwrap());
    let mut fan = registry.fan_in(Filter::all(), scope);
    append(&old, 1).await;
    append(&registry.create(&id("c")).await.unwrap(), 1).await;
    assert_eq!(sorted(drain(&mut fan, limit(10))), ["b:1", "c:1"]);
    assert_eq!(fan.following(), 2, "what is not chosen takes no place");
}

#[tokio::test]
async fn a_filter_leaves_out_entries_and_never_the_end() {
    let registry = registry(LogOptions::default());
    let mut fan = registry.fan_in(Filter::new(&["token"], &[]).unwrap(), FanInScope::All);
    let writer = registry.create(&id("run")).await.unwrap();
    append(&writer, 500).await;
    writer.finish(StatusUpdate::cancelled(None)).await.unwrap();
    let mut found = Vec::new();
    let wakes = Arc::new(Wakes::default());
    let waker = wakes.clone().into();
    // A poll that reads on and on for nothing stops and asks to be polled again.
    let mut polls = 0;
    while found.is_empty() {
        polls += 1;
        assert!(polls < 100 && wakes.count() + 1 >= polls, "it waits without being woken");
        if let Poll::Ready(next) = fan.poll_next(&mut Context::from_waker(&waker), limit(1)) {
            found.push(next.unwrap());
        }
    }
    assert!(polls > 1, "others get their turn");
    let FanIn::Entries { entries, .. } = &found[0] else { panic!("{found:?}") };
    assert_eq!(entries.iter().map(|entry| entry.seq().get()).collect::<Vec<_>>(), [501]);
}

#[tokio::test]
async fn logs_over_the_limit_are_told_and_places_are_taken_again() {
    let registry = registry(LogOptions::default().with_max_fan_in(2));
    let a = registry.create(&id("a")).await.unwrap();
    a.finish(StatusUpdate::completed(1.into())).await.unwrap();
    let b = registry.create(&id("b")).await.unwrap();
    let mut fan = all(&registry);
    assert_eq!(fan.following(), 1, "what has ended takes no place");
    for name in ["c", "d", "e"] {
        append(&registry.create(&id(name)).await.unwrap(), 1).await;
    }
    assert_eq!(sorted(drain(&mut fan, limit(10))), ["+2", "c:1"]);
    b.finish(StatusUpdate::completed(1.into())).await.unwrap();
    assert_eq!(drain(&mut fan, limit(10)), ["b:1"]);
    append(&registry.create(&id("f")).await.unwrap(), 1).await;
    assert_eq!(drain(&mut fan, limit(10)), ["f:1"]);
    assert_eq!(fan.following(), 2);
}

#[tokio::test]
async fn logs_that_were_there_before_and_over_the_limit_are_told_too() {
    let registry = registry(LogOptions::default().with_max_fan_in(3));
    for n in 0..8 {
        registry.create(&id(&format!("run{n}"))).await.unwrap();
    }
    assert_eq!(drain(&mut all(&registry), limit(10)), ["+5"]);
}

#[tokio::test]
async fn news_of_left_out_logs_does_not_starve_entries() {
    let registry = registry(LogOptions::default().with_max_fan_in(1));
    let writer = registry.create(&id("kept")).await.unwrap();
    let mut fan = all(&registry);
    append(&writer, 10).await;
    let (mut told, mut read) = (0, 0);
    for n in 0..10 {
        registry.create(&id(&format!("more{n}"))).await.unwrap();
        match poll(&mut fan, limit(1)) {
            Some(FanIn::LeftOut { executions }) => told += executions,
            Some(FanIn::Entries { entries, .. }) => read += entries.len(),
            other => panic!("{other:?}"),
        }
    }
    assert!(told >= 8 && read == 5, "told of {told}, read {read}");
}

#[tokio::test]
async fn a_busy_log_does_not_starve_a_quiet_one() {
    let registry = registry(LogOptions::default());
    let busy = registry.create(&id("busy")).await.unwrap();
    let quiet = registry.create(&id("quiet")).await.unwrap();
    let mut fan = all(&registry);
    append(&busy, 1_000).await;
    append(&quiet, 3).await;
    let mut order = Vec::new();
    for _ in 0..8 {
        let Some(FanIn::Entries { log, entries }) = poll(&mut fan, limit(1)) else { panic!("nothing") };
        assert_eq!(entries.len(), 1);
        order.push(log.identity().subject().to_string());
        append(&busy, 1).await;
    }
    assert_eq!(order.iter().filter(|run| *run == "quiet").count(), 3, "{order:?}");
}

#[tokio::test]
async fn a_gap_names_its_execution() {
    let registry = registry(LogOptions::default().with_retention(Retention::default().with_max_entries(2)));
    let mut fan = all(&registry);
    append(&registry.create(&id("a")).await.unwrap(), 5).await;
    append(&registry.create(&id("b")).await.unwrap(), 2).await;
    assert_eq!(sorted(drain(&mut fan, limit(10))), ["a:1-3", "a:4", "a:5", "b:1", "b:2"]);
}

#[tokio::test]
async fn a_log_that_is_removed_is_told_once_and_the_others_go_on() {
    let registry = registry(LogOptions::default());
    let mut fan = all(&registry);
    registry.create(&id("goes")).await.unwrap();
    let stays = registry.create(&id("stays")).await.unwrap();
    assert_eq!(drain(&mut fan, limit(10)), [""; 0]);
    registry.remove(&id("goes")).await.unwrap();
    append(&stays, 1).await;
    let first = fan.next(limit(10)).await;
    assert!(matches!(first, Err(streamnest_log::Error::Removed)), "{first:?}");
    assert_eq!(drain(&mut fan, limit(10)), ["stays:1"]);
    assert_eq!(fan.following(), 1);
}

#[tokio::test]
async fn a_scope_that_changes_lets_go_of_some_goes_on_with_others_and_takes_new_ones_from_now_on() {
    let registry = registry(LogOptions::default().with_max_fan_in(4));
    let which = |names: &'static [&str]| FanInScope::Which(Arc::new(|id| names.contains(&id.as_str())));
    let mut writers = HashMap::new();
    for name in ["kept", "gone", "ended", "added"] {
        writers.insert(name, registry.create(&id(name)).await.unwrap());
    }
    let mut fan = registry.fan_in(Filter::all(), which(&["kept", "gone", "ended", "came", "later"]));
    for writer in writers.values() {
        append(writer, 1).await;
    }
    assert_eq!(sorted(drain(&mut fan, limit(10))), ["ended:1", "gone:1", "kept:1"]);
    // What it has not read yet when the scope changes is not missed, though its execution has ended.
    for writer in writers.values() {
        append(writer, 2).await;
    }
    writers["ended"].finish(StatusUpdate::completed(1.into())).await.unwrap();
    append(&registry.create(&id("came")).await.unwrap(), 1).await;
    let mut fan = registry.change_scope(fan, which(&["kept", "ended", "came", "added", "later"]));
    assert_eq!(
        sorted(drain(&mut fan, limit(1))),
        ["came:1", "ended:2", "ended:3", "ended:4", "kept:2", "kept:3"]
    );
    assert_eq!(fan.following(), 3, "what is let go of and what has ended takes no place");
    for name in ["gone", "added", "kept"] {
        append(&writers[name], 1).await;
    }
    append(&registry.create(&id("later")).await.unwrap(), 1).await;
    assert_eq!(sorted(drain(&mut fan, limit(10))), ["added:4", "kept:4", "later:1"]);
    let mut fan = registry.change_scope(fan, FanInScope::All);
    assert_eq!(drain(&mut fan, limit(10)), ["+1"], "one more than it may follow");
}

#[tokio::test]
async fn what_was_left_out_is_told_though_the_scope_changes_before_and_takes_none_of_it() {
    let registry = registry(LogOptions::default().with_max_fan_in(1));
    let kept = registry.create(&id("kept")).await.unwrap();
    let fan = all(&registry);
    for name in ["b", "c"] {
        append(&registry.create(&id(name)).await.unwrap(), 1).await;
    }
    append(&kept, 1).await;
    let only = || FanInScope::Executions(HashSet::from([id("kept")]));
    let mut fan = registry.change_scope(fan, only());
    assert_eq!(drain(&mut fan, limit(10)), ["+2", "kept:1"], "nothing is skipped in silence");
    let mut fan = registry.change_scope(fan, only());
    assert_eq!(drain(&mut fan, limit(10)), [""; 0], "and nothing is told twice");
}

/// Executions come and speak on threads while the scope of a view changes again and again: what it takes always comes whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_scope_that_changes_while_executions_come_misses_nothing_of_what_it_takes() {
    let (runs, each) = if chaos() { (2_000, 20) } else { (200, 10) };
    let registry = registry(LogOptions::default());
    let mut fan = all(&registry);
    let writers: Vec<_> = (0..runs)
        .map(|n| {
            let registry = registry.clone();
            tokio::spawn(async move {
                let writer = registry.create(&id(&format!("run{n}"))).await.unwrap();
                append(&writer, each).await;
            })
        })
        .collect();
    let mut next: HashMap<String, u64> = HashMap::new();
    let (mut found, mut changes) = (0, 0);
    while found < runs * each {
        let FanIn::Entries { log, entries } = fan.next(limit(7)).await.unwrap() else { panic!("lost") };
        let next = next.entry(log.identity().subject().to_string()).or_insert(1);
        for entry in entries {
            assert_eq!(entry.seq().get(), *next, "of {}", log.identity().subject());
            *next += 1;
            found += 1;
        }
        fan = registry.change_scope(fan, FanInScope::All);
        changes += 1;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    println!("changes={changes} entries={found} lost=0 doubled=0 reordered=0");
}

/// Writers on threads, a reader that is polled only when it was woken: each execution whole and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn entries_of_one_execution_come_in_order_and_none_is_missed() {
    let mut random = Random::seeded();
    let (runs, each) = if chaos() { (2_000, 50) } else { (200, 20) };
    let registry = registry(LogOptions::default().with_wake_inline(0));
    let mut fan = all(&registry);
    let reader = tokio::spawn(async move {
        let mut next: HashMap<String, u64> = HashMap::new();
        let mut ended = 0;
        while ended < runs {
            let FanIn::Entries { log, entries } = fan.next(limit(7)).await.unwrap() else { panic!("lost") };
            let next = next.entry(log.identity().subject().to_string()).or_insert(1);
            for entry in entries {
                assert_eq!(entry.seq().get(), *next, "of {}", log.identity().subject());
                *next += 1;
                match entry.event().as_status().unwrap() {
                    Some(_) => ended += 1,
                    None => assert_eq!(number(entry.event()), entry.seq().get()),
                }
            }
        }
        next.values().sum::<u64>() - next.len() as u64
    });
    let mut writers = Vec::new();
    for n in 0..runs {
        let (registry, mut random) = (registry.clone(), Random::from_seed(random.next()));
        writers.push(tokio::spawn(async move {
            let writer = registry.create(&id(&format!("run{n}"))).await.unwrap();
            for n in 1..=each {
                writer.append([event(n)]).await.unwrap();
                if random.one_in(3) {
                    tokio::task::yield_now().await;
                }
            }
            writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let entries = reader.await.unwrap();
    assert_eq!(entries, runs * (each + 1));
    println!("fan_in_executions={runs} entries={entries} lost=0 doubled=0 reordered=0");
}
