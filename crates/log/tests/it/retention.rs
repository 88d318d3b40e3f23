//! Logs keep the newest within their bounds.

use std::time::Duration;

use streamnest_core::payload::StatusUpdate;
use streamnest_log::{LogOptions, Retention, Start};

use crate::support::{SetClock, append, batch, event_of, id, limit, poll, registry, registry_at, seq};

fn retention(retention: Retention) -> LogOptions {
    LogOptions::default().with_retention(retention)
}

#[tokio::test]
async fn a_log_keeps_no_more_entries_than_it_may() {
    let writer =
        registry(retention(Retention::default().with_max_entries(5))).create(&id("run")).await.unwrap();
    append(&writer, 5).await;
    assert_eq!(writer.log().head().trimmed, seq(0));
    append(&writer, 1).await;
    assert_eq!(writer.log().head().trimmed, seq(1));
    writer.append((7..=20).map(|n| event_of(n, 10))).await.unwrap();
    assert_eq!(writer.log().head().trimmed, seq(15));
}

#[tokio::test]
async fn a_log_keeps_no_more_bytes_than_it_may() {
    let registry = registry(retention(Retention::default().with_max_bytes(20_000)));
    let writer = registry.create(&id("run")).await.unwrap();
    for n in 1..=100 {
        writer.append([event_of(n, 1_000)]).await.unwrap();
        assert!(writer.log().head().bytes <= 20_000);
        assert_eq!(registry.bytes(), writer.log().head().bytes);
    }
    let kept = 100 - writer.log().head().trimmed.get();
    assert!((10..20).contains(&kept), "{kept} entries of a little over 1,000 bytes fit into 20,000");
}

#[tokio::test]
async fn one_entry_larger_than_the_bound_is_kept() {
    let writer =
        registry(retention(Retention::default().with_max_bytes(500))).create(&id("run")).await.unwrap();
    for n in 1..=3 {
        writer.append([event_of(n, 10_000)]).await.unwrap();
        let mut cursor = writer.log().cursor(Start::After(writer.log().position(seq(n - 1))));
        assert_eq!(batch(poll(&mut cursor, limit(9))).len(), 1);
        assert_eq!(writer.log().head().trimmed, seq(n - 1));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_goes_with_the_next_append_or_at_the_next_look() {
    let clock = SetClock::new();
    let options = retention(Retention::default().with_max_age(Duration::from_secs(60)));
    let registry = registry_at(clock.clone(), options);
    let writer = registry.create(&id("run")).await.unwrap();
    append(&writer, 3).await;
    clock.advance(Duration::from_secs(50));
    append(&writer, 2).await;
    assert_eq!(writer.log().head().trimmed, seq(0));
    clock.advance(Duration::from_secs(11));
    append(&writer, 1).await;
    assert_eq!(writer.log().head().trimmed, seq(3), "the first three are over 60 s old");
    // A log that is silent is looked after by the registry; its newest entry stays whatever its age.
    let maintained = registry.clone();
    let maintain = tokio::spawn(async move { maintained.maintain().await });
    clock.advance(Duration::from_secs(50));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(writer.log().head().trimmed, seq(5));
    clock.advance(Duration::from_secs(1_000));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(writer.log().head().trimmed, seq(5));
    maintain.abort();
}

#[tokio::test]
async fn time_within_a_log_does_not_step_back() {
    struct Backwards(std::sync::atomic::AtomicU64);
    impl streamnest_core::Clock for Backwards {
        fn now(&self) -> streamnest_core::Timestamp {
            let micros = self.0.fetch_sub(1_000, std::sync::atomic::Ordering::SeqCst);
            streamnest_core::Timestamp::from_micros(micros)
        }
    }
    let clock = std::sync::Arc::new(Backwards(1_000_000.into()));
    let store = std::sync::Arc::new(streamnest_log::MemoryStore::new(clock.clone()));
    let registry = streamnest_log::Registry::new(store, clock, LogOptions::default());
    let writer = registry.create(&id("run")).await.unwrap();
    append(&writer, 4).await;
    let mut cursor = writer.log().cursor(Start::Beginning);
    let times: Vec<_> = batch(poll(&mut cursor, limit(9))).iter().map(|entry| entry.time()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn finished_logs_go_after_their_time_and_running_ones_stay() {
    let clock = SetClock::new();
    let registry =
        registry_at(clock.clone(), LogOptions::default().with_finished_ttl(Duration::from_secs(10)));
    let maintained = registry.clone();
    let maintain = tokio::spawn(async move { maintained.maintain().await });
    let runs = registry.create(&id("runs")).await.unwrap();
    append(&runs, 1).await;
    let ended = registry.create(&id("ended")).await.unwrap();
    ended.finish(StatusUpdate::completed(1.into())).await.unwrap();
    clock.advance(Duration::from_secs(9));
    let later = registry.create(&id("later")).await.unwrap();
    later.finish(StatusUpdate::completed(1.into())).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(registry.len(), 3);
    clock.advance(Duration::from_secs(2));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(registry.get(&id("ended")).is_none());
    assert!(registry.get(&id("later")).is_some() && registry.get(&id("runs")).is_some());
    clock.advance(Duration::from_secs(100));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(registry.get(&id("later")).is_none());
    assert!(registry.get(&id("runs")).is_some());
    maintain.abort();
}

#[tokio::test(start_paused = true)]
async fn finished_logs_go_oldest_first_when_all_together_keep_too_much() {
    let clock = SetClock::new();
    let registry = registry_at(clock.clone(), LogOptions::default().with_max_total_bytes(50_000));
    // All are made before there is too much: a new log would make room itself.
    for n in 0..10 {
        registry.create(&id(&format!("run{n}"))).await.unwrap();
    }
    for n in 0..10 {
        let writer = registry.writer(&id(&format!("run{n}"))).unwrap();
        writer.append([event_of(1, 10_000)]).await.unwrap();
        clock.advance(Duration::from_secs(1));
        if n != 0 {
            writer.finish(StatusUpdate::completed(1.into())).await.unwrap();
        }
    }
    assert!(registry.bytes() > 100_000);
    let maintained = registry.clone();
    let maintain = tokio::spawn(async move { maintained.maintain().await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(registry.bytes() <= 50_000, "{} bytes", registry.bytes());
    let left: Vec<_> = (0..10).filter(|n| registry.get(&id(&format!("run{n}"))).is_some()).collect();
    assert_eq!(left, [0, 7, 8, 9], "the one that runs, and the newest");
    maintain.abort();
}
