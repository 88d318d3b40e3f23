//! Where a server is.

use tokio_tungstenite::tungstenite::http::{Uri, uri::Scheme};

use crate::Error;

/// Host, port and path of a server's WebSocket.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Address {
    host: String,
    port: u16,
    path: String,
}

impl Address {
    /// Reads `http://host:port/base` or `ws://host:port/base`; the WebSocket is at `base/ws`.
    pub(crate) fn parse(url: &str) -> Result<Self, Error> {
        let refused = |reason| Error::Url { url: url.into(), reason };
        let uri: Uri = url.parse().map_err(|_| refused("is no URL; write http://127.0.0.1:8080"))?;
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP || scheme.as_str() == "ws" => {}
            Some(scheme) if *scheme == Scheme::HTTPS || scheme.as_str() == "wss" => {
                return Err(refused(
                    "needs TLS, which this client does not speak; put a proxy in front of it",
                ));
            }
            _ => return Err(refused("needs http:// or ws:// before the host")),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| refused("names no host"))?;
        if uri.query().is_some() {
            return Err(refused("has a query, of which the server knows nothing; leave it out"));
        }
        let base = uri.path().trim_end_matches('/');
        let path = if base.ends_with("/ws") { base.into() } else { format!("{base}/ws") };
        Ok(Self { host: host.into(), port: uri.port_u16().unwrap_or(80), path })
    }

    /// What a connection is opened to.
    pub(crate) fn host_and_port(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What is asked for on it.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}:{}{}", self.host, self.port, self.path)
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
        ] {
            assert_eq!(Address::parse(url).unwrap().url(), expected);
        }
    }

    #[test]
    fn an_address_that_cannot_be_reached_is_told_why() {
        for (url, reason) in [
            ("127.0.0.1:8080", "http://"),
            ("https://example.org", "TLS"),
            ("wss://example.org", "TLS"),
            ("ftp://example.org", "http://"),
            ("http://example.org/?token=1", "query"),
            ("", "no URL"),
        ] {
            let message = Address::parse(url).unwrap_err().to_string();
            assert!(message.contains(reason), "{url}: {message}");
        }
    }
}
