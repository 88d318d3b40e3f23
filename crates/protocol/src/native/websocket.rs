//! The frames of a WebSocket server: RFC 6455 §5.2, unmasked, not fragmented, not compressed.

use std::ops::Range;

use crate::Error;

/// The final bit and the opcode of a whole text message.
const TEXT: u8 = 0x81;
/// Those of a whole binary message.
const BINARY: u8 = 0x82;
const PING: u8 = 0x89;
/// The longest payload of a control frame (RFC 6455 §5.5).
pub const MAX_CONTROL_PAYLOAD: usize = 125;
/// The longest reason of a close frame: what a control frame holds, less the code.
pub const MAX_CLOSE_REASON: usize = MAX_CONTROL_PAYLOAD - 2;

/// The bytes that stand before a payload of `payload` bytes: 2, 4 or 10.
pub const fn header_length(payload: usize) -> usize {
    match payload {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => 10,
    }
}

/// Appends the header of a text message of `payload` bytes, which the caller appends next.
pub fn text_header(payload: usize, out: &mut Vec<u8>) {
    header(TEXT, payload, out);
}

/// Appends a whole text message.
pub fn text(message: &str, out: &mut Vec<u8>) {
    out.reserve(header_length(message.len()) + message.len());
    text_header(message.len(), out);
    out.extend_from_slice(message.as_bytes());
}

/// Appends a whole binary message.
pub fn binary(message: &[u8], out: &mut Vec<u8>) {
    out.reserve(header_length(message.len()) + message.len());
    header(BINARY, message.len(), out);
    out.extend_from_slice(message);
}

/// Appends a ping; what stands after the 125th byte of `payload` is left out.
pub fn ping(payload: &[u8], out: &mut Vec<u8>) {
    let payload = payload.get(..MAX_CONTROL_PAYLOAD).unwrap_or(payload);
    header(PING, payload.len(), out);
    out.extend_from_slice(payload);
}

fn header(first: u8, payload: usize, out: &mut Vec<u8>) {
    match payload {
        0..=125 => out.extend_from_slice(&[first, payload as u8]),
        126..=0xFFFF => {
            let [high, low] = (payload as u16).to_be_bytes();
            out.extend_from_slice(&[first, 126, high, low]);
        }
        _ => {
            out.extend_from_slice(&[first, 127]);
            out.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
}

/// The payloads of text frames that stand end to end, each as a range of `frames`.
///
/// # Errors
/// [`Error::NotTextFrames`] at the first that is not whole, is masked or is no text; then nothing more comes.
pub fn text_payloads(frames: &[u8]) -> impl Iterator<Item = Result<Range<usize>, Error>> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= frames.len() {
            return None;
        }
        let offset = at;
        match payload_range(frames, offset) {
            Some(range) => {
                at = range.end;
                Some(Ok(range))
            }
            None => {
                at = frames.len();
                Some(Err(Error::NotTextFrames { offset }))
            }
        }
    })
}

fn payload_range(frames: &[u8], at: usize) -> Option<Range<usize>> {
    let rest = frames.get(at..)?;
    let (length, start) = match *rest {
        [TEXT, short @ 0..=125, ..] => (usize::from(short), 2),
        [TEXT, 126, high, low, ..] => (usize::from(u16::from_be_bytes([high, low])), 4),
        [TEXT, 127, a, b, c, d, e, f, g, h, ..] => {
            (usize::try_from(u64::from_be_bytes([a, b, c, d, e, f, g, h])).ok()?, 10)
        }
        _ => return None,
    };
    let start = at + start;
    let end = start.checked_add(length)?;
    (end <= frames.len()).then_some(start..end)
}
