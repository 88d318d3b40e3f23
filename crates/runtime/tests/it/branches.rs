//! Branches that run at the same time: where they part and meet, what each sees, and how they end together.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use streamnest_core::ExecutionControl as _;
use streamnest_runtime::{Goto, NodeBuilder, NodeError, NodeResult, ProgressOptions, WorkflowBuilder};
use tokio::time::{Instant, sleep};

use crate::support::{Board, BoardUpdate, Definition, Node, Told, does, engine, run, start, told};

/// A node that takes `millis` and then appends its name to the text.
fn says(name: &'static str, millis: u64) -> Node {
    does(NodeBuilder::new(name), move |_| async move {
        sleep(Duration::from_millis(millis)).await;
        Ok(BoardUpdate::text(name))
    })
}

/// A node that sets the count to the length of the text that it sees.
fn counts(name: &str) -> Node {
    NodeBuilder::new(name).run(|_, state: Arc<Board>, _| async move {
        NodeResult::Ok(BoardUpdate::count(state.text.len() as u32))
    })
}

fn of(nodes: Vec<Node>) -> Definition {
    nodes.into_iter().fold(WorkflowBuilder::new("play"), WorkflowBuilder::node)
}

fn result(told: &Told) -> Value {
    told.end().result.unwrap_or_else(|| panic!("it completed, but {:?}", told.end()))
}

/// `type node` of each lifecycle entry of a node.
fn course(told: &Told) -> Vec<String> {
    told.check_attempts();
    let of_node = |event: &&streamnest_core::Event| event.event_type().as_str().starts_with("node_");
    let name = |event: &streamnest_core::Event| {
        format!("{} {}", event.event_type().as_str().trim_start_matches("node_"), event.node().unwrap())
    };
    told.events().filter(of_node).map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn branches_run_at_the_same_time_and_meet_in_the_order_of_the_nodes() {
    for (slow, fast) in [(1000, 10), (10, 1000)] {
        let began = Instant::now();
        let told = run(of(vec![
            says("s", 0).start(),
            says("a", slow).after("s"),
            says("b", fast).after("s"),
            says("b2", 5).after("b"),
            counts("join").after_all(&["b2", "a"]),
        ]))
        .await;
        assert!(began.elapsed() < Duration::from_millis(1100), "one after the other would take longer");
        // As if `a` and `b` had been one step and `b2` the next, whoever was faster.
        assert_eq!(result(&told), json!({"prompt": null, "text": "sabb2", "count": 5}));
        assert_eq!(told.data("node_start").len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn a_branch_sees_its_own_past_and_not_what_others_did_meanwhile() {
    let told = run(of(vec![
        says("s", 0).start(),
        says("fast", 1).after("s"),
        says("slow", 50).after("s"),
        // When it runs, `fast` has long completed.
        counts("count").after("slow"),
    ]))
    .await;
    assert_eq!(result(&told), json!({"prompt": null, "text": "sfastslow", "count": "sslow".len()}));
}

#[tokio::test(start_paused = true)]
async fn two_branches_that_replace_one_field_fail_the_run_by_name() {
    let message = "in workflow `play`, nodes `a` and `b` ran at the same time and both changed field `count` of the state; \
                   give the field a reducer that joins changes (append, merge, maximum, minimum, sum), or let one node follow the other";
    // Where they meet, or at the end if they do not.
    for joined in [true, false] {
        let mut nodes = vec![says("s", 0).start(), counts("b").after("s"), counts("a").after("s")];
        nodes.swap(1, 2);
        if joined {
            nodes.push(says("join", 0).after_all(&["a", "b"]));
        }
        let told = run(of(nodes)).await;
        let error = told.end().error.unwrap();
        assert_eq!((error.code.as_str(), error.message.as_str()), ("state_conflict", message));
    }
    // One after the other, they may.
    let told = run(of(vec![
        says("s", 0).start(),
        counts("a").after("s"),
        says("b", 0).after("s"),
        counts("c").after_all(&["a", "b"]),
    ]))
    .await;
    assert_eq!(result(&told)["count"], 2);
}

#[tokio::test(start_paused = true)]
async fn the_first_goes_on_and_the_others_are_stopped_without_a_trace() {
    let began = Instant::now();
    let told = run(of(vec![
        says("s", 0).start(),
        says("slow", 60_000).after("s"),
        says("fast", 10).after("s"),
        says("join", 100).after_any(&["slow", "fast"]),
    ]))
    .await;
    assert!(began.elapsed() < Duration::from_secs(1), "nobody waits for the slow one");
    assert_eq!(result(&told)["text"], "sfastjoin");
    assert_eq!(
        told.data("node_cancelled"),
        [json!({"visit": 1, "attempt": 1, "reason": "another branch was first"})]
    );
    let at = |what: &str| course(&told).iter().position(|other| other == what);
    assert!(at("complete fast") < at("cancelled slow") && at("cancelled slow") < at("complete join"));
}

#[tokio::test(start_paused = true)]
async fn a_branch_that_loses_in_the_moment_in_which_it_begins_does_not_run() {
    let failing = does(NodeBuilder::new("a"), |_| async { Err::<(), _>(NodeError::public("it ran")) });
    let told = run(of(vec![
        says("s", 0).start(),
        failing.after("s"),
        // `s` itself is the first of them.
        says("join", 5).after_any(&["s", "a"]),
    ]))
    .await;
    assert_eq!(course(&told), ["start s", "complete s", "start join", "complete join"]);
    assert_eq!(result(&told)["text"], "sjoin");
}

#[tokio::test(start_paused = true)]
async fn branches_that_lose_a_race_do_not_clash_with_the_winner() {
    let told = run(of(vec![
        says("s", 0).start(),
        counts("a").after("s"),
        does(NodeBuilder::new("b"), |_| async {
            sleep(Duration::from_millis(1)).await;
            Ok(BoardUpdate::count(99))
        })
        .after("s"),
        says("join", 5).after_any(&["a", "b"]),
    ]))
    .await;
    assert_eq!(result(&told)["count"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_one_branch_ends_the_others_and_every_entry_is_complete() {
    let failing = does(NodeBuilder::new("failing"), |_| async {
        sleep(Duration::from_millis(20)).await;
        Err::<(), _>(NodeError::public("no luck"))
    });
    let waiting =
        does(NodeBuilder::new("waiting").stream_progress(ProgressOptions::default()), |ctx| async move {
            ctx.progress(1, 4).await;
            ctx.emit("mine", "kept").await?;
            std::future::pending::<()>().await;
            Ok(())
        });
    let told = run(of(vec![says("s", 0).start(), failing.after("s"), waiting.after("s")])).await;
    assert_eq!(told.ended(), "failed: node_failed");
    let error = told.end().error.unwrap();
    assert_eq!((error.message.as_str(), error.node_id.as_deref()), ("no luck", Some("failing")));
    told.check_attempts();
    assert_eq!(told.data("mine"), ["kept"]);
    assert_eq!(told.progress().last().unwrap().outcome.as_deref(), Some("failed"));
    assert_eq!(
        told.data("node_cancelled"),
        [json!({"visit": 1, "attempt": 1, "reason": "the execution has failed"})]
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancel_and_a_timeout_reach_all_branches() {
    let branches =
        || of(vec![says("s", 0).start(), says("a", 60_000).after("s"), says("b", 60_000).after("s")]);
    let engine = engine(branches());
    let run = start(&engine).await;
    sleep(Duration::from_millis(50)).await;
    engine.cancel(run.execution_id(), Some("enough".into())).await.unwrap();
    let cancelled = told(&run).await;
    assert_eq!((cancelled.ended().as_str(), cancelled.data("node_cancelled").len()), ("cancelled", 2));
    cancelled.check_attempts();
    let late = crate::support::run(branches().timeout(Duration::from_secs(1))).await;
    assert_eq!((late.ended().as_str(), late.data("node_cancelled").len()), ("failed: workflow_timeout", 2));
}

#[tokio::test(start_paused = true)]
async fn a_goto_may_name_several_and_a_loop_of_branches_joins_once_a_round() {
    let both = NodeBuilder::new("both").start().routes(&["a", "b"], false);
    let both = both.run(|_, _, _| async { NodeResult::Ok(Goto::<BoardUpdate>::to_all(["a", "b"])) });
    let again = NodeBuilder::new("again").after_all(&["a", "b"]).routes(&["both"], true);
    let again = again.run(|_, state: Arc<Board>, ctx| async move {
        let goto = if ctx.visit() < 3 { Goto::to("both") } else { Goto::end() };
        NodeResult::Ok(goto.with(BoardUpdate::count(state.text.len() as u32)))
    });
    let told = run(of(vec![both, says("a", 7), says("b", 3), again])).await;
    assert_eq!(result(&told), json!({"prompt": null, "text": "ababab", "count": 6}));
    assert_eq!(told.data("node_start").len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_has_the_changes_of_all_that_has_completed() {
    let engine = engine(of(vec![
        says("s", 10).start(),
        says("b", 1000).after("s"),
        says("a", 10).after("s"),
        says("join", 10).after_all(&["a", "b"]),
    ]));
    let run = start(&engine).await;
    let text = || run.snapshot().unwrap().unwrap()["text"].clone();
    sleep(Duration::from_millis(5)).await;
    assert_eq!(text(), "");
    sleep(Duration::from_millis(100)).await;
    assert_eq!(text(), "sa");
    sleep(Duration::from_millis(910)).await;
    assert_eq!(text(), "sba", "in the order of the nodes");
    run.result().await.unwrap();
    assert_eq!(text(), "sbajoin");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_branches_part_and_meet() {
    const BRANCHES: usize = 1_000;
    let names: Vec<_> = (0..BRANCHES).map(|branch| format!("b{branch}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let says = |name: &str, millis: usize| {
        does(NodeBuilder::new(name), move |_| async move {
            sleep(Duration::from_millis(millis as u64)).await;
            Ok(BoardUpdate::text("x"))
        })
    };
    // Half of them come in the order of the nodes, half in the reverse order.
    let branches = names.iter().enumerate().map(|(index, name)| {
        says(name, if index % 2 == 0 { index } else { 2 * BRANCHES - index }).after("s")
    });
    let nodes = [says("s", 0).start()].into_iter().chain(branches).chain([counts("join").after_all(&names)]);
    let began = std::time::Instant::now();
    let told = run(of(nodes.collect()).max_steps(2_000)).await;
    println!("branches={BRANCHES} took={:?}", began.elapsed());
    assert_eq!(
        result(&told),
        json!({"prompt": null, "text": "x".repeat(BRANCHES + 1), "count": BRANCHES + 1})
    );
}
