//! Server-Sent Events, read by a parser that is written here from the WHATWG HTML standard, §9.2.6, and knows nothing of
//! the encoder.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use streamnest_core::{Class, Delivery, Event, EventType, WireFormat};
use streamnest_protocol::native::{SseEvent, entry_json, sse};

use crate::samples;

/// What an `EventSource` dispatches.
#[derive(Debug, PartialEq)]
pub(crate) struct Dispatched {
    pub(crate) event: String,
    pub(crate) data: String,
    pub(crate) last_event_id: String,
}

/// An `EventSource`'s parser.
#[derive(Default)]
pub(crate) struct EventSource {
    data: String,
    event: String,
    last_event_id: String,
    pub(crate) retry: Option<u64>,
    pub(crate) dispatched: Vec<Dispatched>,
}

impl EventSource {
    /// Reads a whole stream: lines end in CR LF, LF or CR.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut source = Self::default();
        let text = String::from_utf8(bytes.to_vec()).unwrap().replace("\r\n", "\n").replace('\r', "\n");
        // What follows the last line end is an unfinished line, and is discarded.
        let mut lines: Vec<&str> = text.split('\n').collect();
        lines.pop();
        lines.into_iter().for_each(|line| source.line(line));
        source
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            // A comment: the line begins with a colon.
            "" => {}
            "event" => self.event = value.into(),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => self.last_event_id = value.into(),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => self.retry = value.parse().ok(),
            other => panic!("a field `{other}` that no reader knows"),
        }
    }

    fn dispatch(&mut self) {
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        if data.is_empty() {
            return;
        }
        assert_eq!(data.pop(), Some('\n'));
        let event = if event.is_empty() { "message".into() } else { event };
        self.dispatched.push(Dispatched { event, data, last_event_id: self.last_event_id.clone() });
    }
}

#[test]
fn an_event_source_reads_every_entry_on_message() {
    let log = samples::log();
    let mut stream = sse::HEARTBEAT.to_vec();
    sse::retry(Duration::from_millis(1500), &mut stream);
    let mut expected = Vec::new();
    for (_, entry) in samples::entries() {
        SseEvent::encode(&log, &entry, &mut stream);
        stream.extend_from_slice(sse::HEARTBEAT);
        let mut json = Vec::new();
        entry_json(&log, &entry, &mut json);
        let last_event_id = log.position(entry.seq()).to_string();
        expected.push(Dispatched {
            event: "message".into(),
            data: String::from_utf8(json).unwrap(),
            last_event_id,
        });
    }
    assert!(!stream.contains(&b'\r'));
    let read = EventSource::read(&stream);
    assert_eq!(read.dispatched, expected);
    assert_eq!(read.retry, Some(1500));
}

#[test]
fn a_gap_and_a_snapshot_move_the_last_event_id_and_no_other_frame_does() {
    for (name, frame, _) in samples::frames() {
        let mut stream = b"id: before\n\n".to_vec();
        frame.encode_sse(&mut stream);
        let read = EventSource::read(&stream);
        assert_eq!(read.dispatched.len(), 1, "{name}");
        let Dispatched { event, data, last_event_id } = &read.dispatched[0];
        assert_eq!((event.as_str(), data), ("message", &frame.to_json(None)), "{name}");
        let frame: Value = serde_json::from_str(data).unwrap();
        let moves = name.starts_with("gap") || name == "snapshot";
        let expected = if moves { frame["payload"]["position"].as_str().unwrap() } else { "before" };
        assert_eq!(last_event_id, expected, "{name}");
    }
}

#[test]
fn a_line_break_in_a_stored_payload_cannot_end_an_event() {
    for separator in ["\n", "\r", "\r\n", "\n\n", "\nevent: error\n", "\ndata: {}\n\n"] {
        // Line breaks are blanks to JSON; with a field's name after them the payload is rubbish, and stays one event.
        let payload = format!("{{\"type\":\"x\",{separator}\"data\":1}}");
        let event = Event::from_stored(
            Class::Event,
            EventType::new("x").unwrap(),
            None,
            Bytes::from(payload),
            Delivery::default(),
        );
        let mut stream = Vec::new();
        SseEvent::encode(&samples::log(), &samples::entry(5, event), &mut stream);
        let read = EventSource::read(&stream).dispatched;
        assert_eq!(read.len(), 1, "{separator:?}");
        assert_eq!(
            (read[0].event.as_str(), &read[0].last_event_id),
            ("message", &samples::position(5).to_string())
        );
        if !separator.contains(':') {
            let frame: Value = serde_json::from_str(&read[0].data).unwrap();
            assert_eq!(frame["payload"]["data"], 1, "{separator:?}");
        }
    }
}
