//! Whatever panics, the run ends with one terminal entry and keeps what was said.

use std::time::Duration;

use streamnest_core::Event;
use streamnest_runtime::{
    EventOptions, Granularity, NodeBuilder, NodeContext, NodeResult, ProgressMetadata, ProgressOptions,
    TokenFilter, TokenMetadata, TokenOptions, WorkflowBuilder,
};
use tokio::time::{sleep, timeout};

use crate::support::{Board, BoardUpdate, Definition, Told, engine, play, run, start};

async fn ends(definition: Definition) -> Told {
    timeout(Duration::from_secs(600), run(definition)).await.expect("the run ends")
}

fn message(told: &Told) -> String {
    told.end().error.unwrap().message
}

fn quick() -> TokenOptions {
    TokenOptions::default().with_buffer_size(2)
}

#[tokio::test(start_paused = true)]
async fn in_a_body_before_its_first_await_and_after_it() {
    let told = ends(play(
        |node| node.stream_token(quick()),
        |ctx| async move {
            ctx.token("kept").await;
            sleep(Duration::from_millis(1)).await;
            if ctx.visit() == 1 {
                panic!("on purpose");
            }
            Ok(())
        },
    ))
    .await;
    assert_eq!((told.text().as_str(), told.ended().as_str()), ("kept", "failed: node_panicked"));
    assert_eq!((message(&told).as_str(), told.data("node_error").len()), ("node `node` panicked", 1));
    // A function that makes the future may panic itself.
    fn never(_: NodeContext) -> std::future::Ready<NodeResult<()>> {
        panic!("on purpose")
    }
    assert_eq!(ends(play(|node| node, never)).await.ended(), "failed: node_panicked");
}

#[tokio::test(start_paused = true)]
async fn in_a_task_of_the_node() {
    let told = ends(play(
        |node| node.stream_token(quick()),
        |ctx| async move {
            let inner = ctx.clone();
            ctx.spawn(async move {
                inner.token("kept").await;
                panic!("on purpose");
            });
            Ok(())
        },
    ))
    .await;
    assert_eq!((told.text().as_str(), told.ended().as_str()), ("kept", "failed: node_panicked"));
    assert_eq!(message(&told), "a task of node `node` panicked");
}

#[tokio::test(start_paused = true)]
async fn in_a_reducer() {
    let told = ends(play(
        |node| node.stream_token(quick()),
        |ctx| async move {
            ctx.token("kept").await;
            Ok(BoardUpdate { panics: true, ..BoardUpdate::default() })
        },
    ))
    .await;
    assert_eq!((told.text().as_str(), told.ended().as_str()), ("kept", "failed: node_panicked"));
    assert_eq!(message(&told), "a reducer of its state panicked");
}

#[tokio::test(start_paused = true)]
async fn in_a_processor_and_the_text_is_kept_as_it_was() {
    fn picky(text: &str, _: &TokenMetadata) -> String {
        assert!(!text.contains('b'), "on purpose");
        text.to_uppercase()
    }
    // In the body, in the timer's flush, at the end of a message, and at the end of the visit, where a blank is left.
    let filter = TokenFilter::default().with_exclude_whitespace(true);
    let told = ends(play(
        |node| node.stream_token(quick().with_processor(picky).with_filter(filter)),
        |ctx| async move {
            for token in ["a", "b", "c"] {
                ctx.token(token).await;
            }
            sleep(Duration::from_secs(1)).await;
            ctx.token("never").await;
            Ok(())
        },
    ))
    .await;
    assert_eq!((told.text().as_str(), told.ended().as_str()), ("AbC", "failed: node_panicked"));
    assert_eq!(message(&told), "the processor of node `node` panicked");

    fn no_blanks(text: &str, _: &TokenMetadata) -> String {
        assert!(!text.trim().is_empty(), "on purpose");
        text.into()
    }
    let filter = || TokenFilter::default().with_exclude_whitespace(true);
    for by_message in [false, true] {
        let told = ends(play(
            |node| node.stream_token(quick().with_processor(no_blanks).with_filter(filter())),
            move |ctx| async move {
                if by_message {
                    // The message is dropped while the body unwinds.
                    let message = ctx.message();
                    message.token("a").await;
                    message.token(" ").await;
                    panic!("on purpose");
                }
                ctx.token("a").await;
                ctx.token(" ").await;
                Ok(())
            },
        ))
        .await;
        assert_eq!((told.text().as_str(), told.ended().as_str()), ("a ", "failed: node_panicked"));
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_transformer_and_the_event_is_kept_as_it_was() {
    for bad in ["node_start", "mine", "updates", "node_complete", "node_error"] {
        // A transformer is a plain function, so each event type gets a function of its own.
        let transformer: fn(Event) -> Event = match bad {
            "node_start" => |event| refuse(event, "node_start"),
            "mine" => |event| refuse(event, "mine"),
            "updates" => |event| refuse(event, "updates"),
            "node_complete" => |event| refuse(event, "node_complete"),
            _ => |event| refuse(event, "node_error"),
        };
        let fails = bad == "node_error";
        let told = ends(play(
            |node| node.stream_event(EventOptions::default().with_transformer(transformer)),
            move |ctx| async move {
                ctx.emit("mine", ()).await?;
                sleep(Duration::from_millis(1)).await;
                if fails {
                    Err(streamnest_runtime::NodeError::public("as it is"))
                } else {
                    Ok(BoardUpdate::count(1))
                }
            },
        ))
        .await;
        let expected = if fails { "failed: node_failed" } else { "failed: node_panicked" };
        assert_eq!(told.ended(), expected, "{bad}");
        assert_eq!(told.data(bad).len(), 1, "{bad}");
    }
}

fn refuse(event: Event, bad: &str) -> Event {
    assert!(event.event_type().as_str() != bad, "on purpose");
    event
}

#[tokio::test(start_paused = true)]
async fn in_a_calculator() {
    fn picky(current: f64, _: f64, _: &ProgressMetadata) -> f64 {
        assert!(current < 50.0, "on purpose");
        current
    }
    let told = ends(play(
        |node| {
            let detailed = ProgressOptions::default().with_granularity(Granularity::Detailed);
            node.stream_progress(detailed.with_calculator(picky))
        },
        |ctx| async move {
            ctx.progress(40, 100).await;
            ctx.progress(60, 100).await;
            sleep(Duration::from_secs(1)).await;
            Ok(())
        },
    ))
    .await;
    assert_eq!(told.ended(), "failed: node_panicked");
    assert_eq!(message(&told), "the calculator of node `node` panicked");
    let last = told.progress().pop().unwrap();
    assert_eq!((last.progress, last.outcome.as_deref()), (40.0, Some("failed")));
}

/// Panics when it is dropped.
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("on purpose");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_drop_of_what_a_node_holds_at_its_end_and_when_it_is_cancelled() {
    let told = ends(play(
        |node| node,
        |_| async {
            let _grenade = Grenade;
            Ok(())
        },
    ))
    .await;
    assert_eq!(told.ended(), "failed: node_panicked");
    let engine = engine(play(
        |node| node,
        |_| async {
            let _grenade = Grenade;
            std::future::pending::<NodeResult<()>>().await
        },
    ));
    let run = start(&engine).await;
    sleep(Duration::from_millis(1)).await;
    timeout(Duration::from_secs(60), run.cancel("enough")).await.expect("the cancel returns");
    assert_eq!(crate::support::told(&run).await.statuses().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn one_run_that_panics_leaves_the_others_alone() {
    let definition = WorkflowBuilder::new("play").node(NodeBuilder::new("node").start().run(
        |_, state: std::sync::Arc<Board>, _| async move {
            assert!(state.prompt.is_none(), "on purpose");
            sleep(Duration::from_secs(1)).await;
            Ok(())
        },
    ));
    let engine = engine(definition);
    let good = start(&engine).await;
    let mut request = crate::support::request(None);
    request.input = serde_json::json!({"prompt": "bad"});
    let bad = engine.run(request).await.unwrap();
    assert!(bad.result().await.is_err());
    assert!(good.result().await.is_ok());
}
