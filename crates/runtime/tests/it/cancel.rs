//! Cancel at every point: one terminal entry, last, and nothing after it.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use streamnest_core::{ExecutionControl as _, OnDisconnect};
use streamnest_log::Start;
use streamnest_models::{ChatModelExt as _, Script, ScriptedModel};
use streamnest_runtime::{
    Engine, EngineOptions, NodeBuilder, NodeContext, ProgressOptions, TokenOptions, WorkflowBuilder,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::support::{
    BoardUpdate, Definition, does, engine, engine_with, memory, play, registry, request, start, told,
};

const ANSWER: &str = "a b c d e f g h";

/// A model that waits before each word, so that each is a point at which a run can be cancelled.
fn model() -> ScriptedModel {
    let words = ANSWER.split_inclusive(' ');
    let script =
        words.fold(Script::new(), |script, word| script.delay(Duration::from_millis(10)).token(word));
    ScriptedModel::new().script(script.delay(Duration::from_millis(10)).usage(3, 8))
}

/// Polls a body and counts; the `at`-th time it says so and never goes on.
struct Counting<F> {
    body: Pin<Box<F>>,
    polls: Arc<AtomicUsize>,
    at: usize,
    reached: Option<oneshot::Sender<()>>,
}

impl<F: Future> Future for Counting<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.polls.fetch_add(1, Ordering::SeqCst) + 1;
        if polled > self.at {
            if let Some(reached) = self.reached.take() {
                let _ = reached.send(());
            }
            return Poll::Pending;
        }
        self.body.as_mut().poll(cx)
    }
}

/// A node that calls the model, spawns a task and tells progress; another one after it.
fn talks(
    model: ScriptedModel,
    at: usize,
    polls: Arc<AtomicUsize>,
    reached: oneshot::Sender<()>,
) -> Definition {
    let reached = Arc::new(std::sync::Mutex::new(Some(reached)));
    let first = NodeBuilder::new("first")
        .start()
        .stream_token(TokenOptions::default().with_buffer_size(3))
        .stream_progress(ProgressOptions::default().with_interval(Duration::from_millis(15)));
    let first = does(first, move |ctx: NodeContext| {
        let (model, polls) = (model.clone(), polls.clone());
        let reached = reached.lock().unwrap().take();
        let body = async move {
            let inner = ctx.clone();
            ctx.spawn(async move {
                for n in 0..8 {
                    inner.progress(n, 8).await;
                    sleep(Duration::from_millis(9)).await;
                }
            });
            let answer = model.generate("Say the letters.").await?;
            ctx.emit("said", &answer.text).await?;
            Ok(BoardUpdate::text(&answer.text))
        };
        Counting { body: Box::pin(body), polls, at, reached }
    });
    let second = does(NodeBuilder::new("second").after("first"), |_| async {
        sleep(Duration::from_millis(5)).await;
        Ok(())
    });
    WorkflowBuilder::new("play").node(first).node(second)
}

#[tokio::test(start_paused = true)]
async fn a_cancel_after_every_poll_of_a_node_ends_the_run_once_and_drops_the_model() {
    for at in 0.. {
        let (model, polls) = (model(), Arc::new(AtomicUsize::new(0)));
        let (tx, rx) = oneshot::channel();
        let engine = engine(talks(model.clone(), at, polls.clone(), tx));
        let run = start(&engine).await;
        if timeout(Duration::from_secs(10), rx).await.is_ok_and(|reached| reached.is_ok()) {
            run.cancel("enough").await;
            let last = run.log().head();
            assert!(last.sealed);
            let called = model.calls().len();
            assert_eq!(model.drops(), called, "the model's stream is dropped, after {at} polls");
            sleep(Duration::from_secs(1)).await;
            assert_eq!(run.log().head().last, last.last, "nothing follows");
            let told = told(&run).await;
            assert_eq!(told.ended(), "cancelled");
            assert!(ANSWER.starts_with(&told.text()), "{:?} after {at} polls", told.text());
        } else {
            // The body came to its end before it was polled that often.
            let told = told(&run).await;
            assert_eq!((told.ended().as_str(), told.text().as_str()), ("completed", ANSWER));
            assert!(at >= 9, "there is a poll for each word: {at}");
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_at_every_millisecond_ends_the_run_once() {
    for at in 0..110 {
        let model = model();
        let (tx, _rx) = oneshot::channel();
        let engine = engine(talks(model.clone(), usize::MAX, Arc::default(), tx));
        let run = start(&engine).await;
        sleep(Duration::from_millis(at)).await;
        run.cancel("enough").await;
        let last = run.log().head();
        assert!(last.sealed);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(run.log().head().last, last.last);
        let told = told(&run).await;
        let done = told.ended() == "completed";
        assert!(ANSWER.starts_with(&told.text()));
        assert_eq!(
            model.drops(),
            usize::from(!done && model.calls().len() == 1 && told.data("said").is_empty())
        );
        assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), 0, "after {at} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_is_idempotent_the_first_reason_stays_and_a_late_one_changes_nothing() {
    let engine = engine(play(
        |node| node,
        |_| async {
            sleep(Duration::from_secs(1)).await;
            Ok(())
        },
    ));
    let run = start(&engine).await;
    tokio::join!(run.cancel("first"), run.cancel("second"));
    engine.cancel(run.execution_id(), Some("third".into())).await.unwrap();
    assert_eq!(told(&run).await.end().reason.as_deref(), Some("first"));
    assert_eq!(run.result().await.unwrap_err().to_string(), "execution was cancelled: first");
    assert_eq!(run.result().await.unwrap_err().code(), "cancelled");
    let run = start(&engine).await;
    run.result().await.unwrap();
    run.cancel("late").await;
    assert_eq!(told(&run).await.ended(), "completed");
    let unknown = streamnest_core::ExecutionId::new("nobody").unwrap();
    assert_eq!(engine.cancel(&unknown, None).await.unwrap_err().code(), "unknown_execution");
}

/// An engine with one run whose node lasts an hour, and the run.
async fn lasting(on_disconnect: OnDisconnect) -> (Engine, streamnest_runtime::Run) {
    lasting_with(on_disconnect, Duration::from_secs(10)).await
}

/// As [`lasting`], with a grace of its own.
async fn lasting_with(on_disconnect: OnDisconnect, grace: Duration) -> (Engine, streamnest_runtime::Run) {
    let definition = play(
        |node| node,
        |_| async {
            sleep(Duration::from_secs(3600)).await;
            Ok(())
        },
    );
    let logs = registry(memory(), streamnest_log::LogOptions::default());
    let options = EngineOptions::default().with_disconnect_grace(grace);
    let engine = engine_with(definition.on_disconnect(on_disconnect), logs, options);
    let run = start(&engine).await;
    (engine, run)
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_without_viewers_unless_it_is_told_otherwise() {
    let (_engine, run) = lasting(OnDisconnect::Continue).await;
    drop(run.log().cursor(Start::Beginning));
    sleep(Duration::from_secs(1800)).await;
    assert!(!run.log().head().sealed);

    let (_engine, run) = lasting(OnDisconnect::Cancel).await;
    // Nobody came yet, so nobody has gone.
    sleep(Duration::from_secs(100)).await;
    assert!(!run.log().head().sealed);
    // Two viewers, of whom one goes; then both, and one comes back in time; and an observer, who is no viewer.
    let _observer = run.log().observer(Start::Beginning);
    let (first, second) = (run.log().cursor(Start::Beginning), run.log().cursor(Start::Now));
    sleep(Duration::from_secs(1)).await;
    drop(first);
    sleep(Duration::from_secs(100)).await;
    assert!(!run.log().head().sealed);
    drop(second);
    sleep(Duration::from_secs(9)).await;
    let back = run.log().cursor(Start::Now);
    sleep(Duration::from_secs(100)).await;
    assert!(!run.log().head().sealed);
    drop(back);
    sleep(Duration::from_millis(9_990)).await;
    assert!(!run.log().head().sealed);
    sleep(Duration::from_millis(20)).await;
    let told = told(&run).await;
    assert_eq!(told.end().reason.as_deref(), Some("last subscriber is gone"));
}

#[tokio::test(start_paused = true)]
async fn a_viewer_who_comes_and_goes_between_two_looks_has_gone() {
    let (_engine, run) = lasting_with(OnDisconnect::Cancel, Duration::from_secs(3)).await;
    // Nothing else is polled between these: before the engine looks for the first time,
    drop(run.log().cursor(Start::Beginning));
    sleep(Duration::from_secs(2)).await;
    assert!(!run.log().head().sealed);
    // and within the grace, which then begins anew.
    drop(run.log().cursor(Start::Beginning));
    sleep(Duration::from_millis(2_990)).await;
    assert!(!run.log().head().sealed);
    sleep(Duration::from_millis(20)).await;
    assert_eq!(told(&run).await.end().reason.as_deref(), Some("last subscriber is gone"));
}

#[tokio::test(start_paused = true)]
async fn a_request_may_choose_otherwise_than_the_workflow() {
    for (workflow, asked, cancelled) in [
        (OnDisconnect::Cancel, Some(OnDisconnect::Continue), false),
        (OnDisconnect::Continue, Some(OnDisconnect::Cancel), true),
        (OnDisconnect::Cancel, None, true),
    ] {
        let (engine, _) = lasting(workflow).await;
        let mut request = request(None);
        request.on_disconnect = asked;
        let run = engine.run(request).await.unwrap();
        let viewer = run.log().cursor(Start::Beginning);
        sleep(Duration::from_secs(1)).await;
        drop(viewer);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(run.log().head().sealed, cancelled);
    }
}
