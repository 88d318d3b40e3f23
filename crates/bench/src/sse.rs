//! The client's half of an event stream: HTTP/1.1 chunks (RFC 9112 §7.1) and the lines within them.

#[cfg(test)]
mod tests;

use crate::swarm::Subscription;

/// The request that follows an execution. Ids and positions need no escaping in a URL.
pub(crate) fn follow(authority: &str, subscription: Subscription<'_>) -> Vec<u8> {
    let execution = subscription.execution;
    let query = subscription.from.map_or(String::new(), |from| format!("?from={from}"));
    format!(
        "GET /executions/{execution}/events{query} HTTP/1.1\r\nHost: {authority}\r\nAccept: text/event-stream\r\n\r\n"
    )
    .into_bytes()
}

/// The body is not what it should be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("a chunk without a length")]
    ChunkLength,
    #[error("a chunk that is not followed by an end of line")]
    ChunkEnd,
}

#[derive(Clone, Copy, Debug)]
enum Chunk {
    /// In the line with the length: the length so far.
    Length { digits: u32, length: u64, extension: bool },
    /// In the bytes.
    Bytes(u64),
    /// At the line's end that follows them, with so many of its two bytes seen.
    End(u8),
    /// After the last chunk.
    Over,
}

const AT_LENGTH: Chunk = Chunk::Length { digits: 0, length: 0, extension: false };

/// Cuts the body of an event stream into the payloads of its `data:` lines.
#[derive(Debug)]
pub(crate) struct Decoder {
    chunk: Option<Chunk>,
    line: Vec<u8>,
}

impl Decoder {
    /// Of a body that is sent in chunks, or one that ends with the connection.
    pub(crate) fn new(chunked: bool) -> Self {
        Self { chunk: chunked.then_some(AT_LENGTH), line: Vec::new() }
    }

    /// Whether the last chunk has come.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.chunk, Some(Chunk::Over))
    }

    /// Calls `on` with the payload of every `data:` line that `bytes` complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut on: impl FnMut(&[u8])) -> Result<(), BodyError> {
        let Some(mut chunk) = self.chunk else {
            self.lines(bytes, &mut on);
            return Ok(());
        };
        while let Some((&byte, rest)) = bytes.split_first() {
            chunk = match chunk {
                Chunk::Bytes(length) => {
                    let part = usize::try_from(length).unwrap_or(usize::MAX).min(bytes.len());
                    let (part, rest) = bytes.split_at(part);
                    self.lines(part, &mut on);
                    bytes = rest;
                    match length - part.len() as u64 {
                        0 => Chunk::End(0),
                        left => Chunk::Bytes(left),
                    }
                }
                Chunk::Over => break,
                Chunk::Length { digits, length, extension } => {
                    bytes = rest;
                    match (byte, char::from(byte).to_digit(16)) {
                        (b'\n', _) if digits == 0 => return Err(BodyError::ChunkLength),
                        (b'\n', _) if length == 0 => Chunk::Over,
                        (b'\n', _) => Chunk::Bytes(length),
                        (b'\r', _) => Chunk::Length { digits, length, extension },
                        (_, Some(digit)) if !extension && digits < 8 => Chunk::Length {
                            digits: digits + 1,
                            length: length << 4 | u64::from(digit),
                            extension,
                        },
                        _ if digits == 0 || !(extension || byte == b';') => {
                            return Err(BodyError::ChunkLength);
                        }
                        _ => Chunk::Length { digits, length, extension: true },
                    }
                }
                Chunk::End(seen) => {
                    bytes = rest;
                    match (seen, byte) {
                        (0, b'\r') => Chunk::End(1),
                        (1, b'\n') => AT_LENGTH,
                        _ => return Err(BodyError::ChunkEnd),
                    }
                }
            };
        }
        self.chunk = Some(chunk);
        Ok(())
    }

    fn lines(&mut self, mut bytes: &[u8], on: &mut impl FnMut(&[u8])) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end);
            (_, bytes) = rest.split_at(1);
            if self.line.is_empty() {
                data(line, on);
            } else {
                self.line.extend_from_slice(line);
                data(&self.line, on);
                self.line.clear();
            }
        }
        self.line.extend_from_slice(bytes);
    }
}

fn data(line: &[u8], on: &mut impl FnMut(&[u8])) {
    if let Some(payload) = line.strip_prefix(b"data: ") {
        on(payload);
    }
}
