//! Wrong workflows and what is said of them: each message names the workflow, the node and the way out.
//!
//! What they say is a snapshot. After a change, `cargo insta review`, or `INSTA_UPDATE=always` and a look at what it wrote.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use streamnest_runtime::{
    EventOptions, Goto, NodeBuilder, NodeKind, NodeResult, ProgressFormat, ProgressOptions, RetryOptions,
    TokenFilter, TokenOptions, Workflow, WorkflowBuilder,
};

use crate::support::{Board, BoardUpdate, Definition, Node, does, engine, one, refusal, run};

fn node(name: &str) -> Node {
    does(NodeBuilder::new(name), |_| async { Ok(()) })
}

/// A node that goes to the end, whatever its routes.
fn chooser(name: &str, targets: &'static [&'static str], may_end: bool) -> Node {
    let node = NodeBuilder::new(name).routes(targets, may_end);
    node.run_condition(|_, _, _| async { Ok::<Goto<BoardUpdate>, _>(Goto::end()) })
}

fn of(nodes: impl IntoIterator<Item = Node>) -> Definition {
    nodes.into_iter().fold(WorkflowBuilder::new("play"), WorkflowBuilder::node)
}

/// A workflow that can be built only by itself.
struct Lonely;

impl Workflow for Lonely {
    type State = Board;

    fn definition() -> WorkflowBuilder<Self> {
        WorkflowBuilder::new("lonely").node(NodeBuilder::new("nobody"))
    }
}

/// A workflow that runs itself.
struct Snake;

impl Workflow for Snake {
    type State = Board;

    fn definition() -> WorkflowBuilder<Self> {
        let head = NodeBuilder::new("head").start().kind(NodeKind::Subgraph).subgraph::<Self>();
        WorkflowBuilder::new("snake").node(head.run(|_, _, _| async { Ok(()) }))
    }
}

fn wrong() -> Vec<(&'static str, Definition)> {
    let token = |options: TokenOptions| one(node("a").stream_token(options));
    let event = |options: EventOptions| one(node("a").stream_event(options));
    let progress = |options: ProgressOptions| one(node("a").stream_progress(options));
    let retry = |options: RetryOptions| one(node("a").retry(options));
    let tokens = TokenOptions::default;
    let a = || node("a").start();
    vec![
        ("a workflow's name has a blank", WorkflowBuilder::new("my play").node(a())),
        ("a workflow is called as what others run is listed", WorkflowBuilder::new("external").node(a())),
        ("a node's name has a blank", of([node("a b").start()])),
        ("a node's name is empty", of([node("").start()])),
        ("a node's name has a slash", of([node("a/b").start()])),
        ("two nodes have one name", of([a(), node("a").after("a")])),
        ("a node has no body", of([NodeBuilder::new("a").start()])),
        ("there are no nodes", of([])),
        ("no node starts", of([node("a"), node("b").after("a")])),
        ("two nodes start", of([a(), node("b").start()])),
        ("after names a node that is near", of([node("draft").start(), node("send").after("draf")])),
        ("a join names no node", of([a(), node("b").after("a"), node("join").after_all(&["a", "bee"])])),
        ("a route names no node", of([chooser("draft", &["publish"], true).start()])),
        ("after names a node twice", of([a(), node("b").after_all(&["a", "a"])])),
        ("a route is named twice", of([chooser("a", &["b", "b"], true).start(), node("b")])),
        (
            "after a node that goes elsewhere",
            of([chooser("a", &["b"], true).start(), node("b"), node("c").after("a")]),
        ),
        ("a node is never reached", of([a(), node("b"), node("c").after("b")])),
        ("routes without a goto", of([a().routes(&["a"], true)])),
        (
            "a goto without routes",
            of([NodeBuilder::new("a").start().run(|_, _, _| async { Ok(Goto::<BoardUpdate>::end()) })]),
        ),
        ("a condition without a goto", of([a().kind(NodeKind::Condition)])),
        ("routes to nowhere", of([chooser("a", &[], false).start()])),
        ("a circle without a way out", of([node("a").start().after("b"), node("b").after("a")])),
        (
            "a circle beside the start",
            of([chooser("s", &["a"], true).start(), node("a").after("b"), node("b").after("a")]),
        ),
        (
            "a circle of choices without an end",
            of([chooser("a", &["b"], false).start(), chooser("b", &["a"], false)]),
        ),
        (
            "a circle beside a branch that ends",
            of([node("a").start().after("b"), node("b").after("a"), node("c").after("a")]),
        ),
        (
            "branches meet without a join",
            of([
                a(),
                node("b").after("a"),
                node("c").after("a"),
                node("d").after("b"),
                chooser("e", &["d"], true).after("c"),
            ]),
        ),
        (
            "branches lead back to where they part",
            of([a(), chooser("b", &["a"], true).after("a"), chooser("c", &["a"], true).after("a")]),
        ),
        ("an aggregator of one", of([a(), node("b").after("a").kind(NodeKind::Aggregator)])),
        (
            "items choose",
            of([NodeBuilder::new("a").start().routes(&["a"], true).run_each(
                |_: &Board| vec![1],
                |_, _, _: u8, _| async { NodeResult::Ok(Goto::<BoardUpdate>::end()) },
            )]),
        ),
        ("a subgraph of no workflow", of([a().kind(NodeKind::Subgraph)])),
        ("a workflow on another kind of node", of([a().subgraph::<Lonely>()])),
        ("a subgraph that is wrong itself", of([a().kind(NodeKind::Subgraph).subgraph::<Lonely>()])),
        ("a subgraph within itself", of([a().kind(NodeKind::Subgraph).subgraph::<Snake>()])),
        ("no attempt", retry(RetryOptions::default().with_attempts(0))),
        ("more jitter than there is", retry(RetryOptions::default().with_jitter(1.5))),
        (
            "a longest wait shorter than the first",
            retry(RetryOptions::default().with_max_backoff(Duration::ZERO)),
        ),
        ("no item at once", one(node("a").concurrency(0))),
        ("no time for a node", one(node("a").timeout(Duration::ZERO))),
        ("no time for a workflow", one(node("a")).timeout(Duration::ZERO)),
        ("no step", one(node("a")).max_steps(0)),
        ("a pattern that is none", token(tokens().with_filter(TokenFilter::default().with_pattern("(")))),
        (
            "a least length above the most",
            token(tokens().with_filter(TokenFilter::default().with_min_length(5).with_max_length(2))),
        ),
        ("no token in a buffer", token(tokens().with_buffer_size(0))),
        ("no token in a frame", token(tokens().with_batch_size(0))),
        ("no event in a buffer", event(EventOptions::default().with_buffer_size(0))),
        ("no event in an append", event(EventOptions::default().with_batch_size(0))),
        (
            "a milestone beyond the end",
            progress(ProgressOptions::default().with_milestones(vec![50.0, 101.0])),
        ),
        (
            "a milestone that is no number",
            progress(ProgressOptions::default().with_milestones(vec![f64::NAN])),
        ),
        (
            "more decimals than a number has",
            progress(
                ProgressOptions::default().with_format(ProgressFormat::default().with_precision(70_000)),
            ),
        ),
    ]
}

#[test]
fn each_wrong_workflow_is_told_where_and_how_to_mend_it() {
    let mut told = String::new();
    for (what, definition) in wrong() {
        let message = refusal(definition);
        assert!(message.contains("workflow `"), "{what} names no workflow: {message}");
        writeln!(told, "{what}\n    {}", message.replace('\n', "\n    ")).unwrap();
    }
    insta::assert_snapshot!(told);
}

#[tokio::test(start_paused = true)]
async fn what_only_shows_when_it_runs_is_told_by_name_too() {
    let goes = |go: fn() -> Goto<BoardUpdate>, may_end: bool| {
        let first = NodeBuilder::new("first").start().routes(&["second"], may_end);
        of([first.run(move |_, _, _| async move { NodeResult::Ok(go()) }), node("second")])
    };
    let counts = |name: &str| does(NodeBuilder::new(name), |_| async { Ok(BoardUpdate::count(1)) });
    let items = NodeBuilder::new("items").start().run_each(
        |_: &Board| vec![1, 2],
        |_, _, item: u32, _| async move { NodeResult::Ok(BoardUpdate::count(item)) },
    );
    let other = does(NodeBuilder::new("other").start(), |ctx| async move {
        ctx.run_subgraph(&Arc::new(Lonely), Board::default()).await.map(drop)
    });
    let mut told = String::new();
    for (what, definition) in [
        ("a goto to what is no route", goes(|| Goto::to("third"), true)),
        ("a goto to the end that is no route", goes(Goto::end, false)),
        ("a goto to nothing", goes(|| Goto::to_all([""; 0]), true)),
        ("too many steps", of([node("a").start(), chooser_of("b", "a").after("a")]).max_steps(3)),
        (
            "two branches change one field",
            of([node("s").start(), counts("left").after("s"), counts("right").after("s")]),
        ),
        ("two items change one field", of([items])),
        ("a workflow that was not declared", of([other])),
    ] {
        let end = run(definition).await.end();
        let error = end.error.unwrap_or_else(|| panic!("{what} fails"));
        writeln!(told, "{what}\n    {}: {}", error.code, error.message).unwrap();
    }
    insta::assert_snapshot!(told);
}

/// A node that always goes to `target`, though it might end.
fn chooser_of(name: &str, target: &'static str) -> Node {
    let node = NodeBuilder::new(name).routes(&[target], true);
    node.run_condition(move |_, _, _| async move { Ok::<Goto<BoardUpdate>, _>(Goto::to(target)) })
}

#[test]
fn a_right_workflow_is_not_refused() {
    engine(of([
        node("a").start(),
        node("b").after("a"),
        node("c").after("b"),
        node("d").after("b"),
        node("e").after_all(&["c", "d"]),
        chooser("f", &["a"], true).after("e"),
    ]));
}
