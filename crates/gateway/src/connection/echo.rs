//! Sends back what came.

use streamnest_protocol::native::websocket;
use tokio_tungstenite::tungstenite::Message;

use super::Connection;
use crate::auth::Rejected;

impl Connection {
    /// Owes the client its message, as the one frame in which all of ours leave.
    pub(super) fn echo(&mut self, message: &Message) {
        if self.standing.visitor().is_none() {
            return self.refuse(&Rejected::Missing);
        }
        match message {
            Message::Text(text) => websocket::text(text, &mut self.replies),
            Message::Binary(bytes) => websocket::binary(bytes, &mut self.replies),
            // Whoever reads frames has answered those.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {}
        }
    }
}
