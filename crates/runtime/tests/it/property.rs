//! Whatever the options, the split and the end: what went in came out, byte for byte.

use std::{sync::Arc, time::Duration};

use streamnest_core::TokenDelta;
use streamnest_log::LogOptions;
use streamnest_runtime::{
    EngineOptions, NodeContext, NodeError, NodeResult, TokenFilter, TokenFormat, TokenOptions,
};
use tokio::time::sleep;

use crate::support::{Random, cases, chaos, engine_with, memory, play, registry, start, told};

/// One thing that a node does.
#[derive(Clone, Debug)]
enum Act {
    Text(String),
    Bytes(Vec<u8>),
    Pause(Duration),
    Emit,
    Progress(u64),
}

/// How a node ends, after all acts or after some.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Return,
    Fail,
    Panic,
    Cancel,
    Timeout,
}

const PIECES: &[&str] = &[
    "",
    " ",
    "\n\t",
    "a",
    "Hello",
    " world",
    "grüße",
    "日本語",
    "🦀",
    "\u{1}\"\\",
    "{\"a\":1}",
    "é",
    "\u{200b}x",
    "\u{3000}",
];

fn text(random: &mut Random) -> String {
    (0..=random.below(3)).map(|_| *random.pick(PIECES)).collect()
}

fn acts(random: &mut Random) -> Vec<Act> {
    let mut acts = Vec::new();
    for _ in 0..random.below(40) {
        match random.below(10) {
            0..6 => acts.push(Act::Text(text(random))),
            6 => {
                // A text as it comes from a socket: cut anywhere, also within a character.
                let bytes = (0..5).map(|_| text(random)).collect::<String>().into_bytes();
                let size = 1 + random.below(7) as usize;
                acts.extend(bytes.chunks(size).map(|piece| Act::Bytes(piece.to_vec())));
            }
            7 => acts.push(Act::Pause(Duration::from_millis(random.below(120)))),
            8 => acts.push(Act::Emit),
            _ => acts.push(Act::Progress(random.below(100))),
        }
    }
    if random.one_in(20) {
        acts.push(Act::Text(text(random).repeat(200)));
    }
    acts
}

fn options(random: &mut Random) -> TokenOptions {
    let upper: fn(&str, &streamnest_runtime::TokenMetadata) -> String = |text, _| text.to_uppercase();
    let mut options = TokenOptions::default()
        .with_buffer_size(1 + random.below(60) as usize)
        .with_batch_size(1 + random.below(15) as usize)
        .with_flush_interval(*random.pick(&[
            Duration::ZERO,
            Duration::from_millis(1),
            Duration::from_millis(40),
            Duration::from_secs(5),
            Duration::MAX,
        ]))
        .with_format(*random.pick(&[TokenFormat::Text, TokenFormat::Json, TokenFormat::Structured]))
        .with_include_metadata(random.one_in(2))
        .with_filter(TokenFilter::default().with_exclude_whitespace(random.one_in(2)));
    if random.one_in(3) {
        options = options.with_processor(upper);
    }
    options
}

/// What the acts say; whether it ends within a character.
fn said(acts: &[Act]) -> String {
    let bytes = acts.iter().flat_map(|act| match act {
        Act::Text(text) => text.as_bytes().to_vec(),
        Act::Bytes(bytes) => bytes.clone(),
        _ => Vec::new(),
    });
    String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
}

async fn perform(ctx: &NodeContext, acts: &[Act]) -> NodeResult<()> {
    for act in acts {
        match act {
            Act::Text(text) => {
                let metadata = serde_json::json!({"length": text.len()}).as_object().cloned();
                let logprob = Some(-0.25);
                ctx.token(TokenDelta { content: text.clone(), kind: None, logprob, metadata }).await;
            }
            Act::Bytes(bytes) => ctx.token_bytes(bytes).await,
            Act::Pause(pause) => sleep(*pause).await,
            Act::Emit => ctx.emit("mark", ()).await?,
            Act::Progress(current) => ctx.progress(*current, 100).await,
        }
    }
    Ok(())
}

async fn what_went_in_came_out(seed: u64) {
    let mut random = Random::from_seed(seed);
    let (options, mut acts) = (options(&mut random), acts(&mut random));
    let end = *random.pick(&[End::Return, End::Fail, End::Panic, End::Cancel, End::Timeout]);
    if end != End::Return {
        acts.truncate(random.below(acts.len() as u64 + 1) as usize);
    }
    // A cancel at some time within the run leaves a beginning of the text; one that comes after the last act, all of it.
    let cancel_at = Duration::from_millis(random.below(1_000));
    let whole_cancel = random.one_in(2);
    let in_task = random.one_in(4);
    let note = format!("{options:?} {acts:?} {end:?}");
    let upper = options.processor.is_some();
    let (exclude_whitespace, batch_size) = (options.filter.exclude_whitespace, options.batch_size);
    let script = Arc::new(acts.clone());
    let definition = play(
        |node| {
            let node = node.stream_token(options);
            if end == End::Timeout { node.timeout(Duration::from_secs(1000)) } else { node }
        },
        move |ctx: NodeContext| {
            let script = script.clone();
            async move {
                if in_task {
                    let (inner, script) = (ctx.clone(), script.clone());
                    let (tx, rx) = tokio::sync::oneshot::channel();
                    ctx.spawn(async move {
                        let _ = tx.send(perform(&inner, &script).await);
                    });
                    rx.await??;
                } else {
                    perform(&ctx, &script).await?;
                }
                match end {
                    End::Return => Ok(()),
                    End::Fail => Err(NodeError::public("on purpose")),
                    End::Panic => panic!("on purpose"),
                    End::Cancel | End::Timeout => std::future::pending().await,
                }
            }
        },
    );
    let logs = registry(memory(), LogOptions::default().with_max_event_bytes(2_048));
    let run = start(&engine_with(definition, logs, EngineOptions::default())).await;
    if end == End::Cancel {
        sleep(if whole_cancel { Duration::from_secs(60) } else { cancel_at }).await;
        run.cancel("on purpose").await;
    }
    let told = told(&run).await;
    let expected = match end {
        End::Return => "completed",
        End::Fail => "failed: node_failed",
        End::Panic => "failed: node_panicked",
        End::Cancel => "cancelled",
        End::Timeout => "failed: node_timeout",
    };
    assert_eq!(told.ended(), expected, "{note}");
    let mut whole = said(&acts);
    let mut text = told.text();
    if upper {
        // A token is mapped as a whole, so that only what does not look at its neighbours is compared.
        (whole, text) = (whole.to_uppercase(), text.to_uppercase());
    }
    if end == End::Cancel && !whole_cancel {
        // It may have been cut within a character, of which the beginning is replaced then.
        let text = text.strip_suffix('\u{fffd}').unwrap_or(&text);
        assert!(whole.starts_with(text), "{text:?} does not begin {whole:?}\n{note}");
    } else {
        assert_eq!(text, whole, "{note}");
        let tokens = told.tokens();
        assert_eq!(tokens.iter().map(|token| token.filtered).sum::<u64>(), 0, "{note}");
    }
    // The count of a frame is over the batch size only where blanks travel with their word.
    for token in told.tokens() {
        let over = token.count as usize > batch_size;
        assert!(!over || exclude_whitespace, "{token:?}\n{note}");
    }
    assert!(told.events().all(|event| event.payload().len() <= 2_048), "{note}");
    // The first token does not wait: its frame is the first thing that the node's body says.
    if let Some(first) = told.tokens().first() {
        assert!(first.count == 1 || exclude_whitespace, "{first:?}\n{note}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_went_in_came_out_for_every_option_split_and_end() {
    std::panic::set_hook(Box::new(|panic| {
        // A thousand panics on purpose are no news.
        let message = panic.payload().downcast_ref::<&str>().copied().unwrap_or_default();
        if message != "on purpose" {
            eprintln!("{panic}");
        }
    }));
    cases(if chaos() { 50_000 } else { 1_000 }, what_went_in_came_out).await;
}
