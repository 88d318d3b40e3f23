//! One connection: what it has been sent, and what it has seen.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use crate::{
    http, marker,
    meter::Meter,
    sequence::Sequence,
    sse, system,
    websocket::{self, Opcode},
};

/// How entries reach a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Transport {
    /// `GET /ws`, one frame per entry.
    #[value(name = "ws")]
    WebSocket,
    /// `GET /executions/{id}/events`.
    Sse,
}

/// How far a connection has come.
#[derive(Debug)]
enum Phase {
    /// The handshake of TCP.
    Connecting,
    /// An event stream that has not been asked for yet.
    Connected,
    /// A response is awaited; what has come of its head.
    Head(Vec<u8>),
    /// A WebSocket with its frames.
    Frames(websocket::Decoder),
    /// An event stream with its lines.
    Lines(sse::Decoder),
    /// Closed by either side.
    Over,
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    phase: Phase,
    transport: Transport,
    outgoing: Vec<u8>,
    observed: Observed,
    /// Shown when it is opened.
    token: Option<String>,
}

/// What a connection has seen.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    /// The check of its tokens.
    pub(crate) sequence: Sequence,
    /// It saw the terminal entry.
    pub(crate) finished: bool,
    /// It was closed by the server, or refused.
    pub(crate) failed: bool,
    /// The position of the last token frame, if they are kept.
    pub(crate) position: Option<String>,
    /// Whether to keep positions, which costs a search per frame.
    pub(crate) keeps_positions: bool,
}

/// The mask of every client frame. Masking guards against proxies that read the content, so a fixed one is as good here.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a response's head may be long.
const HEAD_MAX: usize = 16 * 1024;

impl Connection {
    /// Over a socket that has begun to connect.
    pub(crate) fn new(stream: TcpStream, transport: Transport, observed: Observed) -> Self {
        Self { stream, phase: Phase::Connecting, transport, outgoing: Vec::new(), observed, token: None }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn observed(&self) -> &Observed {
        &self.observed
    }

    pub(crate) fn take_observed(&mut self) -> Observed {
        std::mem::take(&mut self.observed)
    }

    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// Shows a token when it is opened.
    pub(crate) fn show(&mut self, token: Option<String>) {
        self.token = token;
    }

    /// Sets what it follows from now on.
    pub(crate) fn follow(&mut self, observed: Observed) {
        self.observed = observed;
    }

    /// Whether there is something to write, or the connect is still to be completed.
    pub(crate) fn wants_to_write(&self) -> bool {
        matches!(self.phase, Phase::Connecting) || !self.outgoing.is_empty()
    }

    /// Whether it stands and can be told what to follow.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Connected | Phase::Frames(_))
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Sends a text frame.
    pub(crate) fn send_text(&mut self, text: &str) -> io::Result<()> {
        websocket::write_frame(Opcode::Text, text.as_bytes(), MASK, &mut self.outgoing);
        self.flush()
    }

    /// Asks for the event stream.
    pub(crate) fn send_request(&mut self, request: &[u8]) -> io::Result<()> {
        self.phase = Phase::Head(Vec::new());
        self.outgoing.extend_from_slice(request);
        self.flush()
    }

    /// Goes on after the socket became writable.
    pub(crate) fn on_writable(&mut self, authority: &str, meter: &mut Meter) {
        let result = if matches!(self.phase, Phase::Connecting) {
            self.connected(authority, meter)
        } else {
            self.flush()
        };
        if let Err(error) = result {
            self.fail(meter, || error.to_string());
        }
    }

    fn connected(&mut self, authority: &str, meter: &mut Meter) -> io::Result<()> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        match self.transport {
            Transport::WebSocket => {
                let token = self.token.take();
                self.send_request(&websocket::upgrade(authority, token.as_deref()))
            }
            Transport::Sse => {
                self.phase = Phase::Connected;
                meter.opened += 1;
                Ok(())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.outgoing.is_empty() {
            match self.stream.write(&self.outgoing) {
                Ok(count) => {
                    self.outgoing.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes what has come, at most one buffer of it; the poll is level-triggered and comes back for the rest.
    pub(crate) fn on_readable(&mut self, buffer: &mut [u8], meter: &mut Meter) {
        match self.stream.read(buffer) {
            Ok(0) => self.end(meter, || "the server closed the connection".to_owned()),
            Ok(count) => {
                meter.read(count);
                let now_ns = system::unix_ns();
                self.take(buffer.get(..count).unwrap_or_default(), now_ns, meter);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => self.end(meter, || error.to_string()),
        }
    }

    fn take(&mut self, bytes: &[u8], now_ns: u64, meter: &mut Meter) {
        let observed = &mut self.observed;
        match &mut self.phase {
            Phase::Connecting | Phase::Connected | Phase::Over => {}
            Phase::Head(head) => {
                head.extend_from_slice(bytes);
                let head = std::mem::take(head);
                self.take_head(head, now_ns, meter);
            }
            Phase::Lines(decoder) => {
                let result = decoder.feed(bytes, |payload| observed.message(payload, now_ns, meter));
                let over = decoder.is_over();
                match result {
                    Err(error) => self.fail(meter, || error.to_string()),
                    Ok(()) if over => self.end(meter, || "the event stream ended early".to_owned()),
                    Ok(()) => {}
                }
            }
            Phase::Frames(decoder) => {
                let outgoing = &mut self.outgoing;
                let mut closed = None;
                let result = decoder.feed(bytes, |opcode, payload| match opcode {
                    Opcode::Text | Opcode::Binary => observed.message(payload, now_ns, meter),
                    Opcode::Ping => websocket::write_frame(Opcode::Pong, payload, MASK, outgoing),
                    Opcode::Close => closed = Some(close_reason(payload)),
                    Opcode::Pong => {}
                });
                let result = result.map_err(|error| error.to_string());
                match result.and_then(|()| self.flush().map_err(|error| error.to_string())) {
                    Err(reason) => self.fail(meter, || reason),
                    Ok(()) => {
                        if let Some(reason) = closed {
                            self.end(meter, || reason);
                        }
                    }
                }
            }
        }
    }

    fn take_head(&mut self, bytes: Vec<u8>, now_ns: u64, meter: &mut Meter) {
        let Some((head, rest)) = http::split_head(&bytes) else {
            if bytes.len() > HEAD_MAX {
                self.fail(meter, || format!("no end of the head in {HEAD_MAX} bytes"));
            } else {
                self.phase = Phase::Head(bytes);
            }
            return;
        };
        match (self.transport, http::status(&head)) {
            (Transport::WebSocket, Some(101)) if head.contains(websocket::ACCEPT) => {
                self.phase = Phase::Frames(websocket::Decoder::default());
                meter.opened += 1;
            }
            (Transport::Sse, Some(200)) => {
                let chunked = head.lines().any(|line| line == "transfer-encoding: chunked");
                self.phase = Phase::Lines(sse::Decoder::new(chunked));
                meter.confirmed += 1;
            }
            (Transport::Sse, Some(204)) => {
                self.observed.finished = true;
                meter.finished += 1;
                self.phase = Phase::Over;
            }
            _ => {
                let body = String::from_utf8_lossy(rest).into_owned();
                self.fail(meter, || format!("refused: {} {body}", head.lines().next().unwrap_or_default()));
                return;
            }
        }
        self.take(rest, now_ns, meter);
    }

    /// The server ended the connection: a failure unless all had been seen.
    fn end(&mut self, meter: &mut Meter, reason: impl FnOnce() -> String) {
        if self.observed.finished {
            self.phase = Phase::Over;
        } else {
            self.fail(meter, reason);
        }
    }

    fn fail(&mut self, meter: &mut Meter, reason: impl FnOnce() -> String) {
        if !self.observed.failed {
            self.observed.failed = true;
            meter.fail(reason);
        }
        self.phase = Phase::Over;
    }
}

impl Observed {
    /// Of a connection that follows the fountain `index` from its start.
    pub(crate) fn of(index: u32) -> Self {
        Self { sequence: Sequence::new(index), ..Self::default() }
    }

    fn message(&mut self, payload: &[u8], now_ns: u64, meter: &mut Meter) {
        let Some(kind) = payload.strip_prefix(b"{\"type\":\"") else { return };
        if kind.starts_with(b"token\"") {
            meter.frame();
            for marker in marker::find(kind) {
                self.sequence.note(marker.index, marker.number);
                meter.token(marker.made_ns, now_ns);
            }
            if self.keeps_positions {
                self.position = position(kind);
            }
        } else if kind.starts_with(b"status\"") {
            let says = |status: &[u8]| memchr::memmem::find(kind, status).is_some();
            if says(b"\"status\":\"completed\"") || says(b"\"status\":\"cancelled\"") {
                self.finish(meter);
            } else if says(b"\"status\":\"failed\"") {
                let text = String::from_utf8_lossy(payload).into_owned();
                meter.fail(|| text);
                self.failed = true;
                self.finish(meter);
            }
        } else if kind.starts_with(b"gap\"") {
            meter.gaps += 1;
            self.sequence.note_gap();
        } else if kind.starts_with(b"subscription_confirmed\"") {
            meter.confirmed += 1;
        } else if kind.starts_with(b"error\"") {
            let text = String::from_utf8_lossy(payload).into_owned();
            self.failed = true;
            meter.fail(|| text);
        }
    }

    fn finish(&mut self, meter: &mut Meter) {
        if !self.finished {
            self.finished = true;
            meter.finished += 1;
        }
    }
}

/// The position that an entry's frame carries.
fn position(frame: &[u8]) -> Option<String> {
    const FIELD: &[u8] = b"\"position\":\"";
    let at = memchr::memmem::find(frame, FIELD)?;
    let value = frame.get(at + FIELD.len()..)?;
    let end = memchr::memchr(b'"', value)?;
    Some(String::from_utf8_lossy(value.get(..end)?).into_owned())
}

/// Code and reason of a close frame (RFC 6455 §5.5.1).
fn close_reason(payload: &[u8]) -> String {
    match payload.split_first_chunk::<2>() {
        Some((code, reason)) => {
            format!("closed with {}: {}", u16::from_be_bytes(*code), String::from_utf8_lossy(reason))
        }
        None => "closed without a code".to_owned(),
    }
}
