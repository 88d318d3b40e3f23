//! Accepting connections, and letting them go.

use std::{io, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tower::Service as _;
use tracing::Instrument as _;

use crate::{
    Error, GatewayOptions, guard::LocalAddress, http::Refusal, io::Unstalled, limits::PeerAddress,
    shared::Shared,
};

/// HTTP connections that are held besides those whose place is a stream's.
const SPARE_CONNECTIONS: usize = 256;
/// What hyper may keep of one connection's requests and answers, in bytes. The least it takes is 8 KiB.
const HTTP_BUFFER_BYTES: usize = 16 << 10;
/// The pause after a failure to accept that is not the connection's own, for example too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);
/// How long a client may take to be told that it may not connect.
const TURNED_AWAY_WITHIN: Duration = Duration::from_secs(1);
/// How many such failures in a row mean that the listener is broken.
const ACCEPT_FAILURES: u32 = 240;

pub(crate) async fn serve(
    shared: &Arc<Shared>,
    router: Router,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    let places = (shared.options.max_connections + SPARE_CONNECTIONS).min(Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(places));
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
    if let Err(error) = prepare(&stream, &shared.options) {
        tracing::debug!(%error, "connection is gone before it was served");
        return;
    }
    let local = stream.local_addr().ok();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        let extensions = request.extensions_mut();
        local.map(|local| extensions.insert(LocalAddress(local.ip())));
        peer.map(|peer| extensions.insert(PeerAddress(peer)));
        crowd.clone().map(|crowd| extensions.insert(crowd));
        route(router.clone(), request)
    });
    let options = &shared.options;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(options.request_timeout)
        .max_buf_size(HTTP_BUFFER_BYTES)
        .keep_alive(!shared.is_draining());
    // Who comes while the server drains is answered, and not kept.
    let told = if shared.is_draining() { &shared.ending } else { &shared.draining };
    let io = TokioIo::new(Unstalled::new(stream, options.slow_reader_limit));
    let connection = http.serve_connection(io, service).with_upgrades();
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = told.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                served = connection => served,
                () = shared.abort.cancelled() => Ok(()),
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended early");
    }
    drop(place);
}

fn prepare(stream: &TcpStream, options: &GatewayOptions) -> io::Result<()> {
    // Frames are small and each counts; what belongs together is written together.
    stream.set_nodelay(true)?;
    match options.send_buffer_bytes {
        Some(bytes) => SockRef::from(stream).set_send_buffer_size(bytes),
        None => Ok(()),
    }
}

/// Tells a client that it may not connect now, without reading what it asks for.
async fn turn_away(mut stream: TcpStream, refusal: &Refusal) {
    let answer = refusal.to_http1();
    // Whether it listens is its own business.
    let told = async {
        stream.write_all(&answer).await?;
        stream.shutdown().await
    };
    let _ = timeout(TURNED_AWAY_WITHIN, told).await;
}

async fn route(
    mut router: Router,
    request: hyper::Request<Incoming>,
) -> Result<axum::response::Response, std::convert::Infallible> {
    router.call(request.map(Body::new)).await
}
