//! One connection that was accepted, until it ends.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
};

use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{tell, watch::Watch};
use crate::{http::Refusal, shared::Shared};
use streamnest_protocol::native::CloseCode;

/// What hyper may keep of one connection's requests and answers, in bytes. The least it takes is 8 KiB.
const HTTP_BUFFER_BYTES: usize = 16 << 10;
/// Requests that may go on at once on one connection of HTTP/2; most of them are event streams.
const MAX_STREAMS: u32 = 128;

pub(super) async fn serve_http1<I, S>(io: I, service: S, watch: &Watch, shared: &Shared) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Routes,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(shared.options.request_timeout)
        .max_buf_size(HTTP_BUFFER_BYTES)
        .keep_alive(!shared.is_draining());
    let mut connection = http.serve_connection(TokioIo::new(io), service).with_upgrades();
    let shut = http1::UpgradeableConnection::graceful_shutdown;
    let until_told =
        until_told(Pin::new(&mut connection), shut, told(shared).cancelled(), shared.abort.cancelled());
    let served = tokio::select! {
        served = until_told => served,
        () = watch.cuts() => Ok(()),
    };
    if served.as_ref().is_err_and(hyper::Error::is_timeout)
        && let Some(parts) = connection.into_parts()
    {
        // What is left of what was read is a part of a head, unless it is the line ends that may stand before one (RFC 9112 §2.2).
        let has_begun = !parts.read_buf.trim_ascii_start().is_empty();
        if has_begun || !watch.was_asked() {
            shared.metrics.refused("request_timeout");
        }
        // Its time began when all that was owed before was taken, so nothing stands in the midst of which the answer would come.
        if has_begun {
            let refusal = Refusal::late("head of a request", shared.options.request_timeout);
            // Boxed, for no other connection is to have room for it.
            Box::pin(tell(parts.io.into_inner(), &refusal.to_http1())).await;
        }
    }
    if let Some(code) = served.as_ref().err().and_then(|error| Unread(error).code()) {
        shared.metrics.refused(code);
    }
    served
}

/// Why hyper could not read a head, if that is why a connection ended. It has answered that by itself, by a status without a body: it
/// lets nobody else say what is wrong.
struct Unread<'a>(&'a hyper::Error);

impl Unread<'_> {
    /// By what it is counted.
    fn code(&self) -> Option<&'static str> {
        match self.0 {
            error if error.is_parse_too_large() => Some("head_too_large"),
            error if error.is_parse() => Some("invalid_head"),
            _ => None,
        }
    }
}

pub(super) async fn serve_http2<I, S>(
    io: I,
    service: S,
    watch: &Watch,
    shared: &Arc<Shared>,
) -> hyper::Result<()>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Routes,
{
    let options = &shared.options;
    let mut http = http2::Builder::new(Streams(shared.clone()));
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(HTTP_BUFFER_BYTES as u32)
        .max_send_buf_size(HTTP_BUFFER_BYTES)
        .keep_alive_interval(options.heartbeats.then_some(options.heartbeat_interval))
        .keep_alive_timeout(options.pong_timeout);
    let connection = pin!(http.serve_connection(TokioIo::new(io), service));
    let shut = http2::Connection::graceful_shutdown;
    // hyper has no such limit for HTTP/2: neither for its handshake, nor for a head that is not complete, nor for silence.
    let told = async {
        tokio::select! {
            () = told(shared).cancelled() => {}
            () = watch.is_idle(options.request_timeout) => {
                if !watch.was_asked() {
                    shared.metrics.refused("request_timeout");
                }
            }
        }
    };
    // Who asks at the last moment is still answered.
    let given_up = async {
        let left = async {
            sleep(options.close_timeout).await;
            watch.is_idle(options.close_timeout).await;
        };
        tokio::select! {
            () = shared.abort.cancelled() => {}
            () = left => {}
        }
    };
    tokio::select! {
        served = until_told(connection, shut, told, given_up) => served,
        () = watch.is_stalled(options.slow_reader_limit) => {
            tracing::debug!("client takes nothing of an answer");
            shared.metrics.closed(CloseCode::SlowReader.code());
            Ok(())
        }
        () = watch.cuts() => Ok(()),
    }
}

/// When a connection is told to end. Who comes while the server drains is answered, and not kept.
fn told(shared: &Shared) -> &CancellationToken {
    if shared.is_draining() { &shared.ending } else { &shared.draining }
}

/// Serves a connection until it ends, or is told to and has ended what goes on, or is given up.
async fn until_told<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    shut: impl FnOnce(Pin<&mut C>),
    told: impl Future<Output = ()>,
    given_up: impl Future<Output = ()>,
) -> hyper::Result<()> {
    tokio::select! {
        served = connection.as_mut() => served,
        () = told => {
            shut(connection.as_mut());
            tokio::select! {
                served = connection => served,
                () = given_up => Ok(()),
            }
        }
    }
}

/// What answers the requests of a connection.
pub(super) trait Routes:
    Service<
        hyper::Request<Incoming>,
        Response = axum::response::Response,
        Error = Infallible,
        Future: Send + 'static,
    > + Send
    + 'static
{
}

impl<S> Routes for S where
    S: Service<
            hyper::Request<Incoming>,
            Response = axum::response::Response,
            Error = Infallible,
            Future: Send + 'static,
        > + Send
        + 'static
{
}

/// Runs the streams of a connection of HTTP/2 as tasks of the gateway.
#[derive(Clone)]
struct Streams(Arc<Shared>);

impl<F: Future<Output: Send + 'static> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        self.0.tasks.spawn(stream);
    }
}
