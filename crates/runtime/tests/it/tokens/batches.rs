//! When a batch of tokens goes.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use streamnest_log::{Read, ReadLimit, Start};
use streamnest_runtime::NodeResult;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::{frame, frames, options};
use crate::support::{engine, play, start, told};

#[tokio::test(start_paused = true)]
async fn of_four_quick_tokens_the_first_comes_alone_and_then_three_together() {
    let gate = Arc::new(Notify::new());
    let held = gate.clone();
    let engine = engine(play(
        |node| node.stream_token(options().with_buffer_size(3).with_flush_interval(Duration::from_secs(5))),
        move |ctx| {
            let gate = held.clone();
            async move {
                for token in ["a", "b", "c", "d"] {
                    ctx.token(token).await;
                }
                gate.notified().await;
                Ok(())
            }
        },
    ));
    let run = start(&engine).await;
    // The timer of five seconds has not run, and the node is still there.
    sleep(Duration::from_millis(300)).await;
    let mut cursor = run.log().cursor(Start::Beginning);
    let Some(Read::Batch(batch)) = cursor.next_batch(ReadLimit::default()).await.unwrap() else { panic!() };
    let frames: Vec<_> = batch.iter().filter_map(|entry| entry.event().as_token().unwrap()).collect();
    let frames: Vec<_> =
        frames.iter().map(|token| (token.content.as_str(), token.index, token.count)).collect();
    assert_eq!(frames, [("a", 0, 1), ("bcd", 1, 3)]);
    gate.notify_one();
    assert_eq!(told(&run).await.ended(), "completed");
}

#[tokio::test(start_paused = true)]
async fn a_token_that_waits_is_said_after_the_flush_interval_with_nothing_else_happening() {
    let engine = engine(play(
        |node| node.stream_token(options().with_flush_interval(Duration::from_millis(70))),
        |ctx| async move {
            ctx.token("a").await;
            ctx.token("b").await;
            ctx.token("c").await;
            std::future::pending::<NodeResult<()>>().await
        },
    ));
    let run = start(&engine).await;
    sleep(Duration::from_millis(69)).await;
    let before = run.log().head().last;
    sleep(Duration::from_millis(2)).await;
    assert_eq!(run.log().head().last, before.next(), "one frame more");
    run.cancel("enough").await;
    assert_eq!(frames(&told(&run).await), [frame("a", 0, 1, 0), frame("bc", 1, 2, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_token_waits_its_interval_anew_after_each_flush() {
    let began = Instant::now();
    let times = Arc::new(std::sync::Mutex::new(Vec::new()));
    let engine = engine(play(
        |node| node.stream_token(options().with_flush_interval(Duration::from_millis(100))),
        |ctx| async move {
            for n in 0..20 {
                ctx.token(format!("{n} ")).await;
                sleep(Duration::from_millis(30)).await;
            }
            Ok(())
        },
    ));
    let run = start(&engine).await;
    let mut cursor = run.log().cursor(Start::Beginning);
    while let Some(Read::Batch(batch)) = cursor.next_batch(ReadLimit::default()).await.unwrap() {
        for token in batch.iter().filter_map(|entry| entry.event().as_token().unwrap()) {
            times.lock().unwrap().push((began.elapsed().as_millis() as u64, token.index, token.count));
        }
    }
    let times = times.lock().unwrap();
    for (at, index, _) in times.iter() {
        // Token n is said at 30 n; paused time ticks in whole milliseconds.
        assert!(*at <= 30 * index + 101, "token {index} was read at {at} ms");
    }
    assert_eq!(times.iter().map(|(_, _, count)| count).sum::<u32>(), 20);
    assert!(times.len() < 10, "tokens were not joined: {times:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_due_in_a_moment_goes_when_the_node_pauses_and_costs_no_turn_of_its_own() {
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = turns.clone();
    let engine = engine(play(
        // The timer of this would ring at the next whole millisecond, 41.
        |node| node.stream_token(options().with_flush_interval(Duration::from_micros(40_300))),
        move |ctx| {
            let counted = counted.clone();
            async move {
                let mut body = pin!(async {
                    let began = Instant::now();
                    for n in 0..300u64 {
                        sleep_until(began + Duration::from_millis(20 * n)).await;
                        ctx.token("x").await;
                    }
                });
                poll_fn(|cx| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    body.as_mut().poll(cx)
                })
                .await;
                Ok(())
            }
        },
    ));
    let told = told(&start(&engine).await).await;
    let counts: Vec<_> = told.tokens().iter().map(|token| token.count).collect();
    // The first goes alone, and then three with each flush.
    assert_eq!(counts.iter().sum::<u32>(), 300);
    assert!(counts[1..counts.len() - 1].iter().all(|count| *count == 3), "{counts:?}");
    let turns = turns.load(Ordering::Relaxed);
    assert!(turns <= 302, "{turns} turns for 300 tokens");
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_told_in_time_after_one_that_went_before_its_timer_rang() {
    let engine = engine(play(
        |node| node.stream_token(options().with_flush_interval(Duration::from_micros(40_300))),
        |ctx| async move {
            let began = Instant::now();
            for at in [0, 0, 40, 60, 200, 500] {
                sleep_until(began + Duration::from_millis(at)).await;
                ctx.token(format!("{at} ")).await;
            }
            std::future::pending::<NodeResult<()>>().await
        },
    ));
    let began = Instant::now();
    let run = start(&engine).await;
    let mut cursor = run.log().cursor(Start::Beginning);
    let mut times = Vec::new();
    while times.len() < 5
        && let Some(Read::Batch(batch)) = cursor.next_batch(ReadLimit::default()).await.unwrap()
    {
        let tokens = batch.iter().filter_map(|entry| entry.event().as_token().unwrap());
        times.extend(tokens.map(|token| (began.elapsed().as_millis(), token.content)));
    }
    let told = [(0, "0 "), (40, "0 40 "), (101, "60 "), (241, "200 "), (541, "500 ")];
    assert_eq!(times, told.map(|(at, content)| (at, content.to_owned())));
    run.cancel("enough").await;
}

#[tokio::test(start_paused = true)]
async fn the_timer_runs_for_a_task_that_streams_while_its_node_awaits() {
    let engine = engine(play(
        |node| node.stream_token(options().with_flush_interval(Duration::from_millis(50))),
        |ctx| async move {
            let inner = ctx.clone();
            ctx.spawn(async move {
                sleep(Duration::from_millis(500)).await;
                inner.token("a").await;
                inner.token("b").await;
                std::future::pending::<()>().await;
            });
            std::future::pending::<NodeResult<()>>().await
        },
    ));
    let run = start(&engine).await;
    sleep(Duration::from_millis(552)).await;
    let seen: Vec<_> = {
        let mut cursor = run.log().cursor(Start::Beginning);
        let Some(Read::Batch(batch)) = cursor.next_batch(ReadLimit::default()).await.unwrap() else {
            panic!()
        };
        batch
            .iter()
            .filter_map(|entry| entry.event().as_token().unwrap())
            .map(|token| token.content)
            .collect()
    };
    assert_eq!(seen, ["a", "b"]);
    run.cancel("enough").await;
    told(&run).await;
}
