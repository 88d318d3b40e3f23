use std::{cell::Cell, time::Duration};

use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::*;
use crate::{ChatAnswer, ChatModelExt as _, Delta, FinishReason, ToolCall, ToolDefinition};

fn model(options: OfflineOptions) -> OfflineModel {
    OfflineModel::new(options).unwrap()
}

fn options() -> OfflineOptions {
    OfflineOptions::default()
}

async fn answer(options: OfflineOptions, request: impl Into<ChatRequest>) -> ChatAnswer {
    model(options).generate(request).await.unwrap()
}

async fn text(options: OfflineOptions, request: impl Into<ChatRequest>) -> String {
    answer(options, request).await.text
}

fn ask() -> ChatRequest {
    ChatRequest::from("How does a cursor read a log?")
}

#[tokio::test]
async fn the_same_seed_prompt_and_options_give_the_same_text() {
    for seed in 0..20 {
        let request = ask().with_seed(seed).with_temperature(1.0);
        assert_eq!(text(options(), request.clone()).await, text(options(), request).await);
    }
}

#[tokio::test]
async fn seed_and_prompt_each_change_the_text() {
    let first = text(options(), ask()).await;
    assert_ne!(first, text(options(), ask().with_seed(1)).await);
    assert_ne!(first, text(options().with_seed(1), ask()).await);
    assert_eq!(text(options(), ask().with_seed(1)).await, text(options().with_seed(1), ask()).await);
    assert_ne!(first, text(options(), "How does a cursor read a log").await);
    let system = ChatRequest::new([ChatMessage::system("How does a cursor read a log?")]);
    assert_ne!(first, text(options(), system).await, "the role counts");
}

#[tokio::test]
async fn the_prompt_steers_what_the_text_is_about() {
    let mut about = [0, 0];
    for seed in 0..40 {
        for (count, prompt) in about.iter_mut().zip(["a cursor stands at a position", "a tool asks a person"])
        {
            let text = text(options(), ChatRequest::from(prompt).with_seed(seed)).await;
            *count += text.matches("cursor").count() + text.matches("position").count();
        }
    }
    assert!(about[0] > 2 * about[1], "{about:?}");
}

#[tokio::test]
async fn temperature_chooses_between_the_likeliest_words_and_chance() {
    let greedy = |seed| text(options(), ask().with_temperature(0.0).with_seed(seed));
    assert_eq!(greedy(1).await, greedy(2).await, "nothing is left to chance");
    assert_ne!(greedy(1).await, text(options(), ask().with_temperature(1.0).with_seed(1)).await);
    assert_eq!(greedy(1).await, text(options().with_temperature(0.0), ask()).await);
}

#[tokio::test]
async fn an_answer_has_at_most_max_tokens_and_ends_with_a_sentence_if_it_can() {
    let mut ends = [0, 0];
    for seed in 0..60 {
        let answer = answer(options(), ask().with_max_tokens(50).with_seed(seed)).await;
        let tokens = answer.usage.unwrap().output_tokens;
        if answer.finish == FinishReason::Stop {
            assert!((40..=50).contains(&tokens), "{tokens}");
            assert!(answer.text.ends_with(['.', '?', '!']), "{}", answer.text);
            ends[0] += 1;
        } else {
            assert_eq!((&answer.finish, tokens), (&FinishReason::Length, 50));
            ends[1] += 1;
        }
    }
    assert!(ends[0] > 20 && ends[1] > 0, "both ends occur: {ends:?}");
    assert_eq!(answer(options(), ask().with_max_tokens(1)).await.text.split(' ').count(), 1);
    let by_default = answer(options().with_max_tokens(10), ask()).await.usage.unwrap().output_tokens;
    assert!((8..=10).contains(&by_default));
}

#[tokio::test]
async fn an_answer_ends_before_the_first_stop_sequence() {
    let whole = text(options(), ask()).await;
    let stop = whole.split(' ').skip(5).take(2).collect::<Vec<_>>().join(" ");
    let answer = answer(options(), ask().with_stop([stop.as_str(), "never to be found"])).await;
    assert_eq!(answer.text, whole.split_once(&stop).unwrap().0);
    assert_eq!(answer.finish, FinishReason::Stop);
    let unmet = ask().with_stop(["never to be found"]);
    assert_eq!(text(options(), unmet).await, whole);
    let half_met = ask().with_stop([format!("{} and on", whole.rsplit_once(' ').unwrap().1)]);
    assert_eq!(text(options(), half_met).await, whole, "what was held back comes out at the end");
}

#[tokio::test]
async fn tokens_are_words_with_the_blank_before_them_and_are_counted_as_estimated() {
    let deltas: Vec<_> = model(options()).stream("two words").map(Result::unwrap).collect().await;
    let (closing, tokens) = (&deltas[deltas.len() - 2..], &deltas[..deltas.len() - 2]);
    for (index, delta) in tokens.iter().enumerate() {
        let Delta::Token(token) = delta else { panic!("{delta:?} stands among the tokens") };
        assert_eq!(token.content.find(' '), (index > 0).then_some(0), "{:?}", token.content);
        assert_eq!(token.content.split_whitespace().count(), 1, "{:?}", token.content);
    }
    let usage = crate::Usage { input_tokens: 2, output_tokens: tokens.len() as u64, estimated: true };
    assert_eq!(closing, [Delta::Usage(usage), Delta::Finish(FinishReason::Stop)]);
}

#[tokio::test]
async fn the_order_says_how_far_the_text_follows_its_corpus() {
    // How many words of the text stand in the corpus after the three words before them.
    let corpus: Vec<String> = corpus::built_in().concat();
    let copied = async |order| {
        let request = ask().with_temperature(1.0).with_max_tokens(2000);
        let text = text(options().with_order(order), request).await;
        let words: Vec<&str> = text.split(' ').collect();
        words.windows(4).filter(|window| corpus.windows(4).any(|other| other == *window)).count()
    };
    let copied = [copied(1).await, copied(2).await, copied(3).await, copied(4).await];
    assert!(copied.is_sorted_by(|a, b| a + 20 < *b), "{copied:?}");
}

#[tokio::test]
async fn a_corpus_of_your_own_takes_the_place_of_the_built_in_one() {
    let text = text(options().with_corpus("# Fruit\n\nApples fall. Pears hang, and plums rot."), ask()).await;
    let known = ["Apples", "fall.", "Pears", "hang,", "and", "plums", "rot."];
    assert!(text.split(' ').all(|word| known.contains(&word)), "{text}");
    let error = OfflineModel::new(options().with_corpus("# Only a heading\n\nand no end")).unwrap_err();
    assert_eq!(error.code(), "model_empty_corpus");
}

#[tokio::test(start_paused = true)]
async fn tokens_come_at_their_rate() {
    for (rate, millis) in [(10.0, 1000), (1000.0 / 3.0, 30), (0.5, 20_000)] {
        let mut stream = model(options().with_tokens_per_second(rate)).call(ask());
        let began = Instant::now();
        for _ in 0..11 {
            stream.next().await.unwrap().unwrap();
        }
        assert_eq!(began.elapsed().as_millis(), millis, "at {rate} a second the first comes at once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_finds_ready_what_it_missed() {
    let mut stream = model(options().with_tokens_per_second(10.0)).call(ask());
    stream.next().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(550)).await;
    let resumed = Instant::now();
    for _ in 0..5 {
        stream.next().await.unwrap().unwrap();
    }
    assert_eq!(resumed.elapsed(), Duration::ZERO);
    stream.next().await.unwrap().unwrap();
    assert_eq!(resumed.elapsed(), Duration::from_millis(50));
}

#[tokio::test]
async fn without_a_rate_others_run_meanwhile() {
    let request = ask().with_max_tokens(8192);
    let turns = Cell::new(0);
    let others = async {
        loop {
            turns.set(turns.get() + 1);
            tokio::task::yield_now().await;
        }
    };
    let model = model(options());
    tokio::select! {
        biased;
        answer = model.generate(request) => assert!(answer.unwrap().text.len() > 20_000),
        () = others => panic!("they never end"),
    }
    assert!(turns.get() > 150, "{} turns", turns.get());
}

#[tokio::test]
async fn what_a_chain_cannot_do_is_refused_by_name() {
    let tool = ToolDefinition::new("add", "adds", serde_json::json!({"type": "object"}));
    let call = ToolCall { id: "c".into(), name: "add".into(), arguments: "{}".into() };
    let called = ChatMessage::Assistant { content: String::new(), tool_calls: vec![call] };
    let refused =
        async |request: ChatRequest| OfflineModel::default().generate(request).await.unwrap_err().to_string();
    assert_eq!(
        refused(ask().with_tools([tool])).await,
        "model `offline` does not take `tools`: a Markov chain only continues text; leave it out or choose another model"
    );
    assert!(refused(ask().with_message(called)).await.contains("messages with `tool_calls`"));
    assert!(
        refused(ask().with_message(ChatMessage::tool("c", "3"))).await.contains("messages of role `tool`")
    );
    assert!(refused(ChatRequest::default()).await.contains("no message"));
    let spoken =
        ask().with_message(ChatMessage::assistant("By position.")).with_message(ChatMessage::user("Go on."));
    assert!(!OfflineModel::default().generate(spoken).await.unwrap().text.is_empty());
}

#[tokio::test]
async fn values_out_of_range_are_refused_with_their_range() {
    for (request, message) in [
        (ask().with_temperature(2.5), "`temperature` of model `offline` is 2.5, outside 0 to 2"),
        (ask().with_temperature(f64::NAN), "`temperature` of model `offline` is NaN, outside 0 to 2"),
        (ask().with_max_tokens(0), "`max_tokens` of model `offline` is 0, outside 1 to 8192 tokens"),
        (ask().with_max_tokens(8193), "`max_tokens` of model `offline` is 8193, outside 1 to 8192 tokens"),
        (ask().with_stop([""]), "`stop` of model `offline` is 0, outside 1 to 256 bytes a sequence"),
        (ask().with_stop(["x"; 17]), "`stop` of model `offline` is 17, outside 0 to 16 sequences"),
    ] {
        let error = OfflineModel::default().generate(request).await.unwrap_err();
        assert_eq!(error.to_string(), message);
    }
    for (options, field) in [
        (options().with_order(0), "order"),
        (options().with_order(5), "order"),
        (options().with_tokens_per_second(-1.0), "tokens_per_second"),
        (options().with_tokens_per_second(f64::INFINITY), "tokens_per_second"),
        (options().with_max_tokens(0), "max_tokens"),
        (options().with_temperature(-0.1), "temperature"),
    ] {
        let error = OfflineModel::new(options).unwrap_err();
        assert!(matches!(&error, Error::OutOfRange { field: found, .. } if *found == field), "{error}");
    }
}

#[test]
fn options_are_read_from_a_file_and_unknown_ones_refused() {
    let read: OfflineOptions = serde_json::from_str(r#"{"order": 3, "tokens_per_second": 20}"#).unwrap();
    assert_eq!(read, options().with_order(3).with_tokens_per_second(20.0));
    let error = serde_json::from_str::<OfflineOptions>(r#"{"speed": 20}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `speed`"), "{error}");
}

#[tokio::test]
async fn in_a_module_it_takes_the_options_that_are_provided_there() {
    use streamnest_modules::{Container, Module};
    let module =
        || Module::new("Models").provide(OfflineModel::provider().bind::<dyn ChatModel>(|model| model));
    let told = |module: Module| async move {
        let container = Container::builder(module).build().await.unwrap();
        let model = container.get::<dyn ChatModel>().unwrap();
        model.generate(ask()).await.unwrap().text
    };
    let seeded = options().with_seed(9);
    assert_eq!(told(module()).await, text(options(), ask()).await);
    assert_eq!(told(module().provide(Provider::value(seeded.clone()))).await, text(seeded, ask()).await);

    let wrong = module().provide(Provider::value(options().with_order(9)));
    let error = Container::builder(wrong).build().await.unwrap_err();
    assert!(
        error.to_string().starts_with("`OfflineModel` in module `Models` could not be made: "),
        "{error}"
    );
}
