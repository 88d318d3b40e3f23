//! Wrong definitions and what is said of them; right ones and where they lead.

use std::time::Duration;

use serde_json::json;
use streamnest_core::ExecutionControl as _;
use streamnest_log::LogOptions;
use streamnest_runtime::{
    Engine, EngineOptions, EventOptions, Goto, NodeBuilder, NodeKind, NodeResult, ProgressFormat,
    ProgressOptions, RetryOptions, TokenFilter, TokenOptions, WorkflowBuilder,
};

use crate::support::{
    BoardUpdate, Definition, Node, Play, does, engine, memory, one, refusal, registry, run,
};

fn node(name: &str) -> Node {
    does(NodeBuilder::new(name), |_| async { Ok(()) })
}

/// A node that goes where its name says it may: to the first of its routes.
fn chooser(name: &str, targets: &'static [&'static str], may_end: bool) -> Node {
    let go = move |visit: u32| match targets.first() {
        Some(target) if visit < 3 || !may_end => Goto::to(*target),
        _ => Goto::end(),
    };
    NodeBuilder::new(name)
        .routes(targets, may_end)
        .run_condition(move |_, _, ctx| async move { Ok::<Goto<BoardUpdate>, _>(go(ctx.visit())) })
}

fn of(nodes: Vec<Node>) -> Definition {
    nodes.into_iter().fold(WorkflowBuilder::new("play"), WorkflowBuilder::node)
}

#[test]
fn every_wrong_definition_has_its_message() {
    let token = |options: TokenOptions| one(node("a").stream_token(options));
    let event = |options: EventOptions| one(node("a").stream_event(options));
    let progress = |options: ProgressOptions| one(node("a").stream_progress(options));
    let option = TokenOptions::default;
    let cases = [
        (
            WorkflowBuilder::new("my play").node(node("a").start()),
            "workflow name contains ' '; legal are A-Z a-z 0-9 - _",
        ),
        (of(vec![node("a b").start()]), "node name contains ' '; legal are A-Z a-z 0-9 - _"),
        (of(vec![node("").start()]), "node name has 0 characters, outside 1 to the limit of 64"),
        (
            of(vec![node("a").start(), node("a").after("a")]),
            "workflow `play` has two nodes `a`; give one of them another name",
        ),
        (
            of(vec![NodeBuilder::new("a").start()]),
            "node `a` of workflow `play` has no body; give it one by `NodeBuilder::run`",
        ),
        (of(vec![]), "workflow `play` has no start; mark the first node by `start`, nodes: "),
        (of(vec![node("a")]), "workflow `play` has no start; mark the first node by `start`, nodes: a"),
        (
            of(vec![node("a").start(), node("b").start()]),
            "workflow `play` starts at `a` and at `b`; leave `start` on one of them",
        ),
        (
            of(vec![node("draft").start(), node("send").after("draf")]),
            "`send` of workflow `play` names `draf`, which is no node, did you mean `draft`?; nodes: draft, send",
        ),
        (
            of(vec![chooser("draft", &["publish"], true).start()]),
            "`draft` of workflow `play` names `publish`, which is no node; nodes: draft",
        ),
        (
            of(vec![node("a").start(), node("b").after("a"), node("c").after("a"), node("d").after("b")])
                .node(chooser("e", &["d"], true).after("c")),
            "node `d` of workflow `play` is reached from `b` and from `c`, which run at once after `a`, and would run once for \
             each; name the nodes before it together, so that it waits for all of them (`after(\"a\", \"b\")`) or runs with \
             the first (`after(any(\"a\", \"b\"))`)",
        ),
        (
            of(vec![node("a").start(), node("b").after_all(&["a", "a"])]),
            "node `b` of workflow `play` runs after `a` twice; name it once",
        ),
        (
            of(vec![chooser("a", &["b", "b"], true).start(), node("b")]),
            "node `a` of workflow `play` has the route `b` twice; a `Goto` takes it once, keep one",
        ),
        (
            of(vec![node("a").start(), node("b").after("a").kind(NodeKind::Aggregator)]),
            "node `b` of workflow `play` is an aggregator but runs after fewer than two nodes; name those that it brings \
             together, or give it another kind",
        ),
        (
            of(vec![node("a/b").start()]),
            "node `a/b` of workflow `play` has a `/` in its name; it stands between a node and the nodes of the workflow that \
             it runs, write `-` or `_`",
        ),
        (
            of(vec![node("a").start().kind(NodeKind::Subgraph)]),
            "node `a` of workflow `play` is of kind `subgraph` and names none to run; a node of kind `subgraph` names the \
             workflow that it runs, and no other does",
        ),
        (
            of(vec![node("a").start().retry(RetryOptions::default().with_attempts(0))]),
            "`attempts` of node `a` of workflow `play` is 0; it must be at least 1",
        ),
        (
            of(vec![node("a").start().retry(RetryOptions::default().with_jitter(1.5))]),
            "`jitter` of node `a` of workflow `play` is 1.5; it must be from 0 to 1",
        ),
        (
            of(vec![node("a").start().retry(RetryOptions::default().with_max_backoff(Duration::ZERO))]),
            "`max_backoff` of node `a` of workflow `play` is 0ns; it must be at least `backoff`",
        ),
        (
            of(vec![node("a").start().concurrency(0)]),
            "`concurrency` of node `a` of workflow `play` is 0; it must be at least 1",
        ),
        (
            of(vec![chooser("a", &["b"], false).start(), chooser("b", &["a"], false)]),
            "nodes of workflow `play` follow each other in a circle without a way out: a → b → a; let one of them choose by \
             `routes` that also lead to the end or to a node outside",
        ),
        (
            of(vec![chooser("a", &["b"], true).start(), node("b"), node("c").after("a")]),
            "node `c` of workflow `play` runs after `a`, whose routes do not name it; add it to them",
        ),
        (
            of(vec![node("a").start(), node("b")]),
            "node `b` of workflow `play` is never reached; give it an `after`, or name it in `routes`",
        ),
        (
            of(vec![node("a").start().routes(&["a"], true)]),
            "node `a` of workflow `play` has routes but returns no `Goto`; return one, or remove `routes`",
        ),
        (
            of(vec![NodeBuilder::new("a").start().run(|_, _, _| async { Ok(Goto::<BoardUpdate>::end()) })]),
            "node `a` of workflow `play` returns a `Goto` but has no routes; declare where it may lead",
        ),
        (
            of(vec![node("a").start().kind(NodeKind::Condition)]),
            "node `a` of workflow `play` is a condition but returns no `Goto`; return one, or give it another kind",
        ),
        (
            of(vec![chooser("a", &[], false).start()]),
            "routes of node `a` of workflow `play` lead nowhere; name a node, or let them end the execution",
        ),
        (
            of(vec![node("a").start(), node("b").after("a"), node("c").after("b"), node("d").after("c")])
                .node(node("e").after("d")),
            "",
        ),
        (
            of(vec![node("a").start().after("b"), node("b").after("a")]),
            "nodes of workflow `play` follow each other in a circle without a way out: a → b → a; let one of them choose by \
             `routes` that also lead to the end or to a node outside",
        ),
        (
            of(vec![chooser("s", &["a"], true).start(), node("a").after("b"), node("b").after("a")]),
            "nodes of workflow `play` follow each other in a circle without a way out: a → b → a; let one of them choose by \
             `routes` that also lead to the end or to a node outside",
        ),
        (
            token(option().with_filter(TokenFilter::default().with_pattern("("))),
            "`pattern` of node `a` of workflow `play` is no regular expression: regex parse error:\n    (\n    ^\nerror: \
             unclosed group",
        ),
        (
            token(option().with_filter(TokenFilter::default().with_min_length(5).with_max_length(2))),
            "`min_length` of node `a` of workflow `play` is 5; it must be at most `max_length`",
        ),
        (
            token(option().with_buffer_size(0)),
            "`buffer_size` of node `a` of workflow `play` is 0; it must be at least 1",
        ),
        (
            token(option().with_batch_size(0)),
            "`batch_size` of node `a` of workflow `play` is 0; it must be at least 1",
        ),
        (
            event(EventOptions::default().with_buffer_size(0)),
            "`buffer_size` of node `a` of workflow `play` is 0; it must be at least 1",
        ),
        (
            event(EventOptions::default().with_batch_size(0)),
            "`batch_size` of node `a` of workflow `play` is 0; it must be at least 1",
        ),
        (
            progress(ProgressOptions::default().with_milestones(vec![50.0, 101.0])),
            "`milestones` of node `a` of workflow `play` is 101; it must be percentages from 0 to 100",
        ),
        (
            progress(ProgressOptions::default().with_milestones(vec![f64::NAN])),
            "`milestones` of node `a` of workflow `play` is NaN; it must be percentages from 0 to 100",
        ),
        (
            progress(
                ProgressOptions::default().with_format(ProgressFormat::default().with_precision(70_000)),
            ),
            "`precision` of node `a` of workflow `play` is 70000; it must be at most 17 decimals",
        ),
        (
            one(node("a").timeout(Duration::ZERO)),
            "`timeout` of node `a` of workflow `play` is 0s; it must be longer",
        ),
        (one(node("a")).timeout(Duration::ZERO), "`timeout` of workflow `play` is 0s; it must be longer"),
        (one(node("a")).max_steps(0), "`max_steps` of workflow `play` is 0; it must be at least 1"),
    ];
    for (definition, message) in cases {
        if message.is_empty() {
            // A long chain is no circle.
            engine(definition);
        } else {
            assert_eq!(refusal(definition), message);
        }
    }
}

#[test]
fn bounds_that_leave_no_room_and_names_that_are_taken_are_refused() {
    let build = |logs: LogOptions, options: EngineOptions| {
        let built = Engine::builder(registry(memory(), logs)).options(options).build();
        built.map(drop).map_err(|error| (error.code(), error.to_string(), error.is_retryable()))
    };
    let fine = (LogOptions::default(), EngineOptions::default());
    assert_eq!(build(fine.0.clone(), fine.1.clone()), Ok(()));
    assert_eq!(
        build(fine.0, fine.1.clone().with_default_buffer_size(0)),
        Err((
            "invalid_option",
            "`EngineOptions::default_buffer_size` is 0; it must be at least 1".into(),
            false
        ))
    );
    assert_eq!(
        build(LogOptions::default().with_max_event_bytes(100), fine.1),
        Err((
            "invalid_option",
            "`LogOptions::max_event_bytes` is 100; it must be at least 1024".into(),
            false
        ))
    );
}

#[tokio::test(start_paused = true)]
async fn nodes_run_one_after_the_other_each_once_per_visit() {
    let told = run(of(vec![node("c").after("b"), node("a").start(), node("b").after("a")])).await;
    let visited: Vec<_> = told
        .events()
        .filter(|event| event.event_type().as_str() == "node_start")
        .map(|event| event.node().unwrap().to_string())
        .collect();
    assert_eq!(visited, ["a", "b", "c"]);
    assert_eq!(
        told.words(),
        [
            "running",
            "workflow_start",
            "node_start",
            "node_complete",
            "node_start",
            "node_complete",
            "node_start",
            "node_complete",
            "workflow_end",
            "completed"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_loop_runs_until_it_is_left_and_at_most_max_steps() {
    let looping = |max_steps: u32, may_end: bool| {
        of(vec![node("work").start(), chooser("check", &["work"], may_end).after("work")])
            .max_steps(max_steps)
    };
    let told = run(looping(100, true)).await;
    let visits: Vec<_> = told.data("node_start").iter().map(|data| data["visit"].as_u64().unwrap()).collect();
    assert_eq!((visits, told.ended().as_str()), (vec![1, 1, 2, 2, 3, 3], "completed"));
    let told = run(looping(6, true)).await;
    assert_eq!(told.ended(), "completed");
    let told = run(looping(5, true)).await;
    assert_eq!(told.ended(), "failed: max_steps");
    assert_eq!(
        told.end().error.unwrap().message,
        "more than 5 steps, the limit of `max_steps`; raise it if the loop is meant to run longer"
    );
    assert_eq!(told.data("node_start").len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_goto_leads_where_it_is_declared_and_nowhere_else() {
    let goes = |go: fn() -> Goto<BoardUpdate>, may_end: bool| {
        let first = NodeBuilder::new("first").start().routes(&["second"], may_end);
        let first = first.run(move |_, _, _| async move { NodeResult::Ok(go()) });
        of(vec![first, does(NodeBuilder::new("second"), |_| async { Ok(BoardUpdate::count(2)) })])
    };
    let told = run(goes(|| Goto::to("second").with(BoardUpdate::text("by the way")), false)).await;
    assert_eq!(told.end().result.unwrap(), json!({"prompt": null, "text": "by the way", "count": 2}));
    let told = run(goes(Goto::end, true)).await;
    assert_eq!((told.ended().as_str(), told.data("node_start").len()), ("completed", 1));
    for (go, may_end, message) in [
        (
            (|| Goto::to("third")) as fn() -> Goto<BoardUpdate>,
            true,
            "node `first` went to `third`, which is not among its routes: second, end",
        ),
        (Goto::end, false, "node `first` went to `end`, which is not among its routes: second"),
        (|| Goto::to("first"), false, "node `first` went to `first`, which is not among its routes: second"),
    ] {
        let told = run(goes(go, may_end)).await;
        assert_eq!(told.ended(), "failed: route_not_declared");
        assert_eq!(told.end().error.unwrap().message, message);
    }
}

#[test]
fn the_graph_is_described_for_readers() {
    let described = |name: &str| node(name).description("Does it.").tags(&["x", "y"]);
    let engine = engine(
        of(vec![
            described("a").start().stream_token(TokenOptions::default()),
            chooser("b", &["a", "c"], true).after("a").kind(NodeKind::Condition),
            node("c").stream_event(EventOptions::default().with_enabled(false)),
        ])
        .description("A play."),
    );
    let summary = engine.workflow("play").unwrap();
    assert_eq!(summary.description.as_deref(), Some("A play."));
    assert_eq!(
        summary.graph,
        json!({
            "start": "a",
            "nodes": [
                {"name": "a", "kind": "standard", "streams": ["token", "event"], "description": "Does it.", "tags": ["x", "y"]},
                {"name": "b", "kind": "condition", "streams": ["event"]},
                {"name": "c", "kind": "standard", "streams": []},
            ],
            "edges": [
                {"from": "a", "to": "b", "conditional": false},
                {"from": "b", "to": "a", "conditional": true},
                {"from": "b", "to": "c", "conditional": true},
                {"from": "b", "conditional": true},
                {"from": "c", "conditional": false},
            ],
        })
    );
    assert_eq!(summary.input_schema["properties"]["prompt"]["type"], json!(["string", "null"]));
    assert_eq!(
        engine.workflow("plai").unwrap_err().to_string(),
        "there is no workflow `plai`; workflows: play"
    );
    let _: fn() -> WorkflowBuilder<Play> = <Play as streamnest_runtime::Workflow>::definition;
}
