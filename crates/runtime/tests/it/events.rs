//! Events: which a node emits, how they travel, and in which order.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use streamnest_core::{Delivery, Event, EventType, Priority};
use streamnest_log::LogOptions;
use streamnest_runtime::{
    Emit, EngineOptions, EventFilter, EventOptions, NodeContext, NodeKind, NodeResult, TokenOptions,
};
use tokio::time::sleep;

use crate::support::{BoardUpdate, Definition, Told, engine_with, memory, play, registry, run, start, told};

fn options() -> EventOptions {
    EventOptions::default()
}

fn only(types: &[EventType]) -> EventOptions {
    options().with_events(types.to_vec())
}

/// A tool that emits one event of each kind and changes the state.
fn speaks(
    annotate: impl FnOnce(
        streamnest_runtime::NodeBuilder<crate::support::Play>,
    ) -> streamnest_runtime::NodeBuilder<crate::support::Play>,
) -> Definition {
    play(
        |node| annotate(node.kind(NodeKind::Tool)),
        |ctx| async move {
            ctx.token("t").await;
            ctx.progress(1, 2).await;
            ctx.emit("mine", json!({"n": 1})).await?;
            ctx.emit("warning", "careful").await?;
            ctx.emit("debug", "details").await?;
            ctx.emit_with(Emit::new("whisper", json!(1)).priority(Priority::Low)).await?;
            Ok(BoardUpdate::text("new"))
        },
    )
}

/// What the node said, without the workflow and the statuses.
fn of_node(told: &Told) -> Vec<String> {
    told.events().filter(|event| event.node().is_some()).map(|event| event.event_type().to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_node_emits_what_its_events_list_and_what_its_filter_lets_pass() {
    let life = ["node_start", "tool_start"];
    let all = [
        "node_start",
        "tool_start",
        "mine",
        "warning",
        "whisper",
        "tool_complete",
        "updates",
        "values",
        "node_complete",
    ];
    let without = |types: &[&str]| all.iter().copied().filter(|t| !types.contains(t)).collect::<Vec<_>>();
    let filter = EventFilter::default;
    for (options, expected) in [
        (None, without(&["values"])),
        (Some(options()), all.to_vec()),
        (Some(options().with_enabled(false)), vec![]),
        (Some(only(&[])), vec![]),
        (Some(only(&[EventType::UPDATES])), vec!["updates"]),
        (Some(only(&[EventType::VALUES, EventType::TOOL_START])), vec!["tool_start", "values"]),
        (Some(only(&[EventType::EVENTS])), without(&["updates", "values"])),
        (Some(only(&[EventType::CUSTOM])), vec!["mine", "whisper"]),
        (Some(only(&[EventType::new("mine").unwrap()])), vec!["mine"]),
        (Some(only(&[EventType::TOKEN])), vec!["token"]),
        (Some(only(&[EventType::PROGRESS])), vec!["progress", "progress"]),
        (
            Some(
                options()
                    .with_filter(filter().with_event_types(vec![EventType::NODE_START, EventType::CUSTOM])),
            ),
            vec!["node_start", "mine", "whisper"],
        ),
        (
            Some(options().with_filter(filter().with_exclude_types(vec![EventType::CUSTOM]))),
            without(&["mine", "whisper"]),
        ),
        (
            Some(options().with_filter(filter().with_exclude_types(vec![EventType::EVENTS]))),
            vec!["updates", "values"],
        ),
        (Some(options().with_filter(filter().with_min_priority(Priority::High))), vec!["warning"]),
        (Some(options().with_filter(filter().with_min_priority(Priority::Medium))), without(&["whisper"])),
        (
            Some(options().with_filter(filter().with_include_debug(true))),
            [
                &life[..],
                &[
                    "mine",
                    "warning",
                    "debug",
                    "whisper",
                    "tool_complete",
                    "updates",
                    "values",
                    "node_complete",
                ],
            ]
            .concat(),
        ),
    ] {
        let note = format!("{options:?}");
        let told = run(speaks(|node| match options {
            Some(options) => node.stream_event(options),
            None => node,
        }))
        .await;
        assert_eq!(of_node(&told), expected, "{note}");
    }
    // `values` of the workflow adds them to every node.
    let told = run(speaks(|node| node).values(true)).await;
    assert_eq!(of_node(&told), all);
    assert_eq!(told.data("values"), [json!({"prompt": null, "text": "new", "count": 0})]);
    assert_eq!(told.data("updates"), [json!({"text": "new"})]);
}

#[tokio::test(start_paused = true)]
async fn models_and_tools_have_events_around_their_body() {
    for (kind, around) in [
        (NodeKind::Llm, vec!["llm_start", "llm_complete"]),
        (NodeKind::Tool, vec!["tool_start", "tool_complete"]),
        (NodeKind::Standard, vec![]),
        (NodeKind::Task, vec![]),
        (NodeKind::Stream, vec![]),
    ] {
        let told = run(play(|node| node.kind(kind), |_| async { Ok(()) })).await;
        assert_eq!(told.said(), around, "{kind:?}");
        assert_eq!(told.data("node_start"), [json!({"kind": kind.as_str(), "visit": 1, "attempt": 1})]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_transformer_changes_what_an_event_says_and_not_what_it_is() {
    fn sign(event: Event) -> Event {
        let mut data = event.as_data().unwrap().unwrap();
        let event_type = event.event_type().clone();
        match event_type.as_str() {
            // Tries to become something else.
            "runaway" => return Event::named(None, event_type, &data),
            "forger" => return Event::named(event.node().cloned(), EventType::STATUS, &data),
            "retrier" => return Event::named(event.node().cloned(), EventType::NODE_RETRY, &data),
            _ => {}
        }
        if let Some(fields) = data.as_object_mut() {
            fields.insert("signed".into(), true.into());
        }
        Event::named(event.node().cloned(), event_type, &data)
    }
    let told = run(play(
        |node| node.stream_event(options().with_transformer(sign).with_delivery(Delivery::AtMostOnce)),
        |ctx| async move {
            ctx.emit("mine", json!({"n": 1})).await?;
            ctx.emit("runaway", json!({})).await?;
            ctx.emit("forger", json!({})).await?;
            ctx.emit("retrier", json!({})).await?;
            Ok(())
        },
    ))
    .await;
    assert_eq!(told.data("mine"), [json!({"n": 1, "signed": true})]);
    assert_eq!(
        told.data("node_start"),
        [json!({"kind": "standard", "visit": 1, "attempt": 1, "signed": true})]
    );
    for stayed in ["runaway", "forger", "retrier"] {
        assert_eq!(told.data(stayed), [json!({})], "{stayed}");
    }
    let mine = told.events().filter(|event| event.node().is_some());
    assert!(mine.map(Event::delivery).all(|delivery| delivery == Delivery::AtMostOnce));
}

#[tokio::test(start_paused = true)]
async fn events_carry_the_delivery_of_their_node_and_keyed_ones_their_own() {
    for delivery in [Delivery::AtMostOnce, Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let told = run(play(
            |node| node.stream_event(options().with_delivery(delivery).with_transformer(|event| event)),
            |ctx| async move {
                ctx.emit("plain", ()).await?;
                ctx.emit_once("key", "keyed", ()).await?;
                Ok(())
            },
        ))
        .await;
        let of =
            |name: &str| told.events().find(|event| event.event_type().as_str() == name).map(Event::delivery);
        assert_eq!((of("plain"), of("keyed")), (Some(delivery), Some(Delivery::ExactlyOnce)));
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_events_and_progress_stand_in_the_order_in_which_they_were_said() {
    let told = run(play(
        |node| {
            let progress = streamnest_runtime::ProgressOptions::default()
                .with_granularity(streamnest_runtime::Granularity::Detailed);
            node.stream_token(TokenOptions::default()).stream_progress(progress).stream_event(options())
        },
        |ctx| async move {
            ctx.token("a").await;
            ctx.token("b").await;
            ctx.token("c").await;
            ctx.emit("one", ()).await?;
            ctx.emit("two", ()).await?;
            ctx.token("d").await;
            ctx.progress(1, 4).await;
            ctx.emit("three", ()).await?;
            ctx.token("e").await;
            ctx.emit_once("k", "four", ()).await?;
            ctx.progress(2, 4).await;
            Ok(())
        },
    ))
    .await;
    // What waits goes into the log before what is said after it.
    let said = told.said();
    let place = |word: &str| {
        said.iter().position(|said| said == word).unwrap_or_else(|| panic!("{word} in {said:?}"))
    };
    let order: Vec<_> =
        ["0 %", "`a`", "`bc`", "one", "two", "`d`", "25 %", "three", "`e`", "four", "50 %", "100 %"]
            .map(place)
            .into();
    assert!(order.is_sorted(), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_is_emitted_once_however_often_and_by_whom() {
    let emitted = Arc::new(AtomicUsize::new(0));
    let count = emitted.clone();
    let told = run(play(
        |node| node,
        move |ctx: NodeContext| {
            let count = count.clone();
            async move {
                for n in 0..50 {
                    let (ctx, count) = (ctx.clone(), count.clone());
                    ctx.clone().spawn(async move {
                        if n % 3 == 0 {
                            sleep(Duration::from_millis(n % 7)).await;
                        }
                        if ctx.emit_once("paid", "paid", json!({"n": n})).await.unwrap() {
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
                ctx.emit_once("other", "paid", json!({"n": "other"})).await?;
                Ok(())
            }
        },
    ))
    .await;
    assert_eq!(emitted.load(Ordering::SeqCst), 1);
    assert_eq!(told.data("paid").len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_event_was_refused_is_free_again_and_keys_are_bounded() {
    let logs = registry(memory(), LogOptions::default().with_max_event_bytes(1_024));
    let definition = play(
        |node| node.stream_event(only(&[EventType::new("yes").unwrap()])),
        |ctx: NodeContext| async move {
            let error = ctx.emit_once("k", "yes", "x".repeat(2_000)).await.unwrap_err();
            assert!(error.to_string().contains("over the limit of 1024 bytes"), "{error}");
            // A type that this node does not emit is not emitted, and takes no key.
            assert!(!ctx.emit_once("k", "no", ()).await?);
            assert!(ctx.emit_once("k", "yes", ()).await?);
            assert!(!ctx.emit_once("k", "yes", ()).await?);
            assert!(ctx.emit_once("l", "yes", ()).await?);
            let error = ctx.emit_once("m", "yes", ()).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "execution has used 2 `emit_once` keys, the limit of `EngineOptions::max_once_keys`"
            );
            Ok(())
        },
    );
    let engine = engine_with(definition, logs, EngineOptions::default().with_max_once_keys(2));
    let told = told(&start(&engine).await).await;
    assert_eq!((told.data("yes").len(), told.ended().as_str()), (2, "completed"));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_an_event_is_refused_with_the_reason() {
    let logs = registry(memory(), LogOptions::default().with_max_event_bytes(1_024));
    let definition = play(
        |node| node,
        |ctx: NodeContext| async move {
            for (event_type, reason) in [
                (
                    "token",
                    "event type `token` belongs to the framework; use `ctx.token`, `ctx.progress` or `ctx.ask`, or choose another name",
                ),
                (
                    "status",
                    "event type `status` belongs to the framework; use `ctx.token`, `ctx.progress` or `ctx.ask`, or choose another name",
                ),
                (
                    "progress",
                    "event type `progress` belongs to the framework; use `ctx.token`, `ctx.progress` or `ctx.ask`, or choose another name",
                ),
                ("", "event type has 0 characters, outside 1 to the limit of 64"),
                ("a\nb", "event type contains the control character '\\n'; use printable characters"),
            ] {
                assert_eq!(ctx.emit(event_type, ()).await.unwrap_err().to_string(), reason);
            }
            let error = ctx.emit("large", "x".repeat(2_000)).await.unwrap_err();
            assert!(
                error.to_string().starts_with("event is 2026 bytes, over the limit of 1024 bytes; raise"),
                "{error}"
            );
            let keys = std::collections::HashMap::from([(vec![1], 1)]);
            assert_eq!(ctx.emit("mine", keys).await.unwrap_err().to_string(), "key must be a string");
            Ok(BoardUpdate::text(&"y".repeat(2_000)))
        },
    );
    let engine = engine_with(definition, logs, EngineOptions::default());
    let told = told(&start(&engine).await).await;
    // What the engine itself says of a node is told to be left out; the result cannot be.
    assert_eq!(told.data("updates")[0]["omitted"], true);
    assert_eq!(told.data("updates")[0]["option"], "LogOptions::max_event_bytes");
    assert_eq!(told.ended(), "failed: result_too_large");
    assert_eq!(told.data("workflow_error")[0]["code"], "result_too_large");
}

#[tokio::test(start_paused = true)]
async fn a_transformer_that_makes_an_event_too_large_fails_the_call_and_not_the_log() {
    fn blow_up(event: Event) -> Event {
        let data = json!("z".repeat(4_000));
        Event::named(event.node().cloned(), event.event_type().clone(), &data)
    }
    let logs = registry(memory(), LogOptions::default().with_max_event_bytes(1_024));
    let definition = play(
        |node| node.stream_event(options().with_transformer(blow_up)),
        |ctx: NodeContext| async move {
            assert!(ctx.emit("mine", ()).await.is_err());
            Ok(())
        },
    );
    let engine = engine_with(definition, logs, EngineOptions::default());
    let told = told(&start(&engine).await).await;
    assert_eq!(told.data("node_start")[0]["omitted"], true);
    assert_eq!(told.ended(), "completed");
}

#[tokio::test(start_paused = true)]
async fn large_texts_of_failures_and_reasons_are_cut_and_the_run_ends_as_it_ended() {
    let small = || registry(memory(), LogOptions::default().with_max_event_bytes(1_024));
    let fails = play(
        |node| node,
        |_| async { Err::<(), _>(streamnest_runtime::NodeError::public("ä".repeat(50_000))) },
    );
    let failed = told(&start(&engine_with(fails, small(), EngineOptions::default())).await).await;
    assert_eq!(failed.ended(), "failed: node_failed");
    assert!(failed.end().error.unwrap().message.starts_with("äää"));
    let hangs = play(|node| node, |_| std::future::pending::<NodeResult<()>>());
    let engine = engine_with(hangs, small(), EngineOptions::default());
    let run = start(&engine).await;
    run.cancel(&"\u{1}".repeat(50_000)).await;
    assert_eq!(told(&run).await.ended(), "cancelled");
}
