//! A WebSocket client.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message,
        client::IntoClientRequest as _,
        http::{HeaderName, HeaderValue, Response},
    },
};

use crate::{
    server::{PATIENCE, Server},
    token::bearer,
};

pub(crate) struct Socket {
    pub(crate) stream: WebSocketStream<TcpStream>,
}

pub(crate) type Handshake = Result<(Socket, Response<Option<Vec<u8>>>), tungstenite::Error>;

impl Socket {
    /// Connects and takes the greeting.
    pub(crate) async fn open(server: &Server) -> Self {
        let (mut socket, _) = Self::shake(server, "/ws", &[]).await.unwrap();
        socket.expect("connected").await;
        socket
    }

    /// By whoever has that token.
    pub(crate) async fn open_with(server: &Server, token: &str) -> Self {
        let (mut socket, _) = Self::shake(server, "/ws", &[("authorization", &bearer(token))]).await.unwrap();
        socket.expect("connected").await;
        socket
    }

    pub(crate) async fn shake(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> Handshake {
        let mut request = format!("ws://{}{path}", server.address).into_client_request().unwrap();
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (stream, response) = tokio_tungstenite::client_async(request, stream).await?;
        Ok((Self { stream }, response))
    }

    pub(crate) async fn send(&mut self, frame: Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// The next text frame; control frames are passed over.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            match self.message().await {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).unwrap(),
                Ok(Message::Ping(_) | Message::Pong(_)) => {}
                other => panic!("expected a text frame, got {other:?}"),
            }
        }
    }

    pub(crate) async fn message(&mut self) -> Result<Message, tungstenite::Error> {
        let next = tokio::time::timeout(PATIENCE, self.stream.next()).await.expect("a message comes in time");
        next.unwrap_or(Err(tungstenite::Error::ConnectionClosed))
    }

    /// The next frame, which has to be of this type.
    pub(crate) async fn expect(&mut self, frame_type: &str) -> Value {
        let frame = self.next().await;
        assert_eq!(frame["type"], frame_type, "{frame}");
        frame
    }

    /// The next frame, which has to be an error; its message.
    pub(crate) async fn expect_error(&mut self, code: &str) -> String {
        let frame = self.expect("error").await;
        assert_eq!(frame["payload"]["code"], code, "{frame}");
        frame["payload"]["message"].as_str().unwrap().into()
    }

    /// Reads until the close frame; its code, and the text frames before it.
    pub(crate) async fn until_close(&mut self) -> (Option<u16>, Vec<Value>) {
        let mut frames = Vec::new();
        loop {
            match self.message().await {
                Ok(Message::Text(text)) => frames.push(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(close)) => return (close.map(|close| close.code.into()), frames),
                Ok(_) => {}
                Err(_) => return (None, frames),
            }
        }
    }

    /// Subscribes with `payload` and takes the confirmation.
    pub(crate) async fn subscribe(&mut self, payload: Value) -> Value {
        self.send(json!({"type": "subscribe_execution", "id": "s", "payload": payload})).await;
        let confirmed = self.expect("subscription_confirmed").await;
        assert_eq!(confirmed["replyTo"], "s");
        confirmed["payload"].clone()
    }

    /// Reads entries up to and including the terminal status.
    pub(crate) async fn until_end(&mut self) -> Vec<Value> {
        let mut entries = Vec::new();
        loop {
            let frame = self.next().await;
            let ended = frame["type"] == "status" && frame["payload"]["status"] != "running";
            entries.push(frame);
            if ended {
                return entries;
            }
        }
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(150), self.stream.next()).await.is_err()
    }
}

pub(crate) fn sequences(entries: &[Value]) -> Vec<u64> {
    entries.iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect()
}

pub(crate) fn contents(entries: &[Value]) -> Vec<String> {
    let tokens = entries.iter().filter(|entry| entry["type"] == "token");
    tokens.map(|token| token["payload"]["content"].as_str().unwrap().into()).collect()
}
