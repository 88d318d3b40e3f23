//! Key sets by URL: one GET, bounded in time and size, that goes nowhere else.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::key::MAX_SET_BYTES;

/// What asks.
const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("streamnest/", env!("CARGO_PKG_VERSION")));

/// Fetches what one URL holds.
#[derive(Clone)]
pub(super) struct Fetch {
    uri: Uri,
    host: String,
    port: u16,
    /// Set for `https`.
    tls: Option<(TlsConnector, ServerName<'static>)>,
    patience: Duration,
}

impl Fetch {
    /// Checks the URL: `https`, or `http` of the loopback address, which nobody else sees. Reads the root certificates, those of
    /// the system unless a file holds others.
    pub(super) fn new(url: &str, roots: Option<&Path>, patience: Duration) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("has the key set {url:?}, {why}"));
        let Some((uri, authority)) = url.parse::<Uri>().ok().and_then(|uri| {
            let authority = uri.authority()?.clone();
            uri.scheme().is_some().then_some((uri, authority))
        }) else {
            return wrong("which is no URL like https://id.example.org/keys.json");
        };
        if authority.as_str().contains('@') {
            return wrong("which holds a name or a password; it is asked without");
        }
        let is_encrypted = uri.scheme() == Some(&Scheme::HTTPS);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if !is_encrypted && (uri.scheme() != Some(&Scheme::HTTP) || !crate::guard::is_loopback(&authority)) {
            return wrong(
                "which is not https; only what this machine serves itself may come without encryption",
            );
        }
        let tls = match is_encrypted {
            true => {
                let name = ServerName::try_from(host.clone());
                let Ok(name) = name else { return wrong("whose host is no name that a certificate has") };
                Some((TlsConnector::from(Arc::new(trusting(roots)?)), name))
            }
            false => None,
        };
        let port = authority.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        Ok(Self { uri, host, port, tls, patience })
    }

    /// Fetches it anew. What is answered in place of it, also a redirection, is an error: keys come from where the program says
    /// and from nowhere else.
    pub(super) async fn get(&self) -> Result<Bytes, String> {
        match timeout(self.patience, self.exchange()).await {
            Ok(got) => got,
            Err(_) => Err(format!("did not answer within {:?}", self.patience)),
        }
    }

    async fn exchange(&self) -> Result<Bytes, String> {
        let unreachable = |error: io::Error| format!("cannot be reached: {error}");
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await.map_err(unreachable)?;
        match &self.tls {
            None => self.ask(stream).await,
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), stream).await;
                self.ask(stream.map_err(|error| format!("does not speak TLS with us: {error}"))?).await
            }
        }
    }

    async fn ask(&self, stream: impl AsyncRead + AsyncWrite + Unpin + Send) -> Result<Bytes, String> {
        let broke = |error: &dyn fmt::Display| format!("does not answer as it should: {error}");
        let connection = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = connection.map_err(|error| broke(&error))?;
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header(header::HOST, self.uri.authority().map_or("", |authority| authority.as_str()))
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| broke(&error))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| broke(&error))?;
            if response.status() != StatusCode::OK {
                return Err(format!("is answered with {}", response.status()));
            }
            let body = Limited::new(response.into_body(), MAX_SET_BYTES).collect().await;
            let body = body.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
                true => format!("is over the limit of {MAX_SET_BYTES} bytes"),
                false => broke(&error),
            });
            body.map(http_body_util::Collected::to_bytes)
        };
        tokio::pin!(exchange, connection);
        tokio::select! {
            got = &mut exchange => got,
            // The answer may be whole though the connection has ended.
            _ = &mut connection => exchange.await,
        }
    }
}

/// Trusts these root certificates, or those of the system.
fn trusting(roots: Option<&Path>) -> Result<ClientConfig, String> {
    let mut store = RootCertStore::empty();
    match roots {
        Some(path) => {
            let unreadable = |error: &dyn fmt::Display| {
                format!("has the root certificates {}, which cannot be read: {error}", path.display())
            };
            for root in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(&error))? {
                let root = root.map_err(|error| unreadable(&error))?;
                store.add(root).map_err(|error| unreadable(&error))?;
            }
            if store.is_empty() {
                return Err(format!("has the root certificates {}, which holds none", path.display()));
            }
        }
        None => {
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                return Err("has a key set by https, but this system has no root certificates; install \
                            `ca-certificates`, or name a file of them by `authentication.key_roots`"
                    .into());
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions();
    let config = config.map_err(|error| format!("cannot use TLS: {error}"))?;
    Ok(config.with_root_certificates(store).with_no_client_auth())
}
