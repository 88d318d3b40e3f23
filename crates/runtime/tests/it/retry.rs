//! Visits that fail and are tried again.

use std::time::Duration;

use serde_json::json;
use streamnest_core::Class;
use streamnest_runtime::{
    NodeBuilder, NodeContext, NodeError, NodeResult, RetryOn, RetryOptions, TokenOptions,
};
use tokio::time::{Instant, sleep};

use crate::support::{BoardUpdate, Node, does, one, run};

fn retry(attempts: u32) -> RetryOptions {
    RetryOptions::default().with_attempts(attempts).with_backoff(Duration::from_secs(1)).with_jitter(0.0)
}

/// Says its attempt, and fails until the third.
async fn third_time(ctx: NodeContext) -> NodeResult<BoardUpdate> {
    ctx.token(format!("try {}", ctx.attempt())).await;
    if ctx.attempt() < 3 {
        return Err(NodeError::public("not yet"));
    }
    Ok(BoardUpdate::text("done"))
}

fn node() -> Node {
    does(NodeBuilder::new("node").stream_token(TokenOptions::default()), third_time)
}

#[tokio::test(start_paused = true)]
async fn a_visit_that_fails_is_tried_again_and_says_which_attempt_is_void() {
    let began = Instant::now();
    let told = run(one(node().retry(retry(3)))).await;
    assert_eq!(began.elapsed(), Duration::from_secs(1 + 2), "waits double");
    assert_eq!(told.end().result.unwrap()["text"], "done");
    let void = |attempt: u32, delay: u64| json!({"code": "node_failed", "message": "not yet", "visit": 1, "attempt": attempt, "delayMs": delay});
    assert_eq!(told.data("node_retry"), [void(1, 1000), void(2, 2000)]);
    // What an attempt said stands before the entry that voids it, and carries its number.
    let mut current = 1;
    for event in told.events() {
        match event.class() {
            Class::Token => assert_eq!(event.as_token().unwrap().unwrap().attempt, current),
            Class::Event if event.event_type().as_str() == "node_retry" => current += 1,
            _ => {}
        }
    }
    told.check_attempts();
    assert_eq!(told.frames(), ["try 1", "try 2", "try 3"]);
    assert_eq!(told.data("node_complete")[0]["attempt"], 3);
}

#[tokio::test(start_paused = true)]
async fn when_all_attempts_failed_the_node_has_failed() {
    let told = run(one(node().retry(retry(2)))).await;
    assert_eq!(told.ended(), "failed: node_failed");
    assert_eq!((told.data("node_retry").len(), told.data("node_error").len()), (1, 1));
    assert_eq!(told.data("node_error")[0]["attempt"], 2);
}

#[tokio::test(start_paused = true)]
async fn only_what_is_named_is_tried_again_and_a_timeout_can_be() {
    let slow_once = does(NodeBuilder::new("node").timeout(Duration::from_secs(5)), |ctx| async move {
        if ctx.attempt() == 1 {
            sleep(Duration::from_secs(60)).await;
        }
        Err::<(), _>(NodeError::public("no").with_code("no_luck"))
    });
    let told = run(one(slow_once.retry(retry(5).with_on(vec![RetryOn::Code("node_timeout".into())])))).await;
    assert_eq!(told.ended(), "failed: no_luck");
    assert_eq!(told.data("node_retry")[0]["code"], "node_timeout");
    assert_eq!(told.data("node_error")[0]["attempt"], 2);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_a_visit_that_waits_for_its_next_attempt() {
    let engine = crate::support::engine(one(node().retry(retry(3).with_backoff(Duration::from_secs(20)))));
    let run = crate::support::start(&engine).await;
    sleep(Duration::from_secs(1)).await;
    run.cancel("enough").await;
    let told = crate::support::told(&run).await;
    assert_eq!((told.ended().as_str(), told.frames()), ("cancelled", vec!["try 1".to_owned()]));
}
