//! Models that are called inside a node stream by themselves.

use std::time::Duration;

use streamnest_core::{Scope, ScopeExt as _};
use streamnest_models::{ChatModelExt as _, Script, ScriptedModel};
use streamnest_runtime::{NodeContext, NodeKind, NodeResult, TokenFormat, TokenOptions};
use tokio::time::sleep;

use crate::support::{BoardUpdate, Definition, Told, engine, play, run, start, told};

/// The tests of this file must not hear of each other's calls without a scope, which concern every node of the process.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn calls<Fut>(body: impl Fn(NodeContext) -> Fut + Send + Sync + 'static) -> Definition
where
    Fut: Future<Output = NodeResult<()>> + Send + 'static,
{
    play(|node| node.stream_token(TokenOptions::default().with_buffer_size(1)), body)
}

fn model(answers: &[&str]) -> ScriptedModel {
    answers.iter().fold(ScriptedModel::new(), |model, answer| model.answer(answer))
}

fn warnings(told: &Told) -> usize {
    told.data("warning").iter().filter(|data| data["code"] == "scope_lost").count()
}

#[tokio::test(start_paused = true)]
async fn a_model_called_in_a_node_streams_without_a_line_of_plumbing() {
    let _alone = ALONE.lock().await;
    let model =
        ScriptedModel::new().script(Script::new().reasoning("Hm.").text("Fine weather today.").usage(5, 4));
    let told = run(play(
        |node| {
            let options = TokenOptions::default().with_buffer_size(1).with_format(TokenFormat::Structured);
            node.kind(NodeKind::Llm).stream_token(options)
        },
        move |_| {
            let model = model.clone();
            async move { Ok(BoardUpdate::text(&model.generate("How is it?").await?.text)) }
        },
    ))
    .await;
    let frames: Vec<_> =
        told.tokens().into_iter().map(|token| (token.content, token.kind, token.role)).collect();
    let assistant = Some("assistant".to_owned());
    assert_eq!(frames[0], ("Hm.".into(), Some("reasoning".into()), assistant.clone()));
    assert_eq!(frames[1], ("Fine".into(), None, assistant));
    let text: String = frames[1..].iter().map(|(content, ..)| content.as_str()).collect();
    assert_eq!(text, "Fine weather today.");
    assert!(told.end().result.unwrap()["text"].as_str().unwrap().ends_with("Fine weather today."));
    let usage = &told.data("llm_complete")[0]["usage"];
    assert_eq!(
        (&usage["inputTokens"], &usage["outputTokens"], &usage["estimated"]),
        (&5.into(), &4.into(), &false.into())
    );
    assert_eq!(warnings(&told), 0);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_tells_no_usage_has_none() {
    let _alone = ALONE.lock().await;
    let told = run(play(
        |node| node.kind(NodeKind::Llm),
        |_| async { Ok(model(&["x"]).generate("?").await.map(drop)?) },
    ))
    .await;
    assert_eq!(told.data("llm_complete"), [serde_json::json!({"visit": 1, "attempt": 1})]);
}

#[tokio::test(start_paused = true)]
async fn two_calls_at_once_keep_their_answers_apart() {
    let _alone = ALONE.lock().await;
    let pace = |text: &'static str, ms: u64| {
        Script::new().paced(Duration::from_millis(ms), text.split_inclusive(' '))
    };
    let model =
        ScriptedModel::new().script(pace("one two three four", 10)).script(pace("eins zwei drei vier", 7));
    let told = run(calls(move |_| {
        let model = model.clone();
        async move {
            let (first, second) = tokio::join!(model.generate("a"), model.generate("b"));
            assert_eq!(
                (first?.text.as_str(), second?.text.as_str()),
                ("one two three four", "eins zwei drei vier")
            );
            Ok(())
        }
    }))
    .await;
    let mut texts: Vec<String> = told
        .messages()
        .into_iter()
        .map(|id| told.tokens_of(id).into_iter().map(|token| token.content).collect())
        .collect();
    texts.sort();
    assert_eq!(texts, ["eins zwei drei vier", "one two three four"]);
    assert_ne!(told.text(), texts.concat(), "they did speak at once");
}

#[tokio::test(start_paused = true)]
async fn the_scope_is_carried_by_ctx_spawn_and_by_in_scope() {
    let _alone = ALONE.lock().await;
    let told = run(calls(|ctx| async move {
        ctx.spawn(async { drop(model(&["spawned "]).generate("?").await) });
        sleep(Duration::from_millis(10)).await;
        let scope = Scope::current().expect("a body is polled in its scope");
        tokio::spawn(async { drop(model(&["carried "]).generate("?").await) }.in_scope(scope)).await?;
        let thread = ctx.scope();
        tokio::task::spawn_blocking(move || {
            // On a thread, a call belongs to the scope in which it is made.
            let call = thread.enter(|| model(&["threaded"]).generate("?"));
            tokio::runtime::Handle::current().block_on(call)
        })
        .await??;
        Ok(())
    }))
    .await;
    assert_eq!(told.text(), "spawned carried threaded");
    assert_eq!(warnings(&told), 0);
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_is_lost_gives_one_warning() {
    let _alone = ALONE.lock().await;
    let told = run(calls(|ctx| async move {
        ctx.token("before").await;
        for _ in 0..3 {
            tokio::spawn(async { drop(model(&["lost"]).generate("?").await) }).await?;
        }
        ctx.token(" after").await;
        Ok(())
    }))
    .await;
    assert_eq!((told.text().as_str(), warnings(&told)), ("before after", 1));
    assert_eq!(told.data("warning")[0]["model"], "scripted");
    // It stands where it was noticed.
    assert_eq!(told.said(), ["`before`", "warning", "` after`"]);
}

#[tokio::test(start_paused = true)]
async fn a_warning_is_read_while_the_node_goes_on() {
    let _alone = ALONE.lock().await;
    let engine = engine(calls(|_| async {
        tokio::spawn(async {
            sleep(Duration::from_millis(5)).await;
            drop(model(&["lost"]).generate("?").await);
        });
        std::future::pending().await
    }));
    let run = start(&engine).await;
    sleep(Duration::from_millis(1)).await;
    let before = run.log().head().last;
    sleep(Duration::from_millis(10)).await;
    assert_eq!(run.log().head().last, before.next());
    run.cancel("enough").await;
    assert_eq!(warnings(&told(&run).await), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_broken_off_keeps_its_text() {
    let _alone = ALONE.lock().await;
    for script in [Script::new().text("half an").break_off(), Script::new().text("half an").hang()] {
        let model = ScriptedModel::new().script(script);
        let drops = model.clone();
        let told = run(play(
            |node| node.stream_token(TokenOptions::default().with_flush_interval(Duration::from_secs(3600))),
            move |ctx: NodeContext| {
                let model = model.clone();
                async move {
                    let call = model.generate("?");
                    let answer = tokio::time::timeout(Duration::from_secs(5), call).await;
                    assert!(!matches!(answer, Ok(Ok(_))));
                    ctx.emit("gave_up", ()).await
                }
            },
        ))
        .await;
        assert_eq!((told.text().as_str(), told.ended().as_str()), ("half an", "completed"));
        assert_eq!(told.said().last().map(String::as_str), Some("gave_up"), "the text stands before it");
        assert!(drops.drops() <= 1);
    }
}
