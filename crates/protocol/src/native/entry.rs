//! Entries as frames: the hot path, spliced by hand around the payload as it is.

use streamnest_core::{Entry, LogIdentity, Position, Timestamp, WireFormat};

use super::{digits, websocket};
use crate::Error;

// The pieces between the variable parts, in the order in which they stand.
const TYPE: &[u8] = br#"{"type":""#;
const EXECUTION: &[u8] = br#"","executionId":""#;
const NODE: &[u8] = br#"","nodeId":""#;
const SEQUENCE: &[u8] = br#"","sequence":"#;
const POSITION: &[u8] = br#","position":""#;
const TIMESTAMP: &[u8] = br#"","timestamp":""#;
const PAYLOAD: &[u8] = br#"","payload":"#;
const END: &[u8] = b"}";

/// What every frame holds, whatever the entry.
const FIXED: usize = TYPE.len()
    + EXECUTION.len()
    + SEQUENCE.len()
    + POSITION.len()
    + Position::TEXT_LENGTH
    + TIMESTAMP.len()
    + Timestamp::TEXT_LENGTH
    + PAYLOAD.len()
    + END.len();

/// Appends the frame of `entry`: one JSON object on one line.
///
/// ```json
/// {"type":"token","executionId":"e1","nodeId":"generate","sequence":7,"position":"…","timestamp":"…","payload":{…}}
/// ```
///
/// Identifiers hold nothing that JSON would escape, and the payload is JSON already, so nothing is escaped here.
/// `nodeId` is left out where the run itself speaks.
pub fn entry_json(log: &LogIdentity, entry: &Entry, out: &mut Vec<u8>) {
    out.reserve(json_length(log, entry));
    push_json(log, entry, out);
}

/// An entry as a text message of a WebSocket server: RFC 6455 header and JSON, so that the bytes go to the socket as
/// they are.
#[derive(Clone, Copy, Debug)]
pub struct WebSocketFrame;

impl WireFormat for WebSocketFrame {
    const SLOT: usize = 0;
    const AFTER_PAYLOAD: Option<usize> = Some(END.len());

    fn encode(log: &LogIdentity, entry: &Entry, out: &mut Vec<u8>) {
        let length = json_length(log, entry);
        out.reserve(websocket::header_length(length) + length);
        websocket::text_header(length, out);
        push_json(log, entry, out);
    }
}

/// Appends the frames of `frames`, each with `"subscription":name` as its last field.
///
/// `frames` holds any number of [`WebSocketFrame`]s end to end, as a log hands them out.
///
/// # Errors
/// [`Error::NotTextFrames`] if the bytes are anything else; what came before was appended.
pub fn with_subscription(frames: &[u8], name: &str, out: &mut Vec<u8>) -> Result<(), Error> {
    let mut field = Vec::with_capacity(name.len() + 20);
    field.extend_from_slice(br#","subscription":"#);
    // Writing a string to a vector cannot fail; a legal name needs no escape, any other is escaped.
    if let Ok(quoted) = serde_json::to_vec(name) {
        field.extend_from_slice(&quoted);
    }
    field.extend_from_slice(END);
    out.reserve(frames.len() + field.len() + 8);
    for payload in websocket::text_payloads(frames) {
        let payload = payload?;
        let offset = payload.start;
        let object = frames.get(payload).and_then(|json| json.strip_suffix(END));
        let object = object.ok_or(Error::NotTextFrames { offset })?;
        websocket::text_header(object.len() + field.len(), out);
        out.extend_from_slice(object);
        out.extend_from_slice(&field);
    }
    Ok(())
}

/// The length of the frame's JSON in bytes, exactly.
fn json_length(log: &LogIdentity, entry: &Entry) -> usize {
    let event = entry.event();
    let node = event.node().map_or(0, |node| NODE.len() + node.len());
    let sequence = digits::length(entry.seq().get());
    FIXED + event.class().as_str().len() + log.subject().len() + node + sequence + event.payload().len()
}

/// Appends the JSON; the caller has reserved room for it.
fn push_json(log: &LogIdentity, entry: &Entry, out: &mut Vec<u8>) {
    let event = entry.event();
    out.extend_from_slice(TYPE);
    out.extend_from_slice(event.class().as_str().as_bytes());
    out.extend_from_slice(EXECUTION);
    out.extend_from_slice(log.subject().as_bytes());
    if let Some(node) = event.node() {
        out.extend_from_slice(NODE);
        out.extend_from_slice(node.as_bytes());
    }
    out.extend_from_slice(SEQUENCE);
    digits::push(entry.seq().get(), out);
    out.extend_from_slice(POSITION);
    push_position(log, entry, out);
    out.extend_from_slice(TIMESTAMP);
    out.extend_from_slice(&entry.time().to_rfc3339());
    out.extend_from_slice(PAYLOAD);
    out.extend_from_slice(event.payload());
    out.extend_from_slice(END);
}

/// Appends the position after `entry`, as [`Position`]'s `Display` writes it.
pub(super) fn push_position(log: &LogIdentity, entry: &Entry, out: &mut Vec<u8>) {
    digits::push_16(log.epoch().get(), out);
    out.push(b'_');
    digits::push_16(entry.seq().get(), out);
}
