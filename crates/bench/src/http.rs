//! The requests that start and cancel executions: one at a time, on one connection that waits.

#[cfg(test)]
mod tests;

use std::{
    io::{self, Read, Write},
    net::{SocketAddrV4, TcpStream},
    time::Duration,
};

use serde::Serialize;

use crate::error::Error;

/// The input of the workflow `token-fountain`.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Fountain {
    pub(crate) index: u32,
    pub(crate) tokens: u64,
    pub(crate) tokens_per_second: f64,
    pub(crate) token_bytes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) buffer_size: Option<u32>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StartRequest<'a> {
    input: &'a Fountain,
    execution_id: &'a str,
}

/// A connection for requests.
pub(crate) struct Control {
    stream: TcpStream,
    authority: String,
    /// The header by which it shows who it is; empty if it does not.
    authorization: String,
}

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Control {
    pub(crate) fn connect(address: SocketAddrV4) -> Result<Self, Error> {
        let open = || -> io::Result<TcpStream> {
            let stream = TcpStream::connect_timeout(&address.into(), TIMEOUT)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(TIMEOUT))?;
            Ok(stream)
        };
        let stream = open().map_err(Error::system("connecting to the server"))?;
        Ok(Self { stream, authority: address.to_string(), authorization: String::new() })
    }

    /// Shows a token with each request.
    pub(crate) fn with_token(self, token: &str) -> Self {
        Self { authorization: format!("Authorization: Bearer {token}\r\n"), ..self }
    }

    /// Starts a fountain under the given id.
    pub(crate) fn start(&mut self, fountain: &Fountain, execution: &str) -> Result<(), Error> {
        let body = serde_json::to_string(&StartRequest { input: fountain, execution_id: execution })
            .map_err(Error::Report)?;
        self.post("/workflows/token-fountain/executions", &body)
    }

    /// Cancels an execution.
    pub(crate) fn cancel(&mut self, execution: &str) -> Result<(), Error> {
        self.post(&format!("/executions/{execution}/cancel"), "{}")
    }

    fn post(&mut self, path: &str, body: &str) -> Result<(), Error> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\n{}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.authority,
            self.authorization,
            body.len()
        );
        self.stream.write_all(request.as_bytes()).map_err(Error::system("sending a request"))?;
        let mut bytes = Vec::new();
        let mut part = [0; 4096];
        loop {
            if let Some(answer) = parse(&bytes).map_err(|()| Error::NotHttp { request: path.to_owned() })? {
                return match answer.status {
                    200..=299 => Ok(()),
                    status => Err(Error::Refused { request: path.to_owned(), status, body: answer.body }),
                };
            }
            let count = self.stream.read(&mut part).map_err(Error::system("reading an answer"))?;
            if count == 0 {
                return Err(Error::NotHttp { request: path.to_owned() });
            }
            bytes.extend_from_slice(part.get(..count).unwrap_or_default());
        }
    }
}

/// An answer that is whole.
#[derive(PartialEq, Eq, Debug)]
struct Answer {
    status: u16,
    body: String,
}

/// The answer at the start of `bytes`; `None` if it is not whole yet.
fn parse(bytes: &[u8]) -> Result<Option<Answer>, ()> {
    let Some((head, body)) = split_head(bytes) else { return Ok(None) };
    let status = status(&head).ok_or(())?;
    let length = match head.split("\r\n").find_map(|line| line.strip_prefix("content-length:")) {
        Some(length) => length.trim().parse::<usize>().map_err(|_| ())?,
        None if status == 204 => 0,
        None => return Err(()),
    };
    Ok(body.get(..length).map(|body| Answer { status, body: String::from_utf8_lossy(body).into_owned() }))
}

/// The head of a response in lower case, and what follows it; `None` if it is not whole yet.
pub(crate) fn split_head(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at(end);
    Some((String::from_utf8_lossy(head).to_ascii_lowercase(), rest.get(4..).unwrap_or_default()))
}

/// The status in the head of a response.
pub(crate) fn status(head: &str) -> Option<u16> {
    head.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok()
}
