//! A node's body while it runs.

use std::{
    any::Any,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use streamnest_core::{BoxFuture, NodePort, Scope};

use super::{alarm::Alarm, panicked};
use crate::{
    NodeError, NodeResult,
    output::{NodeOutput, port::Port},
};

/// A body while it runs: polled in its node's scope, its panics caught, its output's time kept. It has ended when all its
/// tasks have.
pub(crate) struct Visit<T> {
    body: Option<BoxFuture<'static, NodeResult<T>>>,
    /// What the body returned, while its tasks go on.
    returned: Option<T>,
    output: Arc<NodeOutput>,
    /// Lent to the body while it is polled.
    scope: Option<Scope>,
    alarm: Alarm,
    settling: Option<BoxFuture<'static, ()>>,
    /// Set where somebody records it.
    span: Option<Box<tracing::Span>>,
}

impl<T> Visit<T> {
    /// Begins what `begin` makes.
    ///
    /// # Errors
    /// If that panics.
    pub(super) fn begin(
        begin: impl FnOnce() -> BoxFuture<'static, NodeResult<T>>,
        output: &Arc<NodeOutput>,
    ) -> NodeResult<Self> {
        let port: Arc<dyn NodePort> = Arc::new(Port(output.clone()));
        if output.plan.token.is_some() {
            Scope::announce(&port);
        }
        let mut visit = Self::within(port, output.clone());
        let body = catch_unwind(AssertUnwindSafe(|| Scope::lend(&mut visit.scope, begin)));
        visit.body = Some(body.map_err(|panic| visit.panicked(panic.as_ref()))?);
        Ok(visit)
    }

    /// A body that no model is expected to be called in: one that is called elsewhere meanwhile has lost no scope.
    pub(crate) fn unannounced(body: BoxFuture<'static, NodeResult<T>>, output: Arc<NodeOutput>) -> Self {
        Self { body: Some(body), ..Self::within(Arc::new(Port(output.clone())), output) }
    }

    fn within(port: Arc<dyn NodePort>, output: Arc<NodeOutput>) -> Self {
        Self {
            body: None,
            returned: None,
            span: Some(output.span()).filter(|span| !span.is_disabled()).map(Box::new),
            output,
            scope: Some(Scope::new(port)),
            alarm: Alarm::default(),
            settling: None,
        }
    }

    fn panicked(&self, panic: &(dyn Any + Send)) -> NodeError {
        panicked(&format!("node `{}`", self.output.plan.name), panic)
    }

    /// Polls the body, and its tasks when it has returned.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<NodeResult<T>> {
        if let Some(body) = &mut self.body {
            let returned = ready!(body.as_mut().poll(cx));
            self.body = None;
            self.returned = Some(returned?);
        }
        ready!(self.output.tasks.poll_join(cx, &self.output.plan.name))?;
        match self.returned.take() {
            Some(returned) => Poll::Ready(Ok(returned)),
            None => Poll::Pending,
        }
    }
}

/// Nothing in it is pinned but what is boxed.
impl<T> Unpin for Visit<T> {}

impl<T> Future for Visit<T> {
    type Output = NodeResult<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if !this.output.looks(cx.waker()) {
            // It would ring for the task that was here before.
            this.alarm = Alarm::default();
        }
        let mut scope = this.scope.take();
        let span = this.span.take();
        let entered = span.as_ref().map(|span| span.enter());
        let polled = catch_unwind(AssertUnwindSafe(|| Scope::lend(&mut scope, || this.poll_body(cx))));
        drop(entered);
        this.span = span;
        this.scope = scope;
        let mut pause = this.output.paused();
        match polled {
            Ok(Poll::Ready(ended)) => {
                if let (Err(error), Some(span)) = (&ended, &this.span) {
                    span.record("error", error.code());
                }
                return Poll::Ready(ended);
            }
            Ok(Poll::Pending) => {}
            Err(panic) => return Poll::Ready(Err(this.panicked(panic.as_ref()))),
        }
        loop {
            if pause.failed
                && let Some(error) = this.output.fault()
            {
                return Poll::Ready(Err(error));
            }
            if !pause.shipped && this.settling.is_none() {
                let output = this.output.clone();
                this.settling = Some(Box::pin(async move { output.settle().await }));
            }
            if let Some(settling) = &mut this.settling
                && settling.as_mut().poll(cx).is_ready()
            {
                this.settling = None;
            }
            let until = ready!(this.alarm.poll(cx, pause.due, &this.output.plan));
            this.output.tick(until);
            pause = this.output.paused();
        }
    }
}
