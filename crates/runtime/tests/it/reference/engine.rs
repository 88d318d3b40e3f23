//! The same workflow for the real engine, with bodies that note each call.

use std::{
    cell::RefCell,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::{Map, Value, json};
use streamnest_core::{Approval, EventType, Signal};
use streamnest_log::{LogOptions, Read, ReadLimit, Start};
use streamnest_runtime::{
    Engine, EngineOptions, Goto, NodeBuilder, NodeContext, NodeError, NodeKind, NodeResult, Question,
    RetryOn, RetryOptions, Run, Workflow, WorkflowBuilder,
};
use tokio::time::{sleep, timeout};

use super::{
    interpreter::{BACKOFF, MAX_BACKOFF, gathered},
    ledger::{Ledger, LedgerUpdate},
    spec::{Ask, DEFAULT, Fault, NodeSpec, Place, Spec},
};
use crate::support::{Told, memory, registry, request, told};

/// Each time that a body was called, and the state that it saw.
type Bodies = Vec<(Place, Map<String, Value>)>;

/// What the engine did.
pub(super) struct Found {
    pub(super) told: Told,
    pub(super) bodies: Bodies,
}

/// What the bodies of one run share.
#[derive(Clone)]
struct Probe {
    seed: u64,
    bodies: Arc<Mutex<Bodies>>,
}

/// The `SLOT`th workflow of a spec, which has a type of its own because a workflow may not run itself.
struct Slot<const SLOT: usize>;

/// How many workflows a spec may have in all.
pub(super) const SLOTS: usize = 6;

thread_local! {
    static SPECS: RefCell<Vec<(Spec, Probe)>> = const { RefCell::new(Vec::new()) };
}

impl<const SLOT: usize> Workflow for Slot<SLOT> {
    type State = Ledger;

    fn definition() -> WorkflowBuilder<Self> {
        let (spec, probe) = SPECS.with_borrow(|specs| specs[SLOT].clone());
        let name = if SLOT == 0 { "play".to_owned() } else { format!("inner{SLOT}") };
        let mut builder = WorkflowBuilder::new(&name).max_steps(spec.max_steps);
        if let Some(timeout) = spec.timeout {
            builder = builder.timeout(Duration::from_millis(timeout));
        }
        // The slots of the workflows within are given in the order in which they stand in the spec.
        let mut slots = SLOT + 1;
        for node in spec.nodes {
            let within = node.runs.as_ref().map(|inner| {
                let slot = slots;
                slots += count(inner);
                slot
            });
            builder = builder.node(build(Arc::new(node), probe.clone(), within));
        }
        builder
    }
}

/// How many workflows a spec has.
pub(super) fn count(spec: &Spec) -> usize {
    1 + spec.nodes.iter().filter_map(|node| node.runs.as_deref()).map(count).sum::<usize>()
}

/// A spec stands before those within it, each of which stands before those within that.
fn flat(spec: &Spec, into: &mut Vec<Spec>) {
    into.push(spec.clone());
    spec.nodes.iter().filter_map(|node| node.runs.as_deref()).for_each(|inner| flat(inner, into));
}

fn build<const SLOT: usize>(
    spec: Arc<NodeSpec>,
    probe: Probe,
    within: Option<usize>,
) -> NodeBuilder<Slot<SLOT>> {
    let mut node = NodeBuilder::new(&spec.name);
    if spec.start {
        node = node.start();
    }
    let after: Vec<_> = spec.after.iter().map(String::as_str).collect();
    if spec.any {
        node = node.after_any(&after);
    } else if !after.is_empty() {
        node = node.after_all(&after);
    }
    if !spec.routes.is_empty() {
        let may_end = spec.routes.iter().any(|name| name == "end");
        let targets: Vec<_> = spec.routes.iter().map(String::as_str).filter(|name| *name != "end").collect();
        node = node.routes(&targets, may_end);
    }
    if let Some(attempts) = spec.attempts {
        let retry = RetryOptions::default().with_attempts(attempts).with_jitter(0.0);
        let retry = retry.with_backoff(Duration::from_millis(BACKOFF));
        let on = spec.retry_on.map(|code| RetryOn::Code(code.into()));
        node = node.retry(
            retry.with_max_backoff(Duration::from_millis(MAX_BACKOFF)).with_on(on.into_iter().collect()),
        );
    }
    if let Some(timeout) = spec.timeout {
        node = node.timeout(Duration::from_millis(timeout));
    }
    match within {
        None => {}
        Some(1) => node = node.kind(NodeKind::Subgraph).subgraph::<Slot<1>>(),
        Some(2) => node = node.kind(NodeKind::Subgraph).subgraph::<Slot<2>>(),
        Some(3) => node = node.kind(NodeKind::Subgraph).subgraph::<Slot<3>>(),
        Some(4) => node = node.kind(NodeKind::Subgraph).subgraph::<Slot<4>>(),
        Some(5) => node = node.kind(NodeKind::Subgraph).subgraph::<Slot<5>>(),
        Some(slot) => panic!("there are {SLOTS} slots, and no slot {slot}"),
    }
    if let Some((count, concurrency)) = spec.items {
        let items = move |_: &Ledger| (0..count).collect::<Vec<_>>();
        let node = node.concurrency(concurrency);
        if spec.gathers {
            let body = move |_, state, _, ctx| act(spec.clone(), probe.clone(), within, state, ctx);
            return node.gather_each(items, body, |values| LedgerUpdate::of(gathered(&values)));
        }
        return node.run_each(items, move |_, state: Arc<Ledger>, _, ctx| {
            let acted = act(spec.clone(), probe.clone(), within, state, ctx);
            async move { acted.await.map(LedgerUpdate::of) }
        });
    }
    if spec.routes.is_empty() {
        return node.run(move |_, state: Arc<Ledger>, ctx| {
            let acted = act(spec.clone(), probe.clone(), within, state, ctx);
            async move { acted.await.map(LedgerUpdate::of) }
        });
    }
    node.run(move |_, state: Arc<Ledger>, ctx: NodeContext| {
        let goes = spec.goes(probe.seed, &place(&ctx)).unwrap();
        let acted = act(spec.clone(), probe.clone(), within, state, ctx);
        async move {
            let update = LedgerUpdate::of(acted.await?);
            let goto = if goes == ["end"] { Goto::end() } else { Goto::to_all(goes) };
            NodeResult::Ok(goto.with(update))
        }
    })
}

fn place(ctx: &NodeContext) -> Place {
    let item = ctx.item().map(|item| u32::try_from(item).unwrap());
    Place { path: ctx.node_id().to_string(), visit: ctx.visit(), item, attempt: ctx.attempt() }
}

/// What every body does: notes that it was called, takes its time, fails if it is to, and returns its update.
async fn act(
    spec: Arc<NodeSpec>,
    probe: Probe,
    within: Option<usize>,
    state: Arc<Ledger>,
    ctx: NodeContext,
) -> NodeResult<Map<String, Value>> {
    let (place, sees) = (place(&ctx), state.fields());
    probe.bodies.lock().unwrap().push((place.clone(), sees.clone()));
    let fault = spec.fault(probe.seed, &place);
    match spec.takes(probe.seed, &place) {
        _ if fault == Some(Fault::Hang) => pending().await,
        0 => {}
        takes => sleep(Duration::from_millis(takes)).await,
    }
    match fault {
        Some(Fault::Panic) => panic!("on purpose"),
        Some(_) => return Err(NodeError::public("on purpose")),
        None => {}
    }
    let answer = match spec.asks {
        Some(asks) => {
            let answer = ctx.ask_json(question(asks, probe.seed, &place), json!({"type": "integer"})).await?;
            Some(answer.as_u64().unwrap())
        }
        None => None,
    };
    let given = || Ledger::of(NodeSpec::given(&sees));
    let inner = match within {
        Some(1) => Some(ctx.run_subgraph(&Arc::new(Slot::<1>), given()).await?),
        Some(2) => Some(ctx.run_subgraph(&Arc::new(Slot::<2>), given()).await?),
        Some(3) => Some(ctx.run_subgraph(&Arc::new(Slot::<3>), given()).await?),
        Some(4) => Some(ctx.run_subgraph(&Arc::new(Slot::<4>), given()).await?),
        Some(5) => Some(ctx.run_subgraph(&Arc::new(Slot::<5>), given()).await?),
        _ => None,
    };
    let inner = inner.map(|inner| inner.fields());
    Ok(spec.update(probe.seed, &place, &sees, answer, inner.as_ref()))
}

fn question(asks: Ask, seed: u64, place: &Place) -> Question {
    let mut question = Question::new("What is it?");
    if let Some(deadline) = asks.deadline(seed, place) {
        question = question.timeout(Duration::from_millis(deadline));
    }
    if asks.default {
        question = question.default_answer(DEFAULT);
    }
    if asks.on_the_clock { question.on_the_clock() } else { question }
}

/// Answers what is asked, each question in its time.
async fn answers(spec: &Spec, seed: u64, run: &Run) {
    let mut cursor = run.log().observer(Start::Beginning);
    let mut thinking = FuturesUnordered::new();
    loop {
        tokio::select! {
            read = cursor.next_batch(ReadLimit::default()) => {
                let Some(Read::Batch(batch)) = read.unwrap() else { return pending().await };
                let asked = batch.iter().filter(|entry| *entry.event().event_type() == EventType::APPROVAL);
                for entry in asked {
                    let data = entry.event().as_data().unwrap().unwrap();
                    let approval: Approval = serde_json::from_value(data).unwrap();
                    let path = approval.node_id.to_string();
                    let asks = spec.at(&path).asks.unwrap();
                    let Approval { visit, attempt, item, .. } = approval;
                    let place = Place { path, visit, item, attempt };
                    let Some((after, answer)) = asks.answer(seed, &place) else { continue };
                    thinking.push(async move {
                        sleep(Duration::from_millis(after)).await;
                        // It may have come to its end by then.
                        drop(run.signal(Signal::new(approval.ask, answer.into())).await);
                    });
                }
            }
            Some(()) = thinking.next() => {}
        }
    }
}

/// Builds the workflow.
fn engine(spec: &Spec, probe: &Probe) -> Result<Engine, String> {
    let mut specs = Vec::new();
    flat(spec, &mut specs);
    SPECS.set(specs.into_iter().map(|spec| (spec, probe.clone())).collect());
    let logs = registry(memory(), LogOptions::default());
    Engine::builder(logs)
        .options(EngineOptions::default())
        .workflow(Slot::<0>)
        .build()
        .map_err(|error| error.to_string())
}

/// Runs `spec` on the real engine. The clock is paused.
///
/// # Errors
/// If the engine refuses the graph.
pub(super) async fn run(spec: &Spec, seed: u64) -> Result<Found, String> {
    let probe = Probe { seed, bodies: Arc::default() };
    let engine = engine(spec, &probe)?;
    let run = engine.run(request(None)).await.unwrap();
    let ends = async {
        if let Some(at) = spec.cancel_at {
            sleep(Duration::from_millis(at)).await;
            run.cancel("enough").await;
        }
        // Longer than all steps of the longest spec.
        let ended = timeout(Duration::from_secs(50_000_000), run.result()).await;
        assert!(ended.is_ok(), "the run never ends");
    };
    tokio::select! {
        () = ends => {}
        () = answers(spec, seed, &run) => unreachable!("whoever answers goes on"),
    }
    let told = told(&run).await;
    let bodies = std::mem::take(&mut *probe.bodies.lock().unwrap());
    Ok(Found { told, bodies })
}

/// Why the engine refuses `spec`, if it does.
pub(super) fn refusal(spec: &Spec) -> Option<String> {
    engine(spec, &Probe { seed: 0, bodies: Arc::default() }).err()
}
