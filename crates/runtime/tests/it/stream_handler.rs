//! Callbacks for the text of an execution, and what may be put before them.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use streamnest_core::ExecutionId;
use streamnest_log::LogOptions;
use streamnest_runtime::{
    Batching, Engine, Observable, StreamHandler, StreamUpdate, TextMeter, TokenOptions, TokenStream,
    TokenStreamingOptions, TokenStreamingService,
};
use tokio::time::{Instant, sleep};

use crate::support::{memory, registry};

struct Speaker {
    service: TokenStreamingService,
    stream: TokenStream,
    execution: ExecutionId,
}

impl Speaker {
    async fn new() -> Self {
        let engine = Engine::builder(registry(memory(), LogOptions::default())).build().unwrap();
        let service = TokenStreamingService::new(engine, TokenStreamingOptions::default()).unwrap();
        let execution = ExecutionId::new("speech").unwrap();
        let each = TokenOptions::default().with_buffer_size(1).with_batch_size(1);
        let stream = service.initialize_token_stream(&execution, "speaker", each).await.unwrap();
        Self { service, stream, execution }
    }

    fn tokens(&self) -> Observable<StreamUpdate> {
        self.service.get_token_stream(&self.execution, None).unwrap()
    }

    /// Says each word after a pause, and ends.
    async fn say(self, words: &[(u64, &str)]) {
        for (pause, word) in words {
            sleep(Duration::from_millis(*pause)).await;
            self.stream.token(*word).await.unwrap();
        }
        self.service.close_execution_token_streams(&self.execution).await.unwrap();
    }
}

/// Where a handler puts what it is called with.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    fn hears(&self) -> impl FnMut(&str) + Send + 'static {
        let into = self.0.clone();
        move |text| into.lock().unwrap().push(text.into())
    }

    fn pieces(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

const ANSWER: [(u64, &str); 5] = [(10, "In"), (10, " cir"), (10, "cuits"), (10, " 🦀"), (10, "\n")];

#[tokio::test(start_paused = true)]
async fn what_handlers_are_called_with_is_the_answer_whoever_panics_beside_them() {
    let speaker = Speaker::new().await;
    let tokens = speaker.tokens();
    let (one, other, survivor) = (Heard::default(), Heard::default(), Heard::default());
    let first = StreamHandler::new(one.hears()).traced("first").follow(&tokens);
    let second = StreamHandler::new(other.hears()).follow(&tokens);
    let bad = StreamHandler::new(|text| assert!(text != " cir", "panics on purpose")).follow(&tokens);
    let mut hears = survivor.hears();
    let survives = StreamHandler::new(move |text| {
        assert!(text != " cir", "panics on purpose");
        hears(text);
    })
    .survives_panics(true)
    .follow(&tokens);
    speaker.say(&ANSWER).await;
    first.ended().await.unwrap();
    second.ended().await.unwrap();
    survives.ended().await.unwrap();
    assert_eq!(bad.ended().await.unwrap_err().code(), "subscriber_panicked");
    assert_eq!(one.pieces().concat(), "In circuits 🦀\n");
    assert_eq!(one.pieces(), other.pieces());
    assert_eq!(survivor.pieces().concat(), "Incuits 🦀\n");
}

#[tokio::test(start_paused = true)]
async fn pieces_are_joined_by_count_and_by_age_and_the_last_ones_are_kept() {
    let speaker = Speaker::new().await;
    let (by_count, by_age) = (Heard::default(), Heard::default());
    let batching = Batching::default();
    let count =
        StreamHandler::new(by_count.hears()).batched(batching.with_max_items(2)).follow(&speaker.tokens());
    let age = StreamHandler::new(by_age.hears())
        .batched(batching.with_max_wait(Duration::from_millis(25)))
        .follow(&speaker.tokens());
    speaker.say(&ANSWER).await;
    count.ended().await.unwrap();
    age.ended().await.unwrap();
    assert_eq!(by_count.pieces(), ["In cir", "cuits 🦀", "\n"]);
    assert_eq!(by_age.pieces(), ["In circuits", " 🦀\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_meter_knows_count_rate_and_time_to_the_first_piece() {
    let speaker = Speaker::new().await;
    let meter = TextMeter::new();
    assert_eq!(meter.statistics().time_to_first, None);
    let handler = StreamHandler::new(|_| {}).metered(&meter).follow(&speaker.tokens());
    speaker.say(&ANSWER).await;
    handler.ended().await.unwrap();
    let figures = meter.statistics();
    assert_eq!((figures.pieces, figures.bytes), (5, 17));
    assert_eq!(figures.time_to_first, Some(Duration::from_millis(10)));
    assert_eq!(figures.duration, Duration::from_millis(40));
    assert_eq!(figures.pieces_per_second, 100.0);
}

#[tokio::test(start_paused = true)]
async fn typing_is_told_beside_the_text_and_never_in_it() {
    let speaker = Speaker::new().await;
    let (heard, typing) = (Heard::default(), Arc::new(Mutex::new(Vec::new())));
    let (into, began) = (typing.clone(), Instant::now());
    let handler = StreamHandler::new(heard.hears())
        .typing(Duration::from_millis(50), move |types| {
            into.lock().unwrap().push((began.elapsed().as_millis(), types));
        })
        .follow(&speaker.tokens());
    speaker.say(&[(10, "a"), (20, "b"), (200, "c")]).await;
    handler.ended().await.unwrap();
    assert_eq!(heard.pieces().concat(), "abc");
    assert_eq!(*typing.lock().unwrap(), [(10, true), (80, false), (230, true), (230, false)]);
}
