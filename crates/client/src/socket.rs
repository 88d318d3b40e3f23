//! One connection: opened, greeted, read frame by frame.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use streamnest_protocol::native::{Connected, Frame, Request, SUBPROTOCOL, ServerFrame};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{
            HeaderValue,
            header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL},
        },
        protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode as WebSocketCode},
    },
};
use tokio_util::either::Either;

use crate::{ClientOptions, Error, address::Address, tls::Tls, tokens::Tokens};

/// What a connection reads at once. Tungstenite's own 128 KiB would be most of a client's memory.
const READ_BUFFER: usize = 4 << 10;
/// The most bytes that wait to be written; a client writes a few small requests.
const MAX_WRITE_BUFFER: usize = 1 << 20;
/// How much of a refusal over HTTP is kept.
const MAX_BODY: usize = 512;
/// What a caller that was away for longer than the silence limit grants the connection, so that what has arrived
/// meanwhile is read before the server is taken for dead.
const GRACE: Duration = Duration::from_millis(100);

/// What a WebSocket lies on: TCP, or TLS on it.
type Transport = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// A connection that the server has greeted.
pub(crate) struct Socket {
    stream: WebSocketStream<Transport>,
    connection_id: String,
    /// The longest silence; `None` if the server sends no heartbeats.
    silence: Option<Duration>,
    heard: Instant,
    /// Set once the silence was over the limit when a read began.
    grace: Option<Instant>,
}

impl Socket {
    /// Opens a connection and reads its greeting.
    pub(crate) async fn open(
        address: &Address,
        options: &ClientOptions,
        tokens: &Tokens,
        tls: &Tls,
    ) -> Result<Self, Error> {
        options.validate()?;
        let waited = options.connect_timeout;
        let opened = timeout(waited, open(address, options, tokens, tls)).await;
        opened.unwrap_or(Err(Error::Silent { what: "connecting", waited }))
    }

    /// The name that the server gave to this connection.
    pub(crate) fn connection_id(&self) -> &str {
        &self.connection_id
    }

    /// Sends a request that needs no answer.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<(), Error> {
        self.stream.send(Message::text(request.to_json())).await.map_err(broken)
    }

    /// Waits for the next frame.
    ///
    /// # Cancel safety
    /// Safe: a frame is either returned or still to be read.
    pub(crate) async fn next(&mut self) -> Result<Frame, Error> {
        loop {
            let message = match self.deadline() {
                Some(deadline) => match timeout_at(deadline, self.stream.next()).await {
                    Ok(message) => message,
                    Err(_) => {
                        let waited = self.heard.elapsed();
                        return Err(Error::Silent { what: "a heartbeat was due", waited });
                    }
                },
                None => self.stream.next().await,
            };
            self.heard = Instant::now();
            self.grace = None;
            if let Some(frame) = read(message)? {
                return Ok(frame);
            }
        }
    }

    /// Sends a request and waits for its answer; nothing that was asked for on this connection precedes it.
    pub(crate) async fn ask(&mut self, request: &Request, waited: Duration) -> Result<ServerFrame, Error> {
        let answered = timeout(waited, async {
            self.send(request).await?;
            loop {
                match self.next().await? {
                    Frame::Server { frame, reply_to } if reply_to == request.id => {
                        let ServerFrame::Error(refused) = frame else { return Ok(frame) };
                        return Err(refused.into());
                    }
                    _ => {}
                }
            }
        });
        answered.await.unwrap_or(Err(Error::Silent { what: "an answer was due", waited }))
    }

    /// Says goodbye, without waiting for the answer.
    pub(crate) async fn close(mut self) {
        let frame = CloseFrame { code: WebSocketCode::Normal, reason: "".into() };
        // The connection is dropped next; whether the server heard it does not matter.
        let _ = timeout(Duration::from_secs(1), self.stream.close(Some(frame))).await;
    }

    /// When the silence has lasted too long.
    fn deadline(&mut self) -> Option<Instant> {
        let deadline = self.heard + self.silence?;
        let now = Instant::now();
        if deadline > now {
            return Some(deadline);
        }
        Some(*self.grace.get_or_insert(now + GRACE))
    }
}

async fn open(
    address: &Address,
    options: &ClientOptions,
    tokens: &Tokens,
    tls: &Tls,
) -> Result<Socket, Error> {
    let token = tokens.get().await?;
    let host = address.host_and_port();
    let stream = TcpStream::connect(&host).await;
    let stream = stream.map_err(|source| Error::Connect { address: host.clone(), source })?;
    // A small request must not wait for an acknowledgement of the one before it (RFC 896).
    stream.set_nodelay(true).map_err(|source| Error::Connect { address: host.clone(), source })?;
    let stream = match address.is_encrypted() {
        false => Either::Left(stream),
        true => {
            let stream = tls.connect(&options.root_certificates, address.host(), &host, stream).await?;
            Either::Right(Box::new(stream))
        }
    };
    let mut request = address.url().into_client_request().map_err(broken)?;
    request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    if let Some(token) = token {
        let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| Error::IllegalToken)?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(options.max_message_bytes))
        .max_frame_size(Some(options.max_message_bytes));
    let (stream, _) = client_async_with_config(request, stream, Some(config)).await.map_err(broken)?;
    let (heard, connection_id) = (Instant::now(), String::new());
    let mut socket = Socket { stream, connection_id, silence: None, heard, grace: None };
    let Frame::Server { frame: ServerFrame::Connected(Connected { connection_id, heartbeat_ms }), .. } =
        socket.next().await?
    else {
        let reason = "the first frame is not `connected`".into();
        return Err(streamnest_protocol::Error::Frame { reason }.into());
    };
    socket.connection_id = connection_id;
    if heartbeat_ms > 0 {
        let beat = Duration::from_millis(heartbeat_ms).as_secs_f64();
        // Less than one heartbeat would take every server for dead; longer than time lasts is never.
        socket.silence = Duration::try_from_secs_f64(beat * options.silent_heartbeats.max(1.0)).ok();
    }
    Ok(socket)
}

/// A message as a frame; `None` for what the library answers by itself.
fn read(message: Option<Result<Message, tungstenite::Error>>) -> Result<Option<Frame>, Error> {
    match message {
        Some(Ok(Message::Text(text))) => Ok(Some(Frame::decode(&text)?)),
        Some(Ok(Message::Close(Some(close)))) => {
            Err(Error::Closed { code: Some(close.code.into()), reason: close.reason.to_string() })
        }
        Some(Ok(Message::Close(None))) | None => {
            Err(Error::Closed { code: None, reason: "it ended without a close frame".into() })
        }
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(broken(error)),
    }
}

fn broken(error: tungstenite::Error) -> Error {
    match error {
        tungstenite::Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let body = String::from_utf8_lossy(body.get(..MAX_BODY).unwrap_or(body)).into_owned();
            Error::Upgrade { status: response.status().as_u16(), body }
        }
        source => Error::Broken { source: Box::new(source) },
    }
}
