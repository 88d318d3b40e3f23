//! A process of its own that is told by variables where spans go. It is this test's own program, which serves instead when it is told to.

use std::{
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use clap::Parser as _;
use streamnest::{ServerFlags, otlp::OtlpOptions, prelude::*};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
};

use tracing::{Level, level_filters::LevelFilter};
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::collector::Collector;

/// What makes a process of this test serve: `flags`, by the standard flags alone, or `own`, with a subscriber of its own. `layer`
/// looks at what the layer does instead.
const SERVES: &str = "STREAMNEST_TEST_SERVES";
/// The flags that it gets then.
const FLAGS: &str = "STREAMNEST_TEST_FLAGS";

#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct Nothing {}

struct Short;

#[workflow(name = "short", state = Nothing)]
impl Short {
    #[node(start)]
    async fn only(&self, _state: &Nothing) -> NodeResult<NothingUpdate> {
        Ok(NothingUpdate::new())
    }
}

/// What the layer alone has recorded, in a process without any other subscriber.
fn record() {
    let (layer, _export) = streamnest::otlp::start(OtlpOptions::new("http://localhost:1")).unwrap();
    tracing_subscriber::registry().with(layer).init();
    assert!(tracing::span_enabled!(Level::INFO));
    assert!(tracing::span_enabled!(target: "streamnest_runtime", Level::DEBUG));
    assert!(!tracing::span_enabled!(Level::DEBUG));
    assert!(!tracing::span_enabled!(target: "streamnest_runtime", Level::TRACE));
    assert!(!tracing::event_enabled!(Level::ERROR));
    assert_eq!(LevelFilter::current(), Level::DEBUG);
}

async fn serve(how: &str) {
    if how == "layer" {
        return record();
    }
    if how == "own" {
        tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    }
    let more = std::env::var(FLAGS).unwrap_or_default();
    let flags = ["letters", "--memory", "--listen", "127.0.0.1:0"];
    let flags = ServerFlags::try_parse_from(flags.into_iter().chain(more.split_whitespace())).unwrap();
    let app = Streamnest::builder().workflow(Short).build().await.unwrap();
    flags.serve(&app).await.unwrap_or_else(|error| panic!("{error}"));
}

/// A process that serves.
struct Program {
    child: Child,
    address: Option<SocketAddr>,
}

impl Program {
    async fn start(how: &str, flags: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "by_environment::variables_say_where_spans_go_and_stop_no_program",
                "--nocapture",
            ])
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .env_remove("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .env_remove("OTEL_SERVICE_NAME")
            .env(SERVES, how)
            .env(FLAGS, flags)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut address = None;
        while address.is_none()
            && let Some(line) = lines.next_line().await.unwrap()
        {
            address = line.rsplit_once("listening on http://").map(|(_, address)| address.parse().unwrap());
        }
        Self { child, address }
    }

    /// Has it run its workflow.
    async fn run(&self) {
        let address = self.address.expect("it serves");
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "POST /workflows/short/executions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
             content-type: application/json\r\ncontent-length: 12\r\n\r\n{{\"input\":{{}}}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }

    /// Ends it if it serves; how it ended and what it logged.
    async fn ended(mut self) -> (ExitStatus, String) {
        if self.address.is_some() {
            self.child.start_kill().unwrap();
        }
        let mut logged = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut logged).await.unwrap();
        (self.child.wait().await.unwrap(), logged)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_say_where_spans_go_and_stop_no_program() {
    if let Ok(how) = std::env::var(SERVES) {
        return serve(&how).await;
    }
    let collector = Collector::start().await;
    let url = format!("http://{}", collector.address);
    let (base, own) = (format!("{url}/base/"), format!("{url}/own"));
    let everywhere = ("OTEL_EXPORTER_OTLP_ENDPOINT", &*base);
    // Where spans go, and whose they are, by the flags and the variables.
    for (flags, variables, path, service) in [
        (String::new(), vec![everywhere], "/base/v1/traces", "letters-of-ours"),
        (
            String::new(),
            vec![everywhere, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &own)],
            "/own",
            "letters-of-ours",
        ),
        (String::new(), vec![("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &own)], "/own", "letters-of-ours"),
        (format!("--otlp-endpoint {url}"), vec![everywhere], "/v1/traces", "letters-of-ours"),
        (format!("--otlp-endpoint {url} --otlp-service-name x"), vec![everywhere], "/v1/traces", "x"),
    ] {
        let variables = [variables, vec![("OTEL_SERVICE_NAME", "letters-of-ours")]].concat();
        let program = Program::start("flags", &flags, &variables).await;
        program.run().await;
        for span in collector.spans(2).await {
            assert_eq!((span.path.as_str(), span.service.as_str()), (path, service), "{span:?}");
        }
    }
    // What is meant for others, or for nobody, stops no program; it is told if it should have had an effect.
    let warning = "no spans are sent";
    for (how, variables, told) in [
        ("own", vec![everywhere], true),
        ("flags", vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318")], true),
        (
            "flags",
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")],
            false,
        ),
        ("flags", vec![("OTEL_SERVICE_NAME", "letters")], false),
    ] {
        let program = Program::start(how, "", &variables).await;
        program.run().await;
        let (_, logged) = program.ended().await;
        assert_eq!(logged.contains(warning), told, "{variables:?}: {logged}");
    }
    assert!(collector.is_silent(Duration::from_millis(50)).await);
    // The layer has nothing recorded that it does not send.
    let (status, said) = Program::start("layer", "", &[]).await.ended().await;
    assert!(status.success(), "{said}");
    // A flag is meant for this one.
    let (status, said) = Program::start("own", &format!("--otlp-endpoint {url}"), &[]).await.ended().await;
    assert!(!status.success() && said.contains("has a subscriber of its own"), "{said}");
}
