//! A collector of OTLP over HTTP: it reads what it is sent with a parser of its own.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
    routing::post,
};
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc},
    task::AbortHandle,
    time::timeout,
};

/// A span as it came, identifiers in hexadecimal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Span {
    /// Where it was sent.
    pub(crate) path: String,
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for the first of a trace.
    pub(crate) parent: String,
    pub(crate) began: u64,
    pub(crate) ended: u64,
    pub(crate) attributes: HashMap<String, String>,
    /// What went wrong.
    pub(crate) error: Option<String>,
}

pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    spans: Mutex<mpsc::UnboundedReceiver<Span>>,
    task: AbortHandle,
}

impl Collector {
    pub(crate) async fn start() -> Self {
        let (sender, spans) = mpsc::unbounded_channel();
        let routes = Router::new().fallback(post(take)).with_state(Arc::new(sender));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() }).abort_handle();
        Self { address, spans: Mutex::new(spans), task }
    }

    /// The next spans, as many as that.
    pub(crate) async fn spans(&self, count: usize) -> Vec<Span> {
        let mut spans = Vec::new();
        while spans.len() < count {
            let next = timeout(Duration::from_secs(20), async { self.spans.lock().await.recv().await });
            spans.push(next.await.expect("a span comes in time").unwrap());
        }
        spans
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_silent(&self, time: Duration) -> bool {
        timeout(time, async { self.spans.lock().await.recv().await }).await.is_err()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(
    State(sender): State<Arc<mpsc::UnboundedSender<Span>>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    // ExportTraceServiceRequest, ResourceSpans, ScopeSpans, Span: opentelemetry-proto 1.x.
    for resource_spans in of(&body, 1) {
        let resource = of(resource_spans, 1);
        let service = attributes(resource.first().copied().unwrap_or_default(), 1).remove("service.name");
        for scope_spans in of(resource_spans, 2) {
            for span in of(scope_spans, 2) {
                let (path, service) = (uri.to_string(), service.clone().unwrap());
                let _ = sender.send(Span { path, service, ..read(span) });
            }
        }
    }
}

fn read(span: &[u8]) -> Span {
    let bytes = |number| of(span, number).first().copied().unwrap_or_default();
    let hex = |number| bytes(number).iter().map(|byte| format!("{byte:02x}")).collect();
    let status = bytes(15);
    let failed =
        fields(status).iter().any(|(number, field)| *number == 3 && matches!(field, Field::Number(2)));
    Span {
        path: String::new(),
        service: String::new(),
        name: text(bytes(5)),
        trace: hex(1),
        id: hex(2),
        parent: hex(4),
        began: fixed(span, 7),
        ended: fixed(span, 8),
        attributes: attributes(span, 9),
        error: failed.then(|| text(of(status, 2).first().copied().unwrap_or_default())),
    }
}

/// The attributes in a field: KeyValue {key 1, AnyValue 2 {string 1, bool 2, int 3, double 4}}.
fn attributes(message: &[u8], number: u64) -> HashMap<String, String> {
    let value = |any: &[u8]| match fields(any).first() {
        Some((1, Field::Bytes(bytes))) => text(bytes),
        Some((_, Field::Number(number))) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pairs = of(message, number).into_iter();
    pairs.map(|pair| (text(of(pair, 1)[0]), value(of(pair, 2)[0]))).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn fixed(message: &[u8], number: u64) -> u64 {
    let found = fields(message).into_iter().find(|(known, _)| *known == number);
    match found {
        Some((_, Field::Number(value))) => value,
        other => panic!("{other:?}"),
    }
}

/// The fields of a number that are messages or texts.
fn of(message: &[u8], number: u64) -> Vec<&[u8]> {
    let fields = fields(message).into_iter().filter(|(known, _)| *known == number);
    fields.filter_map(|(_, field)| if let Field::Bytes(bytes) = field { Some(bytes) } else { None }).collect()
}

#[derive(Clone, Copy, Debug)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, as the wire format of Protocol Buffers has them.
fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut all = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut message)),
            1 => Field::Number(u64::from_le_bytes(take_bytes(&mut message, 8).try_into().unwrap())),
            2 => {
                let length = usize::try_from(varint(&mut message)).unwrap();
                Field::Bytes(take_bytes(&mut message, length))
            }
            5 => Field::Number(u32::from_le_bytes(take_bytes(&mut message, 4).try_into().unwrap()).into()),
            other => panic!("wire type {other}"),
        };
        all.push((key >> 3, field));
    }
    all
}

fn take_bytes<'a>(message: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = message.split_at(count);
    *message = rest;
    taken
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take_bytes(message, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}
