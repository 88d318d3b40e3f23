//! From the program's spans to those that are sent.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use opentelemetry::{
    InstrumentationScope, KeyValue,
    trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState},
};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};
use tokio::sync::mpsc;
use tracing::{
    Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, Filter},
    registry::LookupSpan,
};
use uuid::Uuid;

/// The longest value of an attribute, in bytes.
const MAX_VALUE: usize = 1_024;
/// The most attributes of a span.
const MAX_ATTRIBUTES: usize = 64;
/// Where the spans of executions and nodes come from; they are at `debug`.
const OURS: &str = "streamnest_runtime";

/// Gathers spans.
///
/// A span belongs to the trace that its fields name (`trace_id`, `span_id`, `parent_span_id`, `sampled`: an execution's do), or else
/// to that of the span around it. What the caller did not sample is not gathered.
#[derive(Debug)]
pub(super) struct Spans {
    sender: mpsc::Sender<SpanData>,
    dropped: Arc<AtomicU64>,
}

/// What is known of a span while it is open.
struct Open {
    context: SpanContext,
    parent: SpanId,
    parent_is_remote: bool,
    began: SystemTime,
    fields: Fields,
}

/// Which spans are gathered: those of executions and nodes, and all others at `info` and above. It is the layer's own filter, so
/// that what is logged is another matter; without one a layer has the whole program record everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathered;

impl Gathered {
    fn has(metadata: &Metadata<'_>) -> bool {
        let level = *metadata.level();
        let is_ours = metadata.target().starts_with(OURS) && level <= Level::DEBUG;
        metadata.is_span() && (is_ours || level <= Level::INFO)
    }
}

impl<S> Filter<S> for Gathered {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        Self::has(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if Self::has(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::DEBUG)
    }
}

impl Spans {
    pub(super) fn new(sender: mpsc::Sender<SpanData>) -> Self {
        Self { sender, dropped: Arc::default() }
    }

    /// Counts spans that found no room.
    pub(super) fn dropped(&self) -> Arc<AtomicU64> {
        self.dropped.clone()
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let around = span
            .scope()
            .skip(1)
            .find_map(|around| around.extensions().get::<Open>().map(|open| open.context.clone()));
        let random = || Uuid::now_v7();
        let span_id =
            fields.span_id.unwrap_or_else(|| SpanId::from_bytes(random().as_u64_pair().1.to_be_bytes()));
        let (trace_id, parent, parent_is_remote, sampled) = match (fields.trace_id, around) {
            // It says itself where it belongs.
            (Some(trace), _) => {
                (trace, fields.parent.unwrap_or(SpanId::INVALID), fields.parent.is_some(), fields.sampled)
            }
            (None, Some(around)) => (around.trace_id(), around.span_id(), false, around.is_sampled()),
            (None, None) => (TraceId::from_bytes(random().into_bytes()), SpanId::INVALID, false, true),
        };
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        let context = SpanContext::new(trace_id, span_id, flags, false, TraceState::NONE);
        let began = SystemTime::now();
        span.extensions_mut().insert(Open { context, parent, parent_is_remote, began, fields });
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            values.record(&mut open.fields);
        }
    }

    fn on_close(&self, id: Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(&id) else { return };
        let open = span.extensions_mut().remove::<Open>();
        let Some(open) = open.filter(|open| open.context.is_sampled()) else { return };
        let data = open.close(span.metadata());
        if self.sender.try_send(data).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Open {
    fn close(self, metadata: &Metadata<'static>) -> SpanData {
        let Self { context, parent, parent_is_remote, began, fields } = self;
        SpanData {
            span_context: context,
            parent_span_id: parent,
            parent_span_is_remote: parent_is_remote,
            span_kind: if parent_is_remote { SpanKind::Server } else { SpanKind::Internal },
            name: Cow::Borrowed(metadata.name()),
            start_time: began,
            end_time: SystemTime::now(),
            attributes: fields.attributes,
            dropped_attributes_count: fields.dropped,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: fields.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: InstrumentationScope::builder("streamnest")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
        }
    }
}

/// The fields of a span.
#[derive(Default)]
struct Fields {
    trace_id: Option<TraceId>,
    span_id: Option<SpanId>,
    parent: Option<SpanId>,
    sampled: bool,
    error: Option<String>,
    attributes: Vec<KeyValue>,
    dropped: u32,
}

impl Fields {
    fn text(&mut self, field: &Field, mut text: String) {
        match field.name() {
            "trace_id" => self.trace_id = TraceId::from_hex(&text).ok(),
            "span_id" => self.span_id = SpanId::from_hex(&text).ok(),
            "parent_span_id" => self.parent = SpanId::from_hex(&text).ok(),
            "error" => self.error = Some(text),
            _ => {
                text.truncate(text.floor_char_boundary(MAX_VALUE));
                self.put(field, text);
            }
        }
    }

    fn put(&mut self, field: &Field, value: impl Into<opentelemetry::Value>) {
        if self.attributes.len() < MAX_ATTRIBUTES {
            self.attributes.push(KeyValue::new(field.name(), value));
        } else {
            self.dropped += 1;
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "sampled" => self.sampled = value,
            _ => self.put(field, value),
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }
}
