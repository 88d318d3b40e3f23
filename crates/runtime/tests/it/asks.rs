//! A node asks, somebody answers, or nobody does.

mod branches;
mod property;
mod stores;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use streamnest_core::{
    AskId, ControlError, ExecutionControl as _, Signal, Signalled, Status, payload::StatusUpdate,
};
use streamnest_log::{LogOptions, Start};
use streamnest_runtime::{
    Engine, EngineOptions, EventOptions, NodeBuilder, NodeContext, NodeResult, Question, Run, WorkflowBuilder,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::support::{
    BoardUpdate, Definition, does, engine, engine_with, memory, one, play, registry, start, told,
};

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// It goes out.
    Publish,
    /// It is written anew.
    Revise,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Answer {
    verdict: Verdict,
    #[schemars(range(max = 5))]
    stars: Option<u8>,
}

/// A node that asks and takes the answer for its text.
fn asks(question: Question) -> Definition {
    play(
        |node| node,
        move |ctx: NodeContext| {
            let question = question.clone();
            async move {
                let answer: Answer = ctx.ask(question).await?;
                Ok(BoardUpdate::text(&serde_json::to_string(&answer)?))
            }
        },
    )
}

fn question() -> Question {
    Question::new("May this be published?")
}

fn answer(number: u32, answer: Value) -> Signal {
    Signal::new(AskId::new(number), answer)
}

/// Waits until as many questions are open.
async fn open(run: &Run, count: usize) {
    let asked = async {
        let mut events = run.log().observer(Start::Beginning);
        while run.waiting().len() != count {
            events.next_batch(streamnest_log::ReadLimit::default()).await.unwrap().expect("the run goes on");
        }
    };
    timeout(3600 * SECOND, asked).await.expect("it asks");
}

#[tokio::test]
async fn a_run_pauses_until_its_question_is_answered() {
    let engine = engine(asks(question().about("Rivers are …").prefill(json!({"stars": 3}))));
    let run = start(&engine).await;
    open(&run, 1).await;

    let summary = engine.execution(run.execution_id()).unwrap();
    assert_eq!(summary.status, Status::Paused);
    let waiting = summary.waiting.first().unwrap();
    assert_eq!(waiting.ask, AskId::new(1));
    assert_eq!((waiting.node_id.as_str(), waiting.visit, waiting.attempt), ("node", 1, 1));
    assert_eq!(waiting.question, "May this be published?");
    assert_eq!(waiting.about, Some(json!("Rivers are …")));
    assert_eq!(waiting.prefill, Some(json!({"stars": 3})));
    assert_eq!(waiting.schema["required"], json!(["verdict"]));
    assert_eq!((waiting.deadline, waiting.default.as_ref()), (None, None));
    let page = engine.executions(10, None).executions;
    assert_eq!((page[0].status, page[0].waiting.len()), (Status::Paused, 0), "a page tells it by the status");

    let signal = Signal { by: Some("Ada".into()), ..answer(1, json!({"verdict": "publish"})) };
    let signalled = engine.signal(run.execution_id(), signal).await.unwrap();
    assert_eq!(signalled, Signalled { ask: AskId::new(1), repeated: false });
    assert!(run.log().head().last.get() >= 5, "the answer is in the log when it is taken");
    let result = run.result().await.unwrap();
    assert_eq!(result["text"], r#"{"verdict":"publish","stars":null}"#);
    assert_eq!(engine.execution(run.execution_id()).unwrap().waiting, []);

    let told = told(&run).await;
    assert_eq!(told.data("approval"), [json!(waiting)], "the log tells the same");
    let answered =
        json!({"ask": "ask1", "outcome": "answered", "answer": {"verdict": "publish"}, "by": "Ada"});
    assert_eq!(told.data("approval_answer"), [answered]);
    assert_eq!(
        told.words(),
        [
            "running",
            "workflow_start",
            "node_start",
            "approval",
            "approval_answer",
            "updates",
            "node_complete",
            "workflow_end",
            "completed"
        ]
    );
}

#[tokio::test]
async fn a_wrong_answer_names_the_field_and_the_run_still_waits() {
    let engine = engine(asks(question()));
    let run = start(&engine).await;
    open(&run, 1).await;
    for (wrong, expected) in [
        (json!({}), "answer to `ask1` does not fit its schema: `verdict` is missing"),
        (json!({"verdict": "burn"}), r#"`verdict` has to be one of "publish", "revise""#),
        (json!({"verdict": "publish", "stars": 6}), "`stars` is greater than the maximum of 5"),
        (json!({"verdict": "publish", "starz": 6}), "`starz` is not known"),
        (json!("publish"), r#"answer is not of type "object""#),
        (json!(null), r#"answer is not of type "object""#),
    ] {
        let refused = run.signal(answer(1, wrong.clone())).await.unwrap_err();
        assert_eq!(refused.code(), "invalid_answer", "{wrong}");
        assert!(refused.to_string().contains(expected), "{refused}");
    }
    let by = Signal { by: Some("x".repeat(Signal::MAX_BY + 1)), ..answer(1, json!({"verdict": "publish"})) };
    assert!(run.signal(by).await.unwrap_err().to_string().contains("`by` has 256 characters"));
    assert_eq!(run.waiting().len(), 1);
    assert_eq!(engine.execution(run.execution_id()).unwrap().status, Status::Paused);
    run.signal(answer(1, json!({"verdict": "revise"}))).await.unwrap();
    assert_eq!(told(&run).await.data("approval_answer").len(), 1, "what was refused is in no log");
}

#[tokio::test]
async fn the_first_answer_counts_and_the_same_again_changes_nothing() {
    let engine = engine(asks(question()));
    let run = start(&engine).await;
    open(&run, 1).await;
    let unknown = run.signal(answer(2, json!({}))).await.unwrap_err();
    assert!(unknown.to_string().ends_with("never asked `ask2`; open questions: ask1"), "{unknown}");

    let publish = json!({"verdict": "publish", "stars": 5});
    assert!(!run.signal(answer(1, publish.clone())).await.unwrap().repeated);
    let again = json!({"stars": 5, "verdict": "publish"});
    assert!(run.signal(answer(1, again.clone())).await.unwrap().repeated, "whatever the order of its fields");
    let other = run.signal(answer(1, json!({"verdict": "revise"}))).await.unwrap_err();
    assert_eq!(other, ControlError::AlreadyAnswered { ask: AskId::new(1) });

    run.result().await.unwrap();
    assert!(run.signal(answer(1, again)).await.unwrap().repeated, "also when the run has ended");
    let unknown = run.signal(answer(2, json!({}))).await.unwrap_err();
    assert!(unknown.to_string().ends_with("never asked `ask2`; it waits for no answer"), "{unknown}");
    assert_eq!(told(&run).await.data("approval_answer").len(), 1);
}

#[tokio::test]
async fn of_many_answers_at_once_one_counts() {
    let engine = engine(asks(question()));
    let run = start(&engine).await;
    open(&run, 1).await;
    let answers = (0..50_u8).map(|stars| {
        let run = run.clone();
        tokio::spawn(
            async move { run.signal(answer(1, json!({"verdict": "publish", "stars": stars % 5}))).await },
        )
    });
    let answers: Vec<_> = answers.collect();
    let mut first = 0;
    for answer in answers {
        match answer.await.unwrap() {
            Ok(Signalled { repeated, .. }) => first += usize::from(!repeated),
            Err(error) => assert_eq!(error.code(), "already_answered"),
        }
    }
    assert_eq!(first, 1);
    assert_eq!(told(&run).await.data("approval_answer").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_default_counts_when_the_deadline_passes() {
    let default = json!({"verdict": "revise", "stars": 1});
    let engine = engine(asks(question().timeout(60 * SECOND).default_answer(default.clone())));
    let run = start(&engine).await;
    open(&run, 1).await;
    let waiting = run.waiting().remove(0);
    assert_eq!(waiting.deadline.unwrap().as_micros(), 1_795_000_060_000_000);
    assert_eq!(waiting.default, Some(default.clone()));
    let began = Instant::now();
    let told = told(&run).await;
    assert_eq!(began.elapsed(), 60 * SECOND);
    assert_eq!(told.ended(), "completed");
    assert_eq!(
        told.data("approval_answer"),
        [json!({"ask": "ask1", "outcome": "default", "answer": default})]
    );
    let late = run.signal(answer(1, json!({"verdict": "publish"}))).await.unwrap_err();
    assert_eq!(late.to_string(), "`ask1` takes no answer any more: its deadline passed");
}

#[tokio::test(start_paused = true)]
async fn without_a_default_the_deadline_fails_the_node_which_may_go_on() {
    let engine = engine(asks(question().timeout(60 * SECOND)));
    let run = start(&engine).await;
    let failed = told(&run).await;
    assert_eq!(failed.ended(), "failed: ask_timeout");
    assert_eq!(failed.end().error.unwrap().message, "nobody answered node `node` within 60s");
    assert_eq!(failed.data("approval_answer"), [json!({"ask": "ask1", "outcome": "timeout"})]);

    let goes_on = crate::support::run(play(
        |node| node,
        |ctx: NodeContext| async move {
            let asked = ctx.ask::<Answer>(question().timeout(SECOND)).await;
            Ok(BoardUpdate::text(asked.unwrap_err().code()))
        },
    ));
    assert_eq!(goes_on.await.end().result.unwrap()["text"], "ask_timeout");
}

#[tokio::test(start_paused = true)]
async fn timeouts_of_node_and_workflow_stand_still_while_it_waits() {
    let works = |question: Question| {
        let node = does(NodeBuilder::new("node").timeout(5 * SECOND), move |ctx: NodeContext| {
            let question = question.clone();
            async move {
                sleep(2 * SECOND).await;
                ctx.ask::<Answer>(question).await?;
                sleep(2 * SECOND).await;
                Ok(())
            }
        });
        one(node).timeout(6 * SECOND)
    };
    let slow_person = async |definition: Definition| {
        let run = start(&engine(definition)).await;
        sleep(3600 * SECOND).await;
        let answered = run.signal(answer(1, json!({"verdict": "publish"}))).await;
        let told = told(&run).await;
        (answered.map_err(|error| error.to_string()), told)
    };
    let (answered, told) = slow_person(works(question())).await;
    assert!(answered.is_ok());
    assert_eq!(told.ended(), "completed");

    let (answered, told) = slow_person(works(question().on_the_clock())).await;
    assert_eq!(answered.unwrap_err(), "`ask1` takes no answer any more: its node no longer waits for one");
    assert_eq!(told.ended(), "failed: node_timeout");
    assert_eq!(told.data("approval_answer"), [json!({"ask": "ask1", "outcome": "withdrawn"})]);

    // What the node does besides waiting still counts.
    let node = does(NodeBuilder::new("node").timeout(5 * SECOND), |ctx: NodeContext| async move {
        ctx.ask::<Answer>(question()).await?;
        sleep(6 * SECOND).await;
        Ok(())
    });
    let (answered, told) = slow_person(one(node)).await;
    assert!(answered.is_ok());
    assert_eq!(told.ended(), "failed: node_timeout");
}

#[tokio::test(start_paused = true)]
async fn the_workflows_own_timeout_ends_a_run_that_waits_on_the_clock() {
    let definition = asks(question().on_the_clock()).timeout(5 * SECOND);
    let told = crate::support::run(definition).await;
    assert_eq!(told.ended(), "failed: workflow_timeout");
    assert_eq!(told.data("approval_answer"), [json!({"ask": "ask1", "outcome": "withdrawn"})]);
}

#[tokio::test]
async fn several_questions_are_open_at_once_and_answered_in_any_order() {
    let engine = engine(play(
        |node| node,
        |ctx: NodeContext| async move {
            let schema = json!({"type": "integer"});
            let ask = |text: &str| ctx.ask_json(Question::new(text), schema.clone());
            let (a, b, c) = tokio::join!(ask("a?"), ask("b?"), ask("c?"));
            Ok(BoardUpdate::text(&format!("{}{}{}", a?, b?, c?)))
        },
    ));
    let run = start(&engine).await;
    open(&run, 3).await;
    let questions: Vec<_> = run.waiting().into_iter().map(|open| open.question).collect();
    assert_eq!(questions, ["a?", "b?", "c?"]);
    for number in [3, 1, 2] {
        assert_eq!(engine.execution(run.execution_id()).unwrap().status, Status::Paused);
        run.signal(answer(number, number.into())).await.unwrap();
    }
    assert_eq!(run.result().await.unwrap()["text"], "123");
    let ends: Vec<_> =
        told(&run).await.data("approval_answer").iter().map(|end| end["ask"].clone()).collect();
    assert_eq!(ends, ["ask3", "ask1", "ask2"]);
}

#[tokio::test]
async fn a_run_asks_no_more_at_once_than_it_may_and_answers_are_bounded() {
    let asks_twice = play(
        |node| node,
        |ctx: NodeContext| async move {
            let first = ctx.ask_json(question(), json!({}));
            let second = async {
                let refused = ctx.ask_json(question(), json!({})).await.unwrap_err();
                Ok::<_, streamnest_runtime::NodeError>(format!("{}: {refused}", refused.code()))
            };
            let (_, refused) = tokio::join!(first, second);
            Ok(BoardUpdate::text(&refused?))
        },
    );
    let options = EngineOptions::default().with_max_open_asks(1).with_max_answer_bytes(8);
    let engine = engine_with(asks_twice, registry(memory(), LogOptions::default()), options);
    let run = start(&engine).await;
    open(&run, 1).await;
    let refused = run.signal(answer(1, "x".repeat(7).into())).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "answer has 9 bytes, over the limit of 8; shorten it, or raise `EngineOptions::max_answer_bytes`"
    );
    run.signal(answer(1, "x".repeat(6).into())).await.unwrap();
    let text = run.result().await.unwrap()["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("too_many_asks: execution has 1 open questions, the limit of"), "{text}");
}

#[tokio::test]
async fn an_answer_and_a_question_have_to_fit_into_the_log() {
    let logs = || registry(memory(), LogOptions::default().with_max_event_bytes(8_192));
    let asks_all = play(
        |node| node,
        |ctx: NodeContext| async move {
            ctx.ask_json(question(), json!({})).await?;
            Ok(())
        },
    );
    let engine = engine_with(asks_all, logs(), EngineOptions::default());
    let run = start(&engine).await;
    open(&run, 1).await;
    let refused = run.signal(answer(1, "x".repeat(8_000).into())).await.unwrap_err();
    assert_eq!(refused.code(), "answer_too_large");
    assert!(refused.to_string().contains("`LogOptions::max_event_bytes`"), "{refused}");
    let by = Some("\u{1}".repeat(Signal::MAX_BY));
    run.signal(Signal { by, ..answer(1, "x".repeat(4_000).into()) }).await.unwrap();
    assert_eq!(told(&run).await.ended(), "completed");

    let engine = engine_with(asks(question().about("x".repeat(9_000))), logs(), EngineOptions::default());
    let told = told(&start(&engine).await).await;
    assert_eq!(told.ended(), "failed: event_too_large");
}

#[tokio::test]
async fn ends_that_are_long_past_are_forgotten_and_refused_as_late() {
    let many = play(
        |node| node,
        |ctx: NodeContext| async move {
            for _ in 0..3 {
                ctx.ask_json(question(), json!({})).await?;
            }
            Ok(())
        },
    );
    let options = EngineOptions::default().with_max_answers_kept(2);
    let run = start(&engine_with(many, registry(memory(), LogOptions::default()), options)).await;
    for number in 1..=3 {
        open(&run, 1).await;
        run.signal(answer(number, 1.into())).await.unwrap();
        if number < 3 {
            // The node has to come back for the next one.
            while run.waiting().is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }
    run.result().await.unwrap();
    assert!(run.signal(answer(2, 1.into())).await.unwrap().repeated);
    let late = run.signal(answer(1, 1.into())).await.unwrap_err();
    assert_eq!(late.code(), "ask_closed");
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_is_refused_at_once() {
    let asks = |question: Question, schema: Value| {
        play(
            |node| node,
            move |ctx: NodeContext| {
                let (question, schema) = (question.clone(), schema.clone());
                async move { ctx.ask_json(question, schema).await.map(|_| ()) }
            },
        )
    };
    let default = question().timeout(SECOND).default_answer(7);
    for (definition, words) in [
        (asks(question(), json!({"type": "strange"})), "schema of a question of node `node`"),
        (asks(question(), json!({"$ref": "http://localhost/x"})), "schema of a question of node `node`"),
        (asks(default, json!({"type": "string"})), "answer is not of type \"string\""),
    ] {
        let told = crate::support::run(definition).await;
        assert_eq!(told.ended(), "failed: invalid_question");
        let message = told.end().error.unwrap().message;
        assert!(message.contains(words), "{message}");
        assert_eq!(told.data("approval"), [] as [Value; 0]);
    }
}

#[tokio::test]
async fn a_cancel_ends_a_run_that_waits_and_nothing_but_the_end_follows() {
    let engine = engine(asks(question()));
    let run = start(&engine).await;
    open(&run, 1).await;
    engine.cancel(run.execution_id(), Some("enough".into())).await.unwrap();
    let told = told(&run).await;
    assert_eq!(told.end(), StatusUpdate::cancelled(Some("enough".into())));
    assert!(
        told.words().ends_with(&["approval".into(), "node_cancelled".into(), "cancelled".into()]),
        "{told:?}"
    );
    let summary = engine.execution(run.execution_id()).unwrap();
    assert_eq!((summary.status, summary.waiting), (Status::Cancelled, vec![]));
    let late = run.signal(answer(1, json!({"verdict": "publish"}))).await.unwrap_err();
    assert_eq!(late.to_string(), "`ask1` takes no answer any more: the execution has ended");
}

#[tokio::test(start_paused = true)]
async fn a_drain_gives_a_person_the_grace_time_and_then_cancels() {
    for answers in [true, false] {
        let engine = engine(asks(question()));
        let run = start(&engine).await;
        open(&run, 1).await;
        let person = async {
            sleep(5 * SECOND).await;
            if answers {
                run.signal(answer(1, json!({"verdict": "publish"}))).await.unwrap();
            }
        };
        let began = Instant::now();
        tokio::join!(engine.drain(10 * SECOND), person);
        let (seconds, end) = if answers { (5, "completed") } else { (10, "cancelled") };
        assert_eq!(began.elapsed(), seconds * SECOND);
        assert_eq!(told(&run).await.ended(), end);
    }
}

#[tokio::test(start_paused = true)]
async fn a_question_that_its_node_gives_up_is_withdrawn() {
    let (said, mut heard) = mpsc::channel(1);
    let engine = engine(play(
        |node| node,
        move |ctx: NodeContext| {
            let said = said.clone();
            async move {
                tokio::select! {
                    answer = ctx.ask::<Answer>(question()) => {
                    answer?;
                }
                    () = sleep(60 * SECOND) => {}
                }
                said.send(()).await?;
                sleep(60 * SECOND).await;
                Ok(())
            }
        },
    ));
    let run = start(&engine).await;
    heard.recv().await.unwrap();
    assert_eq!(engine.execution(run.execution_id()).unwrap().status, Status::Running);
    let late = run.signal(answer(1, json!({"verdict": "publish"}))).await.unwrap_err();
    assert_eq!(late.to_string(), "`ask1` takes no answer any more: its node no longer waits for one");
    let told = told(&run).await;
    assert_eq!(told.ended(), "completed");
    assert_eq!(told.data("approval_answer"), [json!({"ask": "ask1", "outcome": "withdrawn"})]);
}

#[tokio::test]
async fn a_question_is_told_whatever_the_node_and_the_workflow_stream() {
    let silent = [
        asks(question()).streaming(false),
        one(does(
            NodeBuilder::new("node").stream_event(EventOptions::default().with_enabled(false)),
            |ctx: NodeContext| async move { ctx.ask::<Answer>(question()).await.map(drop) },
        )),
    ];
    for definition in silent {
        let run = start(&engine(definition)).await;
        open(&run, 1).await;
        run.signal(answer(1, json!({"verdict": "publish"}))).await.unwrap();
        let told = told(&run).await;
        assert_eq!((told.data("approval").len(), told.data("approval_answer").len()), (1, 1), "{told:?}");
    }
}

#[tokio::test]
async fn a_task_of_the_visit_asks_too_and_nobody_asks_after_its_end() {
    let (said, mut heard) = mpsc::channel(1);
    let engine = engine(play(
        |node| node,
        move |ctx: NodeContext| {
            let said = said.clone();
            async move {
                let inner = ctx.clone();
                ctx.spawn(async move {
                    let answer = inner.ask::<Answer>(question()).await.unwrap();
                    assert_eq!(answer.verdict, Verdict::Revise);
                    inner.emit("asked", json!(1)).await.unwrap();
                });
                said.send(ctx.clone()).await?;
                Ok(())
            }
        },
    ));
    let run = start(&engine).await;
    open(&run, 1).await;
    run.signal(answer(1, json!({"verdict": "revise"}))).await.unwrap();
    assert_eq!(told(&run).await.ended(), "completed");
    let leaked = heard.recv().await.unwrap();
    let refused: NodeResult<Answer> = leaked.ask(question()).await;
    assert_eq!(refused.unwrap_err().code(), "ask_closed");
}

#[tokio::test]
async fn types_of_the_framework_are_not_for_events_of_the_users_own() {
    let told = crate::support::run(play(
        |node| node,
        |ctx: NodeContext| async move {
            for known in streamnest_core::EventType::FRAMEWORK {
                let refused = ctx.emit(known.as_str(), json!({})).await.unwrap_err().to_string();
                assert!(refused.contains("belongs to the framework"), "{known}: {refused}");
                let refused = ctx.emit_once("key", known.as_str(), json!({})).await.unwrap_err().to_string();
                assert!(refused.contains("belongs to the framework"), "{known}: {refused}");
            }
            for work in ["tool_start", "llm_complete", "warning", "custom"] {
                ctx.emit(work, json!({})).await?;
            }
            Ok(())
        },
    ));
    assert_eq!(told.await.ended(), "completed");
}

#[tokio::test(start_paused = true)]
async fn other_branches_of_one_workflow_value_wait_for_themselves() {
    // Two executions of one workflow: an answer to one is none to the other.
    let engine: Engine = engine(asks(question()));
    let (first, second) = (start(&engine).await, start(&engine).await);
    open(&first, 1).await;
    open(&second, 1).await;
    first.signal(answer(1, json!({"verdict": "publish"}))).await.unwrap();
    first.result().await.unwrap();
    assert_eq!(second.waiting().len(), 1);
    second.cancel("enough").await;
}

#[tokio::test]
async fn a_loop_asks_anew_in_each_visit() {
    let writes = does(NodeBuilder::new("writes").start(), |_| async { Ok(BoardUpdate::text(".")) });
    let judges = NodeBuilder::new("judges").after("writes").routes(&["writes"], true);
    let judges = does(judges, |ctx: NodeContext| async move {
        let answer: Answer = ctx.ask(question()).await?;
        Ok(match answer.verdict {
            Verdict::Publish => streamnest_runtime::Goto::<BoardUpdate>::end(),
            Verdict::Revise => streamnest_runtime::Goto::to("writes"),
        })
    });
    let run = start(&engine(WorkflowBuilder::new("play").node(writes).node(judges))).await;
    for (number, verdict) in [(1, "revise"), (2, "revise"), (3, "publish")] {
        while run.waiting().first().is_none_or(|open| open.ask.number() != number) {
            tokio::task::yield_now().await;
        }
        assert_eq!(run.waiting()[0].visit, number);
        run.signal(answer(number, json!({"verdict": verdict}))).await.unwrap();
    }
    assert_eq!(run.result().await.unwrap()["text"], "...");
}
