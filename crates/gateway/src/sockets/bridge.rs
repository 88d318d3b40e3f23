//! A program's own streams on their way to its clients.

use std::{fmt, future::poll_fn, pin::pin, sync::Arc};

use futures_core::Stream;
use serde::Serialize;
use streamnest_core::{ExecutionId, Seq};

use super::{StreamingWebSocketGateway, WebSocketError};

/// Lets streams of a program flow to its clients, as fast as those take them. A cheap handle.
///
/// The streams are a program's own: views of executions ([`Stream`]s too), the output of a tool, a queue. Nothing is buffered
/// here: an item is taken from its stream when the one before has been sent.
#[derive(Clone)]
pub struct WebSocketBridgeService(StreamingWebSocketGateway);

impl WebSocketBridgeService {
    /// A bridge to the connections of a gateway.
    pub const fn new(sockets: StreamingWebSocketGateway) -> Self {
        Self(sockets)
    }

    /// What it sends by.
    pub const fn sockets(&self) -> &StreamingWebSocketGateway {
        &self.0
    }

    /// Appends each item as an event of `event_type` to an execution's log, so that everyone who follows it gets them, also who
    /// comes later; how many there were when the stream ended.
    ///
    /// # Errors
    /// As [`broadcast_to_execution`](StreamingWebSocketGateway::broadcast_to_execution), for the first item that was refused.
    /// [`WebSocketError::Log`] with the code `sealed` means that the execution has ended.
    ///
    /// # Cancel safety
    /// Dropped, it stops after an item; the one that it was about to send may be sent or not.
    pub async fn bridge_to_execution<S>(
        &self,
        execution: &ExecutionId,
        event_type: &str,
        items: S,
    ) -> Result<u64, WebSocketError>
    where
        S: Stream<Item: Serialize>,
    {
        let mut items = pin!(items);
        let mut sent = 0;
        while let Some(item) = poll_fn(|cx| items.as_mut().poll_next(cx)).await {
            let _: Seq = self.0.broadcast_to_execution(execution, event_type, item).await?;
            sent += 1;
        }
        Ok(sent)
    }

    /// Sends each item as a `message` frame to one connection, and waits while that is owed as much as it may be; how many
    /// there were when the stream ended. They stand in no log.
    ///
    /// # Errors
    /// [`WebSocketError::UnknownConnection`] once the connection is closed; [`WebSocketError::MessageTooLarge`];
    /// [`WebSocketError::InvalidMessage`].
    ///
    /// # Cancel safety
    /// Dropped, it stops; an item that was taken from the stream and not sent is dropped too.
    pub async fn bridge_to_client<S>(&self, connection: &str, items: S) -> Result<u64, WebSocketError>
    where
        S: Stream<Item: Serialize>,
    {
        let mut items = pin!(items);
        let mut sent = 0;
        while let Some(item) = poll_fn(|cx| items.as_mut().poll_next(cx)).await {
            let invalid = |error| WebSocketError::InvalidMessage { source: Arc::new(error) };
            let message = serde_json::to_value(item).map_err(invalid)?;
            self.0.send_to_client_when_ready(connection, message).await?;
            sent += 1;
        }
        Ok(sent)
    }
}

impl fmt::Debug for WebSocketBridgeService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WebSocketBridgeService").field(&self.0).finish()
    }
}
