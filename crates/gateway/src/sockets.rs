//! What the program around a gateway says to its clients by itself.

mod bridge;
mod error;

use std::{fmt, sync::Arc};

use serde::Serialize;
use serde_json::Value;
use streamnest_core::{Event, EventType, ExecutionId, Seq};
use streamnest_protocol::native::ServerFrame;

pub use self::{bridge::WebSocketBridgeService, error::WebSocketError};
use crate::{directory::Mailbox, shared::Shared};

/// Sends to the followers of an execution, or to one connection. A cheap handle.
///
/// ```
/// # use streamnest_gateway::{Gateway, WebSocketError};
/// # use streamnest_core::ExecutionId;
/// # async fn example(gateway: Gateway, id: ExecutionId, connection: &str) -> Result<(), WebSocketError> {
/// let sockets = gateway.sockets();
/// sockets.broadcast_to_execution(&id, "review_requested", serde_json::json!({"by": "ada"})).await?;
/// sockets.send_to_client(connection, "you are first in line".into())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct StreamingWebSocketGateway(Arc<Shared>);

impl StreamingWebSocketGateway {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// Appends an event to an execution's log, so that everyone who follows it gets it, also who comes later.
    ///
    /// # Errors
    /// [`WebSocketError::UnknownExecution`]; [`WebSocketError::EventType`] if `event_type` cannot be one;
    /// [`WebSocketError::FrameworkEvent`] if only the framework writes it; [`WebSocketError::InvalidEvent`] if `data` is no
    /// JSON; [`WebSocketError::Log`] if the execution has ended, the event is too large, or the store is unavailable.
    ///
    /// # Cancel safety
    /// Safe: the event is appended or it is not.
    pub async fn broadcast_to_execution(
        &self,
        execution: &ExecutionId,
        event_type: &str,
        data: impl Serialize,
    ) -> Result<Seq, WebSocketError> {
        let event_type = EventType::new(event_type)?;
        if event_type.is_framework() {
            return Err(WebSocketError::FrameworkEvent { event_type });
        }
        let data = match serde_json::to_value(data) {
            Ok(data) => data,
            Err(error) => return Err(WebSocketError::InvalidEvent { event_type, source: Arc::new(error) }),
        };
        let writer = self.0.logs.writer(execution);
        let writer = writer.ok_or_else(|| WebSocketError::UnknownExecution { id: execution.clone() })?;
        Ok(writer.append([Event::named(None, event_type, &data)]).await?)
    }

    /// Sends a `message` frame to one WebSocket connection. It stands in no log: who is not connected misses it.
    ///
    /// `connection` is the `connectionId` of the connection's `connected` frame.
    ///
    /// # Errors
    /// [`WebSocketError::UnknownConnection`]; [`WebSocketError::ConnectionFull`] while the client reads nothing;
    /// [`WebSocketError::MessageTooLarge`].
    pub fn send_to_client(&self, connection: &str, message: Value) -> Result<(), WebSocketError> {
        let frame = self.frame(message)?;
        if self.mailbox(connection)?.leave(&frame, self.limit()) {
            return Ok(());
        }
        Err(WebSocketError::ConnectionFull { id: connection.into(), limit: self.limit() })
    }

    /// As [`send_to_client`](Self::send_to_client), but waits while the client reads nothing.
    ///
    /// # Errors
    /// [`WebSocketError::UnknownConnection`], also when the connection is closed meanwhile;
    /// [`WebSocketError::MessageTooLarge`].
    ///
    /// # Cancel safety
    /// Safe: the message is sent or it is not.
    pub async fn send_to_client_when_ready(
        &self,
        connection: &str,
        message: Value,
    ) -> Result<(), WebSocketError> {
        let frame = self.frame(message)?;
        loop {
            let mailbox = self.mailbox(connection)?;
            let emptied = mailbox.emptied();
            tokio::pin!(emptied);
            emptied.as_mut().enable();
            if mailbox.leave(&frame, self.limit()) {
                return Ok(());
            }
            // It may have been closed between the look and the wait.
            self.mailbox(connection)?;
            emptied.await;
        }
    }

    fn frame(&self, message: Value) -> Result<Vec<u8>, WebSocketError> {
        let mut frame = Vec::new();
        ServerFrame::Message(message).encode_websocket(None, &mut frame);
        let (size, limit) = (frame.len(), self.limit());
        if size > limit { Err(WebSocketError::MessageTooLarge { size, limit }) } else { Ok(frame) }
    }

    fn mailbox(&self, connection: &str) -> Result<Arc<Mailbox>, WebSocketError> {
        let unknown = || WebSocketError::UnknownConnection { id: connection.chars().take(64).collect() };
        self.0.directory.find(connection).ok_or_else(unknown)
    }

    fn limit(&self) -> usize {
        self.0.options.max_pending_reply_bytes
    }

    /// The names of the WebSocket connections that are open, in no order.
    pub fn connection_ids(&self) -> Vec<String> {
        self.0.directory.ids()
    }

    /// Whether a connection of that name is open.
    pub fn is_connected(&self, connection: &str) -> bool {
        self.0.directory.find(connection).is_some()
    }

    /// How many follow an execution now, over WebSocket, SSE and in the program.
    ///
    /// # Errors
    /// [`WebSocketError::UnknownExecution`].
    pub fn followers(&self, execution: &ExecutionId) -> Result<usize, WebSocketError> {
        let log = self.0.logs.get(execution);
        log.map(|log| log.subscribers())
            .ok_or_else(|| WebSocketError::UnknownExecution { id: execution.clone() })
    }

    /// How many WebSocket connections are open.
    pub fn connections(&self) -> usize {
        self.0.directory.len()
    }
}

impl fmt::Debug for StreamingWebSocketGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamingWebSocketGateway").field("connections", &self.connections()).finish()
    }
}
