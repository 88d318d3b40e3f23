//! What the tests share: a workflow whose nodes are closures, and a run that is read to its end.

use std::{cell::RefCell, fmt, future::Future, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::{Value, json};
use streamnest_core::{
    Class, Clock, Entry, Event, ExecutionControl as _, ExecutionId, LogStore, StartExecution, Status,
    Timestamp,
    payload::{Progress, StatusUpdate, Token},
};
use streamnest_log::{EventLog, LogOptions, MemoryStore, Read, ReadLimit, Registry, Start};
use streamnest_runtime::{
    Engine, EngineOptions, InputError, InputReader, NodeBuilder, NodeContext, NodeOutcome, NodeResult,
    Reducer, Run, SchemaBuilder, State, StateUpdate, Workflow, WorkflowBuilder, reduce,
};

/// The state of [`Play`].
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub(crate) struct Board {
    pub(crate) prompt: Option<String>,
    pub(crate) text: String,
    pub(crate) count: u32,
}

/// Its update. It can be told to panic when it is applied, and when it is written as JSON.
#[derive(Clone, PartialEq, Debug, Default, Serialize)]
pub(crate) struct BoardUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u32>,
    #[serde(skip)]
    pub(crate) panics: bool,
}

impl BoardUpdate {
    pub(crate) fn text(text: &str) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    pub(crate) fn count(count: u32) -> Self {
        Self { count: Some(count), ..Self::default() }
    }
}

impl State for Board {
    type Update = BoardUpdate;

    fn from_input(input: Value) -> Result<Self, InputError> {
        let mut input = InputReader::new(input)?;
        let prompt = input.optional("prompt")?;
        input.finish(&["prompt"])?;
        Ok(Self { prompt, ..Self::default() })
    }

    fn apply(&mut self, update: BoardUpdate) {
        assert!(!update.panics, "a reducer panics on purpose");
        if let Some(text) = update.text {
            reduce::append(&mut self.text, text);
        }
        if let Some(count) = update.count {
            reduce::replace(&mut self.count, count);
        }
    }

    fn input_schema() -> Value {
        SchemaBuilder::new("Board").field::<Option<String>>("prompt", false, None).finish()
    }

    fn reducer(field: &str) -> Reducer {
        if field == "text" { Reducer::Append } else { Reducer::Replace }
    }
}

impl StateUpdate for BoardUpdate {
    type State = Board;
}

/// A workflow whose definition a test gives.
pub(crate) struct Play;

pub(crate) type Definition = WorkflowBuilder<Play>;
pub(crate) type Node = NodeBuilder<Play>;

thread_local! {
    static NEXT: RefCell<Option<Definition>> = const { RefCell::new(None) };
}

impl Workflow for Play {
    type State = Board;

    fn definition() -> Definition {
        NEXT.take().expect("a definition is given before the workflow is built")
    }
}

/// A node that does `body`.
pub(crate) fn does<F, Fut, T>(node: Node, body: F) -> Node
where
    F: Fn(NodeContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<T>> + Send + 'static,
    T: NodeOutcome<Board>,
{
    node.run(move |_, _, ctx| body(ctx))
}

/// A workflow of one node.
pub(crate) fn one(node: Node) -> Definition {
    WorkflowBuilder::new("play").node(node.start())
}

/// A workflow of one node, named `node`, that does `body` with the options that `annotate` gives it.
pub(crate) fn play<F, Fut, T>(annotate: impl FnOnce(Node) -> Node, body: F) -> Definition
where
    F: Fn(NodeContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = NodeResult<T>> + Send + 'static,
    T: NodeOutcome<Board>,
{
    one(does(annotate(NodeBuilder::new("node")), body))
}

/// A clock that stands.
pub(crate) struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_795_000_000_000_000)
    }
}

pub(crate) fn memory() -> Arc<dyn LogStore> {
    Arc::new(MemoryStore::new(Arc::new(Standing)))
}

pub(crate) fn registry(store: Arc<dyn LogStore>, options: LogOptions) -> Registry {
    Registry::new(store, Arc::new(Standing), options)
}

pub(crate) fn engine_with(definition: Definition, logs: Registry, options: EngineOptions) -> Engine {
    NEXT.set(Some(definition));
    Engine::builder(logs).options(options).workflow(Play).build().unwrap()
}

pub(crate) fn engine_on(definition: Definition, store: Arc<dyn LogStore>) -> Engine {
    engine_with(definition, registry(store, LogOptions::default()), EngineOptions::default())
}

pub(crate) fn engine(definition: Definition) -> Engine {
    engine_on(definition, memory())
}

/// Why a definition is refused.
pub(crate) fn refusal(definition: Definition) -> String {
    NEXT.set(Some(definition));
    let built = Engine::builder(registry(memory(), LogOptions::default())).workflow(Play).build();
    let error = built.expect_err("the definition is wrong");
    assert_eq!(
        error.code(),
        if matches!(error, streamnest_runtime::Error::Name { .. }) {
            "invalid_name"
        } else {
            "invalid_workflow"
        }
    );
    error.to_string()
}

pub(crate) fn request(id: Option<&str>) -> StartExecution {
    StartExecution {
        workflow: "play".into(),
        input: json!({}),
        execution_id: id.map(|id| ExecutionId::new(id).unwrap()),
        on_disconnect: None,
        trace: None,
    }
}

pub(crate) async fn start(engine: &Engine) -> Run {
    engine.run(request(None)).await.unwrap()
}

/// Runs a definition to its end and returns all that it said.
pub(crate) async fn run(definition: Definition) -> Told {
    let engine = engine(definition);
    let told = told(&start(&engine).await).await;
    assert_eq!(engine.executions(10, None).executions.len(), 1);
    told
}

/// Everything that a run says, to its end. What must hold of every log is checked here.
pub(crate) async fn told(run: &Run) -> Told {
    told_of(run.log()).await
}

/// Everything that a log says, to its end.
pub(crate) async fn told_of(log: &Arc<EventLog>) -> Told {
    let mut cursor = log.observer(Start::Beginning);
    let mut entries = Vec::new();
    let read = async {
        while let Some(read) = cursor.next_batch(ReadLimit::default()).await.unwrap() {
            match read {
                Read::Batch(batch) => entries.extend(batch),
                Read::Gap(gap) => panic!("nothing is trimmed, and yet {gap:?}"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(3600), read).await.expect("the run ends");
    let told = Told(entries);
    told.check();
    told
}

/// What a run said.
pub(crate) struct Told(pub(crate) Vec<Arc<Entry>>);

impl Told {
    /// Numbers are dense from 1; exactly one terminal status, which is the last entry; each message's indexes and counts
    /// add up; progress never falls within a visit.
    fn check(&self) {
        for (entry, number) in self.0.iter().zip(1..) {
            assert_eq!(entry.seq().get(), number);
        }
        let terminal: Vec<_> =
            self.statuses().into_iter().filter(|update| update.status.is_terminal()).collect();
        assert_eq!(terminal.len(), 1, "{self:?}");
        let last = self.0.last().unwrap().event().as_status().unwrap();
        assert_eq!(last.as_ref(), terminal.first(), "{self:?}");
        for message in self.messages() {
            let mut end = 0;
            for token in self.tokens_of(message) {
                let begins = end..=end + token.filtered;
                assert!(begins.contains(&token.index), "{token:?} does not begin in {begins:?}");
                end += u64::from(token.count) + token.filtered;
            }
        }
        let mut highest = std::collections::HashMap::new();
        for (entry, progress) in
            self.0.iter().filter_map(|entry| Some((entry, entry.event().as_progress().unwrap()?)))
        {
            let key = (entry.event().node().cloned(), progress.visit, progress.item);
            let before = highest.insert(key, progress.progress).unwrap_or(0.0);
            assert!(progress.progress >= before, "progress fell from {before} to {}", progress.progress);
        }
    }

    /// Checks that each attempt that says it began also says, once, how it ended. Not for nodes that emit other events
    /// only.
    pub(crate) fn check_attempts(&self) {
        let mut open = std::collections::HashSet::new();
        let (mut begun, mut ended) = (0, 0);
        for event in self.events().filter(|event| event.class() == Class::Event && event.node().is_some()) {
            let data = event.as_data().unwrap().unwrap();
            let key = || {
                (
                    event.node().unwrap().to_string(),
                    data["visit"].to_string(),
                    data["attempt"].to_string(),
                    data["item"].to_string(),
                )
            };
            match event.event_type().as_str() {
                "node_start" | "item_start" if data["visit"].is_number() => {
                    assert!(open.insert(key()), "{:?} begins twice in {self:?}", key());
                    begun += 1;
                }
                "node_complete" | "node_error" | "node_retry" | "node_cancelled" | "item_complete"
                    if data["visit"].is_number() =>
                {
                    ended += usize::from(open.remove(&key()));
                }
                _ => {}
            }
        }
        assert_eq!(begun, ended, "{open:?} began and did not end in {self:?}");
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.0.iter().map(|entry| entry.event())
    }

    pub(crate) fn tokens(&self) -> Vec<Token> {
        self.events().filter_map(|event| event.as_token().unwrap()).collect()
    }

    /// The ids of the messages, in the order of their first frame.
    pub(crate) fn messages(&self) -> Vec<String> {
        let mut ids: Vec<String> = Vec::new();
        for token in self.tokens() {
            let id = token.message.unwrap().to_string();
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        ids
    }

    pub(crate) fn tokens_of(&self, message: String) -> Vec<Token> {
        let of = |token: &Token| token.message.is_some_and(|id| id.to_string() == message);
        self.tokens().into_iter().filter(of).collect()
    }

    /// The contents of the frames.
    pub(crate) fn frames(&self) -> Vec<String> {
        self.tokens().into_iter().map(|token| token.content).collect()
    }

    pub(crate) fn text(&self) -> String {
        self.frames().concat()
    }

    pub(crate) fn progress(&self) -> Vec<Progress> {
        self.events().filter_map(|event| event.as_progress().unwrap()).collect()
    }

    pub(crate) fn statuses(&self) -> Vec<StatusUpdate> {
        self.events().filter_map(|event| event.as_status().unwrap()).collect()
    }

    pub(crate) fn end(&self) -> StatusUpdate {
        self.statuses().pop().unwrap()
    }

    /// How it ended: the status, and the code if it failed.
    pub(crate) fn ended(&self) -> String {
        let end = self.end();
        match (end.status, end.error) {
            (Status::Failed, Some(error)) => format!("failed: {}", error.code),
            (status, _) => status.as_str().into(),
        }
    }

    /// The data of all events of a type.
    pub(crate) fn data(&self, event_type: &str) -> Vec<Value> {
        let of_type =
            |event: &&Event| event.class() == Class::Event && event.event_type().as_str() == event_type;
        self.events().filter(of_type).map(|event| event.as_data().unwrap().unwrap()).collect()
    }

    /// What was said, in a word each: a token by its text, a progress by its percentage, an event by its type.
    pub(crate) fn words(&self) -> Vec<String> {
        let word = |event: &Event| match event.class() {
            Class::Token => format!("`{}`", event.as_token().unwrap().unwrap().content),
            Class::Progress => format!("{} %", event.as_progress().unwrap().unwrap().progress),
            Class::Event => event.event_type().to_string(),
            Class::Data => unreachable!("an execution says no bytes"),
            Class::Status => event.as_status().unwrap().unwrap().status.as_str().into(),
        };
        self.events().map(word).collect()
    }

    /// The words without the lifecycle of workflow and node.
    pub(crate) fn said(&self) -> Vec<String> {
        let lifecycle = |word: &String| {
            ["workflow_", "node_", "running", "completed", "failed", "cancelled"]
                .iter()
                .any(|start| word.starts_with(start))
        };
        self.words().into_iter().filter(|word| !lifecycle(word)).collect()
    }
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.words()).finish()
    }
}

/// Whether the long forms of randomized tests run.
pub(crate) fn chaos() -> bool {
    std::env::var_os("STREAMNEST_CHAOS").is_some_and(|value| value == "1")
}

/// A small random number generator (SplitMix64, public domain by Sebastiano Vigna), so that a seed is all there is.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn from_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// The first seed of a randomized test, which it prints; `STREAMNEST_SEED` sets it.
    pub(crate) fn seed() -> u64 {
        let given = std::env::var("STREAMNEST_SEED").ok().and_then(|seed| seed.parse().ok());
        given.unwrap_or_else(|| std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

/// Runs `case` for seed after seed; a failure names its seed.
pub(crate) async fn cases<Fut: Future<Output = ()>>(count: u64, case: impl Fn(u64) -> Fut) {
    let first = Random::seed();
    println!("seed: run again with STREAMNEST_SEED={first}");
    for number in 0..count {
        let seed = first.wrapping_add(number);
        let _said = SaySeed(seed);
        case(seed).await;
    }
    println!("cases={count} first_seed={first}");
}

/// Says which case failed.
struct SaySeed(u64);

impl Drop for SaySeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("this case failed: STREAMNEST_SEED={}", self.0);
        }
    }
}
