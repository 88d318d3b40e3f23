//! Any graph that the engine takes.

use super::{
    engine::{SLOTS, refusal},
    interpreter::interpret,
    spec::{Ask, Fault, Field, NodeSpec, Spec},
};
use crate::support::Random;

/// Draws a spec that the engine takes.
pub(super) fn draw(random: &mut Random) -> Spec {
    loop {
        // Most are small, for what goes wrong in a small one is found in less time and is easier to read.
        let most = *random.pick(&[4, 10, 10, 10, 30]);
        let mut spec = workflow(random, most);
        let mut slots = SLOTS - 1;
        within(random, &mut spec, &mut slots, 3);
        if refusal(&spec).is_none() {
            return spec;
        }
    }
}

/// Lets something happen to a run from outside, in the time that it would take.
pub(super) fn disturb(random: &mut Random, spec: &mut Spec, seed: u64) {
    let undisturbed = interpret(spec, seed);
    let last = undisturbed.times.last().copied().unwrap_or(0);
    let hangs = undisturbed.end.how.is_empty();
    let at = 1 + random.below(last + last / 4 + 10);
    match random.below(if hangs { 2 } else { 8 }) {
        0 => spec.cancel_at = Some(at),
        1 => spec.timeout = Some(at),
        _ => {}
    }
}

/// Gives some nodes a workflow of their own.
fn within(random: &mut Random, spec: &mut Spec, slots: &mut usize, depth: u32) {
    for node in &mut spec.nodes {
        if depth == 0 || *slots == 0 || !random.one_in(6) {
            continue;
        }
        *slots -= 1;
        let mut inner = workflow(random, 5);
        if random.one_in(4) {
            inner.timeout = Some(1 + random.below(40_000_000));
        }
        within(random, &mut inner, slots, depth - 1);
        node.runs = Some(Box::new(inner));
    }
}

/// A graph in which each node has an edge from an earlier one. It need not be one that the engine takes.
fn workflow(random: &mut Random, most: u64) -> Spec {
    let count = 1 + random.below(most) as usize;
    // In a large graph less happens at each node, or it would soon come to its end.
    let seldom = 6 + most / 2;
    let mut nodes: Vec<NodeSpec> = (0..count).map(|number| node(random, number, seldom)).collect();
    let is_router: Vec<bool> = (0..count).map(|_| random.one_in(3)).collect();
    let name = |number: usize| format!("n{number}");
    for number in 1..count {
        let befores = *random.pick(&[1, 1, 1, 2, 2, 3]);
        for _ in 0..befores {
            let before = random.below(number as u64) as usize;
            link(&mut nodes, &is_router, before, number, random.one_in(3));
        }
    }
    for number in (0..count).filter(|number| is_router[*number]) {
        // Back, or to itself.
        if random.one_in(2) {
            let to = random.below(number as u64 + 1) as usize;
            link(&mut nodes, &is_router, number, to, random.one_in(3));
        }
        let routes = &mut nodes[number].routes;
        if routes.is_empty() || random.one_in(seldom / 3) {
            routes.push("end".into());
        }
    }
    for node in nodes.iter_mut().filter(|node| node.after.len() > 1) {
        node.any = random.one_in(4);
    }
    nodes[0].start = true;
    let max_steps = if random.one_in(10) { 1 + random.below(12) as u32 } else { 100 };
    // The order of the nodes is that of numbers, not of edges.
    for _ in 0..random.below(3) {
        let (one, other) = (random.below(count as u64) as usize, random.below(count as u64) as usize);
        nodes.swap(one, other);
    }
    debug_assert!(nodes.iter().any(|node| node.name == name(0)));
    Spec { nodes, max_steps, ..Spec::default() }
}

/// Draws an edge. From a node with routes it is one of them; whether `to` also waits for it is `waits`.
fn link(nodes: &mut [NodeSpec], is_router: &[bool], from: usize, to: usize, waits: bool) {
    let (from_name, to_name) = (nodes[from].name.clone(), nodes[to].name.clone());
    if is_router[from] && !nodes[from].routes.contains(&to_name) {
        nodes[from].routes.push(to_name);
    }
    if (waits || !is_router[from]) && !nodes[to].after.contains(&from_name) {
        nodes[to].after.push(from_name);
    }
}

fn node(random: &mut Random, number: usize, seldom: u64) -> NodeSpec {
    let mut node = NodeSpec { name: format!("n{number}"), ..NodeSpec::default() };
    node.writes = vec![Field::Text];
    for _ in 0..random.below(4) {
        // Those that clash are rarer, for most runs shall come to their end.
        let field = *random.pick(&Field::ALL);
        let clashes = matches!(field, Field::Last | Field::Shared | Field::Folded);
        if !node.writes.contains(&field) && (!clashes || random.one_in(seldom / 2)) {
            // Both write the same field.
            if !(field == Field::Shared && node.writes.contains(&Field::Own)) {
                node.writes.push(field);
            }
        }
    }
    if random.one_in(8) {
        node.takes = Some(0);
    }
    if random.one_in(seldom) {
        let fault = *random.pick(&[Fault::Error, Fault::Error, Fault::Panic, Fault::Hang]);
        node.faults = vec![fault; 1 + random.below(3) as usize];
        node.flaky = random.one_in(2);
        node.attempts = (!random.one_in(4)).then(|| 2 + random.below(3) as u32);
        node.retry_on = *random.pick(&[None, None, Some("node_timeout"), Some("node_panicked")]);
    }
    if node.faults.first() == Some(&Fault::Hang) || random.one_in(seldom) {
        node.timeout = Some(5_000_000 + random.below(10_000_000));
    }
    if random.one_in(6) {
        let most = *random.pick(&[3, 12, 40]);
        node.items = Some((1 + random.below(most) as u32, 1 + random.below(8) as usize));
        node.gathers = random.one_in(2);
    }
    if random.one_in(seldom) {
        node.asks = Some(question(random));
        // What it asks in the moment in which it is stopped is asked or not.
        node.takes = None;
        if random.one_in(3) {
            node.attempts = Some(2);
        }
    }
    node
}

/// A question that does not wait for ever.
fn question(random: &mut Random) -> Ask {
    let (answered, timeout) = *random.pick(&[(true, false), (true, true), (false, true)]);
    let default = timeout && random.one_in(2);
    Ask { answered, timeout, default, on_the_clock: random.one_in(3) }
}
