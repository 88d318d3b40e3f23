//! What a client says, frame by frame.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    task::{Context, Poll},
    time::Duration,
};

use streamnest_protocol::native::{CloseCode, ErrorFrame, Request, ServerFrame};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError, protocol::frame::coding};

use super::Connection;
use crate::io::Socket;

/// Messages that are read before what is owed is written.
const MESSAGES_A_TURN: usize = 32;
/// The time within which bad frames are counted.
const BAD_FRAMES_WITHIN: Duration = Duration::from_secs(60);
/// What is read at once of a client that is not listened to any more.
const DISCARD_BYTES: usize = 4 << 10;
/// The most that is read of it in one turn.
const DISCARDS_A_TURN: usize = 64;

/// How the reading stands.
#[derive(Default)]
pub(super) struct Inbound {
    state: State,
    /// Nothing is left in buffers, and the task is woken when there is more.
    dry: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// Frames are read.
    #[default]
    Frames,
    /// The client broke the protocol: what it still says is thrown away until it ends.
    Discarded,
    /// The client ended properly: it closed, or answered our close frame.
    Closed,
    /// The client is gone.
    Lost,
}

impl Inbound {
    /// Whether nothing will come any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Closed | State::Lost)
    }

    /// Whether the client cannot be written to any more.
    pub(super) fn is_lost(&self) -> bool {
        self.state == State::Lost
    }

    pub(super) fn is_discarded(&self) -> bool {
        self.state == State::Discarded
    }

    /// Whether there may be more to read at once.
    pub(super) const fn has_more(&self) -> bool {
        !self.dry
    }

    fn end(&mut self, state: State) {
        self.state = state;
        self.dry = true;
    }
}

/// When the bad frames of the last minute came, at most as many as may be.
#[derive(Default)]
pub(super) struct BadFrames(VecDeque<Instant>);

/// The socket as tungstenite sees it: it reads from it, and what it writes is put with everything else that is owed,
/// so that never a byte of its frames falls into one of ours.
pub(super) struct Pipe<'a, 'b> {
    from: Option<(&'a mut Socket, &'a mut Context<'b>)>,
    to: &'a mut Vec<u8>,
}

impl<'a> Pipe<'a, '_> {
    pub(super) const fn writing(to: &'a mut Vec<u8>) -> Self {
        Self { from: None, to }
    }
}

impl Read for Pipe<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self.from.as_mut().map(|(socket, cx)| socket.poll_read(cx, buf)) {
            Some(Poll::Ready(read)) => read,
            Some(Poll::Pending) | None => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Pipe<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        // At most one small frame for each that was read, and none is read while the replies are at their bound.
        self.to.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection {
    /// Whether the client may say something now: its requests are answered one by one, and what it was answered it
    /// has to read.
    pub(super) fn may_read(&self) -> bool {
        self.closing.is_some()
            || (self.running.is_none() && self.replies.len() < self.shared.options.max_pending_reply_bytes)
    }

    /// Reads what the client says, for one turn.
    pub(super) fn poll_inbound(&mut self, cx: &mut Context<'_>) {
        if self.inbound.state == State::Discarded {
            return self.discard(cx);
        }
        if self.inbound.is_over() {
            return;
        }
        if !self.may_read() {
            // Nobody may have been told to wake us when there is something, so it is looked at again.
            self.inbound.dry = false;
            return;
        }
        if self.inbound.dry && self.socket.poll_readable(cx).is_pending() {
            return;
        }
        self.inbound.dry = false;
        for _ in 0..MESSAGES_A_TURN {
            let mut pipe = Pipe { from: Some((&mut self.socket, cx)), to: &mut self.replies };
            match self.codec.read(&mut pipe) {
                Ok(message) => self.on_message(message),
                Err(error) => {
                    self.on_error(error);
                    return;
                }
            }
            if !self.may_read() {
                return;
            }
        }
    }

    fn on_message(&mut self, message: Message) {
        (self.pong_by, self.forgiven) = (None, false);
        match message {
            // Its answer lies in `replies`; nothing may follow it.
            Message::Close(_) => {
                if self.closing.is_none() {
                    tracing::debug!("client closed the WebSocket");
                    self.owed.cut();
                }
                self.begin_closing();
            }
            _ if self.closing.is_some() => {}
            _ if self.is_too_much(&message) => {}
            #[cfg(feature = "echo")]
            message if self.language == super::Language::Echo => self.echo(&message),
            Message::Text(text) => match Request::parse(&text) {
                Ok(request) => self.on_request(request),
                Err(error) => {
                    tracing::debug!(code = error.code, "bad frame");
                    let frame = ServerFrame::Error(ErrorFrame::from(&error));
                    self.on_bad_frame(&frame, error.reply_to.as_deref());
                }
            },
            Message::Binary(_) => {
                let message = "binary messages are not understood; send {\"type\": …} as text";
                self.on_bad_frame(&ServerFrame::error("bad_frame", message, false), None);
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }

    /// Says what is wrong with a frame, and closes if there were too many.
    fn on_bad_frame(&mut self, error: &ServerFrame, reply_to: Option<&str>) {
        self.reply(error, reply_to);
        let limit = self.shared.options.max_bad_frames;
        let now = Instant::now();
        let BadFrames(times) = &mut **self.bad_frames.get_or_insert_default();
        while times.front().is_some_and(|time| now.duration_since(*time) >= BAD_FRAMES_WITHIN) {
            times.pop_front();
        }
        times.push_back(now);
        if times.len() >= limit {
            let reason = format!("{limit} bad frames within a minute");
            self.close(CloseCode::TooManyBadFrames, &reason);
        }
    }

    fn on_error(&mut self, error: Error) {
        match error {
            Error::Io(error) if error.kind() == io::ErrorKind::WouldBlock => self.inbound.dry = true,
            Error::ConnectionClosed | Error::AlreadyClosed => self.inbound.end(State::Closed),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_) => {
                tracing::debug!("client is gone");
                self.inbound.end(State::Lost);
            }
            Error::Capacity(error) => {
                tracing::debug!(%error, "message is over the limit");
                // Before it is known who sends it, less may be sent.
                let limit = self.codec.get_config().max_message_size;
                let limit = limit.unwrap_or(self.shared.options.max_message_bytes);
                let reason = format!("message is over the limit of {limit} bytes");
                self.close(CloseCode::TooLarge, &reason);
                self.inbound.state = State::Discarded;
            }
            Error::Utf8(_) => {
                self.close_broken(coding::CloseCode::Invalid, "text is not UTF-8");
                self.inbound.state = State::Discarded;
            }
            error => {
                self.close_broken(coding::CloseCode::Protocol, &error.to_string());
                self.inbound.state = State::Discarded;
            }
        }
    }

    /// Throws away what comes. A socket that is dropped with bytes unread would reset the connection, and the close
    /// frame might be lost with it.
    fn discard(&mut self, cx: &mut Context<'_>) {
        let mut buffer = [0; DISCARD_BYTES];
        for _ in 0..DISCARDS_A_TURN {
            match self.socket.poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0)) => return self.inbound.end(State::Closed),
                Poll::Ready(Err(_)) => return self.inbound.end(State::Lost),
                Poll::Pending => {
                    self.inbound.dry = true;
                    return;
                }
            }
        }
        self.inbound.dry = false;
    }
}
