//! Tokens: what waits for what, and what a frame carries.

mod batches;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use streamnest_core::TokenDelta;
use streamnest_log::{LogOptions, Read, ReadLimit, Start};
use streamnest_runtime::{
    EngineOptions, NodeBuilder, NodeContext, NodeError, NodeResult, TokenFilter, TokenFormat, TokenOptions,
    WorkflowBuilder,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::support::{
    Definition, Told, chaos, does, engine, engine_with, memory, play, registry, run, start, told,
};

fn options() -> TokenOptions {
    TokenOptions::default()
}

fn filtered(filter: TokenFilter) -> TokenOptions {
    options().with_buffer_size(1).with_filter(filter)
}

/// A node that says `tokens` one after the other.
fn says(options: TokenOptions, tokens: &'static [&'static str]) -> Definition {
    play(
        |node| node.stream_token(options),
        move |ctx| async move {
            for token in tokens {
                ctx.token(*token).await;
            }
            Ok(())
        },
    )
}

/// Content, index, count and filtered of each frame.
fn frames(told: &Told) -> Vec<(String, u64, u32, u64)> {
    told.tokens().into_iter().map(|token| (token.content, token.index, token.count, token.filtered)).collect()
}

fn frame(content: &str, index: u64, count: u32, filtered: u64) -> (String, u64, u32, u64) {
    (content.into(), index, count, filtered)
}

#[tokio::test(start_paused = true)]
async fn the_first_token_is_read_while_the_node_is_held_open() {
    let gate = Arc::new(Notify::new());
    let held = gate.clone();
    let engine = engine(play(
        |node| {
            node.stream_token(options().with_buffer_size(50).with_flush_interval(Duration::from_secs(3600)))
        },
        move |ctx| {
            let gate = held.clone();
            async move {
                ctx.token("first").await;
                gate.notified().await;
                ctx.token(" second").await;
                Ok(())
            }
        },
    ));
    let run = start(&engine).await;
    let mut cursor = run.log().cursor(Start::Beginning);
    let began = Instant::now();
    let mut words = Vec::new();
    while !words.contains(&"token".to_owned()) {
        let Some(Read::Batch(batch)) = cursor.next_batch(ReadLimit::default()).await.unwrap() else {
            panic!()
        };
        words.extend(batch.iter().map(|entry| entry.event().event_type().to_string()));
    }
    assert_eq!(words, ["status", "workflow_start", "node_start", "token"]);
    assert_eq!(began.elapsed(), Duration::ZERO);
    gate.notify_one();
    assert_eq!(told(&run).await.text(), "first second");
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_said_when_the_node_returns_fails_panics_times_out_or_is_cancelled() {
    let slow = || options().with_flush_interval(Duration::from_secs(3600));
    async fn five(ctx: &NodeContext) {
        for token in ["one ", "two ", "three ", "four ", "five"] {
            ctx.token(token).await;
        }
    }
    let whole = "one two three four five";
    let returns = play(
        |node| node.stream_token(slow()),
        |ctx| async move {
            five(&ctx).await;
            Ok(())
        },
    );
    let fails = play(
        |node| node.stream_token(slow()),
        |ctx| async move {
            five(&ctx).await;
            Err::<(), _>(NodeError::public("on purpose"))
        },
    );
    let panics = play(
        |node| node.stream_token(slow()),
        |ctx| async move {
            five(&ctx).await;
            if ctx.visit() == 1 {
                panic!("on purpose");
            }
            Ok(())
        },
    );
    let hangs = |ctx: NodeContext| async move {
        five(&ctx).await;
        std::future::pending::<NodeResult<()>>().await
    };
    let late = play(|node| node.stream_token(slow()).timeout(Duration::from_secs(9)), hangs);
    let late_workflow = play(|node| node.stream_token(slow()), hangs).timeout(Duration::from_secs(9));
    for (definition, ended) in [
        (returns, "completed"),
        (fails, "failed: node_failed"),
        (panics, "failed: node_panicked"),
        (late, "failed: node_timeout"),
        (late_workflow, "failed: workflow_timeout"),
    ] {
        let told = run(definition).await;
        assert_eq!((told.text().as_str(), told.ended().as_str()), (whole, ended));
    }
    let engine = engine(play(|node| node.stream_token(slow()), hangs));
    let run = start(&engine).await;
    sleep(Duration::from_secs(1)).await;
    run.cancel("on purpose").await;
    let told = told(&run).await;
    assert_eq!((told.text().as_str(), told.ended().as_str()), (whole, "cancelled"));
    assert_eq!(told.end().reason.as_deref(), Some("on purpose"));
}

#[tokio::test(start_paused = true)]
async fn frames_join_at_most_batch_size_tokens() {
    let tokens = &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let told = run(says(options().with_buffer_size(7).with_batch_size(3), tokens)).await;
    assert_eq!(
        frames(&told),
        [
            frame("0", 0, 1, 0),
            frame("123", 1, 3, 0),
            frame("456", 4, 3, 0),
            frame("7", 7, 1, 0),
            frame("89", 8, 2, 0)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_engine_says_the_buffer_size_and_the_node_may_override_it() {
    let said = |options: TokenOptions, set: Option<usize>| {
        play(
            |node| node.stream_token(options.with_batch_size(100)),
            move |ctx| async move {
                if let Some(size) = set {
                    ctx.set_buffer_size(size);
                }
                for n in 0..9 {
                    ctx.token(n.to_string()).await;
                }
                Ok(())
            },
        )
    };
    for (options, set, frames) in [
        (options(), None, vec!["0", "1234", "5678"]),
        (options().with_buffer_size(2), None, vec!["0", "12", "34", "56", "78"]),
        (options().with_buffer_size(2), Some(8), vec!["0", "12345678"]),
        (options(), Some(0), vec!["0", "1", "2", "3", "4", "5", "6", "7", "8"]),
    ] {
        let engine = engine_with(
            said(options, set),
            registry(memory(), LogOptions::default()),
            EngineOptions::default().with_default_buffer_size(4),
        );
        assert_eq!(told(&start(&engine).await).await.frames(), frames);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_stream_tokens_runs_all_the_same() {
    for definition in [
        says(options().with_enabled(false), &["a", "b"]),
        play(
            |node| node,
            |ctx| async move {
                ctx.token("a").await;
                Ok(())
            },
        ),
    ] {
        let told = run(definition).await;
        assert_eq!((told.text().as_str(), told.ended().as_str()), ("", "completed"));
    }
    let silent = says(options(), &["a", "b"]).streaming(false);
    assert_eq!(run(silent).await.words(), ["running", "completed"]);
}

#[tokio::test(start_paused = true)]
async fn filters_drop_tokens_and_say_how_many() {
    let tokens = &["a", "bbb", "cc", "dddd", "c1", "e"];
    let told = run(says(filtered(TokenFilter::default().with_min_length(2)), tokens)).await;
    assert_eq!(
        frames(&told),
        [
            frame("bbb", 1, 1, 1),
            frame("cc", 2, 1, 0),
            frame("dddd", 3, 1, 0),
            frame("c1", 4, 1, 0),
            frame("", 6, 0, 1)
        ]
    );
    let told = run(says(filtered(TokenFilter::default().with_max_length(2)), tokens)).await;
    assert_eq!(
        frames(&told),
        [frame("a", 0, 1, 0), frame("cc", 2, 1, 1), frame("c1", 4, 1, 1), frame("e", 5, 1, 0)]
    );
    // A pattern is looked for anywhere, and for every token anew.
    let told = run(says(filtered(TokenFilter::default().with_pattern("c")), tokens)).await;
    assert_eq!(frames(&told), [frame("cc", 2, 1, 2), frame("c1", 4, 1, 1), frame("", 6, 0, 1)]);
    // Characters are counted, not bytes.
    let told = run(says(filtered(TokenFilter::default().with_max_length(2)), &["äöü", "äö"])).await;
    assert_eq!(frames(&told), [frame("äö", 1, 1, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_blank_travels_with_the_next_token_and_a_last_one_alone() {
    let filter = || TokenFilter::default().with_exclude_whitespace(true);
    let told = run(says(filtered(filter()), &["Hello", " ", "big", "\n", " ", "world", " "])).await;
    assert_eq!(
        frames(&told),
        [frame("Hello", 0, 1, 0), frame(" big", 1, 2, 0), frame("\n world", 3, 3, 0), frame(" ", 6, 1, 0)]
    );
    // What the blank was held for may be dropped itself.
    let told = run(says(filtered(filter().with_max_length(3)), &["a", " ", "long", "b"])).await;
    assert_eq!(frames(&told), [frame("a", 0, 1, 0), frame(" b", 1, 2, 1)]);
    // Blanks without an end are not held without a bound.
    let tokens: &'static [&'static str] = Box::leak(vec!["          "; 10_000].into_boxed_slice());
    let told = run(says(filtered(filter()), tokens)).await;
    assert_eq!(told.text().len(), 100_000);
    assert!((4..10).contains(&told.frames().len()), "a blank that fills a frame waits no longer");
}

#[tokio::test(start_paused = true)]
async fn the_processor_maps_every_token_on_every_path() {
    let shout = options()
        .with_processor(|text, token| format!("{}{}", text.to_uppercase(), token.index))
        .with_flush_interval(Duration::from_millis(10));
    // The first, by a full buffer, by the timer, by an event, by bytes, by a message, and at the end.
    let told = run(play(
        |node| node.stream_token(shout.with_buffer_size(2).with_batch_size(1)),
        |ctx| async move {
            for token in ["a", "b", "c", "d"] {
                ctx.token(token).await;
            }
            sleep(Duration::from_millis(20)).await;
            ctx.token("e").await;
            ctx.emit("mark", ()).await?;
            ctx.token_bytes(b"f").await;
            let message = ctx.message();
            message.token("x").await;
            message.token("y").await;
            message.finish().await;
            Ok(())
        },
    ))
    .await;
    assert_eq!(told.said(), ["`A0`", "`B1`", "`C2`", "`D3`", "`E4`", "mark", "`X0`", "`Y1`", "`F5`"]);
}

#[tokio::test(start_paused = true)]
async fn a_token_longer_than_an_event_is_cut_between_characters() {
    let logs = registry(memory(), LogOptions::default().with_max_event_bytes(1_024));
    let long = "日本語の文章\u{1}\"\\".repeat(100);
    let said = long.clone();
    let definition = play(
        |node| node.stream_token(options().with_buffer_size(1)),
        move |ctx| {
            let said = said.clone();
            async move {
                ctx.token("a").await;
                ctx.token(said).await;
                ctx.token("z").await;
                Ok(())
            }
        },
    );
    let engine = engine_with(definition, logs, EngineOptions::default());
    let told = told(&start(&engine).await).await;
    assert_eq!(told.text(), format!("a{long}z"));
    assert!(told.events().all(|event| event.payload().len() <= 1_024));
    let counts: u32 = told.tokens().iter().map(|token| token.count).sum();
    assert_eq!((counts, told.ended().as_str()), (3, "completed"));
    assert_eq!(told.tokens().last().map(|token| token.index), Some(2));
}

#[tokio::test(start_paused = true)]
async fn what_a_model_says_beside_the_text_travels_only_by_its_option() {
    let speak = |options: TokenOptions| {
        play(
            |node| node.stream_token(options.with_buffer_size(10)),
            |ctx| async move {
                let delta = |content: &str, kind: Option<&str>, source: &str| TokenDelta {
                    content: content.into(),
                    kind: kind.map(Into::into),
                    logprob: Some(-0.5),
                    metadata: json!({"source": source}).as_object().cloned(),
                };
                ctx.token(delta("a", None, "x")).await;
                ctx.token(delta("b", Some("reasoning"), "x")).await;
                ctx.token(delta("c", Some("reasoning"), "x")).await;
                ctx.token(delta("d", None, "x")).await;
                ctx.token(delta("e", None, "y")).await;
                Ok(())
            },
        )
    };
    let told = run(speak(options())).await;
    assert_eq!(told.frames(), ["a", "bcde"]);
    assert!(told.tokens().iter().all(|t| (&t.kind, &t.logprob, &t.metadata) == (&None, &None, &None)));

    let told = run(speak(options().with_format(TokenFormat::Structured))).await;
    let structured: Vec<_> =
        told.tokens().into_iter().map(|t| (t.content, t.kind, t.logprob, t.metadata)).collect();
    let reasoning = Some("reasoning".to_owned());
    assert_eq!(
        structured,
        [
            ("a".into(), None, Some(-0.5), None),
            ("bc".into(), reasoning, Some(-1.0), None),
            ("de".into(), None, Some(-1.0), None)
        ]
    );

    let told = run(speak(options().with_include_metadata(true))).await;
    let source = |source: &str| json!({"source": source}).as_object().cloned();
    let with: Vec<_> = told.tokens().into_iter().map(|t| (t.content, t.kind, t.metadata)).collect();
    assert_eq!(
        with,
        [("a".into(), None, source("x")), ("bcd".into(), None, source("x")), ("e".into(), None, source("y"))]
    );
}

#[tokio::test(start_paused = true)]
async fn json_gives_the_value_so_far_at_most_every_200_ms_and_at_the_end() {
    let text = r#"{"items": ["one", "two", "three"], "done": true}"#;
    let answer = move |cut: usize| {
        play(
            |node| node.stream_token(options().with_buffer_size(1).with_format(TokenFormat::Json)),
            move |ctx| async move {
                for character in text[..cut].chars() {
                    ctx.token(character.to_string()).await;
                    sleep(Duration::from_millis(30)).await;
                }
                Ok(())
            },
        )
    };
    let told = run(answer(text.len())).await;
    let tokens = told.tokens();
    let values: Vec<_> = tokens.iter().filter_map(|token| token.value.clone()).collect();
    // 48 characters at 30 ms take 1,440 ms: eight values on the way at most, and the last.
    assert!((6..=9).contains(&values.len()), "{values:?}");
    assert_eq!(values[0], json!({}));
    assert!(values.contains(&json!({"items": ["one", "two", "thr"]})), "{values:?}");
    assert_eq!(values.last(), Some(&json!({"items": ["one", "two", "three"], "done": true})));
    assert_eq!(tokens.last().and_then(|token| token.complete), Some(true));
    assert_eq!(told.text(), text);
    // An answer that broke off says so.
    let told = run(answer(text.len() - 5)).await;
    assert_eq!(told.tokens().last().and_then(|token| token.complete), Some(false));
    // Each message has a value of its own.
    let told = run(play(
        |node| node.stream_token(options().with_format(TokenFormat::Json)),
        |ctx| async move {
            let (first, second) = (ctx.message(), ctx.message());
            first.token("[1,").await;
            second.token("{\"a\":").await;
            // Only the first has something to say when the event flushes both, and both are due for a value.
            sleep(Duration::from_millis(300)).await;
            first.token("2]").await;
            ctx.emit("mark", ()).await?;
            second.token("3}").await;
            first.finish().await;
            second.finish().await;
            Ok(())
        },
    ))
    .await;
    let last: Vec<_> = ["m1", "m2"].map(|id| told.tokens_of(id.into()).pop().unwrap().value.unwrap()).into();
    assert_eq!(last, [json!([1, 2]), json!({"a": 3})]);
    let values: Vec<_> = told.tokens_of("m1".into()).into_iter().filter_map(|token| token.value).collect();
    assert_eq!(values, [json!([1]), json!([1, 2]), json!([1, 2])]);
}

#[tokio::test(start_paused = true)]
async fn loops_and_messages_at_once_keep_their_texts_apart() {
    let speak = |ctx: NodeContext| async move {
        let say = |message: streamnest_runtime::Message, word: &'static str| async move {
            for n in 0..20_u64 {
                message.token(format!("{word}{n} ")).await;
                sleep(Duration::from_millis(7 + n % 3)).await;
            }
            message.finish().await;
        };
        tokio::join!(say(ctx.message(), "a"), say(ctx.message(), "b"));
        Ok(streamnest_runtime::Goto::to(if ctx.visit() < 3 { "node" } else { "last" }))
    };
    let node = NodeBuilder::new("node")
        .start()
        .stream_token(options().with_buffer_size(3))
        .routes(&["node", "last"], false);
    let node = node.run(move |_, _, ctx| async move {
        speak(ctx).await as NodeResult<streamnest_runtime::Goto<crate::support::BoardUpdate>>
    });
    let last = does(NodeBuilder::new("last").after("node").stream_token(options()), |ctx| async move {
        ctx.token("end").await;
        Ok(())
    });
    let told = run(WorkflowBuilder::new("play").node(node).node(last)).await;
    let whole = |word: &str| (0..20).map(|n| format!("{word}{n} ")).collect::<String>();
    let texts: Vec<_> = told
        .messages()
        .into_iter()
        .map(|id| {
            let tokens = told.tokens_of(id);
            let visits: std::collections::BTreeSet<_> = tokens.iter().map(|token| token.visit).collect();
            assert_eq!(visits.len(), 1, "a message belongs to one visit");
            (
                visits.into_iter().next().unwrap(),
                tokens.into_iter().map(|token| token.content).collect::<String>(),
            )
        })
        .collect();
    let expected: Vec<_> = (1..=3).flat_map(|visit| [(visit, whole("a")), (visit, whole("b"))]).collect();
    assert_eq!(texts, [expected, vec![(1, "end".into())]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_dropped_keeps_its_text_and_a_visit_that_is_over_says_and_starts_nothing() {
    let (done, started) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (tells, starts) = (done.clone(), started.clone());
    let told = run(play(
        |node| node.stream_token(options()),
        move |ctx| {
            let (done, started) = (tells.clone(), starts.clone());
            async move {
                let message = ctx.message();
                message.token("a").await;
                message.token("b").await;
                drop(message);
                let leaked = ctx.clone();
                tokio::spawn(async move {
                    sleep(Duration::from_millis(50)).await;
                    leaked.token("too late").await;
                    leaked.message().token("also").await;
                    let emitted = leaked.emit("late", ()).await;
                    leaked.progress(1, 2).await;
                    let task = leaked.spawn(async move { started.store(true, Ordering::SeqCst) });
                    sleep(Duration::from_millis(50)).await;
                    if emitted.is_ok() && task.is_finished() {
                        done.notify_one();
                    }
                });
                ctx.token("by hand").await;
                Ok(())
            }
        },
    ))
    .await;
    assert_eq!(told.frames(), ["a", "b", "by hand"]);
    timeout(Duration::from_secs(1), done.notified())
        .await
        .expect("late calls return, and late tasks are finished");
    assert!(!started.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn bytes_may_be_split_anywhere_and_wrong_ones_are_replaced() {
    let text = "grüße, 世界 🦀!";
    let bytes: Vec<u8> =
        [text.as_bytes(), &[0xFF, 0xE2, 0x82, b'x', 0xF0, 0x9F], "€".as_bytes(), &[0xE2]].concat();
    let expected = String::from_utf8_lossy(&bytes).into_owned();
    let most = if chaos() { bytes.len() } else { 4 };
    for size in 1..=most {
        let bytes = bytes.clone();
        let told = run(play(
            |node| node.stream_token(options().with_buffer_size(1)),
            move |ctx| {
                let bytes = bytes.clone();
                async move {
                    for piece in bytes.chunks(size) {
                        ctx.token_bytes(piece).await;
                    }
                    Ok(())
                }
            },
        ))
        .await;
        assert_eq!(told.text(), expected, "in pieces of {size}");
    }
}

#[tokio::test]
async fn a_node_that_only_streams_lets_others_run_and_can_be_cancelled() {
    // One thread: without a pause in `token` nothing else would ever run.
    let engine = engine(play(
        |node| node.stream_token(options().with_buffer_size(1)),
        |ctx| async move {
            loop {
                ctx.token("x").await;
            }
            #[expect(unreachable_code, reason = "it gives the body its type")]
            Ok(())
        },
    ));
    let run = start(&engine).await;
    run.log().cursor(Start::Beginning).next_batch(ReadLimit::default()).await.unwrap();
    timeout(Duration::from_secs(20), run.cancel("enough")).await.unwrap();
    assert_eq!(told(&run).await.ended(), "cancelled");
}
