//! A node that runs once for each item.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use streamnest_runtime::{
    NodeBuilder, NodeContext, NodeError, NodeKind, NodeResult, ProgressOptions, RetryOptions, TokenOptions,
};
use tokio::time::{Instant, sleep};

use crate::support::{Board, BoardUpdate, Node, one, run};

/// Runs `body` for the numbers below `count`, and gathers their texts.
fn each<F, Fut>(count: usize, body: F) -> Node
where
    F: Fn(usize, NodeContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<String>> + Send + 'static,
{
    NodeBuilder::new("each").gather_each(
        move |_: &Board| (0..count).collect(),
        move |_, _, item, ctx| body(item, ctx),
        |texts: Vec<String>| BoardUpdate::text(&texts.join(",")),
    )
}

#[tokio::test(start_paused = true)]
async fn a_thousand_items_with_a_concurrency_of_16_never_run_17_at_once() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = most.clone();
    let began = Instant::now();
    let told = run(one(each(1_000, move |item, _| {
        let (running, most) = (running.clone(), most.clone());
        async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // The later ones are faster, and yet come later.
            sleep(Duration::from_millis(1 + (1_000 - item as u64) / 100)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            Ok(item.to_string())
        }
    })
    .concurrency(16)))
    .await;
    let all: Vec<_> = (0..1_000).map(|item| item.to_string()).collect();
    assert_eq!(told.end().result.unwrap()["text"], all.join(","), "in the order of the items");
    assert_eq!(seen.load(Ordering::SeqCst), 16);
    assert!(began.elapsed() < Duration::from_millis(1_000), "16 at a time take a sixteenth of the time");
    assert_eq!((told.data("item_start").len(), told.data("item_complete").len()), (1_000, 1_000));
    assert_eq!(told.data("node_start")[0]["items"], 1_000);
    assert_eq!(told.data("updates").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_items_say_is_kept_apart_by_item_and_message() {
    let node = each(3, |item, ctx| async move {
        assert_eq!(ctx.item(), Some(item));
        for _ in 0..2 {
            ctx.token(format!("{item}")).await;
            sleep(Duration::from_millis(5)).await;
        }
        ctx.progress(1, 2).await;
        Ok(String::new())
    });
    let told = run(one(node
        .kind(NodeKind::Llm)
        .stream_token(TokenOptions::default().with_buffer_size(1).with_batch_size(1))
        .stream_progress(ProgressOptions::default())))
    .await;
    assert_eq!(told.messages().len(), 3);
    for message in told.messages() {
        let tokens = told.tokens_of(message);
        assert_eq!(tokens.len(), 2);
        assert!(tokens.iter().all(|token| token.content == token.item.unwrap().to_string()), "{tokens:?}");
    }
    let items: Vec<_> = told.data("llm_complete").iter().map(|data| data["item"].clone()).collect();
    assert_eq!(items, [json!(0), json!(1), json!(2)]);
    // The node itself tells how many items are done, each item how far it is.
    let mut of_node = told.progress().into_iter().filter(|progress| progress.item.is_none());
    let last = of_node.next_back().unwrap();
    assert_eq!((last.progress, last.current, last.total), (100.0, Some(3.0), Some(3.0)));
    assert!(told.progress().iter().any(|progress| progress.item == Some(2)));
}

#[tokio::test(start_paused = true)]
async fn updates_of_items_are_applied_in_their_order_and_may_not_clash() {
    let node = |count: bool| {
        NodeBuilder::new("each").run_each(
            |_: &Board| vec!["a", "b", "c"],
            move |_, _, item: &str, ctx| {
                let item = item.to_owned();
                async move {
                    sleep(Duration::from_millis(10 - ctx.item().unwrap() as u64)).await;
                    let count = count.then_some(7);
                    NodeResult::Ok(BoardUpdate { count, ..BoardUpdate::text(&item) })
                }
            },
        )
    };
    let told = run(one(node(false))).await;
    assert_eq!(told.end().result.unwrap()["text"], "abc");
    assert_eq!(told.data("updates"), [json!({"text": "a"}), json!({"text": "b"}), json!({"text": "c"})]);
    let told = run(one(node(true))).await;
    let error = told.end().error.unwrap();
    assert_eq!(error.code, "state_conflict");
    assert_eq!(
        error.message,
        "two items of node `each` both changed field `count` of the state; give the field a reducer that joins changes \
         (append, merge, maximum, minimum, sum), or gather the values of the items"
    );
}

#[tokio::test(start_paused = true)]
async fn an_item_that_fails_for_good_stops_the_others_and_each_is_tried_again_for_itself() {
    let node = each(4, |item, ctx| async move {
        sleep(Duration::from_millis(item as u64)).await;
        match (item, ctx.attempt()) {
            (1, 1) => Err(NodeError::public("once")),
            (2, _) => Err(NodeError::public("always")),
            (3, _) => std::future::pending().await,
            _ => Ok(item.to_string()),
        }
    });
    let retry =
        RetryOptions::default().with_attempts(2).with_backoff(Duration::from_millis(1)).with_jitter(0.0);
    let told = run(one(node.retry(retry))).await;
    assert_eq!(told.ended(), "failed: node_failed");
    assert_eq!(told.end().error.unwrap().message, "always");
    told.check_attempts();
    let items = |of: &str| told.data(of).iter().map(|data| data["item"].clone()).collect::<Vec<_>>();
    assert_eq!(items("node_retry"), [json!(1), json!(2)]);
    assert_eq!(items("item_complete"), [json!(0), json!(1)]);
    assert_eq!(items("node_cancelled"), [json!(3)]);
    assert_eq!(items("node_error"), [json!(2), json!(null)], "the item, and then the visit");
}

#[tokio::test(start_paused = true)]
async fn no_items_are_no_work_and_a_panic_of_what_finds_them_fails_the_node() {
    let told = run(one(each(0, |_, _| async { Ok(String::new()) }))).await;
    assert_eq!((told.ended().as_str(), told.data("node_start")[0]["items"].clone()), ("completed", json!(0)));
    let node = NodeBuilder::new("each").run_each(
        |state: &Board| -> Vec<u8> { panic!("no items in {state:?}") },
        |_, _, _: u8, _| async { Ok(()) },
    );
    assert_eq!(run(one(node)).await.ended(), "failed: node_panicked");
}
