//! The same promises with real threads and real time.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use streamnest_runtime::{NodeContext, NodeResult, TokenOptions};
use tokio::{
    sync::Semaphore,
    task::yield_now,
    time::{sleep, timeout},
};

use crate::support::{Random, cases, chaos, engine, play, start, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_that_a_task_streams_from_another_thread_is_never_forgotten_by_the_timer() {
    let rounds = if chaos() { 20_000 } else { 300 };
    let gate = Arc::new(Semaphore::new(0));
    let opens = gate.clone();
    let engine = engine(play(
        |node| node.stream_token(TokenOptions::default().with_flush_interval(Duration::from_micros(200))),
        move |ctx: NodeContext| {
            let gate = gate.clone();
            async move {
                let inner = ctx.clone();
                ctx.spawn(async move {
                    for round in 0..rounds {
                        inner.token(format!("{round} ")).await;
                        // Only the timer of the visit, which sleeps on another thread, brings the token to the reader.
                        gate.acquire().await.unwrap().forget();
                    }
                });
                Ok(())
            }
        },
    ));
    let run = start(&engine).await;
    let mut events = run.events();
    let mut read = 0;
    while let Some(entry) = timeout(Duration::from_secs(20), events.next()).await.expect("the timer rings") {
        if let Some(token) = entry.unwrap().event().as_token().unwrap() {
            assert_eq!((token.content, token.count), (format!("{read} "), 1));
            read += 1;
            opens.add_permits(1);
        }
    }
    assert_eq!(read, rounds);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_at_once_keep_their_texts_whole_to_the_end_and_to_a_cancel() {
    cases(if chaos() { 2_000 } else { 60 }, |seed| async move {
        let mut random = Random::from_seed(seed);
        let options = TokenOptions::default()
            .with_buffer_size(1 + random.below(20) as usize)
            .with_flush_interval(Duration::from_micros(random.below(2_000)));
        let cancels = random.one_in(2);
        let engine = engine(play(
            |node| node.stream_token(options),
            move |ctx: NodeContext| async move {
                for task in 0..8 {
                    let inner = ctx.clone();
                    ctx.spawn(async move {
                        let message = inner.message();
                        for n in 0..50 {
                            message.token(format!("{task}.{n} ")).await;
                            if n % 7 == task {
                                inner.emit("mark", n).await.unwrap();
                                yield_now().await;
                            }
                        }
                        message.finish().await;
                    });
                }
                if cancels { std::future::pending::<NodeResult<()>>().await } else { Ok(()) }
            },
        ));
        let run = start(&engine).await;
        if cancels {
            sleep(Duration::from_micros(random.below(3_000))).await;
            timeout(Duration::from_secs(20), run.cancel("enough")).await.expect("the cancel returns");
        }
        let told = timeout(Duration::from_secs(20), told(&run)).await.expect("the run ends");
        assert_eq!(told.ended(), if cancels { "cancelled" } else { "completed" });
        let whole = |task: u32| (0..50).map(|n| format!("{task}.{n} ")).collect::<String>();
        let mut seen = Vec::new();
        for message in told.messages() {
            let text: String = told.tokens_of(message).into_iter().map(|token| token.content).collect();
            let task: u32 = text.split('.').next().unwrap().parse().unwrap();
            assert!(whole(task).starts_with(&text), "{text:?}");
            assert!(cancels || whole(task) == text, "{text:?}");
            seen.push(task);
        }
        seen.sort_unstable();
        assert!(cancels || seen == (0..8).collect::<Vec<_>>(), "{seen:?}");
    })
    .await;
}
