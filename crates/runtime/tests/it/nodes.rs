//! What a visit of a node is: its state, its tasks, its time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::stream;
use serde_json::json;
use streamnest_core::Status;
use streamnest_runtime::{
    EngineOptions, Goto, NodeBuilder, NodeContext, NodeError, NodeResult, RunError, TokenOptions,
    WorkflowBuilder, stream_tokens,
};
use tokio::{sync::oneshot, time::sleep};

use crate::support::{
    Board, BoardUpdate, Definition, Told, does, engine, engine_with, memory, play, registry, run, start, told,
};

/// Counts how many of it are alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_runs_exactly_once_per_visit() {
    let bodies = Arc::new(AtomicUsize::new(0));
    let count = bodies.clone();
    let node = NodeBuilder::new("node").start().routes(&["node"], true).run(move |_, _, ctx: NodeContext| {
        let count = count.clone();
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_millis(1)).await;
            Ok::<Goto<BoardUpdate>, _>(if ctx.visit() < 7 { Goto::to("node") } else { Goto::end() })
        }
    });
    let told = run(WorkflowBuilder::new("play").node(node)).await;
    assert_eq!((bodies.load(Ordering::SeqCst), told.data("node_complete").len()), (7, 7));
}

#[tokio::test(start_paused = true)]
async fn updates_change_the_state_by_its_reducers_and_the_next_node_sees_it() {
    let first = does(NodeBuilder::new("first").start(), |_| async { Ok(BoardUpdate::text("Hello, ")) });
    let second =
        NodeBuilder::new("second").after("first").run(|_, state: Arc<Board>, ctx: NodeContext| async move {
            assert_eq!(
                (state.text.as_str(), ctx.node_id().as_str(), ctx.attempt()),
                ("Hello, ", "second", 1)
            );
            Ok(BoardUpdate { text: Some("world".into()), count: Some(3), panics: false })
        });
    let third = does(NodeBuilder::new("third").after("second"), |_| async { Ok(()) });
    let definition = WorkflowBuilder::new("play").node(first).node(second).node(third);
    let engine = engine(definition);
    let run = start(&engine).await;
    let result = run.result().await.unwrap();
    assert_eq!(result, json!({"prompt": null, "text": "Hello, world", "count": 3}));
    assert_eq!(
        told(&run).await.data("updates"),
        [json!({"text": "Hello, "}), json!({"text": "world", "count": 3})]
    );
}

#[tokio::test(start_paused = true)]
async fn a_visit_ends_when_its_tasks_have_also_those_that_tasks_spawn() {
    let told = run(play(
        |node| node.stream_token(TokenOptions::default().with_buffer_size(1)),
        |ctx| async move {
            let outer = ctx.clone();
            ctx.spawn(async move {
                sleep(Duration::from_secs(1)).await;
                let inner = outer.clone();
                outer.spawn(async move {
                    sleep(Duration::from_secs(1)).await;
                    inner.token("inner").await;
                });
                outer.token("outer ").await;
            });
            Ok(())
        },
    ))
    .await;
    assert_eq!(told.text(), "outer inner");
    assert_eq!(told.data("node_complete"), [json!({"visit": 1, "attempt": 1, "durationMs": 2000})]);
}

#[tokio::test(start_paused = true)]
async fn tasks_are_gone_when_their_visit_fails_times_out_or_is_cancelled() {
    let alive = Arc::new(AtomicUsize::new(0));
    let spawns = |end: fn(NodeContext) -> Option<NodeResult<()>>| {
        let alive = alive.clone();
        play(
            |node| node.timeout(Duration::from_secs(5)),
            move |ctx: NodeContext| {
                let alive = alive.clone();
                async move {
                    for _ in 0..3 {
                        let (inner, guard, more) = (ctx.clone(), Alive::new(&alive), alive.clone());
                        ctx.spawn(async move {
                            let _guard = guard;
                            // A task that makes tasks as long as it may.
                            loop {
                                let guard = Alive::new(&more);
                                inner.spawn(async move {
                                    let _guard = guard;
                                    std::future::pending::<()>().await;
                                });
                                sleep(Duration::from_millis(100)).await;
                            }
                        });
                    }
                    sleep(Duration::from_secs(1)).await;
                    match end(ctx) {
                        Some(result) => result,
                        None => std::future::pending().await,
                    }
                }
            },
        )
    };
    let fails = run(spawns(|_| Some(Err(NodeError::public("on purpose"))))).await;
    assert_eq!((fails.ended().as_str(), alive.load(Ordering::SeqCst)), ("failed: node_failed", 0));
    let late = run(spawns(|_| None)).await;
    assert_eq!((late.ended().as_str(), alive.load(Ordering::SeqCst)), ("failed: node_timeout", 0));
    let engine = engine(spawns(|_| None));
    let run = start(&engine).await;
    sleep(Duration::from_secs(2)).await;
    assert!(alive.load(Ordering::SeqCst) > 3);
    run.cancel("on purpose").await;
    assert_eq!(alive.load(Ordering::SeqCst), 0, "when the cancel returns they are gone");
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_run_is_left_when_it_has_ended() {
    let alive = Arc::new(AtomicUsize::new(0));
    let count = alive.clone();
    let engine = engine(play(
        |node| node.stream_token(TokenOptions::default()),
        move |ctx: NodeContext| {
            let guard = Alive::new(&count);
            async move {
                let _guard = guard;
                let message = ctx.message();
                message.token("a").await;
                let (keeps, guard) = (ctx.clone(), Alive::new(&_guard.0));
                ctx.spawn(async move {
                    let _ = (keeps.visit(), guard);
                    sleep(Duration::from_millis(5)).await;
                });
                ctx.token("b").await;
                Ok(())
            }
        },
    ));
    for _ in 0..20 {
        start(&engine).await.result().await.unwrap();
    }
    // The tasks of the runs themselves end right after they have said so.
    sleep(Duration::from_millis(1)).await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn failures_say_what_a_client_may_know_and_the_handle_says_them() {
    for (definition, code, message) in [
        (
            play(|node| node, |_| async { Err::<(), _>(NodeError::public("the tea is cold")) }),
            "node_failed",
            "the tea is cold",
        ),
        (
            play(|node| node, |_| async { Ok("secret".parse::<u32>().map(drop)?) }),
            "node_failed",
            "node `node` failed; the server's trace of this execution says why",
        ),
        (
            play(
                |node| node.timeout(Duration::from_millis(1500)),
                |_| std::future::pending::<NodeResult<()>>(),
            ),
            "node_timeout",
            "node `node` ran longer than 1.5s",
        ),
    ] {
        let engine = engine(definition);
        let run = start(&engine).await;
        let Err(RunError::Failed { failure }) = run.result().await else { panic!("the run fails") };
        assert_eq!((failure.code.as_str(), failure.message.as_str()), (code, message));
        assert_eq!(failure.node_id.as_deref(), Some("node"));
        let told = told(&run).await;
        assert_eq!(told.end().error, Some(failure));
        assert_eq!(
            told.data("node_error"),
            [json!({"code": code, "message": message, "visit": 1, "attempt": 1})]
        );
        assert_eq!(told.data("workflow_error")[0]["code"], code);
        assert_eq!(told.end().status, Status::Failed);
    }
    let late =
        play(|node| node, |_| std::future::pending::<NodeResult<()>>()).timeout(Duration::from_secs(2));
    let told = run(late).await;
    let failure = told.end().error.unwrap();
    assert_eq!((failure.code.as_str(), failure.node_id), ("workflow_timeout", None));
    assert_eq!(failure.message, "workflow `play` ran longer than 2s");
}

#[tokio::test(start_paused = true)]
async fn a_node_may_return_a_stream_which_is_streamed_and_gathered() {
    let items = || stream::iter(["one ", "two ", "three"].map(String::from));
    let told = run(play(
        |node| node.stream_token(TokenOptions::default().with_buffer_size(1)),
        move |ctx| async move { Ok(BoardUpdate::text(&stream_tokens(items(), &ctx).await?)) },
    ))
    .await;
    assert_eq!(told.frames(), ["one ", "two ", "three"]);
    assert_eq!(told.end().result.unwrap()["text"], "one two three");
    // What came before an error was streamed.
    let broken = || stream::iter([Ok("one "), Err(std::io::Error::other("broke")), Ok("never")]);
    let told = run(play(
        |node| node.stream_token(TokenOptions::default()),
        move |ctx| async move { stream_tokens(broken(), &ctx).await.map(drop) },
    ))
    .await;
    assert_eq!((told.text().as_str(), told.ended().as_str()), ("one ", "failed: node_failed"));
}

#[tokio::test(start_paused = true)]
async fn what_a_node_started_elsewhere_can_hear_of_a_cancel() {
    let (tx, rx) = oneshot::channel();
    let tx = Arc::new(std::sync::Mutex::new(Some(tx)));
    let engine = engine(play(
        |node| node,
        move |ctx: NodeContext| {
            let (tx, ctx) = (tx.lock().unwrap().take(), ctx.clone());
            tokio::spawn(async move {
                ctx.cancelled().await;
                let _ = tx.map(|tx| tx.send(ctx.execution_id().to_string()));
            });
            std::future::pending::<NodeResult<()>>()
        },
    ));
    let run = start(&engine).await;
    sleep(Duration::from_millis(1)).await;
    run.cancel("enough").await;
    assert_eq!(rx.await.unwrap(), run.execution_id().as_str());
}

async fn bounded(definition: Definition, options: EngineOptions) -> (Told, String) {
    let engine = engine_with(definition, registry(memory(), streamnest_log::LogOptions::default()), options);
    let run = start(&engine).await;
    let told = told(&run).await;
    let message = match run.result().await {
        Err(RunError::Failed { failure }) => failure.message,
        other => format!("{other:?}"),
    };
    (told, message)
}

#[tokio::test(start_paused = true)]
async fn a_visit_that_opens_more_messages_than_it_may_fails_and_names_the_bound() {
    let definition = |open: u32| {
        play(
            |node| node.stream_token(TokenOptions::default().with_buffer_size(1)),
            move |ctx| async move {
                let mut held = vec![ctx.message(), ctx.message(), ctx.message()];
                // One that has ended, in the middle, makes room; the others are found all the same.
                held.remove(1).finish().await;
                held.extend((2..open).map(|_| ctx.message()));
                for message in &held {
                    message.token(format!("{} ", message.id())).await;
                }
                tokio::task::yield_now().await;
                Ok(())
            },
        )
    };
    let options = EngineOptions::default().with_max_open_messages(3);
    let (told, _) = bounded(definition(3), options.clone()).await;
    assert_eq!((told.ended(), told.text()), ("completed".into(), "m1 m3 m4 ".into()));
    let (told, message) = bounded(definition(4), options).await;
    assert_eq!(told.ended(), "failed: too_many_open_messages");
    assert!(
        message.contains("`node` has 3 messages open, the limit of `EngineOptions::max_open_messages`"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_visit_that_spawns_more_tasks_than_may_run_fails_and_names_the_bound() {
    let definition = |at_once: u32| {
        play(
            |node| node,
            move |ctx| async move {
                // As many as one likes, one after the other.
                for _ in 0..100 {
                    ctx.spawn(async {});
                    tokio::task::yield_now().await;
                }
                for _ in 0..at_once {
                    ctx.spawn(sleep(Duration::from_secs(1)));
                }
                Ok(())
            },
        )
    };
    let options = EngineOptions::default().with_max_tasks(3);
    assert_eq!(bounded(definition(3), options.clone()).await.0.ended(), "completed");
    let (told, message) = bounded(definition(4), options).await;
    assert_eq!(told.ended(), "failed: too_many_tasks");
    assert!(message.contains("`node` has 3 tasks, the limit of `EngineOptions::max_tasks`"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panicked_before_others_were_spawned_fails_the_visit_too() {
    let told = run(play(
        |node| node,
        |ctx| async move {
            ctx.spawn(async { panic!("on purpose") });
            tokio::task::yield_now().await;
            ctx.spawn(async {});
            Ok(())
        },
    ))
    .await;
    assert_eq!(told.ended(), "failed: node_panicked");
}
