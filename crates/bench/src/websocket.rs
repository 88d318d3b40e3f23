//! The client's half of RFC 6455, as much as the load generator needs.

#[cfg(test)]
mod tests;

/// The request that upgrades a connection.
///
/// The key is that of the RFC's own example (§1.3), the same for all: it guards against caches that no one here has, and so
/// the answer can be checked without SHA-1.
pub(crate) fn upgrade(authority: &str, token: Option<&str>) -> Vec<u8> {
    let authorization = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    format!(
        "GET /ws HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{authorization}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes()
}

/// What a server must answer to that key, in lower case as the head is compared.
pub(crate) const ACCEPT: &str = "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=";

/// What kind of frame it is (RFC 6455 §5.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opcode {
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// Appends one masked frame, as a client must send it (RFC 6455 §5.3).
pub(crate) fn write_frame(opcode: Opcode, payload: &[u8], mask: [u8; 4], out: &mut Vec<u8>) {
    out.push(0x80 | opcode.bits());
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | u8::try_from(length).unwrap_or(0)),
        length => match u16::try_from(length) {
            Ok(length) => {
                out.push(0x80 | 126);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        },
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// A frame that a server may not send, or that this client cannot take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a masked frame from the server")]
    Masked,
    #[error("a fragmented or reserved frame: first byte {0:#04x}")]
    Unsupported(u8),
    #[error("a frame of {0} bytes")]
    TooLarge(u64),
}

/// The largest frame that is taken.
const FRAME_MAX: u64 = 64 << 20;

/// Cuts the bytes of a socket into frames; what is not yet whole is kept.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    partial: Vec<u8>,
}

/// Opcode, length of the header and of the payload; `None` when the header is not whole.
fn header(bytes: &[u8]) -> Result<Option<(Opcode, usize, usize)>, FrameError> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    let opcode = match Opcode::from_bits(first & 0x0f) {
        Some(opcode) if first & 0xf0 == 0x80 => opcode,
        _ => return Err(FrameError::Unsupported(first)),
    };
    let (header, length) = match second {
        126 => match rest.first_chunk::<2>() {
            Some(length) => (4, u64::from(u16::from_be_bytes(*length))),
            None => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(length) => (10, u64::from_be_bytes(*length)),
            None => return Ok(None),
        },
        length => (2, u64::from(length)),
    };
    if length > FRAME_MAX {
        return Err(FrameError::TooLarge(length));
    }
    Ok(Some((opcode, header, usize::try_from(length).unwrap_or(usize::MAX))))
}

impl Decoder {
    /// Calls `on` for every frame that `bytes` complete.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut on: impl FnMut(Opcode, &[u8]),
    ) -> Result<(), FrameError> {
        while !self.partial.is_empty() {
            let wanted = match header(&self.partial)? {
                Some((opcode, head, length)) if self.partial.len() == head + length => {
                    on(opcode, self.partial.get(head..).unwrap_or_default());
                    self.partial.clear();
                    break;
                }
                Some((_, head, length)) => head + length - self.partial.len(),
                None => 1,
            };
            let Some((taken, rest)) = bytes.split_at_checked(wanted.min(bytes.len())) else { break };
            if taken.is_empty() {
                return Ok(());
            }
            self.partial.extend_from_slice(taken);
            bytes = rest;
        }
        while let Some((opcode, head, length)) = header(bytes)? {
            let Some((frame, rest)) = bytes.split_at_checked(head + length) else { break };
            on(opcode, frame.get(head..).unwrap_or_default());
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
        Ok(())
    }
}
