//! How a model that is called inside a node finds that node.
//!
//! While a node's future is polled, a [`Scope`] stands in a thread-local; whatever runs inside that poll sees it as
//! [`Scope::current`]. A spawned task or thread is not inside that poll: carry the scope there with
//! [`ScopeExt::in_scope`], or let the node's context spawn.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, Weak},
    task::{Context, Poll},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::BoxFuture;

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Every node that streams tokens and has not finished, so that a model called without a scope can say so.
static LIVE: Mutex<Vec<Weak<dyn NodePort>>> = Mutex::new(Vec::new());

/// A running node, as what is called inside it sees it.
#[derive(Clone)]
pub struct Scope(Arc<dyn NodePort>);

/// What a running node offers to what is called inside it.
pub trait NodePort: Send + Sync + 'static {
    /// Begins a new message: the answer of one model call.
    fn open_message(&self, origin: MessageOrigin) -> Box<dyn MessageSink>;

    /// A model was called somewhere without a scope while this node streams and has called none itself: if this node
    /// is where it belongs, its tokens are lost, and the node's log ought to say so.
    fn model_called_without_scope(&self, model: &str);
}

/// Takes the tokens of one message.
pub trait MessageSink: Send {
    /// Takes one token. Waits only while too much is not durable yet, never for readers.
    ///
    /// What the node's attributes say is done to it: filter, processor, batch. Nothing happens in a node that does not
    /// stream tokens.
    fn token(&mut self, token: TokenDelta) -> BoxFuture<'_, ()>;

    /// The message is complete. Dropping the sink instead says that it was broken off; its text so far is kept.
    fn finish(self: Box<Self>, usage: Option<Usage>) -> BoxFuture<'static, ()>;
}

/// Who speaks in a message.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MessageOrigin {
    /// The model's name, if a model speaks.
    pub model: Option<String>,
    /// The role, for example `assistant`.
    pub role: Option<String>,
}

/// A token as a model gave it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TokenDelta {
    /// The text.
    pub content: String,
    /// What the token belongs to, for example `reasoning`.
    pub kind: Option<String>,
    /// The natural logarithm of its probability.
    pub logprob: Option<f64>,
    /// What else the model said about it.
    pub metadata: Option<Map<String, Value>>,
}

impl From<&str> for TokenDelta {
    fn from(content: &str) -> Self {
        Self { content: content.into(), ..Self::default() }
    }
}

impl From<String> for TokenDelta {
    fn from(content: String) -> Self {
        Self { content, ..Self::default() }
    }
}

/// What a model call used.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Usage {
    /// Tokens of the prompt.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Whether the counts are our own and not the provider's.
    pub estimated: bool,
}

impl Scope {
    /// A scope of a running node.
    pub fn new(node: Arc<dyn NodePort>) -> Self {
        Self(node)
    }

    /// The node that is being polled on this thread, if one is.
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Begins a new message in this node.
    pub fn open_message(&self, origin: MessageOrigin) -> Box<dyn MessageSink> {
        self.0.open_message(origin)
    }

    /// Runs `body` with this scope as the current one, on this thread.
    pub fn enter<T>(&self, body: impl FnOnce() -> T) -> T {
        Self::lend(&mut Some(self.clone()), body)
    }

    /// As [`enter`](Self::enter), with the scope itself and not a copy: what is polled for each token lends its own, which is
    /// back when this returns or unwinds.
    pub fn lend<T>(scope: &mut Option<Self>, body: impl FnOnce() -> T) -> T {
        let _swapped_back = Swapped::new(scope);
        body()
    }

    /// Counts `node` among those that stream tokens until it is dropped.
    pub fn announce(node: &Arc<dyn NodePort>) {
        let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
        if live.len() == live.capacity() {
            live.retain(|other| other.strong_count() > 0);
        }
        live.push(Arc::downgrade(node));
    }

    /// Tells every node that streams tokens that `model` was called where there is no scope.
    pub fn report_call_without_scope(model: &str) {
        let nodes: Vec<_> = {
            let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
            live.iter().filter_map(Weak::upgrade).collect()
        };
        for node in nodes {
            node.model_called_without_scope(model);
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope(..)")
    }
}

/// The current scope and another in each other's place; back in their own when this is dropped, also by a panic.
struct Swapped<'a>(&'a mut Option<Scope>);

impl<'a> Swapped<'a> {
    fn new(scope: &'a mut Option<Scope>) -> Self {
        CURRENT.with_borrow_mut(|current| mem::swap(current, scope));
        Self(scope)
    }
}

impl Drop for Swapped<'_> {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| mem::swap(current, self.0));
    }
}

/// Carries a scope into a future.
pub trait ScopeExt: Sized {
    /// Polls this future with `scope` as the current one.
    ///
    /// ```
    /// use streamnest_core::{Scope, ScopeExt as _};
    /// # async fn example(work: impl std::future::Future<Output = ()>) {
    /// if let Some(scope) = Scope::current() {
    ///     work.in_scope(scope).await;
    /// }
    /// # }
    /// ```
    fn in_scope(self, scope: Scope) -> InScope<Self> {
        InScope { scope: Some(scope), inner: Box::pin(self) }
    }
}

impl<F: Future> ScopeExt for F {}

/// A future that is polled in a [`Scope`]. Made by [`ScopeExt::in_scope`].
pub struct InScope<F> {
    scope: Option<Scope>,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for InScope<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        Scope::lend(&mut this.scope, || this.inner.as_mut().poll(cx))
    }
}

impl<F> fmt::Debug for InScope<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InScope(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    struct Silent;

    impl NodePort for Silent {
        fn open_message(&self, _: MessageOrigin) -> Box<dyn MessageSink> {
            Box::new(Self)
        }
        fn model_called_without_scope(&self, _: &str) {}
    }

    impl MessageSink for Silent {
        fn token(&mut self, _: TokenDelta) -> BoxFuture<'_, ()> {
            Box::pin(async {})
        }
        fn finish(self: Box<Self>, _: Option<Usage>) -> BoxFuture<'static, ()> {
            Box::pin(async {})
        }
    }

    #[test]
    fn a_scope_stands_only_while_its_future_is_polled() {
        let scope = Scope::new(Arc::new(Silent));
        let mut future = Box::pin(async { Scope::current().is_some() }.in_scope(scope));
        assert!(Scope::current().is_none());
        let polled = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(true));
        assert!(Scope::current().is_none());
    }

    #[test]
    fn a_panic_inside_a_scope_leaves_none_behind() {
        let scope = Scope::new(Arc::new(Silent));
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scope.enter(|| panic!("on purpose"))));
        assert!(result.is_err());
        assert!(Scope::current().is_none());
    }
}
