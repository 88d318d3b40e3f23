//! Starting, finding, listing, deleting, draining.

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, future::join_all};
use serde_json::json;
use streamnest_core::{ControlError, ExecutionControl as _, ExecutionId, StartExecution, Status};
use streamnest_log::{LogOptions, Start};
use streamnest_runtime::{Engine, EngineOptions, EventsError, ProgressOptions, TokenOptions};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use crate::support::{Definition, engine, engine_with, memory, play, registry, request, start, told};

/// A node that lasts until it gets a permit.
fn waits(gate: &Arc<Semaphore>) -> Definition {
    let gate = gate.clone();
    play(
        |node| node.stream_progress(ProgressOptions::default()),
        move |ctx| {
            let gate = gate.clone();
            async move {
                ctx.progress(1, 4).await;
                gate.acquire().await?.forget();
                Ok(())
            }
        },
    )
}

fn asks(id: &str, prompt: &str) -> StartExecution {
    StartExecution { input: json!({"prompt": prompt}), ..request(Some(id)) }
}

#[tokio::test(start_paused = true)]
async fn the_same_request_again_attaches_and_another_one_conflicts() {
    let gate = Arc::new(Semaphore::new(0));
    let engine = engine(waits(&gate));
    let first = engine.start(asks("a:b~c.d-e_f", "x")).await.unwrap();
    assert!(!first.attached);
    let again = engine.start(asks("a:b~c.d-e_f", "x")).await.unwrap();
    assert!(again.attached);
    assert_eq!((again.execution_id, again.position), (first.execution_id.clone(), first.position));
    let other = engine.start(asks("a:b~c.d-e_f", "y")).await;
    assert_eq!(other, Err(ControlError::Conflict { id: first.execution_id.clone() }));
    // Also when it has ended.
    gate.add_permits(1);
    let run = engine.run(asks("a:b~c.d-e_f", "x")).await.unwrap();
    run.result().await.unwrap();
    assert!(engine.start(asks("a:b~c.d-e_f", "x")).await.unwrap().attached);
    assert_eq!(told(&run).await.data("node_start").len(), 1, "it ran once");
}

#[tokio::test(start_paused = true)]
async fn only_who_started_an_execution_attaches_to_it_also_after_a_restart() {
    let store = memory();
    let gate = Arc::new(Semaphore::new(1));
    let owner = |name: &str| Some(name.to_owned());
    let conflict = |id: &str| Err(ControlError::Conflict { id: ExecutionId::new(id).unwrap() });
    let first = crate::support::engine_on(waits(&gate), store.clone());
    first.start_as(asks("a", "x"), owner("acme/ada")).await.unwrap();
    first.attach(&ExecutionId::new("a").unwrap()).await.unwrap().result().await.unwrap();
    drop(first);
    let second = crate::support::engine_on(waits(&gate), store);
    second.recover().await.unwrap();
    assert!(second.start_as(asks("a", "x"), owner("acme/ada")).await.unwrap().attached);
    assert_eq!(second.start_as(asks("a", "x"), owner("acme/bob")).await, conflict("a"));
    assert_eq!(second.start(asks("a", "x")).await, conflict("a"));
}

#[tokio::test]
async fn of_many_starts_at_once_one_starts_and_the_others_attach() {
    let gate = Arc::new(Semaphore::new(0));
    let store = Arc::new(crate::stores::SlowToOpen(memory()));
    let engine = crate::support::engine_on(waits(&gate), store);
    let starts = (0..20).map(|n| {
        let engine = engine.clone();
        async move { engine.start(asks("same", if n % 5 == 4 { "other" } else { "x" })).await }
    });
    let all = join_all(starts).await;
    let attached =
        |attached: bool| all.iter().flatten().filter(|started| started.attached == attached).count();
    assert_eq!((attached(false), attached(true)), (1, 15));
    assert_eq!(all.iter().filter(|start| start.is_err()).count(), 4);
    gate.add_permits(1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_started_is_refused_before_anything_runs() {
    let engine = engine(waits(&Arc::new(Semaphore::new(0))));
    let start = |workflow: &str, input| {
        engine.start(StartExecution { workflow: workflow.into(), input, ..request(None) })
    };
    for (workflow, input, message) in [
        ("plai", json!({}), "there is no workflow `plai`; workflows: play"),
        ("play", json!([1]), "input does not fit workflow `play`: input must be a JSON object, not an array"),
        (
            "play",
            json!({"promt": "x"}),
            "input does not fit workflow `play`: field `promt` is not known; fields: prompt",
        ),
        (
            "play",
            json!({"prompt": 5}),
            "input does not fit workflow `play`: field `prompt`: invalid type: integer `5`, expected a string",
        ),
    ] {
        assert_eq!(start(workflow, input).await.unwrap_err().to_string(), message);
    }
    assert!(engine.executions(10, None).executions.is_empty());
    assert!(engine.logs().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_execution_is_summarized_with_its_newest_progress_and_forgotten_when_deleted() {
    let gate = Arc::new(Semaphore::new(0));
    let engine = engine(waits(&gate));
    let run = engine.run(asks("one", "x")).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    let _viewer = run.log().cursor(Start::Beginning);
    let summary = engine.execution(run.execution_id()).unwrap();
    assert_eq!((summary.status, summary.subscribers), (Status::Running, 1));
    assert_eq!(summary.progress["node"].progress, 25.0);
    assert_eq!(summary.last, run.log().position(run.log().head().last));
    assert_eq!(engine.delete(run.execution_id()).await.unwrap_err().code(), "still_running");
    gate.add_permits(1);
    run.result().await.unwrap();
    assert_eq!(engine.execution(run.execution_id()).unwrap().status, Status::Completed);
    engine.delete(run.execution_id()).await.unwrap();
    assert_eq!(engine.execution(run.execution_id()).unwrap_err().code(), "unknown_execution");
    assert_eq!(engine.delete(run.execution_id()).await.unwrap_err().code(), "unknown_execution");
    assert!(engine.logs().get(run.execution_id()).is_none());
    // The id is free again.
    gate.add_permits(1);
    assert!(!engine.start(asks("one", "y")).await.unwrap().attached);
}

#[tokio::test(start_paused = true)]
async fn executions_are_listed_newest_first_in_pages() {
    let engine = engine(waits(&Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))));
    for n in 0..7 {
        let run = engine.run(asks(&format!("run-{n}"), "x")).await.unwrap();
        run.result().await.unwrap();
    }
    let page = |limit: usize, after: Option<&ExecutionId>| {
        let page = engine.executions(limit, after);
        let ids: Vec<_> = page.executions.iter().map(|one| one.execution_id.to_string()).collect();
        (ids, page.next)
    };
    let (first, next) = page(3, None);
    assert_eq!(first, ["run-6", "run-5", "run-4"]);
    let (second, next) = page(3, next.as_ref());
    assert_eq!(second, ["run-3", "run-2", "run-1"]);
    let last = next.clone();
    let (third, next) = page(3, next.as_ref());
    assert_eq!((third, next), (vec!["run-0".to_owned()], None));
    // The place was evicted: the pages end, and do not begin anew.
    engine.delete(&last.clone().unwrap()).await.unwrap();
    assert_eq!(page(3, last.as_ref()), (vec![], None));
    assert_eq!(page(0, None), (vec![], None));
}

#[tokio::test(start_paused = true)]
async fn as_many_runs_as_there_may_be_logs_and_finished_ones_make_room() {
    let gate = Arc::new(Semaphore::new(0));
    let logs = registry(memory(), LogOptions::default().with_max_logs(2));
    let engine = engine_with(waits(&gate), logs, EngineOptions::default());
    let (first, _second) = (start(&engine).await, start(&engine).await);
    let refused = engine.start(request(None)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "2 executions run already, the limit of `LogOptions::max_logs`; try again when some have ended"
    );
    assert!(refused.is_retryable());
    gate.add_permits(1);
    first.result().await.unwrap();
    let third = start(&engine).await;
    // What is known of an evicted execution goes with its log.
    assert_eq!(engine.executions(10, None).executions.len(), 2);
    assert!(engine.execution(third.execution_id()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_drain_starts_nothing_new_waits_and_then_cancels() {
    let nodes = |seconds: u64| {
        play(
            |node| node,
            move |_| async move {
                sleep(Duration::from_secs(seconds)).await;
                Ok(())
            },
        )
    };
    let began = Instant::now();
    let quick = engine(nodes(5));
    let run = start(&quick).await;
    quick.drain(Duration::from_secs(60)).await;
    assert_eq!(began.elapsed().as_secs(), 5);
    assert!(run.result().await.is_ok());
    let refused: Result<_, ControlError> = quick.start(request(None)).await;
    assert_eq!(refused, Err(ControlError::Draining));

    let began = Instant::now();
    let slow = engine(nodes(500));
    let run = start(&slow).await;
    slow.drain(Duration::from_secs(60)).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    assert_eq!(told(&run).await.end().reason.as_deref(), Some("server is shutting down"));
    let _: &Engine = &slow;
}

#[tokio::test(start_paused = true)]
async fn the_events_of_a_run_are_a_stream_live_or_late_and_tell_what_is_no_longer_kept() {
    let definition = play(
        |node| node.stream_token(TokenOptions::default().with_buffer_size(1)),
        |ctx| async move {
            for n in 0..10 {
                ctx.token(n.to_string()).await;
            }
            Ok(())
        },
    );
    let engine = engine(definition);
    let run = start(&engine).await;
    let live: Vec<_> = run.events().map(|entry| entry.unwrap().seq().get()).collect().await;
    assert_eq!(live, (1..=live.len() as u64).collect::<Vec<_>>());
    run.log().trim(4.try_into().unwrap()).unwrap();
    let mut late = run.events();
    let Some(Err(EventsError::Missed(gap))) = late.next().await else { panic!("the first four are gone") };
    assert_eq!((gap.from.get(), gap.to.get()), (1, 4));
    let rest: Vec<_> = late.map(|entry| entry.unwrap().seq().get()).collect().await;
    assert_eq!(rest, live[4..]);
}
