//! A WebSocket client that shows every frame.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::header::HeaderName;
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, client_async, client_async_with_config,
    tungstenite::{Error, Message, client::IntoClientRequest as _, protocol::WebSocketConfig},
};

use crate::unplugged::unplug;

/// A WebSocket connection to a server.
#[derive(Debug)]
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// Connects, and takes the `connected` frame.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut socket = Self::connect_silently(address).await;
        let connected = socket.next().await.expect("a server says that it is connected");
        assert_eq!(connected["type"], "connected");
        socket
    }

    /// As [`connect`](Self::connect), with little room for what it does not read.
    pub async fn connect_narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4 << 10).unwrap();
        let mut socket = Self::upgrade(socket.connect(address).await.unwrap(), address).await;
        assert_eq!(socket.expect("connected").await["type"], "connected");
        socket
    }

    /// Connects and reads nothing.
    pub async fn connect_silently(address: SocketAddr) -> Self {
        Self::upgrade(TcpStream::connect(address).await.unwrap(), address).await
    }

    /// Connects to `path` with more headers; the status of the answer if there is no WebSocket.
    ///
    /// # Errors
    /// The handshake is refused, with this status.
    pub async fn open(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        match client_async(request, TcpStream::connect(address).await.unwrap()).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// What its close frame says, after whatever comes before it; `None` if the connection ends without one.
    pub async fn closed(&mut self) -> Option<(u16, String)> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Close(close))) => {
                    return close.map(|close| (close.code.into(), close.reason.to_string()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// What its close frame says, if that comes before the answer to a ping; `None` if it is answered.
    pub async fn closed_before_pong(&mut self) -> Option<(u16, String)> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Close(Some(close)))) => {
                    return Some((close.code.into(), close.reason.to_string()));
                }
                Some(Ok(Message::Text(text))) if text.contains(r#""type":"pong""#) => return None,
                Some(Ok(Message::Ping(_) | Message::Text(_))) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn upgrade(stream: TcpStream, address: SocketAddr) -> Self {
        // As small as can be, so that what a test measures of this process is the server.
        let config = WebSocketConfig::default().read_buffer_size(4 << 10);
        let url = format!("ws://{address}/ws");
        let (socket, _) = client_async_with_config(url, stream, Some(config)).await.unwrap();
        Self(socket)
    }

    /// From now on nothing arrives any more: see [`unplug`].
    pub fn unplug(&self) {
        unplug(self.0.get_ref());
    }

    /// Sends a command.
    pub async fn send(&mut self, kind: &str, payload: Value) {
        let text = json!({"type": kind, "payload": payload}).to_string();
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Sends a text, whatever it is.
    pub async fn send_text(&mut self, text: String) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Follows an execution; `more` is merged into the payload.
    pub async fn subscribe(&mut self, execution: &str, more: Value) -> Value {
        let mut payload = json!({"executionId": execution});
        payload.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        self.send("subscribe_execution", payload).await;
        self.expect("subscription_confirmed").await
    }

    /// Follows an execution that does not exist yet.
    pub async fn subscribe_waiting(&mut self, execution: &str) {
        let confirmed = self.subscribe(execution, json!({"wait": true})).await;
        assert_eq!(confirmed["payload"]["executionId"], execution);
    }

    /// The next frame, or `None` when the connection has ended.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => return Some(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next frame, or the code of the close frame where the connection ends with one.
    ///
    /// # Errors
    /// The connection has ended; the code, if it was told one.
    pub async fn next_or_code(&mut self) -> Result<Value, Option<u16>> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(close))) => {
                    // Reading on is what answers it.
                    while self.0.next().await.is_some_and(|message| message.is_ok()) {}
                    return Err(close.map(|close| close.code.into()));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }

    /// The next frame of this type; others before it are passed over.
    ///
    /// # Panics
    /// If the connection ends before it.
    pub async fn expect(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await.unwrap_or_else(|| panic!("connection ended before `{kind}`"));
            if frame["type"] == kind {
                return frame;
            }
            assert_ne!(frame["type"], "error", "{frame}");
        }
    }

    /// Every entry up to the terminal status.
    pub async fn entries(&mut self) -> Vec<Value> {
        let mut entries = Vec::new();
        while let Some(frame) = self.next().await {
            let terminal = frame["type"] == "status" && frame["payload"]["status"] != "running";
            if frame["sequence"].is_number() {
                entries.push(frame);
            }
            if terminal {
                break;
            }
        }
        entries
    }
}
