//! A running node, as the models that are called inside it see it.

use std::sync::Arc;

use serde_json::json;
use streamnest_core::{
    BoxFuture, Event, EventType, MessageId, MessageOrigin, MessageSink, NodePort, TokenDelta, Usage,
};

use super::NodeOutput;

/// A node as the models that are called inside it see it.
pub(crate) struct Port(pub(crate) Arc<NodeOutput>);

impl NodePort for Port {
    fn open_message(&self, origin: MessageOrigin) -> Box<dyn MessageSink> {
        let message = self.0.open(origin.role);
        self.0.lock().models_called += 1;
        Box::new(OpenMessage { output: self.0.clone(), message, model: origin.model })
    }

    fn model_called_without_scope(&self, model: &str) {
        let event = {
            let mut state = self.0.lock();
            if state.closed || state.warned || state.models_called > 0 || self.0.plan.token.is_none() {
                return;
            }
            state.warned = true;
            let data = json!({
                "code": "scope_lost",
                "model": model,
                "message": "a model was called outside of any node while this one was running; if this node spawned the \
                            call, its tokens are not streamed: spawn with `ctx.spawn`, or carry the scope with `.in_scope()`",
            });
            Event::named(Some(self.0.plan.name.clone()), EventType::WARNING, &data)
        };
        let Some(event) = self.0.admit(event) else { return };
        let mut state = self.0.lock();
        if !state.closed {
            self.0.hold_event(&mut state, event);
        }
    }
}

/// One answer of a model on its way into the log.
struct OpenMessage {
    output: Arc<NodeOutput>,
    message: MessageId,
    /// Whose call is still to be counted.
    model: Option<String>,
}

impl OpenMessage {
    fn count(&mut self, usage: Option<&Usage>) {
        if let Some(model) = self.model.take() {
            self.output.execution.count_call(&model, usage);
        }
    }
}

impl MessageSink for OpenMessage {
    fn token(&mut self, token: TokenDelta) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.output.token(Some(self.message), token).await })
    }

    fn finish(mut self: Box<Self>, usage: Option<Usage>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.count(usage.as_ref());
            if let Some(usage) = usage {
                let mut state = self.output.lock();
                let total = state.usage.get_or_insert_default();
                total.input_tokens += usage.input_tokens;
                total.output_tokens += usage.output_tokens;
                total.estimated |= usage.estimated;
            }
            self.output.finish_message(self.message).await;
        })
    }
}

impl Drop for OpenMessage {
    fn drop(&mut self) {
        // Broken off: its text so far is kept, and what it used is not known. After `finish` there is nothing left to do.
        self.count(None);
        self.output.end_message(self.message);
    }
}
