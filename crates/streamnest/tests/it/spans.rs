//! The spans of a run, by the standard flags of a program.

use std::{collections::HashSet, time::Duration};

use clap::Parser as _;
use streamnest::{Error, ServerFlags, otlp::OtlpOptions, prelude::*};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::collector::{Collector, Span};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";

#[derive(State, Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct CallsState {
    fails: bool,
    #[state(default, reducer = append)]
    sent: Vec<String>,
}

struct Calls;

#[workflow(name = "calls", state = CallsState)]
impl Calls {
    #[node(start)]
    #[stream_token]
    async fn first(&self, _state: &CallsState, ctx: &NodeContext) -> NodeResult<CallsStateUpdate> {
        ctx.token("a").await;
        // Spans of the program's own belong to its node.
        let inner = tracing::info_span!("search", query = "rivers");
        inner.in_scope(|| {});
        Ok(CallsStateUpdate::new().sent(vec![ctx.traceparent()]))
    }

    #[node(after = "first", retry(attempts = 2, backoff = "1ms"))]
    async fn second(&self, state: &CallsState, ctx: &NodeContext) -> NodeResult<CallsStateUpdate> {
        if state.fails && ctx.attempt() == 1 {
            Err(std::io::Error::other("on purpose"))?;
        }
        Ok(CallsStateUpdate::new().sent(vec![ctx.traceparent()]))
    }
}

/// Starts a run, and gives what the server answers.
async fn start(address: std::net::SocketAddr, id: &str, fails: bool, flags: &str) -> String {
    let body = format!(r#"{{"executionId":"{id}","input":{{"fails":{fails}}}}}"#);
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /workflows/calls/executions HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ntraceparent: 00-{TRACE}-{CALLER}-{flags}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn named<'a>(spans: &'a [Span], name: &str, node: &str) -> Vec<&'a Span> {
    let is =
        |span: &&Span| span.name == name && span.attributes.get("node").is_none_or(|known| known == node);
    spans.iter().filter(is).collect()
}

#[tokio::test]
async fn a_collector_gets_the_spans_of_a_run_in_its_callers_trace() {
    let collector = Collector::start().await;
    // What a program prints, this process cannot read: the port is chosen before. The system gives it to nobody else while a
    // socket is bound to it, and lets the server listen on it, as that socket does not and both share what they are bound to.
    let chosen = TcpSocket::new_v4().unwrap();
    chosen.set_reuseaddr(true).unwrap();
    chosen.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = chosen.local_addr().unwrap();
    // Where it does not let both, the port is left to luck.
    #[cfg(not(target_os = "linux"))]
    drop(chosen);
    let (listen, endpoint) = (address.to_string(), format!("http://{}", collector.address));
    let flags = ["program", "--memory", "--log", "error", "--log-format", "json", "--listen", &listen];
    let spans = ["--otlp-endpoint", &endpoint, "--otlp-service-name", "letters"];
    let flags = ServerFlags::try_parse_from(flags.iter().chain(&spans)).unwrap();
    let app = Streamnest::builder().workflow(Calls).build().await.unwrap();
    let serving = app.clone();
    let serving = tokio::spawn(async move { flags.serve(&serving).await });
    while TcpStream::connect(address).await.is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = start(address, "a", true, "01").await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    let result = app.attach(&"a".parse().unwrap()).await.unwrap().result().await.unwrap();
    // The run, the first node and what it searched, and two attempts of the second node.
    let spans = collector.spans(5).await;
    for span in &spans {
        println!("{span:?}");
        assert_eq!((span.trace.as_str(), span.service.as_str()), (TRACE, "letters"), "{span:?}");
        assert_eq!(span.path, "/v1/traces", "{span:?}");
        assert!(span.began <= span.ended && span.began > 1_700_000_000_000_000_000, "{span:?}");
    }
    assert_eq!(spans.iter().map(|span| &span.id).collect::<HashSet<_>>().len(), 5);
    let [run] = named(&spans, "execution", "")[..] else { panic!("one run") };
    assert_eq!(run.parent, CALLER);
    assert_eq!((run.attributes["id"].as_str(), run.attributes["workflow"].as_str()), ("a", "calls"));
    let [first] = named(&spans, "node", "first")[..] else { panic!("one attempt") };
    assert_eq!((first.parent.as_str(), &first.error), (run.id.as_str(), &None));
    let [search] = named(&spans, "search", "")[..] else { panic!("one search") };
    assert_eq!((search.parent.as_str(), search.attributes["query"].as_str()), (first.id.as_str(), "rivers"));
    let [failed, second] = named(&spans, "node", "second")[..] else { panic!("two attempts") };
    assert_eq!((failed.attributes["attempt"].as_str(), second.attributes["attempt"].as_str()), ("1", "2"));
    assert!(failed.error.is_some() && second.error.is_none());
    // What a node calls is a child of that node's span.
    let sent = [&first.id, &second.id].map(|id| format!("00-{TRACE}-{id}-01"));
    assert_eq!(result["sent"], serde_json::json!(sent));
    // What the caller does not record is not sent.
    start(address, "b", false, "00").await;
    app.attach(&"b".parse().unwrap()).await.unwrap().result().await.unwrap();
    assert!(collector.is_silent(Duration::from_millis(1_500)).await);
    serving.abort();
}

#[tokio::test]
async fn an_exporter_that_could_send_nothing_is_refused_by_name() {
    for (options, part) in [
        (OtlpOptions::new("localhost:4318"), "no URL of a collector"),
        (OtlpOptions::new("ftp://localhost"), "no URL of a collector"),
        (OtlpOptions::new("http://"), "no URL of a collector"),
        (OtlpOptions::new("http://localhost").with_traces_endpoint("localhost"), "no URL of a collector"),
        (OtlpOptions::new("https://ada:secret@localhost"), "holds a name or a password"),
        (OtlpOptions::new("http://localhost").with_max_batch(0), "`OtlpOptions::max_batch` is zero"),
        (OtlpOptions::new("http://localhost").with_interval(Duration::ZERO), "`OtlpOptions::interval`"),
    ] {
        let error = streamnest::otlp::start::<tracing_subscriber::Registry>(options).map(drop).unwrap_err();
        assert!(matches!(error, Error::Otlp { .. }) && error.code() == "otlp");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn what_is_left_is_sent_at_the_end_and_what_finds_no_room_is_dropped() {
    use tracing_subscriber::layer::SubscriberExt as _;
    let collector = Collector::start().await;
    let options = OtlpOptions::new(format!("http://{}/", collector.address))
        .with_max_pending(10)
        .with_interval(Duration::from_secs(3600));
    let (layer, export) = streamnest::otlp::start(options).unwrap();
    // Nothing is awaited meanwhile, so that nothing is sent.
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        for n in 0..50_u64 {
            tracing::info_span!("step", n).in_scope(|| tracing::debug_span!("detail").in_scope(|| {}));
        }
    });
    export.shut_down().await;
    let spans = collector.spans(10).await;
    assert!(spans.iter().enumerate().all(|(n, span)| span.attributes["n"] == n.to_string()), "{spans:?}");
    assert!(collector.is_silent(Duration::from_millis(50)).await);
}
