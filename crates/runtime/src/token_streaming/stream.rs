//! One node's token stream.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use streamnest_core::{ExecutionId, NodeName, Scope, Timestamp, TokenDelta};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::TokenStreamingError;
use crate::{
    TokenOptions,
    execution::visit::Visit,
    output::{NodeOutput, port::Port},
};

/// One node's tokens on their way into the log of an execution. A cheap handle; dropping it changes nothing.
///
/// Tokens are filtered, processed and batched by the very buffer that a workflow's nodes use.
#[derive(Clone)]
pub struct TokenStream(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) output: Arc<NodeOutput>,
    options: TokenOptions,
    opened_at: Timestamp,
    /// What times of last use are counted from.
    origin: Instant,
    /// Milliseconds after that.
    used: AtomicU64,
    tokens: AtomicU64,
    bytes: AtomicU64,
    /// Asked to close.
    closing: CancellationToken,
    /// Nothing is said any more.
    closed: CancellationToken,
    /// Why it closed by itself, if so.
    broken: OnceLock<TokenStreamingError>,
}

/// An open token stream at a glance.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ActiveTokenStream {
    /// The execution whose log it writes to.
    pub execution: ExecutionId,
    /// The node.
    pub node: NodeName,
    /// Its options.
    pub config: TokenOptions,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// How long it has been silent.
    pub idle: Duration,
    /// Tokens that it was given.
    pub tokens: u64,
    /// Bytes of text that it was given.
    pub bytes: u64,
}

impl TokenStream {
    pub(super) fn new(output: Arc<NodeOutput>, options: TokenOptions, opened_at: Timestamp) -> Self {
        Self(Arc::new(Inner {
            output,
            options,
            opened_at,
            origin: Instant::now(),
            used: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            closing: CancellationToken::new(),
            closed: CancellationToken::new(),
            broken: OnceLock::new(),
        }))
    }

    /// The execution whose log it writes to.
    pub fn execution_id(&self) -> &ExecutionId {
        self.0.output.execution.id()
    }

    /// The node.
    pub fn node_id(&self) -> &NodeName {
        &self.0.output.plan.name
    }

    /// Streams a token. Waits only while too much of the log is not durable yet, never for readers.
    ///
    /// # Errors
    /// [`TokenStreamingError::NotOpen`] if it is closed; [`TokenStreamingError::Stale`],
    /// [`TokenStreamingError::ProcessorPanicked`] or [`TokenStreamingError::Log`] if that is why. If it is closed by somebody
    /// else during the call, the token may have been taken all the same.
    ///
    /// # Cancel safety
    /// The token is taken as a whole or not at all.
    pub async fn token(&self, token: impl Into<TokenDelta>) -> Result<(), TokenStreamingError> {
        let token = token.into();
        self.uses(1, token.content.len())?;
        self.0.output.token(None, token).await;
        self.check()
    }

    /// Streams bytes of UTF-8 text, as they come from a socket: a piece may end within a character, which then goes with
    /// the next one. What is no UTF-8 becomes U+FFFD.
    ///
    /// # Errors
    /// As [`token`](Self::token).
    pub async fn token_bytes(&self, bytes: &[u8]) -> Result<(), TokenStreamingError> {
        self.uses(1, bytes.len())?;
        self.0.output.token_bytes(None, bytes).await;
        self.check()
    }

    /// Lets everything that waits go into the log now.
    ///
    /// # Errors
    /// As [`token`](Self::token).
    pub async fn flush(&self) -> Result<(), TokenStreamingError> {
        self.check()?;
        self.0.output.flush().await;
        self.check()
    }

    /// Ends it: everything that waits goes into the log first. Does nothing if it is closed.
    ///
    /// # Cancel safety
    /// Safe: it ends all the same.
    pub async fn close(&self) {
        self.0.closing.cancel();
        self.0.closed.cancelled().await;
    }

    /// The scope by which a model streams into this: a model that is called in a future polled
    /// [`in_scope`](streamnest_core::ScopeExt::in_scope) of it needs no other plumbing, as in a workflow's node.
    pub fn scope(&self) -> Scope {
        Scope::new(Arc::new(Port(self.0.output.clone())))
    }

    /// Whether nothing is taken any more.
    pub fn is_closed(&self) -> bool {
        self.0.closed.is_cancelled()
    }

    pub(super) fn describe(&self) -> ActiveTokenStream {
        let used = Duration::from_millis(self.0.used.load(Ordering::Relaxed));
        ActiveTokenStream {
            execution: self.execution_id().clone(),
            node: self.node_id().clone(),
            config: self.0.options.clone(),
            opened_at: self.0.opened_at,
            idle: self.0.origin.elapsed().saturating_sub(used),
            tokens: self.tokens(),
            bytes: self.0.bytes.load(Ordering::Relaxed),
        }
    }

    pub(super) fn tokens(&self) -> u64 {
        self.0.tokens.load(Ordering::Relaxed)
    }

    /// Whether it may be used; counts the use.
    fn uses(&self, tokens: u64, bytes: usize) -> Result<(), TokenStreamingError> {
        self.check()?;
        let now = u64::try_from(self.0.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.used.store(now, Ordering::Relaxed);
        self.0.tokens.fetch_add(tokens, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    fn check(&self) -> Result<(), TokenStreamingError> {
        if let Some(broken) = self.0.broken.get() {
            return Err(broken.clone());
        }
        if self.0.closing.is_cancelled() || self.is_closed() {
            let (execution, node) = (self.execution_id().clone(), self.node_id().clone());
            return Err(TokenStreamingError::NotOpen { execution, node });
        }
        Ok(())
    }

    /// Keeps its time until it is closed, its execution ends, or something is wrong with it, which is returned.
    pub(super) async fn serve(&self, stale_after: Duration) -> Option<TokenStreamingError> {
        let (output, execution) = (&self.0.output, self.0.output.execution.clone());
        let silence = self.clone();
        let stale = async move {
            silence.is_stale(stale_after).await;
            Ok(())
        };
        let broken = tokio::select! {
            biased;
            () = self.0.closing.cancelled() => None,
            () = execution.cancelled() => None,
            _ = execution.end() => {
                let last = execution.writer().log().head().last;
                Some(streamnest_log::Error::Sealed { last }.into())
            }
            ended = Visit::unannounced(Box::pin(stale), output.clone()) => {
                let (execution, node) = (self.execution_id().clone(), self.node_id().clone());
                Some(match (ended, output.log_error()) {
                    (Ok(()), _) => TokenStreamingError::Stale { execution, node },
                    (Err(_), Some(error)) => TokenStreamingError::Log(error),
                    (Err(error), None) if error.code() == "too_many_open_messages" => {
                        let limit = output.execution.options.max_open_messages;
                        TokenStreamingError::TooManyMessages { node, limit }
                    }
                    (Err(_), None) => TokenStreamingError::ProcessorPanicked { node },
                })
            }
        };
        if let Some(error) = &broken {
            let _ = self.0.broken.set(error.clone());
            tracing::warn!(execution = %self.execution_id(), node = %self.node_id(), %error, "token stream broke off");
        }
        output.close().await;
        output.seal().await;
        broken
    }

    /// Everything of it is done.
    pub(super) fn has_closed(&self) {
        self.0.closed.cancel();
    }

    /// Waits until it has been silent for `stale_after`.
    async fn is_stale(&self, stale_after: Duration) {
        loop {
            let used = Duration::from_millis(self.0.used.load(Ordering::Relaxed));
            let Some(stale_at) =
                self.0.origin.checked_add(used).and_then(|used| used.checked_add(stale_after))
            else {
                return std::future::pending().await;
            };
            if Instant::now() >= stale_at {
                return;
            }
            sleep_until(stale_at).await;
        }
    }
}

impl fmt::Debug for TokenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenStream")
            .field("execution", self.execution_id())
            .field("node", self.node_id())
            .field("tokens", &self.tokens())
            .finish_non_exhaustive()
    }
}
