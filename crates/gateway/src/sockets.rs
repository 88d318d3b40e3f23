//! What the program around a gateway says to its clients by itself.

use std::{fmt, sync::Arc};

use serde::Serialize;
use serde_json::Value;
use streamnest_core::{Event, EventType, ExecutionId, Seq};
use streamnest_protocol::native::ServerFrame;

use crate::{Error, shared::Shared};

/// Sends to the followers of an execution, or to one connection. A cheap handle.
///
/// ```
/// # use streamnest_gateway::{Error, Gateway};
/// # use streamnest_core::ExecutionId;
/// # async fn example(gateway: Gateway, id: ExecutionId, connection: &str) -> Result<(), Error> {
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
    /// [`Error::UnknownExecution`]; [`Error::InvalidEvent`] if `event_type` cannot be one or `data` is no JSON;
    /// [`Error::Log`] if the execution has ended, the event is too large, or the store is unavailable.
    ///
    /// # Cancel safety
    /// Safe: the event is appended or it is not.
    pub async fn broadcast_to_execution(
        &self,
        execution: &ExecutionId,
        event_type: &str,
        data: impl Serialize,
    ) -> Result<Seq, Error> {
        let invalid = |reason: String| Error::InvalidEvent { reason };
        let event_type = EventType::new(event_type).map_err(|error| invalid(error.to_string()))?;
        let data = serde_json::to_value(data).map_err(|error| invalid(error.to_string()))?;
        let writer = self.0.logs.writer(execution);
        let writer = writer.ok_or_else(|| Error::UnknownExecution { id: execution.clone() })?;
        Ok(writer.append([Event::named(None, event_type, &data)]).await?)
    }

    /// Sends a `message` frame to one WebSocket connection. It stands in no log: who is not connected misses it.
    ///
    /// `connection` is the `connectionId` of the connection's `connected` frame.
    ///
    /// # Errors
    /// [`Error::UnknownConnection`]; [`Error::ConnectionFull`] while the client reads nothing.
    pub fn send_to_client(&self, connection: &str, message: Value) -> Result<(), Error> {
        let unknown = || Error::UnknownConnection { id: connection.chars().take(64).collect() };
        let mailbox = self.0.directory.find(connection).ok_or_else(unknown)?;
        let mut frame = Vec::new();
        ServerFrame::Message(message).encode_websocket(None, &mut frame);
        let limit = self.0.options.max_pending_reply_bytes;
        if mailbox.leave(&frame, limit) {
            return Ok(());
        }
        Err(Error::ConnectionFull { id: connection.into(), limit })
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
