//! Items to a handler that may fail.

use std::{future::Future, sync::Arc};

use futures_util::StreamExt as _;
use tokio::time::sleep;

use super::{Observable, ViewError};
use crate::{NodeResult, RetryOptions, workflow::random};

impl<T: Clone + Send + 'static> Observable<T> {
    /// Hands each item to `handle` and waits until that has taken it. While it fails it is tried again, with waits that grow as
    /// `retry` tells, and nothing is skipped meanwhile: the view waits in the log. Returns when the view has ended.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use streamnest_runtime::{NodeResult, Observable, RetryOptions, StreamUpdate, ViewError};
    /// # async fn send(update: StreamUpdate) -> NodeResult<()> { Ok(()) }
    /// # async fn example(updates: Observable<StreamUpdate>) -> Result<(), ViewError> {
    /// let retry = RetryOptions::default().with_attempts(10).with_backoff(Duration::from_millis(100));
    /// updates.deliver(retry, |update| async { send(update).await }).await
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ViewError::HandlerGaveUp`] when one item failed as often as it may: view again from the position before it.
    /// [`ViewError::Missed`] when items are gone before they were read, for then they cannot be handed on. And what a view may
    /// end with.
    ///
    /// # Cancel safety
    /// Dropped, it stops. The item that is being handled may have been handled or not.
    pub async fn deliver<F, Fut>(&self, retry: RetryOptions, mut handle: F) -> Result<(), ViewError>
    where
        F: FnMut(T) -> Fut,
        Fut: Future<Output = NodeResult<()>>,
    {
        let mut items = self.items();
        while let Some(item) = items.next().await {
            let item = item?;
            let mut attempts = 1;
            while let Err(error) = handle(item.clone()).await {
                let Some(wait) = retry.wait_after(attempts, &error, random()) else {
                    return Err(ViewError::HandlerGaveUp { attempts, error: Arc::new(error) });
                };
                tracing::debug!(%error, attempts, ?wait, "handler failed and is tried again");
                sleep(wait).await;
                attempts += 1;
            }
        }
        Ok(())
    }
}
