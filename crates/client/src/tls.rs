//! Encryption: TLS by rustls, and who vouches for a server.

use std::{fmt, io, path::PathBuf, sync::Arc};

use tokio::{net::TcpStream, sync::OnceCell};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use crate::Error;

/// Who vouches for the certificates of servers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum RootCertificates {
    /// The authorities that the system trusts. On Linux the variables `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    #[default]
    System,
    /// Those in a PEM file, and no others.
    File(PathBuf),
    /// Those in this PEM text, and no others.
    Pem(Arc<str>),
}

impl RootCertificates {
    fn read(&self) -> Result<RootCertStore, Error> {
        let refused = |reason: String| Error::RootCertificates { reason };
        let mut store = RootCertStore::empty();
        let mut add = |root: Result<CertificateDer<'static>, _>, of: &dyn fmt::Display| {
            let unreadable = |error: &dyn fmt::Display| refused(format!("of {of} cannot be read: {error}"));
            store
                .add(root.map_err(|error: tokio_rustls::rustls::pki_types::pem::Error| unreadable(&error))?)
                .map_err(|error| unreadable(&error))
        };
        match self {
            // One that is unheard of is no fault of the others.
            Self::System => {
                let _ = store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Self::File(path) => {
                let roots = CertificateDer::pem_file_iter(path);
                let roots = roots
                    .map_err(|error| refused(format!("of {} cannot be read: {error}", path.display())))?;
                roots.into_iter().try_for_each(|root| add(root, &path.display()))?;
            }
            Self::Pem(text) => {
                CertificateDer::pem_slice_iter(text.as_bytes())
                    .try_for_each(|root| add(root, &"the text"))?;
            }
        }
        match (store.is_empty(), self) {
            (false, _) => Ok(store),
            (true, Self::System) => Err(refused(
                "of this system are none; install `ca-certificates`, or set `ClientOptions::root_certificates`".into(),
            )),
            (true, _) => Err(refused("that were given are none; they have to be PEM".into())),
        }
    }
}

/// Speaks TLS with servers; the roots are read when the first connection needs them.
#[derive(Clone, Default)]
pub(crate) struct Tls(Arc<OnceCell<TlsConnector>>);

impl Tls {
    /// Encrypts a connection to `host`, whose certificate has to have that name.
    pub(crate) async fn connect(
        &self,
        roots: &RootCertificates,
        host: &str,
        address: &str,
        stream: TcpStream,
    ) -> Result<TlsStream<TcpStream>, Error> {
        let failed = |source| Error::Tls { address: address.into(), source };
        let connector = self.0.get_or_try_init(|| async {
            let roots = roots.clone();
            let read = tokio::task::spawn_blocking(move || roots.read()).await;
            connector(read.map_err(|error| failed(io::Error::other(error)))??).map_err(failed)
        });
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        connector.await?.connect(name, stream).await.map_err(failed)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("is_read", &self.0.initialized()).finish()
    }
}

fn connector(roots: RootCertStore) -> io::Result<TlsConnector> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    // A WebSocket begins in HTTP/1.1 (RFC 6455 §4.1).
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
