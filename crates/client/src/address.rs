//! Where a server is.

use tokio_tungstenite::tungstenite::http::{Uri, uri::Scheme};

use crate::Error;

/// Host, port and path of a server's WebSocket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    is_encrypted: bool,
    host: String,
    port: u16,
    path: String,
}

impl Address {
    /// Reads `http://host:port/base` or `ws://host:port/base`, or `https` and `wss`; the WebSocket is at `base/ws`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let refused = |reason| Error::Url { url: url.into(), reason };
        let uri: Uri = url.parse().map_err(|_| refused("is no URL; write http://127.0.0.1:8080"))?;
        let is_encrypted = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP || scheme.as_str() == "ws" => false,
            Some(scheme) if *scheme == Scheme::HTTPS || scheme.as_str() == "wss" => true,
            _ => return Err(refused("needs http://, https://, ws:// or wss:// before the host")),
        };
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| refused("names no host"))?;
        if uri.query().is_some() {
            return Err(refused("has a query, of which the server knows nothing; leave it out"));
        }
        let base = uri.path().trim_end_matches('/');
        let path = if base.ends_with("/ws") { base.into() } else { format!("{base}/ws") };
        let port = uri.port_u16().unwrap_or(if is_encrypted { 443 } else { 80 });
        Ok(Self { is_encrypted, host: host.into(), port, path })
    }

    /// Whether connections are encrypted.
    pub(crate) const fn is_encrypted(&self) -> bool {
        self.is_encrypted
    }

    /// What the server's certificate has to be of: a name, or an address.
    pub(crate) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// What a connection is opened to.
    pub(crate) fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What is asked for on it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_encrypted { "wss" } else { "ws" };
        format!("{scheme}://{}:{}{}", self.host, self.port, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_address_names_the_socket() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", "ws://127.0.0.1:8080/ws"),
            ("ws://127.0.0.1:8080/", "ws://127.0.0.1:8080/ws"),
            ("ws://localhost:1/ws", "ws://localhost:1/ws"),
            ("http://[::1]:8080/app/", "ws://[::1]:8080/app/ws"),
            ("http://example.org", "ws://example.org:80/ws"),
            ("https://example.org", "wss://example.org:443/ws"),
            ("wss://example.org:8443/app", "wss://example.org:8443/app/ws"),
        ] {
            assert_eq!(Address::parse(url).unwrap().url(), expected);
        }
    }

    #[test]
    fn an_address_that_cannot_be_reached_is_told_why() {
        for (url, reason) in [
            ("127.0.0.1:8080", "http://"),
            ("ftp://example.org", "http://"),
            ("http://example.org/?token=1", "query"),
            ("", "no URL"),
        ] {
            let message = Address::parse(url).unwrap_err().to_string();
            assert!(message.contains(reason), "{url}: {message}");
        }
    }
}
