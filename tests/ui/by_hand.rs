//! A macro writes only what a person could: the same workflow twice, with the attributes and against the builders, and
//! the two definitions are equal.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use streamnest::{
    core::OnDisconnect,
    prelude::*,
    runtime::{
        EventFilter, EventOptions, Granularity, InputError, InputReader, NodeBuilder, NodeKind, ProgressFormat,
        ProgressOptions, Reducer, RetryOn, RetryOptions, SchemaBuilder, State, StateUpdate, TokenFilter, TokenFormat, TokenOptions, Workflow,
        WorkflowBuilder, reduce, stream_tokens,
    },
};

fn shout(text: &str, _: &TokenMetadata) -> String {
    text.to_uppercase()
}

fn enrich(event: Event) -> Event {
    event
}

fn weigh(current: f64, total: f64, _: &ProgressMetadata) -> f64 {
    current / total
}

/// What a reply is made of, by the derive.
#[derive(State, Clone, Debug, serde::Serialize)]
struct Draft {
    /// What to answer.
    prompt: String,
    #[state(default, reducer = append)]
    text: String,
    #[state(default = 3)]
    tries: u32,
    #[state(default, reducer = merge)]
    seen: BTreeMap<String, u32>,
    #[state(default)]
    words: Vec<String>,
    #[state(default)]
    lengths: Vec<u32>,
    #[state(default, reducer = maximum)]
    most: u32,
}

/// A workflow within the other.
struct Inner;

#[workflow(name = "inner", state = Draft)]
impl Inner {
    #[node(start)]
    async fn nothing(&self, _: &Draft) -> NodeResult<()> {
        Ok(())
    }
}

struct WithMacro;

#[workflow(
    name = "draft-reply",
    state = Draft,
    description = "Drafts a reply",
    max_steps = 20,
    timeout = "5min",
    on_disconnect = "cancel",
    values
)]
impl WithMacro {
    #[node(kind = "llm", start, description = "Writes", tags("a", "b"), timeout = "30s")]
    #[stream_token(
        buffer_size = 3,
        batch_size = 2,
        flush_interval = "5s",
        format = "structured",
        include_metadata,
        processor = shout,
        filter(min_length = 1, max_length = 9, pattern = "[a-z]", exclude_whitespace)
    )]
    #[stream_event(
        events(Updates, "mine"),
        buffer_size = 7,
        batch_size = 3,
        transformer = enrich,
        filter(event_types(ToolStart), exclude_types(Debug), min_priority = "high", include_debug),
        delivery = "exactly-once"
    )]
    #[stream_progress(
        interval = "500ms",
        granularity = "detailed",
        include_eta,
        include_metrics,
        milestones(25, 50.5),
        calculator = weigh,
        format(show_percentage = false, show_current, show_total, show_rate, precision = 3)
    )]
    async fn draft(&self, state: &Draft, _: &NodeContext) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new().text(state.prompt.clone()))
    }

    #[node(kind = "stream", after = "draft", gather = "text")]
    #[stream_all]
    fn tell(&self, state: &Draft) -> impl Stream<Item = String> {
        stream::iter([state.prompt.clone()])
    }

    #[node(after = "draft", each = "words", concurrency = 4, gather = "lengths", retry(attempts = 2, on(retryable)))]
    async fn measure(&self, _: &Draft, word: &String) -> NodeResult<u32> {
        Ok(word.len() as u32)
    }

    #[node(kind = "subgraph", workflow = Inner, after = "draft")]
    async fn within(&self, state: &Draft, ctx: &NodeContext) -> NodeResult<DraftUpdate> {
        let done = ctx.run_subgraph(&Arc::new(Inner), state.clone()).await?;
        Ok(DraftUpdate::new().most(done.most))
    }

    #[node(after(any("tell", "measure")))]
    async fn first(&self, _: &Draft) -> NodeResult<()> {
        Ok(())
    }

    #[node(kind = "condition", after("first", "within"), routes("draft", end))]
    async fn decide(&self, state: &Draft) -> NodeResult<Goto<DraftUpdate>> {
        Ok(if state.tries > 3 { Goto::end() } else { Goto::to("draft").with(DraftUpdate::new().tries(4_u32)) })
    }
}

/// What a reply is made of, by hand.
#[derive(Clone, Debug, serde::Serialize)]
struct Plain {
    prompt: String,
    text: String,
    tries: u32,
    seen: BTreeMap<String, u32>,
    words: Vec<String>,
    lengths: Vec<u32>,
    most: u32,
}

#[derive(Clone, Default, serde::Serialize)]
struct PlainUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tries: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<BTreeMap<String, u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lengths: Option<Vec<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<u32>,
}

impl StateUpdate for PlainUpdate {
    type State = Plain;
}

impl State for Plain {
    type Update = PlainUpdate;

    fn from_input(input: serde_json::Value) -> Result<Self, InputError> {
        let mut input = InputReader::new(input)?;
        let plain = Self {
            prompt: input.required("prompt")?,
            text: input.optional("text")?.unwrap_or_default(),
            tries: input.optional("tries")?.unwrap_or(3),
            seen: input.optional("seen")?.unwrap_or_default(),
            words: input.optional("words")?.unwrap_or_default(),
            lengths: input.optional("lengths")?.unwrap_or_default(),
            most: input.optional("most")?.unwrap_or_default(),
        };
        input.finish(&["prompt", "text", "tries", "seen", "words", "lengths", "most"])?;
        Ok(plain)
    }

    fn apply(&mut self, update: PlainUpdate) {
        if let Some(prompt) = update.prompt {
            self.prompt = prompt;
        }
        if let Some(text) = update.text {
            reduce::append(&mut self.text, text);
        }
        if let Some(tries) = update.tries {
            self.tries = tries;
        }
        if let Some(seen) = update.seen {
            reduce::merge(&mut self.seen, seen);
        }
        if let Some(words) = update.words {
            self.words = words;
        }
        if let Some(lengths) = update.lengths {
            self.lengths = lengths;
        }
        if let Some(most) = update.most {
            reduce::maximum(&mut self.most, most);
        }
    }

    fn input_schema() -> serde_json::Value {
        SchemaBuilder::new("Draft")
            .field::<String>("prompt", true, Some("What to answer."))
            .field::<String>("text", false, None)
            .field::<u32>("tries", false, None)
            .field::<BTreeMap<String, u32>>("seen", false, None)
            .field::<Vec<String>>("words", false, None)
            .field::<Vec<u32>>("lengths", false, None)
            .field::<u32>("most", false, None)
            .finish()
    }

    fn reducer(field: &str) -> Reducer {
        match field {
            "text" => Reducer::Append,
            "seen" => Reducer::Merge,
            "most" => Reducer::Maximum,
            _ => Reducer::Replace,
        }
    }

    fn schema() -> serde_json::Value {
        SchemaBuilder::of_state("Draft")
            .field::<String>("prompt", true, Some("What to answer."))
            .field::<String>("text", true, None)
            .field::<u32>("tries", true, None)
            .field::<BTreeMap<String, u32>>("seen", true, None)
            .field::<Vec<String>>("words", true, None)
            .field::<Vec<u32>>("lengths", true, None)
            .field::<u32>("most", true, None)
            .finish()
    }
}

struct ByHand;

impl ByHand {
    async fn draft(&self, state: &Plain) -> NodeResult<PlainUpdate> {
        Ok(PlainUpdate { text: Some(state.prompt.clone()), ..PlainUpdate::default() })
    }

    fn tell(&self, state: &Plain) -> impl Stream<Item = String> {
        stream::iter([state.prompt.clone()])
    }

    async fn measure(&self, word: &String) -> NodeResult<u32> {
        Ok(word.len() as u32)
    }

    async fn within(&self, state: &Plain, ctx: &NodeContext) -> NodeResult<PlainUpdate> {
        let given = Draft {
            prompt: state.prompt.clone(),
            text: state.text.clone(),
            tries: state.tries,
            seen: state.seen.clone(),
            words: state.words.clone(),
            lengths: state.lengths.clone(),
            most: state.most,
        };
        let done = ctx.run_subgraph(&Arc::new(Inner), given).await?;
        Ok(PlainUpdate { most: Some(done.most), ..PlainUpdate::default() })
    }

    async fn decide(&self, state: &Plain) -> NodeResult<Goto<PlainUpdate>> {
        let again = PlainUpdate { tries: Some(4), ..PlainUpdate::default() };
        Ok(if state.tries > 3 { Goto::end() } else { Goto::to("draft").with(again) })
    }
}

impl Workflow for ByHand {
    type State = Plain;

    fn definition() -> WorkflowBuilder<Self> {
        let token = TokenOptions::default()
            .with_buffer_size(3)
            .with_batch_size(2)
            .with_flush_interval(Duration::from_secs(5))
            .with_format(TokenFormat::Structured)
            .with_include_metadata(true)
            .with_processor(shout)
            .with_filter(
                TokenFilter::default()
                    .with_min_length(1)
                    .with_max_length(9)
                    .with_pattern("[a-z]")
                    .with_exclude_whitespace(true),
            );
        let event = EventOptions::default()
            .with_events(vec![EventType::UPDATES, EventType::new("mine").unwrap()])
            .with_buffer_size(7)
            .with_batch_size(3)
            .with_transformer(enrich)
            .with_filter(
                EventFilter::default()
                    .with_event_types(vec![EventType::TOOL_START])
                    .with_exclude_types(vec![EventType::DEBUG])
                    .with_min_priority(Priority::High)
                    .with_include_debug(true),
            )
            .with_delivery(Delivery::ExactlyOnce);
        let progress = ProgressOptions::default()
            .with_interval(Duration::from_millis(500))
            .with_granularity(Granularity::Detailed)
            .with_include_eta(true)
            .with_include_metrics(true)
            .with_milestones(vec![25.0, 50.5])
            .with_calculator(weigh)
            .with_format(
                ProgressFormat::default()
                    .with_show_percentage(false)
                    .with_show_current(true)
                    .with_show_total(true)
                    .with_show_rate(true)
                    .with_precision(3),
            );
        let draft = NodeBuilder::new("draft")
            .kind(NodeKind::Llm)
            .start()
            .description("Writes")
            .tags(&["a", "b"])
            .timeout(Duration::from_secs(30))
            .stream_token(token)
            .stream_event(event)
            .stream_progress(progress)
            .run(|this: Arc<Self>, state: Arc<Plain>, _: NodeContext| async move { this.draft(&state).await });
        let tell = NodeBuilder::new("tell")
            .kind(NodeKind::Stream)
            .after("draft")
            .stream_token(TokenOptions::default())
            .stream_event(EventOptions::default())
            .stream_progress(ProgressOptions::default())
            .run(|this: Arc<Self>, state: Arc<Plain>, ctx: NodeContext| async move {
                let text = stream_tokens(this.tell(&state), &ctx).await?;
                Ok(PlainUpdate { text: Some(text), ..PlainUpdate::default() })
            });
        let measure = NodeBuilder::new("measure")
            .after("draft")
            .retry(RetryOptions::default().with_attempts(2).with_on(vec![RetryOn::Retryable]))
            .concurrency(4)
            .gather_each(
                |state: &Plain| state.words.clone(),
                |this: Arc<Self>, _: Arc<Plain>, word: String, _: NodeContext| async move { this.measure(&word).await },
                |lengths: Vec<u32>| PlainUpdate { lengths: Some(lengths), ..PlainUpdate::default() },
            );
        let within = NodeBuilder::new("within").kind(NodeKind::Subgraph).after("draft").subgraph::<Inner>().run(
            |this: Arc<Self>, state: Arc<Plain>, ctx: NodeContext| async move { this.within(&state, &ctx).await },
        );
        let first = NodeBuilder::new("first")
            .after_any(&["tell", "measure"])
            .run(|_: Arc<Self>, _: Arc<Plain>, _: NodeContext| async { Ok(()) });
        let decide = NodeBuilder::new("decide")
            .kind(NodeKind::Condition)
            .after_all(&["first", "within"])
            .routes(&["draft"], true)
            .run_condition(|this: Arc<Self>, state: Arc<Plain>, _: NodeContext| async move {
                this.decide(&state).await
            });
        WorkflowBuilder::new("draft-reply")
            .description("Drafts a reply")
            .max_steps(20)
            .timeout(Duration::from_secs(300))
            .on_disconnect(OnDisconnect::Cancel)
            .values(true)
            .node(draft)
            .node(tell)
            .node(measure)
            .node(within)
            .node(first)
            .node(decide)
    }
}

/// A module and what it provides, by the attributes.
mod composed {
    use super::*;

    #[injectable(scope = "execution", init = begin, shutdown = end)]
    pub(crate) struct Reply {
        model: Arc<dyn ChatModel>,
        #[inject(name = "fast")]
        fast: Option<Arc<OfflineModel>>,
        #[inject(value = Duration::from_secs(5))]
        patience: Duration,
    }

    impl Reply {
        async fn begin(&self) {}
        async fn end(&self) {}
    }

    #[module(
        imports(CacheModule),
        providers(Reply, OfflineModel as dyn ChatModel, named("fast", value(OfflineModel::default()))),
        exports(CacheModule, dyn ChatModel),
        global
    )]
    pub(crate) struct AppModule;
}

/// The same by hand.
mod written {
    use super::*;

    pub(crate) struct Reply {
        model: Arc<dyn ChatModel>,
        fast: Option<Arc<OfflineModel>>,
        patience: Duration,
    }

    impl Injectable for Reply {
        fn provider() -> Provider<Self> {
            let patience = Duration::from_secs(5);
            Provider::new(move |given| Ok(Self { model: given.field("model")?, fast: given.field("fast")?, patience }))
                .needs::<Arc<dyn ChatModel>>("model")
                .needs_named::<Option<Arc<OfflineModel>>>("fast", "fast")
                .scope(ProviderScope::Execution)
                .on_init(|reply: Arc<Self>| async move { drop((reply.model.clone(), reply.fast.clone(), reply.patience)) })
                .on_shutdown(|_: Arc<Self>| async {})
        }
    }

    pub(crate) struct AppModule;

    impl ModuleDefinition for AppModule {
        fn module() -> Module {
            Module::of::<Self>()
                .import(CacheModule)
                .provide(Reply::provider())
                .provide(OfflineModel::provider().bind::<dyn ChatModel>(|model| model))
                .provide(Provider::value(OfflineModel::default()).named("fast"))
                .export::<CacheModule>()
                .export::<dyn ChatModel>()
                .global()
        }
    }
}

#[module(providers(value(7_u32)), exports(u32))]
struct CacheModule;

fn main() {
    // Debug shows every part of a definition; functions as their addresses, which are the same functions here.
    assert_eq!(format!("{:#?}", WithMacro::definition()), format!("{:#?}", ByHand::definition()));
    assert_eq!(Draft::input_schema(), Plain::input_schema());
    assert_eq!(Draft::schema(), Plain::schema());
    for field in ["prompt", "text", "tries", "seen", "words", "lengths", "most"] {
        assert_eq!(Draft::reducer(field), Plain::reducer(field), "{field}");
    }

    let (composed, written) = (composed::AppModule::module(), written::AppModule::module());
    assert_eq!(format!("{composed:#?}"), format!("{written:#?}"));

    let input = serde_json::json!({"prompt": "hi", "seen": {"a": 1}});
    let (mut draft, mut plain) = (Draft::from_input(input.clone()).unwrap(), Plain::from_input(input).unwrap());
    let seen = BTreeMap::from([("b".to_owned(), 2)]);
    let update = DraftUpdate::new().text("x").seen(seen.clone());
    let by_hand = PlainUpdate { text: Some("x".into()), seen: Some(seen), ..PlainUpdate::default() };
    assert_eq!(serde_json::to_value(&update).unwrap(), serde_json::to_value(&by_hand).unwrap());
    draft.apply(update);
    plain.apply(by_hand);
    assert_eq!(serde_json::to_value(&draft).unwrap(), serde_json::to_value(&plain).unwrap());

    let wrong = serde_json::json!({"prompt": 1});
    let told = |error: InputError| error.to_string();
    assert_eq!(Draft::from_input(wrong.clone()).map_err(told).err(), Plain::from_input(wrong).map_err(told).err());
}
