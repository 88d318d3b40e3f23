//! Server-Sent Events, as the WHATWG HTML standard reads them (§9.2.6): `id` is the position, `data` the frame.
//!
//! There is no `event` field, so that `onmessage` sees everything and an `error` frame never fires `onerror`. Lines end
//! in LF only.

use std::time::Duration;

use streamnest_core::{Entry, LogIdentity, Position, WireFormat};

use super::entry::{entry_json, push_position};

/// What a response begins with and repeats in silence: a comment, which every reader skips.
pub const HEARTBEAT: &[u8] = b": hb\n\n";
/// The content type of a stream of events.
pub const CONTENT_TYPE: &str = "text/event-stream";

const ID: &[u8] = b"id: ";
const DATA: &[u8] = b"data: ";

/// An entry as an event: `id: <position>`, `data: <frame>`, an empty line.
#[derive(Clone, Copy, Debug)]
pub struct SseEvent;

impl WireFormat for SseEvent {
    const SLOT: usize = 1;
    // The end of the frame, of its line and of the event.
    const AFTER_PAYLOAD: Option<usize> = Some(3);

    fn encode(log: &LogIdentity, entry: &Entry, out: &mut Vec<u8>) {
        out.extend_from_slice(ID);
        push_position(log, entry, out);
        out.push(b'\n');
        let payload = entry.event().payload();
        // Payloads are written without line breaks. One that has them, kept by a store that others write to, must
        // still not end a field early.
        if payload.contains(&b'\n') || payload.contains(&b'\r') {
            let mut json = Vec::new();
            entry_json(log, entry, &mut json);
            push_data(&json, out);
        } else {
            out.extend_from_slice(DATA);
            entry_json(log, entry, out);
            out.push(b'\n');
        }
        out.push(b'\n');
    }
}

/// Appends an event of any frame; with `id`, a reader that comes back asks for what follows that position.
pub fn event(id: Option<Position>, json: &str, out: &mut Vec<u8>) {
    if let Some(position) = id {
        out.extend_from_slice(ID);
        out.extend_from_slice(position.to_string().as_bytes());
        out.push(b'\n');
    }
    push_data(json.as_bytes(), out);
    out.push(b'\n');
}

/// Appends the time after which a reader comes back.
pub fn retry(after: Duration, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("retry: {}\n\n", after.as_millis()).as_bytes());
}

/// One `data` line per line of `json`: the reader joins them with LF, which JSON reads as a blank. A CR is a line end
/// to the reader too; the empty line between CR and LF is one more blank.
fn push_data(json: &[u8], out: &mut Vec<u8>) {
    for line in json.split(|byte| matches!(byte, b'\n' | b'\r')) {
        out.extend_from_slice(DATA);
        out.extend_from_slice(line);
        out.push(b'\n');
    }
}
