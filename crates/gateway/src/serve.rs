//! Accepting connections, and letting them go.

mod connection;
mod watch;

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{Version, body::Incoming, service::service_fn};
use socket2::SockRef;
use streamnest_protocol::native::CloseCode;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;
use tower::Service as _;
use tracing::Instrument as _;

pub(crate) use self::watch::Watch;
use self::{
    connection::{serve_http1, serve_http2},
    watch::Watched,
};
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
/// The pause after a failure to accept that is not the connection's own, for example too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);
/// What is read at once of a client that may not connect.
const DISCARD_BYTES: usize = 1 << 10;
/// How long a client may take to ask, and then to be told, that it may not connect.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(1);
/// The same over HTTP/2: no settings, and `GOAWAY` with `ENHANCE_YOUR_CALM` (RFC 9113 §6.8, §7).
const CALM_DOWN: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x0b";
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
    let is_reached = listener.local_addr().is_ok_and(|address| !address.ip().to_canonical().is_loopback());
    if is_reached {
        warn_of_strangers(shared);
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
            accepted = accept(&listener, &places, shared) => accepted?,
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

/// Tells what strangers may do to a server that other machines reach. What each may take is for its operator to say: one address may
/// be one person, or a proxy with all of them behind it. Whether a proxy encrypts is known only if it is named.
fn warn_of_strangers(shared: &Shared) {
    match shared.auth() {
        None => tracing::warn!(
            "other machines reach this server, and it asks nobody who they are: everybody who reaches it may start, read, \
             answer, cancel and delete everything; let it take tokens (`authentication`), or listen on 127.0.0.1"
        ),
        Some(_) if shared.tls().is_none() && shared.options.trusted_proxies.is_empty() => tracing::warn!(
            "other machines reach this server, and tokens cross the network in clear, for whoever listens there to use; encrypt \
             connections (`tls`), or name the proxy that does in `trusted_proxies`"
        ),
        Some(_) => {}
    }
    let options = shared.options.unlimited().join(", ");
    if !options.is_empty() {
        tracing::warn!(
            options,
            "other machines reach this server, and what one of them may take is not limited; set these options of the gateway"
        );
    }
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
    shared: &Shared,
) -> Result<(TcpStream, OwnedSemaphorePermit), Error> {
    if places.available_permits() == 0 {
        shared.metrics.waits();
    }
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
            // To be told takes no place from those who may connect.
            drop(place);
            if let Some(_seat) = shared.turned_away() {
                turn_away(stream, &refusal, shared.tls()).await;
            }
            return;
        }
    };
    let (local, watch) = (stream.local_addr().ok(), Watch::new());
    let stream = match prepare(stream, &shared.options, watch.clone()) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "connection is gone before it was served");
            return;
        }
    };
    let is_encrypted = shared.tls().is_some();
    let watched = watch.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let version = request.version();
        let extensions = request.extensions_mut();
        local.map(|local| extensions.insert(LocalAddress(local.ip())));
        peer.map(|peer| extensions.insert(PeerAddress(peer)));
        // Many event streams share a connection of HTTP/2: one of them has its place, the others each one of their own.
        let shares = version == Version::HTTP_2;
        crowd.clone().map(|crowd| extensions.insert(OfConnection { crowd, shares }));
        is_encrypted.then(|| extensions.insert(Encrypted));
        extensions.insert(watched.clone());
        let turn = Some(watched.begin()).filter(|_| shares);
        let answer = route(router.clone(), request);
        async move {
            let response = answer.await?;
            Ok(match turn {
                Some(turn) => response.map(|body| Body::new(Watched::new(body, turn))),
                None => response,
            })
        }
    });
    let served = match shared.tls().cloned() {
        None => serve_http1(stream, service, &watch, &shared).await,
        Some(tls) => match timeout(shared.options.request_timeout, shake(&tls, stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) => {
                serve_http2(stream, service, &watch, &shared).await
            }
            Ok(Ok(stream)) => serve_http1(stream, service, &watch, &shared).await,
            Ok(Err(error)) => {
                tracing::debug!(%error, "no TLS with this client");
                Ok(())
            }
            Err(_) => {
                shared.metrics.refused("request_timeout");
                Ok(())
            }
        },
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended early");
        if is_stalled(&error) {
            shared.metrics.closed(CloseCode::SlowReader.code());
        }
    }
    drop(place);
}

/// Whether the client took nothing of what it is owed, as [`Unstalled`] has it.
fn is_stalled(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut)
}

/// Speaks TLS with a client.
async fn shake<I: AsyncRead + AsyncWrite + Unpin>(tls: &Tls, stream: I) -> io::Result<TlsStream<I>> {
    tls.acceptor().await.accept(stream).await
}

fn prepare(stream: TcpStream, options: &GatewayOptions, watch: Arc<Watch>) -> io::Result<Unstalled> {
    // Frames are small and each counts; what belongs together is written together.
    stream.set_nodelay(true)?;
    if let Some(bytes) = options.send_buffer_bytes {
        SockRef::from(&stream).set_send_buffer_size(bytes)?;
    }
    Unstalled::new(stream, options, watch)
}

/// Tells a client that it may not connect now, whatever it asks for, in the protocol that it expects.
async fn turn_away(stream: TcpStream, refusal: &Refusal, tls: Option<&Tls>) {
    match tls {
        None => hear_and_tell(stream, &refusal.to_http1()).await,
        Some(tls) => match timeout(TURNED_AWAY_WITHIN, shake(tls, stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(HTTP_2) => {
                hear_and_tell(stream, CALM_DOWN).await;
            }
            Ok(Ok(stream)) => hear_and_tell(stream, &refusal.to_http1()).await,
            _ => {}
        },
    }
}

/// Tells a client how it is, once it has asked: to many what comes before that is no answer.
async fn hear_and_tell(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    let _ = timeout(TURNED_AWAY_WITHIN, stream.read(&mut [0; DISCARD_BYTES])).await;
    tell(stream, answer).await;
}

/// Gives a last answer. Whether the client listens is its own business.
async fn tell(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    let told = async {
        stream.write_all(answer).await?;
        stream.shutdown().await?;
        // Of a connection that is closed while something is unread the answer may be lost.
        while stream.read(&mut [0; DISCARD_BYTES]).await? > 0 {}
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
