use streamnest_core::NodeName;

use super::*;
use crate::{
    NodeBuilder, NodeContext, NodeResult, State, StateUpdate, Workflow, WorkflowBuilder,
    state::{InputError, InputReader},
    workflow::Goto,
};

#[derive(Clone, serde::Serialize)]
struct Empty {}

#[derive(Default, serde::Serialize)]
struct Nothing {}

impl State for Empty {
    type Update = Nothing;
    fn from_input(input: serde_json::Value) -> Result<Self, InputError> {
        InputReader::new(input)?.finish(&[]).map(|()| Self {})
    }
    fn apply(&mut self, _: Nothing) {}
    fn input_schema() -> serde_json::Value {
        serde_json::Value::Null
    }
}

impl StateUpdate for Nothing {
    type State = Empty;
}

/// `draft → check → (draft | send | end)`, `send → end`, at most 5 steps.
struct Letter;

impl Workflow for Letter {
    type State = Empty;
    fn definition() -> WorkflowBuilder<Self> {
        async fn nothing(_: NodeContext) -> NodeResult<()> {
            Ok(())
        }
        async fn choose(_: NodeContext) -> NodeResult<Goto<Nothing>> {
            Ok(Goto::end())
        }
        let check = NodeBuilder::new("check").after("draft").routes(&["draft", "send"], true);
        WorkflowBuilder::new("letter")
            .max_steps(5)
            .node(NodeBuilder::new("draft").start().run(|_, _, ctx| nothing(ctx)))
            .node(check.run_condition(|_, _, ctx| choose(ctx)))
            .node(NodeBuilder::new("send").run(|_, _, ctx| nothing(ctx)))
    }
}

fn scheduler() -> Scheduler {
    Scheduler::new(Arc::new(Graph::new(&Letter::definition()).unwrap()))
}

const DRAFT: NodeIndex = 0;
const CHECK: NodeIndex = 1;
const SEND: NodeIndex = 2;

fn run(node: NodeIndex, visit: u32) -> Command {
    Command::Run { node, visit }
}

fn to(name: &str) -> Option<Target> {
    Some(Target::Node(name.into()))
}

fn not_routed(node: &str, target: &str, routes: &str) -> Command {
    let (node, target, routes) = (node.into(), target.into(), routes.into());
    Command::Fail(ScheduleError::NotRouted { node, target, routes })
}

#[test]
fn each_completion_has_its_command() {
    for (completed, target, command) in [
        (DRAFT, None, run(CHECK, 1)),
        (SEND, None, Command::Complete),
        (CHECK, to("draft"), run(DRAFT, 2)),
        (CHECK, to("send"), run(SEND, 1)),
        (CHECK, Some(Target::End), Command::Complete),
        (CHECK, None, Command::Fail(ScheduleError::NoTarget { node: "check".into() })),
        (CHECK, to("check"), not_routed("check", "check", "draft, send, end")),
        (CHECK, to("nowhere"), not_routed("check", "nowhere", "draft, send, end")),
        (DRAFT, to("send"), not_routed("draft", "send", "")),
        (SEND, Some(Target::End), not_routed("send", "end", "")),
    ] {
        let mut scheduler = scheduler();
        assert_eq!(scheduler.begin(), run(DRAFT, 1));
        assert_eq!(scheduler.completed(completed, target.as_ref()), command, "{completed} → {target:?}");
    }
}

#[test]
fn a_loop_counts_its_visits_and_stops_at_the_limit() {
    let mut scheduler = scheduler();
    let mut commands = vec![scheduler.begin()];
    while let Some(Command::Run { node, .. }) = commands.last() {
        let target = (*node == CHECK).then(|| Target::Node("draft".into()));
        commands.push(scheduler.completed(*node, target.as_ref()));
    }
    let limit = Command::Fail(ScheduleError::MaxSteps { limit: 5 });
    assert_eq!(commands, [run(DRAFT, 1), run(CHECK, 1), run(DRAFT, 2), run(CHECK, 2), run(DRAFT, 3), limit]);
}

#[test]
fn the_nodes_have_the_numbers_in_which_they_were_added() {
    let graph = Graph::new(&Letter::definition()).unwrap();
    let names: Vec<&NodeName> = graph.nodes.iter().map(|node| &node.name).collect();
    assert_eq!(names.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["draft", "check", "send"]);
}
