//! A gateway on a port of its own, and HTTP to it by hand.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{body::Body, http::Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use streamnest_core::LogStore;
use streamnest_gateway::{AccessPolicy, ClaimsPolicy, Error, Gateway, GatewayOptions};
use streamnest_log::{LogOptions, MemoryStore, Registry, SystemClock, Writer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tower::ServiceExt as _;

use crate::engine::{Engine, id};

/// How long a test waits for what has to come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: Gateway,
    pub(crate) logs: Registry,
    pub(crate) engine: Arc<Engine>,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<Result<(), Error>>,
    maintaining: JoinHandle<()>,
}

pub(crate) fn registry(options: LogOptions) -> Registry {
    Registry::new(memory(), Arc::new(SystemClock), options)
}

pub(crate) fn memory() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::new(Arc::new(SystemClock)))
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(GatewayOptions::default(), LogOptions::default()).await
    }

    pub(crate) async fn with_options(options: GatewayOptions) -> Self {
        Self::with(options, LogOptions::default()).await
    }

    pub(crate) async fn with_policy(options: GatewayOptions, policy: Arc<dyn AccessPolicy>) -> Self {
        Self::made(options, registry(LogOptions::default()), policy).await
    }

    pub(crate) async fn with(options: GatewayOptions, log_options: LogOptions) -> Self {
        Self::made(options, registry(log_options), Arc::new(ClaimsPolicy)).await
    }

    /// Its logs lie in that store.
    pub(crate) async fn on(store: Arc<dyn LogStore>) -> Self {
        let logs = Registry::new(store, Arc::new(SystemClock), LogOptions::default());
        Self::made(GatewayOptions::default(), logs, Arc::new(ClaimsPolicy)).await
    }

    async fn made(options: GatewayOptions, logs: Registry, policy: Arc<dyn AccessPolicy>) -> Self {
        let engine = Arc::new(Engine::new(logs.clone()));
        let gateway = Gateway::with_policy(engine.clone(), logs.clone(), options, policy).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = gateway.clone();
        let serving =
            tokio::spawn(async move { serving.serve(listener, async { drop(stopped.await) }).await });
        let maintained = logs.clone();
        let maintaining = tokio::spawn(async move { maintained.maintain().await });
        Self { address, gateway, logs, engine, stop: Some(stop), serving, maintaining }
    }

    /// A running execution, to be written by the test.
    pub(crate) async fn held(&self, name: &str) -> Writer {
        use streamnest_core::{ExecutionControl as _, StartExecution};
        let request = StartExecution {
            workflow: "held".into(),
            input: serde_json::json!({}),
            execution_id: Some(id(name)),
            on_disconnect: None,
            trace: None,
        };
        self.engine.start(request).await.unwrap();
        self.logs.writer(&id(name)).unwrap()
    }

    pub(crate) fn begin_to_stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn stopped(mut self) {
        self.begin_to_stop();
        tokio::time::timeout(PATIENCE, &mut self.serving).await.expect("server stops").unwrap().unwrap();
        self.maintaining.abort();
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], body).await
    }

    /// What `/metrics` says, asked without a connection: that would have a time of its own, and be counted when it is over.
    pub(crate) async fn metrics(&self) -> String {
        let request = Request::get("/metrics").header("host", "localhost").body(Body::empty()).unwrap();
        let answer = self.gateway.router().oneshot(request).await.unwrap();
        String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
    }

    /// One request on a connection of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = self.send(method, path, headers, body).await;
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
        read.expect("the answer ends").unwrap();
        Answer::parse(&bytes)
    }

    /// Sends a request and leaves the answer to be read.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            request += &format!("host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        request += &format!("content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }
}

/// What came over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").expect("an HTTP head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let head = head.to_ascii_lowercase();
        let body = if head.contains("transfer-encoding: chunked") { unchunk(body) } else { body.into() };
        Self { status, head, body }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// All headers of a name.
    pub(crate) fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(move |(known, _)| *known == name).map(|(_, value)| value)
    }

    /// Checks that it is an error in JSON, and gives the message.
    pub(crate) fn error(&self, status: u16, code: &str) -> String {
        let body = self.json();
        assert_eq!((self.status, body["error"]["code"].as_str()), (status, Some(code)), "{self:?}");
        assert!(body["error"]["retryable"].is_boolean());
        assert_eq!(self.header("content-type"), Some("application/json"));
        body["error"]["message"].as_str().unwrap().into()
    }
}

pub(crate) fn unchunk(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        let Some(chunk) = rest.get(..size) else { break };
        text += chunk;
        body = rest.get(size + 2..).unwrap_or_default();
    }
    text
}
