//! Accepting connections, and letting them go.

use std::{convert::Infallible, io, pin::Pin, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{
    Version,
    body::Incoming,
    rt::Executor,
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tower::Service as _;
use tracing::Instrument as _;

use crate::{
    Error, GatewayOptions,
    descriptors::{self, is_shortage},
    guard::{Encrypted, LocalAddress},
    http::Refusal,
    io::Unstalled,
    limits::{OfConnection, PeerAddress},
    shared::Shared,
    tls::{HTTP_2, Tls},
};

/// HTTP connections that are held besides those whose place is a stream's.
const SPARE_CONNECTIONS: usize = 256;
/// What hyper may keep of one connection's requests and answers, in bytes. The least it takes is 8 KiB.
const HTTP_BUFFER_BYTES: usize = 16 << 10;
/// Requests that may go on at once on one connection of HTTP/2; most of them are event streams.
const MAX_STREAMS: u32 = 128;
/// The pause after a failure to accept that is not the connection's own, for example too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);
/// What is read at once of a client that may not connect.
const DISCARD_BYTES: usize = 1 << 10;
/// How long a client may take to ask, and then to be told, that it may not connect.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(1);
/// How many such failures in a row, for none of which the system lacks something, mean that the listener is broken.
const ACCEPT_FAILURES: u32 = 240;

pub(crate) async fn serve(
    shared: &Arc<Shared>,
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let places = Arc::new(Semaphore::new(places(shared.options.max_connections)));
    if let Some(auth) = shared.auth() {
        auth.prepare();
    }
    let drained = async {
        shutdown.await;
        shared.drain().await;
    };
    let maintained = shared.streams.maintain();
    tokio::pin!(drained, maintained);
    loop {
        let (stream, place) = tokio::select! {
            biased;
            () = &mut drained => break,
            accepted = accept(&listener, &places) => accepted?,
            () = &mut maintained => continue,
        };
        let (shared, router) = (shared.clone(), router.clone());
        let span = tracing::debug_span!("http", peer = stream.peer_addr().ok().map(tracing::field::display));
        shared.tasks.spawn(serve_http(stream, place, shared.clone(), router).instrument(span));
    }
    drop(listener);
    shared.end().await;
    Ok(())
}

/// How many connections are held at once. No more than there are descriptors for: a log that cannot open its next file would
/// be worse than a client that waits.
fn places(max_connections: usize) -> usize {
    let wanted = max_connections.saturating_add(SPARE_CONNECTIONS).min(Semaphore::MAX_PERMITS);
    let places = descriptors::for_connections().map_or(wanted, |most| wanted.min(most));
    if places < max_connections {
        tracing::warn!(
            places,
            max_connections,
            "the limit of open files leaves room for fewer connections than `max_connections`; raise it (ulimit -n)"
        );
    }
    places
}

/// Waits for a place, and then for a connection to take it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Result<(TcpStream, OwnedSemaphorePermit), Error> {
    let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
    let mut failures = 0;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return Ok((stream, place)),
            Err(error) if is_of_connection(&error) => {}
            Err(error) if is_shortage(&error) => {
                tracing::warn!(%error, "connections wait to be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
            Err(source) if failures >= ACCEPT_FAILURES => return Err(Error::Listener { source }),
            Err(error) => {
                failures += 1;
                tracing::warn!(%error, failures, "connections cannot be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whether the client went away before it was accepted, which is none of the listener's business.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

async fn serve_http(stream: TcpStream, place: OwnedSemaphorePermit, shared: Arc<Shared>, router: Router) {
    let peer = stream.peer_addr().ok().map(|peer| peer.ip());
    let crowd = match peer.map_or(Ok(None), |peer| shared.crowd(peer)) {
        Ok(crowd) => crowd,
        Err(refusal) => {
            shared.metrics.refused(refusal.code());
            return turn_away(stream, &refusal).await;
        }
    };
    let local = stream.local_addr().ok();
    let stream = match prepare(stream, &shared.options) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "connection is gone before it was served");
            return;
        }
    };
    let is_encrypted = shared.tls().is_some();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let version = request.version();
        let extensions = request.extensions_mut();
        local.map(|local| extensions.insert(LocalAddress(local.ip())));
        peer.map(|peer| extensions.insert(PeerAddress(peer)));
        // Many event streams share a connection of HTTP/2: one of them has its place, the others each one of their own.
        let shares = version == Version::HTTP_2;
        crowd.clone().map(|crowd| extensions.insert(OfConnection { crowd, shares }));
        is_encrypted.then(|| extensions.insert(Encrypted));
        route(router.clone(), request)
    });
    let served = match shared.tls().cloned() {
        None => serve_http1(TokioIo::new(stream), service, &shared).await,
        Some(tls) => match timeout(shared.options.request_timeout, shake(&tls, stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) => {
                serve_http2(TokioIo::new(stream), service, &shared).await
            }
            Ok(Ok(stream)) => serve_http1(TokioIo::new(stream), service, &shared).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, "no TLS with this client");
                Ok(())
            }
            Err(_) => Ok(()),
        },
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended early");
    }
    drop(place);
}

/// Speaks TLS with a client.
async fn shake(tls: &Tls, stream: Unstalled) -> io::Result<TlsStream<Unstalled>> {
    tls.acceptor().await.accept(stream).await
}

async fn serve_http1<I, S>(io: I, service: S, shared: &Shared) -> hyper::Result<()>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S: Routes,
{
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(shared.options.request_timeout)
        .max_buf_size(HTTP_BUFFER_BYTES)
        .keep_alive(!shared.is_draining());
    let connection = http.serve_connection(io, service).with_upgrades();
    until_told(connection, http1::UpgradeableConnection::graceful_shutdown, shared).await
}

async fn serve_http2<I, S>(io: I, service: S, shared: &Arc<Shared>) -> hyper::Result<()>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    S: Routes,
{
    let mut http = http2::Builder::new(Streams(shared.clone()));
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(HTTP_BUFFER_BYTES as u32)
        .max_send_buf_size(HTTP_BUFFER_BYTES)
        .keep_alive_interval(shared.options.heartbeats.then_some(shared.options.heartbeat_interval))
        .keep_alive_timeout(shared.options.pong_timeout);
    let connection = http.serve_connection(io, service);
    until_told(connection, http2::Connection::graceful_shutdown, shared).await
}

/// Serves a connection until it ends, or is told to and has ended what goes on.
async fn until_told<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    shut: impl FnOnce(Pin<&mut C>),
    shared: &Shared,
) -> hyper::Result<()> {
    // Who comes while the server drains is answered, and not kept.
    let told = if shared.is_draining() { &shared.ending } else { &shared.draining };
    tokio::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => served,
        () = told.cancelled() => {
            shut(connection.as_mut());
            tokio::select! {
                served = connection => served,
                () = shared.abort.cancelled() => Ok(()),
            }
        }
    }
}

/// What answers the requests of a connection.
trait Routes:
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

fn prepare(stream: TcpStream, options: &GatewayOptions) -> io::Result<Unstalled> {
    // Frames are small and each counts; what belongs together is written together.
    stream.set_nodelay(true)?;
    if let Some(bytes) = options.send_buffer_bytes {
        SockRef::from(&stream).set_send_buffer_size(bytes)?;
    }
    Unstalled::new(stream, options)
}

/// Tells a client that it may not connect now, whatever it asks for.
async fn turn_away(mut stream: TcpStream, refusal: &Refusal) {
    let (answer, mut asked) = (refusal.to_http1(), [0; DISCARD_BYTES]);
    // To many clients what comes before they have asked is no answer.
    let _ = timeout(TURNED_AWAY_WITHIN, stream.read(&mut asked)).await;
    // Whether it listens is its own business. Of a connection that is closed while something is unread the answer may be lost.
    let told = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        while stream.read(&mut asked).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    let _ = timeout(TURNED_AWAY_WITHIN, told).await;
}

async fn route(
    mut router: Router,
    request: hyper::Request<Incoming>,
) -> Result<axum::response::Response, Infallible> {
    router.call(request.map(Body::new)).await
}
