//! Tables: a graph, what happens in it, and what is done.

use std::fmt::Write as _;

use super::*;
use crate::{
    NodeBuilder, NodeContext, NodeResult, State, StateUpdate, Workflow, WorkflowBuilder,
    state::{InputError, InputReader},
    workflow::Goto,
};

#[derive(Clone, serde::Serialize)]
struct Empty {}

#[derive(Clone, Default, serde::Serialize)]
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

struct Any;

impl Workflow for Any {
    type State = Empty;
    fn definition() -> WorkflowBuilder<Self> {
        unreachable!("each test has a definition of its own")
    }
}

/// A graph of `shape`: each line is `name`, `name < a b` (after all), `name | a b` (after the first), and, of a node that
/// chooses, `> a b end` behind that. The first node is the start.
fn graph(max_steps: u32, shape: &[&str]) -> Arc<Graph> {
    async fn nothing(_: NodeContext) -> NodeResult<()> {
        Ok(())
    }
    async fn choose(_: NodeContext) -> NodeResult<Goto<Nothing>> {
        Ok(Goto::end())
    }
    let mut definition = WorkflowBuilder::<Any>::new("any").max_steps(max_steps);
    for (index, line) in shape.iter().enumerate() {
        let (line, routes) = match line.split_once(" > ") {
            Some((line, routes)) => (line, Some(routes.split(' ').collect::<Vec<_>>())),
            None => (*line, None),
        };
        let mut words = line.split(' ');
        let mut node = NodeBuilder::new(words.next().unwrap());
        let how = words.next();
        let before: Vec<_> = words.collect();
        node = match how {
            Some("<") => node.after_all(&before),
            Some("|") => node.after_any(&before),
            _ => node,
        };
        if index == 0 {
            node = node.start();
        }
        definition = definition.node(match routes {
            None => node.run(|_, _, ctx| nothing(ctx)),
            Some(routes) => {
                let targets: Vec<_> = routes.iter().copied().filter(|route| *route != "end").collect();
                node.routes(&targets, targets.len() < routes.len()).run_condition(|_, _, ctx| choose(ctx))
            }
        });
    }
    Arc::new(Graph::new(&definition, definition.nodes.iter().map(|_| None).collect()).unwrap())
}

/// Plays `happens` in a graph: each is `node` or `node → a b` or `node → end`, the oldest visit of the node under way then
/// completes. Returns, for each and for the begin, what is done: `+a2(b,c)` visits `a` for the second time with what came
/// from `b` and `c`, `-a` stops a visit, `.` ends a branch, `done`, or an error.
fn play(graph: &Arc<Graph>, happens: &[&str]) -> Vec<String> {
    let mut scheduler = Scheduler::new(graph.clone());
    let mut under_way: Vec<(VisitId, String)> = Vec::new();
    let mut told = Vec::new();
    let mut commands = Vec::new();
    scheduler.begin("start".to_owned(), &mut commands);
    let mut happens = happens.iter();
    loop {
        let mut words = Vec::new();
        for command in commands.drain(..) {
            words.push(match command {
                Command::Run { visit, node, number, tokens } => {
                    let name = graph.name(node).to_owned();
                    let mut word = format!("+{name}{number}");
                    if tokens.len() > 1 {
                        let _ = write!(word, "({})", tokens.join(","));
                    }
                    under_way.push((visit, name));
                    word
                }
                Command::Stop { visit } => {
                    let at = under_way.iter().position(|(id, _)| *id == visit).unwrap();
                    format!("-{}", under_way.remove(at).1)
                }
                Command::End { .. } => ".".into(),
                Command::Complete => "done".into(),
                Command::Fail(error) => error.to_string(),
            });
        }
        told.push(words.join(" "));
        let Some(what) = happens.next() else { return told };
        let (name, target) = match what.split_once(" → ") {
            Some((name, "end")) => (name, Some(Target::End)),
            Some((name, nodes)) => (name, Some(Target::Nodes(nodes.split(' ').map(str::to_owned).collect()))),
            None => (*what, None),
        };
        let at = under_way.iter().position(|(_, other)| other == name);
        let (visit, name) = under_way.remove(at.unwrap_or_else(|| panic!("`{name}` is not under way")));
        scheduler.completed(visit, name, target.as_ref(), &mut commands);
    }
}

#[track_caller]
fn check(shape: &[&str], steps: &[(&str, &str)]) {
    let (happens, expected): (Vec<_>, Vec<_>) = steps.iter().copied().unzip();
    assert_eq!(play(&graph(50, shape), &happens[1..]), expected, "{shape:?}");
}

#[test]
fn one_branch_goes_from_node_to_node() {
    check(&["a", "b < a", "c < b"], &[("", "+a1"), ("a", "+b1"), ("b", "+c1"), ("c", ". done")]);
}

#[test]
fn a_choice_leads_where_it_says_and_nowhere_else() {
    const SHAPE: [&str; 3] = ["draft", "check < draft > draft send end", "send"];
    for (choice, done) in [
        ("check → draft", "+draft2"),
        ("check → send", "+send1"),
        ("check → end", ". done"),
        ("check → send draft", "+send1 +draft2"),
        ("check → send send", "+send1"),
        (
            "check → check",
            "node `check` of workflow `any` went to `check`, which is not among its routes: draft, send, end; go to one of them, or add it to `routes`",
        ),
        (
            "check → nowhere",
            "node `check` of workflow `any` went to `nowhere`, which is not among its routes: draft, send, end; go to one of them, or add it to `routes`",
        ),
        (
            "check",
            "node `check` of workflow `any` has routes but did not say where to go; name one of: draft, send, end",
        ),
    ] {
        check(&SHAPE, &[("", "+draft1"), ("draft", "+check1"), (choice, done)]);
    }
    check(
        &SHAPE,
        &[
            ("", "+draft1"),
            (
                "draft → end",
                "node `draft` of workflow `any` went to `end`, which is not among its routes: ; go to one of them, or add it to `routes`",
            ),
        ],
    );
}

#[test]
fn a_loop_counts_its_visits_and_stops_at_the_limit() {
    let graph = graph(5, &["draft", "check < draft > draft end"]);
    let again = "check → draft";
    let told = play(&graph, &["draft", again, "draft", again, "draft"]);
    let limit = "node `check` would be one step more than the 5 that `max_steps` of workflow `any` allows; raise it if the loop is \
                 meant to run longer";
    assert_eq!(told, ["+draft1", "+check1", "+draft2", "+check2", "+draft3", limit]);
}

#[test]
fn a_join_of_all_runs_once_when_the_last_has_come() {
    const SHAPE: [&str; 4] = ["s", "a < s", "b < s", "j < b a"];
    check(&SHAPE, &[("", "+s1"), ("s", "+a1 +b1"), ("b", ""), ("a", "+j1(a,b)"), ("j", ". done")]);
    check(&SHAPE, &[("", "+s1"), ("s", "+a1 +b1"), ("a", ""), ("b", "+j1(a,b)"), ("j", ". done")]);
}

#[test]
fn branches_without_a_join_end_each_for_itself() {
    check(
        &["s", "a < s", "b < s", "c < b"],
        &[("", "+s1"), ("s", "+a1 +b1"), ("b", "+c1"), ("c", "."), ("a", ". done")],
    );
}

#[test]
fn a_join_does_not_wait_for_what_cannot_come() {
    // `a` may go elsewhere.
    const SHAPE: [&str; 5] = ["s", "a < s > j other", "b < s", "j < a b", "other"];
    check(
        &SHAPE,
        &[
            ("", "+s1"),
            ("s", "+a1 +b1"),
            ("b", ""),
            ("a → other", "+other1 +j1"),
            ("j", "."),
            ("other", ". done"),
        ],
    );
    check(
        &SHAPE,
        &[
            ("", "+s1"),
            ("s", "+a1 +b1"),
            ("a → other", "+other1"),
            ("b", "+j1"),
            ("other", "."),
            ("j", ". done"),
        ],
    );
    // An exclusive choice is joined as it is.
    const CHOICE: [&str; 4] = ["s > a b", "a", "b", "j < a b"];
    check(&CHOICE, &[("", "+s1"), ("s → a", "+a1"), ("a", "+j1"), ("j", ". done")]);
    check(&CHOICE, &[("", "+s1"), ("s → b a", "+b1 +a1"), ("a", ""), ("b", "+j1(a,b)"), ("j", ". done")]);
}

#[test]
fn a_join_waits_for_a_loop_within_a_branch() {
    check(
        &["s", "a < s", "again < a > a j", "b < s", "j < again b"],
        &[
            ("", "+s1"),
            ("s", "+a1 +b1"),
            ("b", ""),
            ("a", "+again1"),
            ("again → a", "+a2"),
            ("a", "+again2"),
            ("again → j", "+j1(again,b)"),
            ("j", ". done"),
        ],
    );
}

#[test]
fn a_join_in_a_loop_runs_once_a_round() {
    check(
        &["s", "a < s", "b < s", "j < a b > s end"],
        &[
            ("", "+s1"),
            ("s", "+a1 +b1"),
            ("a", ""),
            ("b", "+j1(a,b)"),
            ("j → s", "+s2"),
            ("s", "+a2 +b2"),
            ("b", ""),
            ("a", "+j2(a,b)"),
            ("j → end", ". done"),
        ],
    );
}

#[test]
fn a_route_into_a_join_is_one_of_its_inputs() {
    // `again` leads back into the join, past the branches before it.
    check(
        &["s", "a < s", "b < s", "j < a b", "again < j > j end"],
        &[
            ("", "+s1"),
            ("s", "+a1 +b1"),
            ("a", ""),
            ("b", "+j1(a,b)"),
            ("j", "+again1"),
            ("again → j", "+j2"),
            ("j", "+again2"),
            ("again → end", ". done"),
        ],
    );
}

#[test]
fn a_start_that_joins_begins_at_once() {
    check(
        &["s < a b > a b end", "a", "b"],
        &[("", "+s1"), ("s → a b", "+a1 +b1"), ("a", ""), ("b", "+s2(a,b)"), ("s → end", ". done")],
    );
}

#[test]
fn two_joins_that_wait_for_each_other_go_on_with_the_first() {
    // `j` waits for `k2`, which only comes after `k`, and `k` waits for `j2`, which only comes after `j`.
    check(
        &["s", "a < s", "b < s", "j < a k2", "j2 < j > k end", "k < b j2", "k2 < k > j end"],
        &[
            ("", "+s1"),
            ("s", "+a1 +b1"),
            ("a", ""),
            ("b", "+j1"),
            ("j", "+j21"),
            ("j2 → k", "+k1(b,j2)"),
            ("k", "+k21"),
            ("k2 → end", ". done"),
        ],
    );
}

#[test]
fn a_join_of_the_first_runs_once_and_stops_the_others() {
    const SHAPE: [&str; 5] = ["s", "a < s", "b < s", "b2 < b", "j | a b2"];
    check(&SHAPE, &[("", "+s1"), ("s", "+a1 +b1"), ("a", "-b +j1"), ("j", ". done")]);
    check(&SHAPE, &[("", "+s1"), ("s", "+a1 +b1"), ("b", "+b21"), ("b2", "-a +j1"), ("j", ". done")]);
}

#[test]
fn a_join_of_the_first_runs_once_a_round_in_a_loop() {
    check(
        &["s", "a < s", "b < s", "j | a b > s end"],
        &[
            ("", "+s1"),
            ("s", "+a1 +b1"),
            ("b", "-a +j1"),
            ("j → s", "+s2"),
            ("s", "+a2 +b2"),
            ("a", "-b +j2"),
            ("j → end", ". done"),
        ],
    );
}

#[test]
fn who_has_another_way_out_is_not_stopped_but_comes_too_late() {
    // `b` may end elsewhere; if it comes to the join after all, nothing more happens.
    const SHAPE: [&str; 5] = ["s", "a < s", "b < s > j last end", "j | a b", "last > j end"];
    check(&SHAPE, &[("", "+s1"), ("s", "+a1 +b1"), ("a", "+j1"), ("b → j", ""), ("j", ". done")]);
    check(
        &SHAPE,
        &[
            ("", "+s1"),
            ("s", "+a1 +b1"),
            ("a", "+j1"),
            ("j", "."),
            ("b → last", "+last1"),
            ("last → end", ". done"),
        ],
    );
    check(
        &SHAPE,
        &[
            ("", "+s1"),
            ("s", "+a1 +b1"),
            ("a", "+j1"),
            ("j", "."),
            ("b → last", "+last1"),
            ("last → j", "done"),
        ],
    );
}

#[test]
fn a_branch_that_leads_to_the_first_directly_leaves_the_others_unbegun() {
    check(&["s", "j | s b", "b < s"], &[("", "+s1"), ("s", "+j1"), ("j", ". done")]);
}

#[test]
fn what_waits_for_a_lost_race_is_dropped_with_it() {
    // `k` joins two of three racers; one of them waits there when the third is first.
    check(
        &["s", "a < s", "b < s", "c < s", "k < a b", "j | k c"],
        &[("", "+s1"), ("s", "+a1 +b1 +c1"), ("a", ""), ("c", "-b +j1"), ("j", ". done")],
    );
}

#[test]
fn of_a_visit_that_was_stopped_nothing_comes() {
    let graph = graph(50, &["s", "a < s", "b < s", "j | a b"]);
    let mut scheduler = Scheduler::new(graph);
    let mut commands = Vec::new();
    scheduler.begin((), &mut commands);
    scheduler.completed(1, (), None, &mut commands);
    scheduler.completed(2, (), None, &mut commands);
    commands.clear();
    scheduler.completed(3, (), None, &mut commands);
    assert_eq!(commands, []);
}

/// How often tokens are counted in a run whose visits complete in the order that `next` draws.
fn counts(shape: &[String], next: impl Fn(usize) -> usize) -> usize {
    let graph = graph(u32::MAX, &shape.iter().map(String::as_str).collect::<Vec<_>>());
    let mut scheduler = Scheduler::new(graph);
    let (mut commands, mut under_way) = (Vec::new(), Vec::new());
    scheduler.begin((), &mut commands);
    loop {
        for command in commands.drain(..) {
            match command {
                Command::Run { visit, .. } => under_way.push(visit),
                Command::Complete => return scheduler.waiting.iter().map(|waiting| waiting.changes).sum(),
                _ => {}
            }
        }
        let visit = under_way.remove(next(under_way.len()));
        scheduler.completed(visit, (), None, &mut commands);
    }
}

#[test]
fn each_branch_is_counted_a_bounded_number_of_times_however_many_there_are() {
    let named = |name: &str, n: usize| (0..n).map(|i| format!("{name}{i}")).collect::<Vec<_>>();
    let after = |names: Vec<String>, before: &str| -> Vec<String> {
        names.into_iter().map(|name| format!("{name} < {before}")).collect()
    };
    let join = |name: &str, inputs: &[String]| vec![format!("{name} < {}", inputs.join(" "))];
    let start = || vec!["s".to_owned()];
    let wide = |n| [start(), after(named("a", n), "s"), join("j", &named("a", n))].concat();
    // The last join holds what comes early by `x` while the branches before it meet at the first.
    let twice = |n| {
        let early = [named("b", n), vec!["x".into()]].concat();
        let first =
            [start(), after(vec!["x".into()], "s"), after(named("a", n), "s"), join("j", &named("a", n))];
        [first.concat(), after(named("b", n), "j"), join("k", &early)].concat()
    };
    // A diamond in each branch.
    let nested = |n: usize| {
        let diamond = |i: usize| {
            [format!("a{i} < s"), format!("b{i} < a{i}"), format!("c{i} < a{i}"), format!("d{i} < b{i} c{i}")]
        };
        [start(), (0..n).flat_map(diamond).collect(), join("j", &named("d", n))].concat()
    };
    let first = |_: usize| 0;
    let last = |left: usize| left - 1;
    let middle = |left: usize| left / 2;
    for n in [10, 100, 1_000] {
        for (name, shape) in [("wide", wide(n)), ("twice", twice(n)), ("nested", nested(n))] {
            for counts in [counts(&shape, first), counts(&shape, last), counts(&shape, middle)] {
                // Each leads to two joins at most, for which it is counted when it comes and when it goes, as a visit and as
                // an arrival; and it fills an input of two origins at most.
                assert!(counts <= 12 * shape.len(), "{name} {n}: {counts} counts of {} visits", shape.len());
            }
        }
    }
}
