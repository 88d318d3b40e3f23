//! Definitions and where they lead.

use serde_json::json;
use streamnest_core::ExecutionControl as _;
use streamnest_log::LogOptions;
use streamnest_runtime::{
    Engine, EngineOptions, EventOptions, Goto, NodeBuilder, NodeKind, NodeResult, TokenOptions,
    WorkflowBuilder,
};

use crate::support::{BoardUpdate, Definition, Node, Play, does, engine, memory, registry, run};

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
        "node `check` would be one step more than the 5 that `max_steps` of workflow `play` allows; raise it if the loop is \
         meant to run longer"
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
            "node `first` of workflow `play` went to `third`, which is not among its routes: second, end; go to one of them, or add it to `routes`",
        ),
        (
            Goto::end,
            false,
            "node `first` of workflow `play` went to `end`, which is not among its routes: second; go to one of them, or add it to `routes`",
        ),
        (
            || Goto::to("first"),
            false,
            "node `first` of workflow `play` went to `first`, which is not among its routes: second; go to one of them, or add it to `routes`",
        ),
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
