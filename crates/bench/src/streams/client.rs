//! One keep-alive connection that blocks.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
};

use crate::{error::Error, target};

/// A connection to a server.
pub(super) struct Client {
    reader: BufReader<TcpStream>,
    host: String,
    out: Vec<u8>,
}

/// What came back.
pub(super) struct Answer {
    head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

impl Client {
    pub(super) fn connect(url: &str) -> Result<Self, Error> {
        let address = target::parse(url)?;
        let failed = |source| Error::System { what: "connect", source };
        let stream = TcpStream::connect(address).map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Self {
            reader: BufReader::with_capacity(256 << 10, stream),
            host: address.to_string(),
            out: Vec::new(),
        })
    }

    /// Asks, and reads the answer, which has to be a success.
    pub(super) fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Answer, Error> {
        let host = &self.host;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        self.out.clear();
        self.out.extend_from_slice(head.as_bytes());
        self.out.extend_from_slice(body);
        let failed = |source| Error::System { what: "HTTP", source };
        self.reader.get_mut().write_all(&self.out).map_err(failed)?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.reader.read_line(&mut head).map_err(failed)? == 0 {
                return Err(Error::NotHttp { request: format!("{method} {path}") });
            }
        }
        let mut answer = Answer { head, body: Vec::new() };
        let status = answer.head.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok()).unwrap_or(0);
        let length = answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
        if let Some(length) = length.filter(|_| status != 204) {
            answer.body.resize(length, 0);
            self.reader.read_exact(&mut answer.body).map_err(failed)?;
        } else if answer.header("transfer-encoding").is_some() {
            self.read_chunks(&mut answer.body).map_err(failed)?;
        }
        if !(200..300).contains(&status) {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            return Err(Error::Refused { request: format!("{method} {path}"), status, body });
        }
        Ok(answer)
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> std::io::Result<()> {
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            let size = line.split(';').next().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
            let size = size.ok_or_else(|| std::io::Error::other("a chunk has no size"))?;
            let begin = body.len();
            body.resize(begin + size + 2, 0);
            self.reader.read_exact(body.get_mut(begin..).unwrap_or_default())?;
            body.truncate(begin + size);
            if size == 0 {
                return Ok(());
            }
        }
    }
}
