//! One WebSocket connection: one task, written as a state machine that is polled.
//!
//! Each turn does three things in this order. It reads what the client says. If the socket is owed bytes it writes
//! them. Only when all is written does it pull from the logs what came since. So nothing is queued for a slow
//! reader: what it did not read stays in the logs, and what it gets next is a larger piece of them.

mod commands;
#[cfg(feature = "echo")]
mod echo;
mod inbound;
mod language;
mod owed;
mod pull;
mod session;
mod standing;
mod subscription;
mod throttle;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use streamnest_core::TraceContext;
use streamnest_protocol::native::{CloseCode, Connected, Heartbeat, ServerFrame, websocket};
use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until},
};
use tokio_tungstenite::tungstenite::{
    Utf8Bytes,
    protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext, frame::coding},
};

use self::{
    commands::Running,
    inbound::{BadFrames, Inbound, Pipe},
    owed::{Owed, Written},
    standing::Standing,
    subscription::{EventsView, Subscription},
    throttle::Throttle,
};
pub(crate) use self::{
    language::Language,
    pull::{choose, gap_frame, weight_before},
    session::{Begin, Session},
    subscription::state_of,
};
use crate::{
    auth::Rejected,
    directory::{Listed, Signal},
    io::Socket,
    metrics::{Traffic, Transport},
    shared::{Seat, Shared},
};

/// What tungstenite may keep of control frames of its own, in bytes. It keeps none: what it writes is taken at once.
const CODEC_WRITE_BYTES: usize = 1 << 10;
/// How often what there is to do is looked for in one turn: of a long log a filter may let nothing through.
const ROUNDS: usize = 16;
/// By how much a time may be past before that says something of this process: it was stopped, or had no time to look.
const HELD_UP: Duration = Duration::from_millis(250);

/// A connection after the handshake. What each turn needs stands first and together, for where many take turns it is in no
/// cache.
#[repr(C)]
pub(crate) struct Connection {
    socket: Socket,
    subscriptions: Vec<Subscription>,
    /// The subscription that is pulled from first.
    turn: usize,
    /// Is being written.
    owed: Owed,
    /// Whole frames that are owed after that.
    replies: Vec<u8>,
    listed: Listed,
    inbound: Inbound,
    listening: bool,
    heartbeat_due: bool,
    leaves_idle: bool,
    /// Whether it went on where another connection had stopped.
    resumed: bool,
    /// Whether the client takes compressed frames.
    deflates: bool,
    /// Whether it was given the whole time again since it said or took something.
    forgiven: bool,
    /// Where what it starts belongs in a trace, unless the request says.
    trace: Option<Box<TraceContext>>,
    language: Language,
    shared: Arc<Shared>,
    traffic: Traffic,
    events_view: Option<Box<EventsView>>,
    /// When `timer` rings: it is asked here, for it is memory elsewhere.
    timer_at: Instant,
    heartbeat_at: Instant,
    /// When a subscription has something to do; `None` while the socket is blocked, for the next pull looks anyway.
    pull_at: Option<Instant>,
    pong_by: Option<Instant>,
    stalled_since: Option<Instant>,
    /// When it closes because the server does.
    leave_at: Option<Instant>,
    closing: Option<Closing>,
    standing: Standing,
    throttle: Throttle,
    /// A request that takes time; the next one is read when it is done.
    running: Option<Running>,
    bad_frames: Option<Box<BadFrames>>,
    /// One timer for everything that has a time.
    timer: Pin<Box<Sleep>>,
    since: Instant,
    seat: Seat,
    /// Reads frames. What it writes, pongs and close frames, goes to `replies` like everything else.
    codec: WebSocketContext,
}

/// A close frame was sent, or came.
struct Closing {
    /// The connection is gone then, whatever the client does.
    by: Instant,
    /// Whether all that was to be said has been, and the client was told so.
    shut: bool,
}

impl Connection {
    fn new(shared: Arc<Shared>, socket: Socket, read: Bytes, begin: Begin) -> Self {
        let Begin { seat, admission, deflates, language, trace } = begin;
        let options = &shared.options;
        let config = WebSocketConfig::default()
            .read_buffer_size(options.read_buffer_bytes)
            .write_buffer_size(0)
            .max_write_buffer_size(CODEC_WRITE_BYTES)
            .max_message_size(Some(options.max_message_bytes))
            .max_frame_size(Some(options.max_message_bytes));
        let codec = match read.is_empty() {
            true => WebSocketContext::new(Role::Server, Some(config)),
            false => WebSocketContext::from_partially_read(read.into(), Role::Server, Some(config)),
        };
        let now = Instant::now();
        let heartbeat_at = now + options.heartbeat_interval;
        let mut connection = Self {
            socket,
            codec,
            inbound: Inbound::default(),
            owed: Owed::default(),
            replies: Vec::new(),
            subscriptions: Vec::new(),
            events_view: None,
            turn: 0,
            running: None,
            bad_frames: None,
            standing: Standing::Rejected,
            timer: Box::pin(sleep_until(heartbeat_at)),
            timer_at: heartbeat_at,
            pull_at: None,
            heartbeat_at,
            heartbeat_due: false,
            pong_by: None,
            stalled_since: None,
            forgiven: false,
            leave_at: None,
            leaves_idle: false,
            closing: None,
            listed: shared.directory.enter(),
            since: now,
            listening: false,
            throttle: Throttle::default(),
            traffic: shared.metrics.traffic(Transport::WebSocket),
            resumed: false,
            deflates,
            trace,
            language,
            shared,
            seat,
        };
        connection.greet();
        // Who is turned away takes nobody's place.
        if connection.closing.is_none() {
            connection.stand(admission);
        }
        connection
    }

    fn greet(&mut self) {
        let options = &self.shared.options;
        // A client that is told 0 expects none.
        let heartbeat_ms = match options.heartbeats {
            true => u64::try_from(options.heartbeat_interval.as_millis()).unwrap_or(u64::MAX),
            false => 0,
        };
        let connected = Connected { connection_id: self.listed.id().to_string(), heartbeat_ms };
        self.reply(&ServerFrame::Connected(connected), None);
        tracing::Span::current().record("connection", tracing::field::display(self.listed.id()));
        tracing::debug!("WebSocket opened");
        if let Some(retry_after) = self.seat.turned_away() {
            tracing::warn!(?retry_after, "WebSocket refused: over a limit of connections");
            self.close(CloseCode::RateLimited, &CloseCode::retry_after_reason(retry_after));
        }
    }

    /// Ends with the connection.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.listening {
            // A task keeps its waker, so once is enough; the same goes for the timer.
            self.listed.listen(cx.waker());
            let _ = self.poll_timer(cx);
            self.listening = true;
        }
        let now = Instant::now();
        if now.saturating_duration_since(self.timer_at) >= HELD_UP {
            self.forgive(now);
        }
        for round in 1.. {
            if !self.listed.signals().is_empty() && self.hear() {
                return Poll::Ready(());
            }
            if self.timer_at <= now && self.on_time(now) {
                return Poll::Ready(());
            }
            self.poll_inbound(cx);
            self.poll_running(cx);
            if self.inbound.is_over() && !self.may_say_goodbye() {
                return Poll::Ready(());
            }
            match self.write(cx) {
                Some(true) => {}
                Some(false) => break,
                None => return Poll::Ready(()),
            }
            if self.closing.is_some() {
                if self.poll_goodbye(cx).is_ready() {
                    return Poll::Ready(());
                }
                if !self.inbound.has_more() {
                    break;
                }
                continue;
            }
            let mut more = self.pull(cx);
            if more {
                // The usual turn: one entry came and is sent, and nothing else has happened.
                match self.write(cx) {
                    Some(true) => more = self.pull(cx),
                    Some(false) => break,
                    None => return Poll::Ready(()),
                }
            }
            more = more
                || (self.may_read() && self.inbound.has_more())
                || self.listed.signals().has(Signal::Messages);
            if !more {
                break;
            }
            if round == ROUNDS {
                // Others have their turn, and the time is looked at anew.
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.set_timer(cx, now);
        Poll::Pending
    }

    /// Owes a frame of the connection, if it is one where those are understood.
    fn reply(&mut self, frame: &ServerFrame, reply_to: Option<&str>) {
        if self.closing.is_none() && self.language == Language::Native {
            if let ServerFrame::Error(error) = frame {
                self.shared.metrics.refused(&error.code);
            }
            frame.encode_websocket(reply_to, &mut self.replies);
        }
    }

    /// Writes what is owed; whether nothing is any more, or `None` if the socket broke.
    fn write(&mut self, cx: &mut Context<'_>) -> Option<bool> {
        match self.poll_write(cx) {
            Ok(true) => Some(true),
            Ok(false) => {
                // A time of a subscription that came meanwhile would set the timer off again and again.
                self.pull_at = None;
                // The client may have more to say than was read in one turn.
                if self.may_read() && self.inbound.has_more() {
                    cx.waker().wake_by_ref();
                }
                Some(false)
            }
            Err(error) => {
                tracing::debug!(%error, "WebSocket broke");
                None
            }
        }
    }

    /// Writes what is owed; whether nothing is any more.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> std::io::Result<bool> {
        loop {
            if self.owed.is_empty() {
                if self.replies.is_empty() {
                    if self.stalled_since.take().is_some() {
                        self.forgiven = false;
                        self.ask_again();
                    }
                    return Ok(self.socket.poll_flush(cx)?.is_ready());
                }
                self.owed.push(std::mem::take(&mut self.replies).into());
            }
            if let Written::Blocked { progress } =
                self.owed.poll_write(cx, &mut self.socket, &mut self.traffic)?
            {
                if progress || self.stalled_since.is_none() {
                    self.forgiven = false;
                    self.stalled_since = Some(Instant::now());
                }
                return Ok(false);
            }
        }
    }

    /// Hears what it is told from outside; whether it is gone.
    fn hear(&mut self) -> bool {
        let signals = self.listed.signals();
        if signals.has(Signal::Abort) {
            return true;
        }
        if signals.has(Signal::Revoked) {
            self.refuse(&Rejected::Revoked);
        } else if signals.has(Signal::Replaced) {
            self.close(CloseCode::Replaced, CloseCode::Replaced.meaning());
        }
        if signals.has(Signal::Messages) && self.replies.len() < self.shared.options.max_pending_reply_bytes {
            let frames = self.listed.take_frames();
            if self.closing.is_none() {
                self.replies.extend_from_slice(&frames);
            }
        }
        if signals.has(Signal::Drain) && !self.leaves_idle {
            let jitter = self.shared.options.drain_jitter;
            if !self.follows_something() {
                self.leaves_idle = true;
                let at = Instant::now() + jitter.mul_f64(self.listed.id().fraction());
                self.leave_at = Some(self.leave_at.map_or(at, |latest| latest.min(at)));
            } else if signals.has(Signal::End) && self.leave_at.is_none() {
                // Who is behind has the whole time to read the end of what it follows; the others do not all leave, and come
                // back somewhere, at once.
                let share = if self.is_behind() { 1.0 } else { self.listed.id().fraction() };
                self.leave_at = Some(Instant::now() + jitter.mul_f64(share));
            }
        }
        false
    }

    /// Does what is due; whether the connection is gone.
    fn on_time(&mut self, now: Instant) -> bool {
        let (stall, interval) =
            (self.shared.options.slow_reader_limit, self.shared.options.heartbeat_interval);
        if self.closing.as_ref().is_some_and(|closing| closing.by <= now) {
            tracing::debug!("client did not answer the close frame");
            return true;
        }
        if self.closing.is_some() {
            return false;
        }
        if self.leave_at.is_some_and(|at| at <= now) {
            self.close(CloseCode::GoingAway, CloseCode::GoingAway.meaning());
        } else if self.stalled_since.is_some_and(|since| since + stall <= now) {
            self.close(CloseCode::SlowReader, CloseCode::SlowReader.meaning());
        } else if self.pong_overdue().is_some_and(|by| by <= now) {
            self.close(CloseCode::PongTimeout, CloseCode::PongTimeout.meaning());
        }
        self.check_standing(now);
        if self.heartbeat_at <= now {
            self.heartbeat_at = now + interval;
            self.heartbeat_due = true;
        }
        false
    }

    /// Gives the client the whole time again for all that it owes, for this process had none. What it said or took meanwhile nobody
    /// looked at, and a process that was stopped, as a machine that moves is, would find all its clients gone. Once, until it says
    /// or takes something: one that is always late keeps its dead clients no longer than twice as long.
    fn forgive(&mut self, now: Instant) {
        let owes = self.pong_by.is_some() || self.stalled_since.is_some() || self.closing.is_some();
        if self.forgiven || !owes {
            return;
        }
        self.forgiven = true;
        self.ask_again();
        self.stalled_since = self.stalled_since.map(|_| now);
        if let Some(closing) = &mut self.closing {
            closing.by = now + self.shared.options.close_timeout;
        }
    }

    /// When it is too late for a pong. What the client has not read yet it cannot answer, and what is not read of it
    /// may be the answer.
    fn pong_overdue(&self) -> Option<Instant> {
        self.pong_by.filter(|_| self.stalled_since.is_none() && self.may_read())
    }

    /// Gives the client the whole time again to answer a ping: till now it could not, or was not listened to.
    fn ask_again(&mut self) {
        if self.pong_by.is_some() {
            self.pong_by = Some(Instant::now() + self.shared.options.pong_timeout);
        }
    }

    /// Adds up what was done, and sends the heartbeats that are due, of both kinds.
    fn beat(&mut self) {
        self.heartbeat_due = false;
        self.traffic.fold();
        self.subscriptions.iter().for_each(|known| self.shared.metrics.lags(known.lag()));
        if !self.shared.options.heartbeats {
            return;
        }
        let positions = self.subscriptions.iter().map(Subscription::reader_position).collect();
        self.reply(&ServerFrame::Heartbeat(Heartbeat { positions }), None);
        websocket::ping(&[], &mut self.replies);
        self.pong_by.get_or_insert(Instant::now() + self.shared.options.pong_timeout);
    }

    /// Sets the timer to the next time at which something is due. What was due at `now` is done.
    fn set_timer(&mut self, cx: &mut Context<'_>, now: Instant) {
        let options = &self.shared.options;
        let next = match &self.closing {
            Some(closing) => closing.by,
            None => {
                let stalled = self.stalled_since.map(|since| since + options.slow_reader_limit);
                let times = [stalled, self.pong_overdue(), self.leave_at, self.pull_at, self.standing.due()];
                times.into_iter().flatten().fold(self.heartbeat_at, Instant::min)
            }
        };
        // One that is set too early costs a look when it fires, one that is set anew costs that each time.
        if next < self.timer_at || self.timer_at <= now {
            self.timer_at = next;
            self.timer.as_mut().reset(next);
            if self.poll_timer(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // With a budget it might say "later" without having heard who asks.
        let timer = std::pin::pin!(unconstrained(self.timer.as_mut()));
        timer.poll(cx)
    }

    /// Closes the connection with one of our codes. What was owed and not begun is not sent any more, except where a
    /// client may lose nothing because there is nowhere else to resume.
    fn close(&mut self, code: CloseCode, reason: &str) {
        tracing::debug!(code = code.code(), "WebSocket is closed");
        match code {
            CloseCode::GoingAway | CloseCode::TooManyBadFrames | CloseCode::RateLimited => {}
            CloseCode::SlowReader => {
                self.owed.cut();
                self.replies.clear();
            }
            _ => self.owed.cut(),
        }
        self.send_close(code.code(), reason);
    }

    /// Closes the connection with a code of the protocol itself, because the client broke it.
    fn close_broken(&mut self, code: coding::CloseCode, reason: &str) {
        tracing::debug!(%code, "client broke the WebSocket protocol");
        self.owed.cut();
        self.send_close(code.into(), reason);
    }

    fn send_close(&mut self, code: u16, reason: &str) {
        if self.closing.is_some() {
            return;
        }
        self.shared.metrics.closed(code);
        let end = reason.floor_char_boundary(websocket::MAX_CLOSE_REASON);
        let reason = Utf8Bytes::from(reason.get(..end).unwrap_or_default());
        let frame = CloseFrame { code: code.into(), reason };
        // It goes to `replies`, which takes it; anything else is told by the next read.
        let mut pipe = Pipe::writing(&mut self.replies);
        let _ = self.codec.close(&mut pipe, Some(frame));
        self.begin_closing();
    }

    /// From here on nothing is owed but what is.
    fn begin_closing(&mut self) {
        if self.closing.is_none() {
            self.subscriptions = Vec::new();
            self.events_view = None;
            let by = Instant::now() + self.shared.options.close_timeout;
            self.closing = Some(Closing { by, shut: false });
        }
    }

    /// Whether there is a close frame of ours to write though the client says nothing more.
    fn may_say_goodbye(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| !closing.shut) && !self.inbound.is_lost()
    }

    /// All is said. Ends the connection, or waits until the client did.
    fn poll_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(closing) = &mut self.closing else { return Poll::Pending };
        if self.inbound.is_over() {
            return Poll::Ready(());
        }
        // Where the close frame cannot be answered, or where it was the answer, the client waits for our end.
        if !closing.shut && self.inbound.is_discarded() {
            match self.socket.poll_shutdown(cx) {
                Poll::Ready(Ok(())) => closing.shut = true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {}
            }
        }
        Poll::Pending
    }
}
