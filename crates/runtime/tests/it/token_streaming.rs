//! Token streams without a workflow, and beside one.

use std::time::Duration;

use futures_util::StreamExt as _;
use serde_json::json;
use streamnest_core::{
    ControlError, ExecutionControl as _, ExecutionId, ScopeExt as _, Status, payload::StatusUpdate,
};
use streamnest_log::{EventLog, LogOptions};
use streamnest_models::{ChatModelExt as _, ScriptedModel};
use streamnest_runtime::{
    Engine, StreamUpdate, TokenFilter, TokenFormat, TokenOptions, TokenStatistics, TokenStreamingError,
    TokenStreamingOptions, TokenStreamingService, ViewError,
};
use tokio::time::sleep;

use crate::support::{Random, Told, cases, chaos, engine, memory, play, registry, start, told_of};

fn id(text: &str) -> ExecutionId {
    ExecutionId::new(text).unwrap()
}

fn service_with(options: TokenStreamingOptions) -> (Engine, TokenStreamingService) {
    let engine = Engine::builder(registry(memory(), LogOptions::default())).build().unwrap();
    let service = TokenStreamingService::new(engine.clone(), options).unwrap();
    (engine, service)
}

fn service() -> (Engine, TokenStreamingService) {
    service_with(TokenStreamingOptions::default())
}

async fn told(engine: &Engine, execution: &str) -> Told {
    told_of(&engine.logs().get(&id(execution)).unwrap()).await
}

fn last_status(log: &EventLog) -> Option<Status> {
    log.head().status
}

#[tokio::test(start_paused = true)]
async fn tokens_of_a_program_without_a_workflow_become_an_execution_like_any_other() {
    let (engine, service) = service();
    let answer =
        service.initialize_token_stream(&id("chat"), "answer", TokenOptions::default()).await.unwrap();
    for word in ["a ", "log ", "is "] {
        answer.token(word).await.unwrap();
    }
    service.stream_token(&id("chat"), "answer", "enough").await.unwrap();
    let listed = engine.execution(&id("chat")).unwrap();
    assert_eq!((&*listed.workflow, listed.status), ("token-streaming", Status::Running));
    service.close_execution_token_streams(&id("chat")).await.unwrap();
    let told = told(&engine, "chat").await;
    assert_eq!(told.text(), "a log is enough");
    assert_eq!(told.words(), ["running", "`a `", "`log is enough`", "completed"]);
    assert_eq!(told.end(), StatusUpdate::completed(json!({"streams": 1, "tokens": 4})));
    assert_eq!(engine.execution(&id("chat")).unwrap().status, Status::Completed);
    assert_eq!(engine.executions(10, None).executions.len(), 1);
    // Closing again changes nothing, and a finished execution can be deleted.
    service.close_execution_token_streams(&id("chat")).await.unwrap();
    engine.delete(&id("chat")).await.unwrap();
    assert!(engine.execution(&id("chat")).is_err());
}

#[tokio::test(start_paused = true)]
async fn tokens_wait_no_longer_than_the_flush_interval_and_a_flush_waits_for_nothing() {
    let (_engine, service) = service();
    let options = TokenOptions::default().with_flush_interval(Duration::from_millis(40));
    let stream = service.initialize_token_stream(&id("chat"), "answer", options).await.unwrap();
    let mut tokens = service.get_token_stream(&id("chat"), Some("answer")).unwrap().items();
    let mut next = async || tokens.next().await.unwrap().unwrap().token().unwrap().content;
    stream.token("first").await.unwrap();
    let began = tokio::time::Instant::now();
    assert_eq!(next().await, "first");
    assert_eq!(began.elapsed(), Duration::ZERO, "the first token waits for nothing");
    stream.token(" second").await.unwrap();
    stream.token(" third").await.unwrap();
    assert_eq!(next().await, " second third");
    assert_eq!(began.elapsed(), Duration::from_millis(40));
    stream.token(" fourth").await.unwrap();
    service.flush_tokens(&id("chat"), "answer").await.unwrap();
    assert_eq!(next().await, " fourth");
    assert_eq!(began.elapsed(), Duration::from_millis(40));
}

#[tokio::test(start_paused = true)]
async fn filter_processor_and_format_are_those_of_a_node() {
    let (engine, service) = service();
    let options = TokenOptions::default()
        .with_filter(TokenFilter::default().with_min_length(2).with_exclude_whitespace(true))
        .with_processor(|token, metadata| format!("{}{token}", metadata.index))
        .with_format(TokenFormat::Structured);
    let stream = service.initialize_token_stream(&id("chat"), "answer", options).await.unwrap();
    for token in ["ab", "c", "  ", "de"] {
        stream.token(token).await.unwrap();
    }
    stream.close().await;
    service.close_execution_token_streams(&id("chat")).await.unwrap();
    let told = told(&engine, "chat").await;
    assert_eq!(told.text(), "0ab2  de");
    assert_eq!(told.tokens().iter().map(|token| token.filtered).sum::<u64>(), 1);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_streamed_in_whatever_pieces_arrives_byte_for_byte() {
    cases(if chaos() { 3_000 } else { 100 }, |seed| async move {
        let mut random = Random::from_seed(seed);
        let (engine, service) = service();
        let mut expected = std::collections::BTreeMap::<&str, String>::new();
        let mut streams = Vec::new();
        for node in ["a", "b", "c"] {
            let options = TokenOptions::default()
                .with_buffer_size(1 + random.below(20) as usize)
                .with_batch_size(1 + random.below(20) as usize)
                .with_flush_interval(Duration::from_millis(random.below(100)));
            let options =
                options.with_filter(TokenFilter::default().with_exclude_whitespace(random.one_in(2)));
            streams.push((node, service.initialize_token_stream(&id("run"), node, options).await.unwrap()));
        }
        for _ in 0..random.below(200) {
            let (node, stream) = random.pick(&streams);
            let token = *random.pick(&["", " ", "\n", "word", " über", "🦀", "a longer piece of text"]);
            expected.entry(node).or_default().push_str(token);
            stream.token(token).await.unwrap();
            match random.below(10) {
                0 => sleep(Duration::from_millis(random.below(60))).await,
                1 => stream.flush().await.unwrap(),
                _ => {}
            }
        }
        if random.one_in(2) {
            for (_, stream) in &streams {
                stream.close().await;
            }
        }
        service.close_execution_token_streams(&id("run")).await.unwrap();
        let told = told(&engine, "run").await;
        for (node, text) in expected {
            let of = |event: &&streamnest_core::Event| event.node().is_some_and(|name| &**name == node);
            let said: String = told
                .events()
                .filter(of)
                .filter_map(|event| event.as_token().unwrap())
                .map(|token| token.content)
                .collect();
            assert_eq!(said, text, "node {node}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_model_called_in_the_scope_of_a_stream_needs_no_workflow_and_no_plumbing() {
    let (engine, service) = service();
    let stream =
        service.initialize_token_stream(&id("chat"), "answer", TokenOptions::default()).await.unwrap();
    let model = ScriptedModel::new().answer("To be.");
    let answer = model.generate("?").in_scope(stream.scope()).await.unwrap();
    service.close_execution_token_streams(&id("chat")).await.unwrap();
    assert_eq!(told(&engine, "chat").await.text(), answer.text);
    assert_eq!(answer.text, "To be.");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_closed_with_what_it_held_and_its_execution_fails() {
    let stale_after = Duration::from_secs(300);
    let (engine, service) = service();
    assert_eq!(service.options().stale_after, stale_after);
    let options = TokenOptions::default().with_flush_interval(Duration::from_secs(3600));
    let stream = service.initialize_token_stream(&id("chat"), "answer", options).await.unwrap();
    stream.token("kept").await.unwrap();
    sleep(stale_after - Duration::from_secs(1)).await;
    stream.token(" tail").await.unwrap();
    sleep(stale_after - Duration::from_secs(1)).await;
    assert!(!stream.is_closed(), "it was used meanwhile");
    let told = told(&engine, "chat").await;
    assert_eq!((told.text(), told.ended()), ("kept tail".into(), "failed: token_stream_stale".into()));
    assert_eq!(stream.token("late").await.unwrap_err().code(), "token_stream_stale");
    assert!(service.get_active_token_streams().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_execution_whose_streams_are_closed_may_open_others_and_ends_when_none_comes() {
    let (engine, service) = service();
    for node in ["plan", "answer", "answer"] {
        let stream =
            service.initialize_token_stream(&id("chat"), node, TokenOptions::default()).await.unwrap();
        stream.token(node).await.unwrap();
        service.close_token_stream(&id("chat"), node).await.unwrap();
        assert_eq!(stream.token("late").await.unwrap_err().code(), "token_stream_not_open");
        sleep(Duration::from_secs(200)).await;
    }
    let told = told(&engine, "chat").await;
    assert_eq!(told.words(), ["running", "`plan`", "`answer`", "`answer`", "completed"]);
    assert_eq!(told.tokens().iter().map(|token| token.visit).collect::<Vec<_>>(), [1, 1, 2]);
    let again = service.initialize_token_stream(&id("chat"), "answer", TokenOptions::default()).await;
    assert_eq!(again.unwrap_err().code(), "sealed");
}

#[tokio::test(start_paused = true)]
async fn cancelling_it_flushes_its_streams_and_nothing_follows() {
    let (engine, service) = service();
    let options = TokenOptions::default().with_flush_interval(Duration::from_secs(10));
    let stream = service.initialize_token_stream(&id("chat"), "answer", options).await.unwrap();
    stream.token("first").await.unwrap();
    stream.token(" tail").await.unwrap();
    engine.cancel(&id("chat"), Some("enough".into())).await.unwrap();
    assert!(stream.token("late").await.is_err());
    let told = told(&engine, "chat").await;
    assert_eq!(told.words(), ["running", "`first`", "` tail`", "cancelled"]);
    assert_eq!(told.end().reason.as_deref(), Some("enough"));
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_it_and_nothing_new_is_opened() {
    let (engine, service) = service();
    let stream =
        service.initialize_token_stream(&id("chat"), "answer", TokenOptions::default()).await.unwrap();
    stream.token("said").await.unwrap();
    engine.drain(Duration::from_secs(1)).await;
    assert_eq!(told(&engine, "chat").await.ended(), "cancelled");
    let refused =
        service.initialize_token_stream(&id("other"), "answer", TokenOptions::default()).await.unwrap_err();
    assert!(
        matches!(refused, TokenStreamingError::Execution(ControlError::Draining)) && refused.is_retryable()
    );
}

#[tokio::test(start_paused = true)]
async fn a_processor_that_panics_closes_its_stream_loses_no_token_and_is_told() {
    let (engine, service) = service();
    let options = TokenOptions::default().with_processor(|token, _| {
        assert!(token != "bad", "panics on purpose");
        token.to_uppercase()
    });
    let stream = service.initialize_token_stream(&id("chat"), "answer", options).await.unwrap();
    stream.token("good ").await.unwrap();
    stream.token("bad").await.unwrap();
    let told = told(&engine, "chat").await;
    assert_eq!((told.text(), told.ended()), ("GOOD bad".into(), "failed: processor_panicked".into()));
    assert!(!format!("{:?}", told.end()).contains("on purpose"), "a panic's text stays in the server");
    assert_eq!(stream.token("late").await.unwrap_err().code(), "processor_panicked");
}

#[tokio::test(start_paused = true)]
async fn beside_a_workflow_it_streams_into_the_same_log_and_does_not_end_it() {
    let definition = play(
        |node| node.stream_token(TokenOptions::default()),
        |ctx| async move {
            ctx.token("node").await;
            sleep(Duration::from_secs(1)).await;
            Ok(())
        },
    );
    let engine = engine(definition);
    let service = TokenStreamingService::new(engine.clone(), TokenStreamingOptions::default()).unwrap();
    let run = start(&engine).await;
    let beside =
        service.initialize_token_stream(run.execution_id(), "beside", TokenOptions::default()).await.unwrap();
    beside.token("beside").await.unwrap();
    service.close_execution_token_streams(run.execution_id()).await.unwrap();
    assert_eq!(last_status(run.log()), Some(Status::Running), "the workflow ends its run");
    let open =
        service.initialize_token_stream(run.execution_id(), "open", TokenOptions::default()).await.unwrap();
    let told = told_of(run.log()).await;
    assert_eq!(told.ended(), "completed");
    assert!(told.frames().contains(&"beside".into()) && told.frames().contains(&"node".into()));
    while !open.is_closed() {
        tokio::task::yield_now().await;
    }
    assert_eq!(open.token("late").await.unwrap_err().code(), "sealed");
    let of_node = service.get_token_stream(run.execution_id(), Some("beside")).unwrap();
    let said: Vec<String> =
        of_node.items().map(|update| update.unwrap().token().unwrap().content).collect().await;
    assert_eq!(said, ["beside"]);
}

#[tokio::test(start_paused = true)]
async fn beside_a_workflow_a_name_never_repeats_a_visit_nor_takes_one_of_a_node() {
    let definition = play(
        |node| node.stream_token(TokenOptions::default()),
        |ctx| async move {
            ctx.token("node").await;
            sleep(Duration::from_secs(1)).await;
            Ok(())
        },
    );
    let engine = engine(definition);
    let options = TokenStreamingOptions::default().with_max_nodes(2);
    let services = [(); 2].map(|()| TokenStreamingService::new(engine.clone(), options.clone()).unwrap());
    let run = start(&engine).await;
    let id = run.execution_id();
    // A service forgets a run with its last stream; the run does not forget the service.
    for service in services.iter().cycle().take(4) {
        let stream = service.initialize_token_stream(id, "beside", TokenOptions::default()).await.unwrap();
        stream.token("x").await.unwrap();
        service.close_execution_token_streams(id).await.unwrap();
    }
    for name in ["node", "node/inner"] {
        let refused =
            services[0].initialize_token_stream(id, name, TokenOptions::default()).await.unwrap_err();
        assert_eq!((refused.code(), refused.is_retryable()), ("node_of_workflow", false));
        assert!(refused.to_string().contains(&format!("`{name}`")), "{refused}");
    }
    services[0].initialize_token_stream(id, "other", TokenOptions::default()).await.unwrap().close().await;
    let third = services[1].initialize_token_stream(id, "third", TokenOptions::default()).await.unwrap_err();
    assert_eq!(third.code(), "too_many_token_nodes");
    let tokens = told_of(run.log()).await.tokens();
    let visits: Vec<_> =
        tokens.iter().filter(|token| token.content == "x").map(|token| token.visit).collect();
    assert_eq!(visits, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn wrong_calls_say_what_is_wrong_and_what_to_do() {
    let (_engine, service) =
        service_with(TokenStreamingOptions::default().with_max_streams(2).with_max_nodes(2));
    let open = async |execution: &str, node: &str, options: TokenOptions| {
        service
            .initialize_token_stream(&id(execution), node, options)
            .await
            .map_err(|error| error.to_string())
    };
    let default = TokenOptions::default;
    let name = service.initialize_token_stream(&id("e"), "not a node", default()).await.unwrap_err();
    assert_eq!(name.code(), "invalid_name");
    let buffer = open("e", "n", default().with_buffer_size(0)).await.unwrap_err();
    assert!(buffer.contains("`buffer_size`") && buffer.contains("at least 1"), "{buffer}");
    let pattern = default().with_filter(TokenFilter::default().with_pattern("("));
    assert!(open("e", "n", pattern).await.unwrap_err().contains("regular expression"));
    assert!(service.get_active_token_streams().is_empty());
    let first = open("e", "n", default()).await.unwrap();
    assert!(open("e", "n", default()).await.unwrap_err().contains("is open; use it, or close it first"));
    open("e", "m", default()).await.unwrap().close().await;
    let nodes = open("e", "k", default()).await.unwrap_err();
    assert!(nodes.contains("have named 2 nodes") && nodes.contains("max_nodes"), "{nodes}");
    open("f", "n", default()).await.unwrap();
    let many = open("g", "n", default()).await.unwrap_err();
    assert!(many.contains("2 token streams are open") && many.contains("max_streams"), "{many}");
    assert_eq!(service.get_active_token_streams().len(), 2);
    first.close().await;
    open("g", "n", default()).await.unwrap();
    let missing = service.stream_token(&id("e"), "n", "x").await.unwrap_err();
    assert!(missing.to_string().contains("initialize_token_stream"), "{missing}");
    let unknown = service.close_execution_token_streams(&id("nobody")).await.unwrap_err();
    assert_eq!(unknown.code(), "unknown_execution");
    let zero = TokenStreamingOptions::default().with_stale_after(Duration::ZERO);
    assert_eq!(zero.validate().unwrap_err().code(), "invalid_option");
}

#[tokio::test(start_paused = true)]
async fn many_who_open_one_execution_at_once_open_it_once() {
    let (engine, service) = service();
    let opened = (0..50).map(|number| {
        let service = service.clone();
        tokio::spawn(async move {
            let node = format!("n{number}");
            let stream =
                service.initialize_token_stream(&id("chat"), &node, TokenOptions::default()).await.unwrap();
            stream.token(node).await.unwrap();
        })
    });
    futures_util::future::join_all(opened).await;
    assert_eq!(service.get_active_token_streams().len(), 50);
    service.close_execution_token_streams(&id("chat")).await.unwrap();
    let told = told(&engine, "chat").await;
    assert_eq!(told.end(), StatusUpdate::completed(json!({"streams": 50, "tokens": 50})));
    assert_eq!(told.tokens().len(), 50);
}

#[tokio::test(start_paused = true)]
async fn statistics_are_told_at_once_and_while_they_change() {
    let (_engine, service) = service();
    let mut figures = service.get_token_stats().items();
    let mut next = async || -> TokenStatistics { figures.next().await.unwrap().unwrap() };
    let first = next().await;
    assert_eq!((first.tokens, first.active_streams), (0, 0));
    let filter = TokenFilter::default().with_max_length(4);
    let options = TokenOptions::default().with_filter(filter);
    let stream = service.initialize_token_stream(&id("chat"), "answer", options).await.unwrap();
    for token in ["one ", "two ", "dropped ", "four"] {
        stream.token(token).await.unwrap();
    }
    stream.flush().await.unwrap();
    let second = next().await;
    assert_eq!((second.tokens, second.filtered, second.bytes), (3, 1, 12));
    assert_eq!((second.executions, second.active_streams), (1, 1));
    assert_eq!(second.tokens_per_second, 3.0, "in the second since the first figures");
    let active = service.get_active_token_streams();
    assert_eq!((active[0].tokens, active[0].bytes, &*active[0].node), (4, 20, "answer"));
    // The rate falls to nothing, and then there is nothing to tell.
    assert_eq!(next().await.tokens_per_second, 0.0);
    assert!(tokio::time::timeout(Duration::from_secs(60), next()).await.is_err());
}

#[test]
fn views_are_put_together_outside_of_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (_engine, service) = runtime.block_on(async { service() });
    let mut figures = service.get_token_stats().items();
    let told = runtime.block_on(figures.next()).unwrap().unwrap();
    assert_eq!((told.tokens, told.left_out), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn statistics_tell_how_many_executions_they_leave_out() {
    let logs = registry(memory(), LogOptions::default().with_max_fan_in(1));
    let engine = Engine::builder(logs).build().unwrap();
    let service = TokenStreamingService::new(engine, TokenStreamingOptions::default()).unwrap();
    let mut figures = service.get_token_stats().items();
    let mut next = async || -> TokenStatistics { figures.next().await.unwrap().unwrap() };
    assert_eq!(next().await.left_out, 0);
    for execution in ["followed", "left-out", "left-out-too"] {
        let stream =
            service.initialize_token_stream(&id(execution), "n", TokenOptions::default()).await.unwrap();
        stream.token("one").await.unwrap();
    }
    let told = next().await;
    assert_eq!((told.tokens, told.executions, told.left_out, told.missed), (1, 1, 2, 0));
}

#[tokio::test]
async fn a_node_that_has_no_name_is_refused_as_a_name() {
    let (_engine, service) = service();
    let refused = service.get_token_stream(&id("chat"), Some("no name")).unwrap_err();
    assert!(matches!(refused, ViewError::Name(_)), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn the_global_stream_has_the_tokens_of_all_executions() {
    let (_engine, service) = service();
    let mut all = service.get_global_token_stream().items();
    for execution in ["a", "b"] {
        let stream =
            service.initialize_token_stream(&id(execution), "n", TokenOptions::default()).await.unwrap();
        stream.token(format!("of {execution}")).await.unwrap();
    }
    let mut heard = Vec::new();
    for _ in 0..2 {
        let update: StreamUpdate = all.next().await.unwrap().unwrap();
        heard.push((update.execution_id().to_string(), update.token().unwrap().content));
    }
    heard.sort();
    assert_eq!(heard, [("a".into(), "of a".into()), ("b".into(), "of b".into())]);
    let log = service.get_token_stream(&id("a"), None).unwrap();
    assert_eq!(log.items().next().await.unwrap().unwrap().token().unwrap().content, "of a");
}
