//! The engine against the rules of `docs/execution.md`, which an interpreter that shares nothing with it keeps one by one.
//!
//! A [`Spec`](spec::Spec) says what the nodes do and how long they take. The interpreter says what must come of it: which
//! bodies are called and what state they see, what each visit says, how the run ends, and what stands before what in the
//! log. The engine runs the same on paused time.

mod compare;
mod engine;
mod expected;
mod interpreter;
mod ledger;
mod random;
mod shape;
mod spec;
mod table;

use std::{collections::BTreeMap, sync::Mutex};

use self::{
    compare::differences,
    engine::run,
    expected::Expected,
    interpreter::interpret,
    spec::{Spec, spec},
    table::table,
};
use crate::support::{Random, cases, chaos};

/// Runs a spec on both; the times are drawn by `seed`, or by one after it if two things would happen in one moment.
async fn check(name: &str, spec: &Spec, seed: u64) -> Expected {
    let (seed, expected) = promised(name, spec, seed);
    check_at(name, spec, seed, &expected).await;
    expected
}

async fn check_at(name: &str, spec: &Spec, seed: u64, expected: &Expected) {
    let found = match run(spec, seed).await {
        Ok(found) => found,
        Err(error) => panic!("the engine refuses {name}: {error}\n{spec}"),
    };
    let differences = differences(expected, &found);
    if !differences.is_empty() {
        let told: Vec<_> = found.told.events().map(|event| format!("{event:?}")).collect();
        let log = if told.len() > 60 { "long".into() } else { told.join("\n") };
        let differences = differences.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
        panic!("{name}, times drawn by {seed}, comes out differently:\n{differences}\n{spec}\nlog: {log}");
    }
}

fn promised(name: &str, spec: &Spec, seed: u64) -> (u64, Expected) {
    for seed in (0..100).map(|more: u64| seed.wrapping_add(more << 32)) {
        let expected = interpret(spec, seed);
        if !expected.open {
            return (seed, expected);
        }
    }
    panic!("nothing is promised of {name}: two things always happen in one moment, or it never ends\n{spec}");
}

/// Panics on purpose are no news.
pub(crate) fn quiet() {
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref::<&str>().copied() != Some("on purpose") {
            eprintln!("{panic}");
        }
    }));
}

#[test]
fn the_table_has_sixty_one_graphs_and_each_is_read_as_it_is_written() {
    let mut names: Vec<_> = table().iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), 61);
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 61, "no two have one name");
    for (name, graph) in table().into_iter().filter(|(_, graph)| engine::count(graph) == 1) {
        let written = graph.to_string();
        assert_eq!(spec(&written.lines().collect::<Vec<_>>()).to_string(), written, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_graphs_of_the_table_come_out_as_the_rules_say_whoever_is_faster() {
    quiet();
    let mut ends: BTreeMap<String, u32> = BTreeMap::new();
    for (name, spec) in table() {
        for seed in 0..if chaos() { 20 } else { 4 } {
            let expected = check(name, &spec, seed).await;
            *ends.entry(expected.end.how).or_default() += 1;
        }
    }
    println!("{ends:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_at_every_step_of_every_graph_ends_it_as_the_rules_say() {
    quiet();
    let mut cancels = 0;
    for (name, mut spec) in table() {
        let (seed, undisturbed) = promised(name, &spec, 7);
        let mut times = undisturbed.times;
        times.insert(0, 0);
        // In the short form a thousand steps alike are looked at here and there.
        let every = if chaos() { 1 } else { times.len().div_ceil(20) };
        for pair in times.windows(2).step_by(every) {
            let at = pair[0].midpoint(pair[1]);
            if at < pair[0] + 2 || at + 2 > pair[1] {
                continue;
            }
            spec.cancel_at = Some(at);
            let expected = interpret(&spec, seed);
            assert_eq!(expected.end.how, "cancelled");
            check_at(name, &spec, seed, &expected).await;
            cancels += 1;
        }
    }
    println!("cancels={cancels}");
    assert!(cancels >= 300, "only {cancels} cancels fell between two steps");
}

/// What the random graphs were, so that a generator that has become one-sided is seen.
#[derive(Default)]
struct Drawn {
    ends: BTreeMap<String, u32>,
    visits: usize,
    /// Those that were drawn again, for nothing was promised of them.
    open: u32,
}

async fn any_graph(seed: u64, drawn: &Mutex<Drawn>) {
    let mut random = Random::from_seed(seed);
    loop {
        let mut spec = random::draw(&mut random);
        random::disturb(&mut random, &mut spec, seed);
        let expected = interpret(&spec, seed);
        if expected.open {
            drawn.lock().unwrap().open += 1;
            continue;
        }
        check_at("a random graph", &spec, seed, &expected).await;
        let mut drawn = drawn.lock().unwrap();
        drawn.visits += expected.lines.keys().filter(|place| place.item.is_none()).count();
        *drawn.ends.entry(expected.end.how).or_default() += 1;
        return;
    }
}

#[tokio::test(start_paused = true)]
async fn any_graph_comes_out_as_the_rules_say() {
    quiet();
    let drawn = Mutex::default();
    let count = if chaos() { 10_000 } else { 1_000 };
    cases(count, |seed| any_graph(seed, &drawn)).await;
    let Drawn { ends, visits, open } = drawn.into_inner().unwrap();
    println!("graphs={count} visits={visits} drawn_again={open}\n{ends:?}");
    for end in [
        "completed",
        "cancelled",
        "failed: node_failed",
        "failed: state_conflict",
        "failed: workflow_timeout",
    ] {
        let many = ends.get(end).copied().unwrap_or(0);
        assert!(many >= 2, "of {count} graphs only {many} ended by `{end}`");
    }
}
