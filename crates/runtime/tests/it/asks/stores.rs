//! Questions and answers over stores that take their time, have no room, or refuse.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use streamnest_core::{Appended, ControlError, Entry, EventType, StoreError};
use streamnest_log::LogOptions;
use streamnest_runtime::{EngineOptions, NodeContext};
use tokio::time::{sleep, timeout};

use super::{answer, asks, open, question};
use crate::{
    stores::{Judged, unavailable},
    support::{engine_on, engine_with, play, registry, start, told},
};

fn has(entries: &[Arc<Entry>], event_type: &EventType) -> bool {
    entries.iter().any(|entry| entry.event().event_type() == event_type)
}

#[tokio::test(start_paused = true)]
async fn nobody_acts_on_an_answer_that_is_not_durable() {
    let acted: Arc<AtomicBool> = Arc::default();
    let acts = acted.clone();
    let definition = play(
        |node| node,
        move |ctx: NodeContext| {
            let acts = acts.clone();
            async move {
                ctx.ask_json(question(), json!({"type": "boolean"})).await?;
                acts.store(true, Ordering::SeqCst);
                Ok(())
            }
        },
    );
    let answered = AtomicBool::new(false);
    let store = Judged::new(move |entries: &[Arc<Entry>]| {
        answered.fetch_or(has(entries, &EventType::APPROVAL_ANSWER), Ordering::SeqCst);
        Ok(if answered.load(Ordering::SeqCst) { Appended::Pending } else { Appended::Durable })
    });
    let run = start(&engine_on(definition, store.clone())).await;
    open(&run, 1).await;
    let asked = run.log().head().last.get();
    let signal = run.signal(answer(1, true.into()));
    tokio::pin!(signal);
    assert!(
        timeout(Duration::from_secs(60), &mut signal).await.is_err(),
        "it is not taken before it is durable"
    );
    assert!(!acted.load(Ordering::SeqCst));
    store.release(asked + 1, false);
    assert!(!signal.await.unwrap().repeated);
    sleep(Duration::from_secs(1)).await;
    assert!(acted.load(Ordering::SeqCst));
    store.release(asked + 100, true);
    assert_eq!(told(&run).await.ended(), "completed");
}

#[tokio::test(start_paused = true)]
async fn an_answer_whose_sender_is_gone_before_there_is_room_counts_all_the_same() {
    let definition = play(
        |node| node,
        |ctx: NodeContext| async move {
            let inner = ctx.clone();
            ctx.spawn(async move {
                for _ in 0..100 {
                    let _ = inner.emit("filler", "x".repeat(1_000)).await;
                    sleep(Duration::from_millis(1)).await;
                }
            });
            let answer = ctx.ask_json(question(), json!({"type": "string"})).await?;
            ctx.emit("answered", answer.as_str().map(str::len)).await?;
            Ok(())
        },
    );
    let store = Judged::new(|entries: &[Arc<Entry>]| {
        let filler = entries.iter().any(|entry| entry.event().event_type().as_str() == "filler");
        Ok(if filler { Appended::Pending } else { Appended::Durable })
    });
    let logs = registry(store.clone(), LogOptions::default().with_max_pending_bytes(8_000));
    let run = start(&engine_with(definition, logs, EngineOptions::default())).await;
    open(&run, 1).await;
    sleep(Duration::from_secs(1)).await;
    let long = "x".repeat(2_000);
    let first = timeout(Duration::from_secs(1), run.signal(answer(1, long.into()))).await;
    assert!(first.is_err(), "there is no room for it");
    let other = run.signal(answer(1, "y".into())).await.unwrap_err();
    assert_eq!(other.code(), "already_answered", "the first one counts from the moment it came");
    let releases = tokio::spawn({
        let store = store.clone();
        async move {
            for seq in 1..1_000 {
                store.release(seq, false);
                sleep(Duration::from_millis(10)).await;
            }
        }
    });
    let told = told(&run).await;
    releases.abort();
    assert_eq!(told.ended(), "completed");
    assert_eq!(told.data("answered"), [json!(2_000)]);
    assert_eq!(told.data("approval_answer").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_refuses_a_question_or_its_answer_fails_the_run() {
    for refused in [EventType::APPROVAL, EventType::APPROVAL_ANSWER] {
        let refuses = refused.clone();
        let store = Judged::new(move |entries: &[Arc<Entry>]| {
            if has(entries, &refuses) {
                Err::<Appended, StoreError>(unavailable())
            } else {
                Ok(Appended::Durable)
            }
        });
        let run = start(&engine_on(asks(question()), store)).await;
        if refused == EventType::APPROVAL_ANSWER {
            open(&run, 1).await;
            let signalled = run.signal(answer(1, json!({"verdict": "publish"}))).await;
            assert_eq!(signalled, Err(ControlError::Unavailable));
        }
        let told = told(&run).await;
        assert_eq!(told.ended(), "failed: store_unavailable", "{refused}");
        assert_eq!(told.data("approval_answer").len(), 0);
        assert_eq!(run.waiting(), []);
    }
}
