//! Workflows that together use everything that the engine can do.

use std::{
    future::pending,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_util::stream;
use serde_json::{Value, json};
use streamnest_core::{Approval, OnDisconnect};
use streamnest_models::{ChatModelExt as _, Script, ScriptedModel};
use streamnest_runtime::{
    Goto, NodeBuilder, NodeContext, NodeError, NodeKind, NodeResult, ProgressOptions, Question, RetryOn,
    RetryOptions, TokenOptions, Workflow, WorkflowBuilder, stream_tokens,
};
use tokio::time::sleep;

use super::{Case, watch::at};
use crate::support::{Board, BoardUpdate, Definition, Node, does};

/// What every body under way holds, so that one that is left behind shows.
pub(super) static HELD: LazyLock<Arc<()>> = LazyLock::new(Arc::default);

/// What people answer.
pub(super) fn answer() -> Value {
    json!(7)
}

/// Whether people answer a question; the others are about why they do not.
pub(super) fn is_answered(approval: &Approval) -> bool {
    approval.about.is_none()
}

/// How long the last viewer must be gone, for a workflow that then ends.
pub(super) const GRACE: Duration = Duration::from_millis(3);

/// The workflow that is cancelled when it has no viewers.
pub(super) const LEFT: &str = "a run that goes when its viewers go";

/// The workflow with the most moments.
pub(super) const LONGEST: &str = "everything";

/// Each with its name and how it ends when nothing disturbs it.
pub(super) fn all() -> Vec<Case> {
    vec![
        ("one node that streams", streams, "completed"),
        ("branches, items and retries", branches, "completed"),
        ("questions", questions, "completed"),
        ("a workflow within a workflow", within, "completed"),
        ("timeouts", timeouts, "completed"),
        ("a run that takes too long", late, "failed: workflow_timeout"),
        ("a branch that fails", fails, "failed: node_failed"),
        (LEFT, left, "completed"),
        (LONGEST, everything, "completed"),
    ]
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A node that takes so many milliseconds.
fn takes(name: &str, time: u64) -> Node {
    does(NodeBuilder::new(name), move |_| async move {
        let _held = HELD.clone();
        at(sleep(millis(time))).await;
        Ok(BoardUpdate::text("x"))
    })
}

fn retry(attempts: u32) -> RetryOptions {
    RetryOptions::default().with_attempts(attempts).with_backoff(millis(2)).with_jitter(0.0)
}

/// Calls a model, whose tokens are buffered, and tells progress from a task of its own.
fn speaks(name: &str) -> Node {
    let node = NodeBuilder::new(name)
        .kind(NodeKind::Llm)
        .stream_token(TokenOptions::default().with_buffer_size(3).with_flush_interval(millis(7)))
        .stream_progress(ProgressOptions::default().with_interval(millis(5)));
    does(node, |ctx: NodeContext| async move {
        let held = HELD.clone();
        let inner = ctx.clone();
        ctx.spawn(async move {
            for done in 0..3 {
                at(inner.progress(done, 3)).await;
                at(sleep(millis(4))).await;
            }
            drop(held);
        });
        let script = Script::new().paced(millis(2), ["a ", "b ", "c ", "d ", "e "]).usage(3, 5);
        let model = ScriptedModel::new().script(script);
        let answer = at(model.generate("Say the letters.")).await?;
        at(ctx.emit("said", answer.text.clone())).await?;
        at(ctx.emit_once("said", "said_once", answer.text.clone())).await?;
        Ok(BoardUpdate::text(&answer.text))
    })
}

/// Gives a stream of tokens back.
fn reads(name: &str) -> Node {
    let node = NodeBuilder::new(name).stream_token(TokenOptions::default().with_buffer_size(2));
    does(node, |ctx: NodeContext| async move {
        let _held = HELD.clone();
        let words = stream::unfold(0, |number| async move {
            at(sleep(millis(1))).await;
            (number < 3).then(|| (NodeResult::Ok(format!("{number} ")), number + 1))
        });
        let text = at(stream_tokens(Box::pin(words), &ctx)).await?;
        Ok(BoardUpdate::text(&text))
    })
}

/// Works off four items, two at once, of which one fails at first.
fn items(name: &str) -> Node {
    NodeBuilder::new(name).concurrency(2).retry(retry(2)).run_each(
        |_: &Board| vec![1, 2, 3, 4],
        |_, _, item: u64, ctx: NodeContext| async move {
            let _held = HELD.clone();
            at(sleep(millis(item))).await;
            if item == 3 && ctx.attempt() == 1 { Err(NodeError::public("at first")) } else { Ok(()) }
        },
    )
}

/// Fails at first, and panics at second.
fn fails_at_first(name: &str) -> Node {
    let on = vec![RetryOn::Code("node_failed".into()), RetryOn::Code("node_panicked".into())];
    let node = NodeBuilder::new(name).retry(retry(3).with_on(on));
    does(node, |ctx: NodeContext| async move {
        let _held = HELD.clone();
        at(sleep(millis(1))).await;
        match ctx.attempt() {
            1 => Err(NodeError::public("at first")),
            2 => panic!("on purpose"),
            _ => Ok(()),
        }
    })
}

/// Hangs at first, until its timeout.
fn hangs_at_first(name: &str) -> Node {
    let node = NodeBuilder::new(name).retry(retry(2)).timeout(millis(6));
    does(node, |ctx: NodeContext| async move {
        let _held = HELD.clone();
        if ctx.attempt() == 1 { at(pending()).await } else { Ok(()) }
    })
}

/// Asks three questions at once: of one the answer is awaited, of one the deadline, and one is given up.
fn asks(name: &str) -> Node {
    let node = NodeBuilder::new(name).timeout(millis(30));
    does(node, |ctx: NodeContext| async move {
        let _held = HELD.clone();
        let schema = || json!({"type": "integer"});
        let answered = ctx.ask_json(Question::new("What is it?"), schema());
        let late = Question::new("What else?").timeout(millis(9)).default_answer(3).on_the_clock();
        let late = ctx.ask_json(late.about("late"), schema());
        let given_up = async {
            tokio::select! {
                answer = ctx.ask_json(Question::new("And what?").about("given up"), schema()) => answer.map(drop),
                () = sleep(millis(2)) => Ok(()),
            }
        };
        let (answered, late, ()) = at(async { tokio::try_join!(answered, late, given_up) }).await?;
        Ok(BoardUpdate::text(&format!("{answered}{late}")))
    })
}

/// Runs [`Inner`], twice if it fails.
fn runs_inner(name: &str) -> Node {
    let node = NodeBuilder::new(name).kind(NodeKind::Subgraph).subgraph::<Inner>();
    does(node.retry(retry(2)).timeout(millis(60)), |ctx: NodeContext| async move {
        let _held = HELD.clone();
        let given = Board { count: ctx.attempt(), ..Board::default() };
        let found = at(ctx.run_subgraph(&Arc::new(Inner), given)).await?;
        Ok(BoardUpdate::text(&found.text))
    })
}

/// Goes back once.
fn again(name: &str, to: &'static str) -> Node {
    let node = NodeBuilder::new(name).kind(NodeKind::Condition).routes(&[to], true);
    node.run_condition(move |_, _, ctx: NodeContext| async move {
        at(sleep(millis(1))).await;
        let goto = if ctx.visit() == 1 { Goto::to(to) } else { Goto::end() };
        NodeResult::Ok(goto.with(BoardUpdate::default()))
    })
}

/// Streams beside items, then a question; at the first attempt it fails in the end.
struct Inner;

impl Workflow for Inner {
    type State = Board;

    fn definition() -> WorkflowBuilder<Self> {
        let think =
            NodeBuilder::new("think").start().stream_token(TokenOptions::default().with_buffer_size(2));
        let think = think.run(|_, _, ctx: NodeContext| async move {
            let _held = HELD.clone();
            for word in ["hm ", "so ", "well "] {
                at(ctx.token(word)).await;
                at(sleep(millis(1))).await;
            }
            NodeResult::Ok(BoardUpdate::text("thought "))
        });
        let each = NodeBuilder::new("each").after("think").concurrency(2).run_each(
            |_: &Board| vec![3, 2, 1],
            |_, _, item: u64, _| async move {
                let _held = HELD.clone();
                at(sleep(millis(item))).await;
                NodeResult::Ok(())
            },
        );
        let ask = NodeBuilder::new("ask").after("think").run(|_, _, ctx: NodeContext| async move {
            let _held = HELD.clone();
            at(ctx.ask_json(Question::new("Well?"), json!({"type": "integer"}))).await?;
            NodeResult::Ok(())
        });
        let last = NodeBuilder::new("last").after_all(&["each", "ask"]);
        let last = last.run(|_, state: Arc<Board>, _| async move {
            at(sleep(millis(1))).await;
            if state.count == 1 { Err(NodeError::public("at first")) } else { Ok(BoardUpdate::text("of it")) }
        });
        WorkflowBuilder::new("inner").timeout(millis(50)).node(think).node(each).node(ask).node(last)
    }
}

fn play() -> Definition {
    WorkflowBuilder::new("play")
}

fn streams() -> Definition {
    play().node(speaks("speaks").start()).node(reads("reads").after("speaks")).values(true)
}

fn branches() -> Definition {
    play()
        .node(takes("s", 2).start())
        .node(items("items").after("s"))
        .node(fails_at_first("retried").after("s"))
        .node(takes("slow", 9).after("s"))
        .node(takes("fast", 3).after("s"))
        .node(takes("first", 2).after_any(&["slow", "fast"]))
        .node(takes("join", 3).after_all(&["items", "retried", "first"]))
}

fn questions() -> Definition {
    play().node(asks("asks").start()).node(takes("after", 1).after("asks"))
}

fn within() -> Definition {
    play().node(runs_inner("inner").start()).node(again("again", "inner").after("inner"))
}

fn timeouts() -> Definition {
    play().node(hangs_at_first("hangs").start()).node(takes("after", 1).after("hangs")).timeout(millis(100))
}

fn late() -> Definition {
    play()
        .node(takes("s", 2).start())
        .node(speaks("speaks").after("s"))
        .node(takes("hangs", 99).after("s"))
        .timeout(millis(8))
}

fn fails() -> Definition {
    let wrong = does(NodeBuilder::new("wrong").after("s"), |_| async {
        at(sleep(millis(5))).await;
        Err::<(), _>(NodeError::public("it is wrong"))
    });
    play()
        .node(takes("s", 1).start())
        .node(wrong)
        .node(speaks("speaks").after("s"))
        .node(items("items").after("s"))
}

fn left() -> Definition {
    branches().on_disconnect(OnDisconnect::Cancel)
}

fn everything() -> Definition {
    play()
        .node(speaks("s").start())
        .node(items("items").after("s"))
        .node(fails_at_first("retried").after("s"))
        .node(hangs_at_first("hangs").after("s"))
        .node(asks("asks").after("s"))
        .node(runs_inner("inner").after("s"))
        .node(reads("reads").after("s"))
        .node(takes("slow", 40).after("s"))
        .node(takes("first", 2).after_any(&["slow", "reads"]))
        .node(takes("join", 1).after_all(&["items", "retried", "hangs", "asks", "inner", "first"]))
        .node(again("again", "s").after("join"))
        .timeout(millis(500))
}

/// What must not happen, so that it is known to be found.
pub(super) fn leaks_a_byte() -> Definition {
    let leaks = |_| async {
        Box::leak(Box::new(1_u8));
        Ok(())
    };
    play().node(does(NodeBuilder::new("leaks").start(), leaks))
}

pub(super) fn leaks_a_task() -> Definition {
    let leaks = |_| async {
        drop(tokio::spawn(pending::<()>()));
        Ok(())
    };
    play().node(does(NodeBuilder::new("leaks").start(), leaks))
}
