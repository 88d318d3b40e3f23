//! Where an execution and its nodes stand in a trace.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use streamnest_core::{SpanId, TraceContext, TraceId};
use uuid::Uuid;

use super::Execution;
use crate::output::NodeOutput;

/// Where an execution stands in its trace.
pub(super) struct RunTrace {
    /// The execution's own part.
    context: TraceContext,
    /// The part of whoever started it.
    caller: Option<SpanId>,
}

impl RunTrace {
    /// A part of the caller's trace, or a trace of its own.
    pub(super) fn new(caller: Option<TraceContext>) -> Self {
        // The low half of a UUID of version 7 is random but for two bits (RFC 9562 §5.7).
        let span_id = SpanId::new(Uuid::now_v7().as_u64_pair().1);
        match caller {
            Some(caller) => Self { context: caller.at(span_id), caller: Some(caller.span_id()) },
            None => {
                let trace_id = TraceId::new(Uuid::now_v7().as_u128());
                Self { context: TraceContext::new(trace_id, span_id), caller: None }
            }
        }
    }
}

impl Execution {
    /// The same execution, started by a part of this trace.
    pub(crate) fn in_trace(self, caller: Option<TraceContext>) -> Self {
        match caller {
            None => self,
            caller => Self { trace: RunTrace::new(caller), ..self },
        }
    }

    /// Its own part of its trace.
    pub(crate) const fn trace(&self) -> &TraceContext {
        &self.trace.context
    }

    /// The span of its work. What collects spans finds in the fields where it belongs.
    pub(crate) fn span(&self) -> tracing::Span {
        let trace = self.trace();
        tracing::debug_span!(
            "execution",
            id = %self.id,
            workflow = %self.workflow,
            trace_id = %trace.trace_id(),
            span_id = %trace.span_id(),
            parent_span_id = self.trace.caller.map(tracing::field::display),
            sampled = trace.is_sampled(),
        )
    }
}

impl NodeOutput {
    /// The part of the trace that an attempt of a visit is. It is told from all others of its execution by what it is, so that
    /// it takes no room.
    fn span_id(&self) -> SpanId {
        let mut hasher = DefaultHasher::new();
        self.execution.trace().span_id().hash(&mut hasher);
        (self.plan.name.as_str(), self.visit, self.attempt, self.item).hash(&mut hasher);
        SpanId::new(hasher.finish())
    }

    /// Where it stands in the trace of its execution.
    pub(crate) fn trace(&self) -> TraceContext {
        self.execution.trace().at(self.span_id())
    }

    /// The span of an attempt of a visit, within that of its execution.
    pub(crate) fn span(&self) -> tracing::Span {
        tracing::debug_span!(
            "node",
            node = %self.plan.name,
            visit = self.visit,
            attempt = self.attempt,
            item = self.item,
            span_id = %self.span_id(),
            error = tracing::field::Empty,
        )
    }
}
