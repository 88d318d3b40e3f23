//! Encryption: TLS by rustls, with certificates that may change while the server runs.

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::{ClientHello, ResolvesServerCert},
        sign::CertifiedKey,
    },
};

use crate::Error;

/// What is offered in the handshake, the better first (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];
/// HTTP/2 over TLS.
pub(crate) const HTTP_2: &[u8] = b"h2";

/// The certificate of a server, and its key.
///
/// TLS 1.3 and 1.2 are spoken. Browsers agree on HTTP/2 with it, over which any number of event streams share one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct TlsOptions {
    /// The certificates in PEM, the server's own first and those that vouch for it after.
    pub certificate_file: PathBuf,
    /// The private key in PEM.
    pub key_file: PathBuf,
    /// How often the files are looked at, and read anew if they have changed. What cannot be read leaves the certificate as it
    /// was. Default 60 s.
    pub reload: Duration,
}

impl TlsOptions {
    /// With a certificate and its key.
    pub fn new(certificate_file: impl Into<PathBuf>, key_file: impl Into<PathBuf>) -> Self {
        Self {
            certificate_file: certificate_file.into(),
            key_file: key_file.into(),
            reload: Duration::from_secs(60),
        }
    }

    /// Sets [`reload`](Self::reload).
    #[must_use]
    pub fn with_reload(self, reload: Duration) -> Self {
        Self { reload, ..self }
    }

    /// Reads the files, and checks that they belong together.
    fn read(&self, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
        let unreadable = |path: &PathBuf, error: &dyn fmt::Display| {
            format!("has {}, which cannot be read: {error}", path.display())
        };
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&self.certificate_file)
            .map_err(|error| unreadable(&self.certificate_file, &error))?
            .collect();
        let certificates = certificates.map_err(|error| unreadable(&self.certificate_file, &error))?;
        if certificates.is_empty() {
            return Err(format!("has {}, which holds no certificate", self.certificate_file.display()));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key_file);
        let key = key.map_err(|error| unreadable(&self.key_file, &error))?;
        CertifiedKey::from_der(certificates, key, provider)
            .map_err(|error| format!("has a certificate and a key that do not belong together: {error}"))
    }

    /// When the files were written last.
    fn written(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate_file, &self.key_file]
            .map(|path| path.metadata().and_then(|file| file.modified()).ok())
    }
}

/// Speaks TLS with those who connect.
#[derive(Clone)]
pub(crate) struct Tls {
    acceptor: TlsAcceptor,
    certificates: Arc<Certificates>,
}

impl Tls {
    pub(crate) fn new(options: TlsOptions) -> Result<Self, Error> {
        let invalid = |reason: String| Error::InvalidOption { option: "tls", reason };
        if options.reload.is_zero() {
            return Err(invalid(
                "reloads after zero, which leaves no room; leave it out for its default".into(),
            ));
        }
        let provider = Arc::new(ring::default_provider());
        let key = Arc::new(options.read(&provider).map_err(invalid)?);
        let read = Mutex::new(Read { at: Instant::now(), written: options.written(), key });
        let certificates = Arc::new(Certificates { options, provider: provider.clone(), read });
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| invalid(format!("cannot be used: {error}")))?;
        let mut config = config.with_no_client_auth().with_cert_resolver(certificates.clone());
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificates })
    }

    /// What speaks TLS with the next client, by a certificate that is no older than it may be. Files are looked at where nobody
    /// else waits meanwhile.
    pub(crate) async fn acceptor(&self) -> &TlsAcceptor {
        if self.certificates.is_due() {
            let certificates = self.certificates.clone();
            // It fails only when the runtime ends, and then nobody is served any more.
            let _ = tokio::task::spawn_blocking(move || certificates.look()).await;
        }
        &self.acceptor
    }
}

/// The certificate as it was read last.
struct Certificates {
    options: TlsOptions,
    provider: Arc<CryptoProvider>,
    read: Mutex<Read>,
}

struct Read {
    at: Instant,
    written: [Option<SystemTime>; 2],
    key: Arc<CertifiedKey>,
}

impl Certificates {
    fn current(&self) -> Arc<CertifiedKey> {
        self.read().key.clone()
    }

    /// Whether it is time to look at the files; whoever hears so looks.
    fn is_due(&self) -> bool {
        let mut read = self.read();
        let is_due = read.at.elapsed() >= self.options.reload;
        if is_due {
            read.at = Instant::now();
        }
        is_due
    }

    /// Looks at the files, and reads them if they have changed.
    fn look(&self) {
        let written = self.options.written();
        if written == self.read().written {
            return;
        }
        match self.options.read(&self.provider) {
            Ok(key) => {
                tracing::info!("certificate was read anew");
                let mut read = self.read();
                (read.key, read.written) = (Arc::new(key), written);
            }
            // While somebody writes them they may not belong together; they are looked at again.
            Err(error) => tracing::warn!(error, "certificate cannot be read, and stays as it was"),
        }
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("options", &self.options).finish_non_exhaustive()
    }
}
