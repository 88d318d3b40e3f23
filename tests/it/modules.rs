//! Programs put together of modules.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use streamnest::{
    App, CorsOptions, Error, FeatureOptions, HeartbeatOptions, ServerFlags, WebSocketOptions,
    core::{ExecutionControl, ExecutionId, StartExecution, Status},
    gateway::{GatewayOptions, StreamingWebSocketGateway, WebSocketBridgeService},
    log::{Registry, Start},
    modules::ContainerOptions,
    prelude::*,
    runtime::{EngineOptions, EventStreamProcessorService, RunError, TokenOptions, TokenStreamingService},
};
use streamnest_tests::server::Server;
use tokio::net::TcpListener;

/// What happened, in order.
#[derive(Clone, Debug, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn write(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    fn read(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

#[derive(State, Clone, Serialize)]
struct Draft {
    #[state(default)]
    text: String,
}

/// Asks a model that it is given.
#[injectable]
struct Author {
    model: Arc<dyn ChatModel>,
}

#[workflow(name = "author", state = Draft)]
impl Author {
    #[node(kind = "llm", start)]
    #[stream_token]
    async fn write(&self, _: &Draft) -> NodeResult<DraftUpdate> {
        Ok(DraftUpdate::new().text(self.model.generate("Write.").await?.text))
    }
}

#[module(providers(Author, OfflineModel as dyn ChatModel), workflows(Author))]
struct AuthorModule;

async fn result(app: &App, workflow: &str) -> Value {
    app.start(workflow, json!({})).await.unwrap().result().await.unwrap()
}

#[tokio::test]
async fn a_workflow_is_made_of_what_its_module_provides_and_of_a_double_in_a_test() {
    let app = Streamnest::create::<AuthorModule>().await.unwrap();
    assert_ne!(result(&app, "author").await["text"], "");

    let double = ScriptedModel::new().answer("Written down.");
    let replaced = Provider::value(double.clone()).bind::<dyn ChatModel>(|model| model);
    let app = Streamnest::builder().module(AuthorModule).replace(replaced).build().await.unwrap();
    assert_eq!(result(&app, "author").await["text"], "Written down.");
    assert_eq!(double.calls().len(), 1);
}

/// What one execution remembers.
#[injectable(scope = "execution", init = begin, shutdown = end)]
struct Memory {
    of: Arc<ExecutionId>,
    diary: Arc<Diary>,
    #[inject(default)]
    count: AtomicUsize,
}

impl Memory {
    async fn begin(&self) {
        self.diary.write(format!("{} begins", *self.of));
    }

    async fn end(&self) {
        self.diary.write(format!("{} ends", *self.of));
    }
}

#[injectable(scope = "execution")]
struct Counter {
    memory: Arc<Memory>,
}

#[workflow(name = "counter", state = Draft)]
impl Counter {
    #[node(start)]
    async fn first(&self, _: &Draft) -> NodeResult<()> {
        self.memory.count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    #[node(after = "first")]
    async fn second(&self, _: &Draft, ctx: &NodeContext) -> NodeResult<DraftUpdate> {
        assert_eq!(ctx.execution_id(), &*self.memory.of);
        let count = self.memory.count.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(DraftUpdate::new().text(count.to_string()))
    }
}

fn counting(diary: &Diary) -> Module {
    Module::new("Counting")
        .provide(Provider::value(diary.clone()))
        .provide(Memory::provider())
        .provide(Counter::provider())
        .workflow::<Counter>()
}

async fn start(app: &App, workflow: &str, id: &str) -> streamnest::runtime::Run {
    let execution_id = Some(ExecutionId::new(id).unwrap());
    let request = StartExecution {
        workflow: workflow.into(),
        input: json!({}),
        execution_id,
        on_disconnect: None,
        trace: None,
    };
    app.start_with(request).await.unwrap()
}

#[tokio::test]
async fn each_execution_runs_on_its_own_which_ends_when_it_has_ended() {
    let diary = Diary::default();
    let app = Streamnest::builder().module(counting(&diary)).build().await.unwrap();
    for id in ["one", "two"] {
        let run = start(&app, "counter", id).await;
        assert_eq!(run.result().await.unwrap()["text"], "2", "nothing is left of the one before");
    }
    app.shut_down().await;
    let lines = diary.read();
    assert_eq!(lines.iter().filter(|line| line.ends_with("begins")).count(), 2, "{lines:?}");
    for line in ["one begins", "one ends", "two begins", "two ends"] {
        assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
    }
}

#[tokio::test]
async fn an_execution_whose_own_cannot_be_made_fails_and_its_client_is_not_told_why() {
    let broken = Provider::try_factory(|| Err::<Diary, _>(std::io::Error::other("password of the database")));
    let app = Streamnest::builder()
        .module(counting(&Diary::default()))
        .replace(broken.scope(ProviderScope::Execution))
        .build()
        .await
        .unwrap();
    let run = app.start("counter", json!({})).await.unwrap();
    let Err(RunError::Failed { failure }) = run.result().await else { panic!("it did not fail") };
    assert_eq!(failure.code, "provider_failed");
    assert!(!failure.message.contains("password"), "{}", failure.message);
    let entries: Vec<_> = run.events().map(|entry| entry.unwrap()).collect().await;
    assert!(run.log().head().sealed);
    let last = entries.last().unwrap().event();
    assert_eq!(last.event_type().as_str(), "status", "the terminal entry comes last");
}

#[tokio::test]
async fn an_execution_that_is_cancelled_while_its_own_is_made_ends_as_cancelled() {
    let slow = Provider::async_factory(std::future::pending::<Result<Diary, Error>>);
    let app = Streamnest::builder()
        .module(counting(&Diary::default()))
        .replace(slow.scope(ProviderScope::Execution))
        .build()
        .await
        .unwrap();
    let run = app.start("counter", json!({})).await.unwrap();
    run.cancel("enough").await;
    assert!(matches!(run.result().await, Err(RunError::Cancelled { .. })));
}

/// Needs everything that streams: what it is part of, too.
#[injectable(init = begin)]
struct Herald {
    tokens: Arc<TokenStreamingService>,
    events: Arc<EventStreamProcessorService>,
    sockets: Arc<StreamingWebSocketGateway>,
    bridge: Arc<WebSocketBridgeService>,
    control: Arc<dyn ExecutionControl>,
    logs: Arc<Registry>,
}

impl Herald {
    /// Starts an execution of another workflow while the application begins.
    async fn begin(&self) -> Result<(), streamnest::core::ControlError> {
        let execution_id = Some(ExecutionId::new("from-a-hook").unwrap());
        let request = StartExecution {
            workflow: "author".into(),
            input: json!({}),
            execution_id,
            on_disconnect: None,
            trace: None,
        };
        self.control.start(request).await.map(drop)
    }
}

#[workflow(name = "herald", state = Draft)]
impl Herald {
    #[node(start)]
    async fn cry(&self, _: &Draft, ctx: &NodeContext) -> NodeResult<DraftUpdate> {
        let beside = ExecutionId::new("beside")?;
        let stream = self.tokens.initialize_token_stream(&beside, "crier", TokenOptions::default()).await?;
        stream.token("Hear ye").await?;
        self.tokens.close_execution_token_streams(&beside).await?;
        self.events.replay(ctx.execution_id(), Start::Beginning)?;
        let lines = futures_util::stream::iter(["bridged"]);
        self.bridge.bridge_to_execution(ctx.execution_id(), "line", lines).await?;
        self.sockets.broadcast_to_execution(ctx.execution_id(), "cried", json!({"loud": true})).await?;
        Ok(DraftUpdate::new().text(self.logs.len().to_string()))
    }
}

#[module(imports(AuthorModule), providers(Herald), workflows(Herald))]
struct HeraldModule;

#[tokio::test]
async fn a_workflow_may_need_the_services_that_run_it() {
    let app = Streamnest::create::<HeraldModule>().await.unwrap();
    let run = app.start("herald", json!({})).await.unwrap();
    assert_eq!(run.result().await.unwrap()["text"], "3");
    let entries: Vec<_> = run.events().map(|entry| entry.unwrap()).collect().await;
    for event_type in ["cried", "line"] {
        assert!(entries.iter().any(|entry| entry.event().event_type().as_str() == event_type), "{entries:?}");
    }
    for id in ["beside", "from-a-hook"] {
        let summary = app.engine().execution(&ExecutionId::new(id).unwrap()).unwrap();
        assert_ne!(summary.status, Status::Failed, "{id}");
    }
    assert!(app.get::<Herald>().is_ok() && app.get::<Diary>().is_err());
}

// Options.

/// How many frames the tokens of a workflow make.
async fn frames(app: &App) -> usize {
    let model = app.get::<dyn ChatModel>().unwrap();
    assert_eq!(model.name(), "scripted");
    let run = app.start("author", json!({})).await.unwrap();
    run.result().await.unwrap();
    let entries: Vec<_> = run.events().map(|entry| entry.unwrap()).collect().await;
    entries.iter().filter(|entry| entry.event().event_type().as_str() == "token").count()
}

/// A module of the author with a model that says ten tokens at once.
fn author() -> Module {
    let model = || {
        let script = streamnest::models::Script::new().tokens(["a"; 10]);
        ScriptedModel::new().script(script)
    };
    Module::new("AuthorOfTen")
        .provide(Provider::factory(model).bind::<dyn ChatModel>(|model| model))
        .provide(Author::provider())
        .workflow::<Author>()
}

#[tokio::test(start_paused = true)]
async fn options_reach_what_they_are_of_by_for_root_for_root_async_and_for_feature() {
    let app = |module: Module| async { Streamnest::builder().module(module).build().await.unwrap() };
    let by_default = frames(&app(author()).await).await;
    assert!(by_default <= 3, "{by_default} frames");

    let options = StreamingOptions::default().with_default_buffer_size(1);
    let root = author().import(StreamingModule::for_root(options.clone()));
    assert_eq!(frames(&app(root).await).await, 10);

    struct Settings(StreamingOptions);
    let settings = Module::new("Settings").provide(Provider::value(Settings(options))).export::<Settings>();
    let streaming = StreamingModule::for_root_async(|settings: Arc<Settings>| async move {
        Ok::<_, Error>(settings.0.clone())
    });
    assert_eq!(frames(&app(author().import(streaming.import(settings))).await).await, 10);

    // Of two modules with workflows, the one that imports it.
    let feature = StreamingModule::for_feature(FeatureOptions::default().with_default_buffer_size(1));
    assert_eq!(frames(&app(author().import(feature)).await).await, 10);
    let elsewhere = Module::new("Elsewhere")
        .import(StreamingModule::for_feature(FeatureOptions::default().with_default_buffer_size(1)));
    assert_eq!(frames(&app(author().import(elsewhere)).await).await, by_default);
}

#[tokio::test]
async fn options_by_name_are_those_of_the_parts_beneath() {
    let heartbeat = HeartbeatOptions::default()
        .with_interval(Duration::from_secs(7))
        .with_timeout(Duration::from_secs(3));
    let options = StreamingOptions::default()
        .with_websocket(WebSocketOptions::default().with_port(0))
        .with_cors(CorsOptions::default().with_origin(vec!["https://app.example.org".into()]))
        .with_heartbeat(heartbeat);
    let app = Streamnest::builder().options(options).build().await.unwrap();
    let gateway = app.gateway().options();
    assert_eq!(gateway.heartbeat_interval, Duration::from_secs(7));
    assert_eq!(gateway.pong_timeout, Duration::from_secs(3));
    assert_eq!(gateway.allowed_origins, ["https://app.example.org"]);
}

#[tokio::test]
async fn a_program_listens_on_the_port_of_its_options_unless_a_flag_says_otherwise() {
    use clap::Parser as _;
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let websocket = WebSocketOptions::default().with_port(address.port());
    let options = StreamingOptions::default().with_websocket(websocket);
    let app = Streamnest::builder().options(options).build().await.unwrap();
    let listen = |arguments: &[&str]| {
        let flags = ["program", "--log", "error", "--data-dir", directory.path().to_str().unwrap()];
        ServerFlags::try_parse_from(flags.iter().chain(arguments)).unwrap()
    };
    let refused = listen(&[]).serve(&app).await.unwrap_err();
    assert!(matches!(refused, Error::Listen { address: tried, .. } if tried == address), "{refused:?}");
    // Port 0 is free, so it serves until it is dropped.
    let serving = listen(&["--listen", "127.0.0.1:0"]);
    assert!(tokio::time::timeout(Duration::from_millis(50), serving.serve(&app)).await.is_err());
}

#[tokio::test]
async fn options_that_contradict_each_other_are_refused_by_name() {
    let build = |options: StreamingOptions| async {
        Streamnest::builder().options(options).build().await.unwrap_err()
    };
    let base = StreamingOptions::default;
    let gateway = GatewayOptions::default;
    let short = Duration::from_secs(1);
    for (options, option) in [
        (
            base()
                .with_default_buffer_size(3)
                .with_engine(EngineOptions::default().with_default_buffer_size(4)),
            "default_buffer_size",
        ),
        (
            base()
                .with_cors(CorsOptions::default())
                .with_gateway(gateway().with_allowed_origins(vec!["https://a.example".into()])),
            "cors.origin",
        ),
        (
            base().with_heartbeat(HeartbeatOptions::default()).with_gateway(gateway().with_heartbeats(false)),
            "heartbeat.enabled",
        ),
        (
            base()
                .with_heartbeat(HeartbeatOptions::default())
                .with_gateway(gateway().with_heartbeat_interval(short)),
            "heartbeat.interval",
        ),
        (
            base()
                .with_heartbeat(HeartbeatOptions::default())
                .with_gateway(gateway().with_pong_timeout(short)),
            "heartbeat.timeout",
        ),
    ] {
        let error = build(options).await;
        assert_eq!(error.code(), "option_twice", "{error:?}");
        assert!(error.to_string().contains(&format!("`{option}`")), "{error:?}");
    }
    let error = build(base().with_default_buffer_size(0)).await;
    assert!(error.to_string().contains("default_buffer_size"), "{error:?}");

    let twice = Module::new("App").import(StreamingModule::for_root(base()));
    let twice = Streamnest::builder().module(twice).engine_options(EngineOptions::default());
    assert_eq!(twice.build().await.unwrap_err().code(), "module_twice");
    let feature = StreamingModule::for_feature(FeatureOptions::default().with_default_buffer_size(0));
    let error = Streamnest::builder().module(author().import(feature)).build().await.unwrap_err();
    assert!(error.to_string().contains("FeatureOptions::default_buffer_size"), "{error:?}");
}

// Beginning and ending.

/// Writes down when it ends, and which executions had ended then.
fn watched(diary: &Diary) -> Module {
    let (begin, end) = (diary.clone(), diary.clone());
    struct Watch(Arc<dyn ExecutionControl>);
    let watch = Provider::factory(Watch)
        .on_init(move |_| {
            begin.write("begins");
            async {}
        })
        .on_shutdown(move |watch: Arc<Watch>| {
            let page = watch.0.executions(100, None);
            let running = page.executions.iter().filter(|one| one.status == Status::Running).count();
            end.write(format!("ends with {running} running"));
            async {}
        });
    author().provide(watch)
}

#[tokio::test]
async fn hooks_run_before_the_first_connection_and_after_the_last_execution() {
    let diary = Diary::default();
    let options = GatewayOptions::default().with_drain_grace(Duration::from_millis(50));
    let hanging =
        Provider::value(ScriptedModel::new().script(streamnest::models::Script::new().token("a").hang()));
    let builder = Streamnest::builder()
        .module(watched(&diary))
        .replace(hanging.bind::<dyn ChatModel>(|model| model))
        .gateway_options(options);
    let server = Server::start(builder).await;
    assert_eq!(diary.read(), ["begins"]);
    server.app.start("author", json!({})).await.unwrap();
    server.stop().await;
    assert_eq!(diary.read(), ["ends with 0 running"]);
}

#[tokio::test]
async fn a_program_that_serves_the_routes_itself_shuts_down_by_a_call() {
    let diary = Diary::default();
    let app = Streamnest::builder().module(watched(&diary)).build().await.unwrap();
    let router = app.clone().into_router();
    app.shut_down().await;
    assert_eq!(diary.read(), ["begins", "ends with 0 running"]);
    drop(router);
}

#[tokio::test(start_paused = true)]
async fn an_application_that_does_not_begin_tells_which_provider_and_ends_what_began() {
    let diary = Diary::default();
    let broken = Provider::value(7_u8).on_init(|_| async { Err::<(), _>(std::io::Error::other("no route")) });
    let app = Streamnest::builder().module(watched(&diary).provide(broken)).build().await;
    let error = app.unwrap_err();
    assert_eq!(error.code(), "hook_failed");
    assert!(error.to_string().contains("`u8` in module `AuthorOfTen`"), "{error:?}");
    assert_eq!(diary.read(), ["begins", "ends with 0 running"]);

    let slow = Provider::value(7_u8).on_init(|_| std::future::pending::<()>());
    let options = ContainerOptions::default().with_hook_timeout(Duration::from_secs(2));
    let app = Streamnest::builder().module(author().provide(slow)).container_options(options).build().await;
    assert_eq!(app.unwrap_err().code(), "hook_timeout");
}

#[tokio::test]
async fn a_workflow_that_no_module_provides_is_told_by_its_name() {
    let module = Module::new("AppModule").workflow::<Author>();
    let error = Streamnest::builder().module(module).build().await.unwrap_err();
    assert_eq!(
        format!("{error:?}"),
        "workflow `Author` in module `AppModule` needs `Author`, which no module provides; \
         add `Author` to the `providers(…)` of `AppModule`, or import a module that exports it"
    );
}
