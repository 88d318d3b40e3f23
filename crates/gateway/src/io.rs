//! The sockets beneath the protocols.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

use crate::{GatewayOptions, serve::Watch};

/// The system counts how long nothing was acknowledged from its first repetition on. That comes after 200 ms, where the way is
/// short, and what it does then is rounded to the next one (Linux, `tcp_timer.c`).
const FIRST_REPETITION: Duration = Duration::from_millis(500);

/// A TCP connection whose peer has to take what it is owed within a limit, and to acknowledge what was sent within another.
///
/// A write that makes no progress for as long fails with [`io::ErrorKind::TimedOut`], so that a reader of an event
/// stream that stopped reading does not keep its place for good. An event stream has no answer by which a reader shows that it is
/// there. Its system has one: it acknowledges what arrives, heartbeats too.
pub(crate) struct Unstalled {
    stream: TcpStream,
    limit: Duration,
    /// How long the peer may acknowledge nothing; `None` for as long as the system waits by itself, a quarter of an hour.
    silence: Option<Duration>,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    watch: Arc<Watch>,
}

impl Unstalled {
    pub(crate) fn new(stream: TcpStream, options: &GatewayOptions, watch: Arc<Watch>) -> io::Result<Self> {
        let timeout = options.pong_timeout;
        let silence = timeout.saturating_sub(FIRST_REPETITION).max(timeout / 2);
        let silence = options.heartbeats.then_some(silence);
        bound_silence(&stream, silence)?;
        Ok(Self { stream, limit: options.slow_reader_limit, silence, stalled: None, watch })
    }

    fn watch(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if self.stalled.take().is_some() {
                self.watch.block(false);
                bound_silence(&self.stream, self.silence)?;
            }
            return written;
        }
        let stalled = match &mut self.stalled {
            Some(stalled) => stalled,
            None => {
                // A reader that has no room left acknowledges no more either, and for that it has the limit of slow ones.
                bound_silence(&self.stream, None)?;
                self.watch.block(true);
                self.stalled.insert(Box::pin(sleep_until(Instant::now() + self.limit)))
            }
        };
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "client takes nothing of what it is owed")))
    }
}

/// Lets the system end a connection whose peer acknowledges nothing of what was sent for so long (`TCP_USER_TIMEOUT`, RFC 5482).
#[cfg(any(target_os = "linux", target_os = "android"))]
fn bound_silence(stream: &TcpStream, silence: Option<Duration>) -> io::Result<()> {
    SockRef::from(stream).set_tcp_user_timeout(silence)
}

/// Other systems have no such bound for one connection.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
fn bound_silence(_: &TcpStream, _: Option<Duration>) -> io::Result<()> {
    Ok(())
}

impl AsyncRead for Unstalled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Unstalled {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// What a WebSocket runs on after the handshake.
pub(crate) enum Socket {
    /// A connection of our own accept loop: the socket itself, and nothing of hyper's is kept.
    Tcp(TcpStream),
    /// A connection that another program accepted.
    Foreign(Box<TokioIo<Upgraded>>),
}

impl Socket {
    /// Takes over an upgraded connection, and gives what was read of it too early.
    pub(crate) fn of(upgraded: Upgraded) -> (Self, Bytes) {
        match upgraded.downcast::<TokioIo<Unstalled>>() {
            Ok(parts) => {
                let stream = parts.io.into_inner().stream;
                // From here on pongs show that the client is there, and a connection that stalls is told why it ends. A socket that
                // takes no options is found broken by the next read.
                let _ = bound_silence(&stream, None);
                (Self::Tcp(stream), parts.read_buf)
            }
            Err(upgraded) => (Self::Foreign(Box::new(TokioIo::new(upgraded))), Bytes::new()),
        }
    }

    /// Whether a read may find something; cheaper than to try.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            // A broken socket is readable: the read tells how.
            Self::Tcp(stream) => stream.poll_read_ready(cx).map(drop),
            Self::Foreign(_) => Poll::Ready(()),
        }
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(match self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut buf),
            Self::Foreign(io) => Pin::new(&mut **io).poll_read(cx, &mut buf),
        })?;
        Poll::Ready(Ok(buf.filled().len()))
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Foreign(io) => Pin::new(&mut **io).poll_write(cx, bytes),
        }
    }

    pub(crate) fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Foreign(io) => Pin::new(&mut **io).poll_write_vectored(cx, slices),
        }
    }

    /// Hands over to the socket beneath what a layer between may have kept.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(_) => Poll::Ready(Ok(())),
            Self::Foreign(io) => Pin::new(&mut **io).poll_flush(cx),
        }
    }

    /// Says that nothing more will be written.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Foreign(io) => Pin::new(&mut **io).poll_shutdown(cx),
        }
    }
}
