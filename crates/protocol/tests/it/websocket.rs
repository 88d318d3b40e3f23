//! WebSocket frames, read by a reader that is written here by RFC 6455 and knows nothing of the encoder.

use bytes::Bytes;
use serde_json::Value;
use streamnest_core::{Class, Delivery, Event, EventType, WireFormat};
use streamnest_protocol::{
    Error,
    native::{ServerFrame, WebSocketFrame, entry_json, websocket, with_subscription},
};

use crate::samples;

/// Every frame of `bytes`: first byte and payload.
pub(crate) fn read_frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (first, second) = (bytes[0], bytes[1]);
        assert_eq!(second & 0x80, 0, "a server does not mask");
        bytes = &bytes[2..];
        let extended = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let length = if extended == 0 {
            usize::from(second)
        } else {
            let length = bytes[..extended].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            let least = if extended == 2 { 126 } else { 65_536 };
            assert!(length >= least, "RFC 6455 §5.2: the minimal number of bytes encodes the length");
            length
        };
        frames.push((first, bytes[extended..extended + length].to_vec()));
        bytes = &bytes[extended + length..];
    }
    frames
}

/// An entry whose payload is `length` bytes of JSON.
pub(crate) fn sized(seq: u64, length: usize) -> streamnest_core::Entry {
    let payload = format!("{{\"type\":\"x\",\"data\":\"{}\"}}", "y".repeat(length.saturating_sub(22)));
    let event_type = EventType::new("x").unwrap();
    let event = Event::from_stored(Class::Event, event_type, None, Bytes::from(payload), Delivery::default());
    samples::entry(seq, event)
}

#[test]
fn an_entry_is_one_whole_text_frame_at_every_length_of_its_header() {
    let log = samples::log();
    let overhead = {
        let mut json = Vec::new();
        entry_json(&log, &sized(1, 22), &mut json);
        json.len() - 22
    };
    let lengths = [0, 1, 127, 65_534, 65_535, 65_536, 65_537, 200_000];
    for length in lengths.map(|frame: usize| frame.saturating_sub(overhead).max(22)) {
        let entry = sized(1, length);
        let (mut frame, mut json) = (b"what was there".to_vec(), Vec::new());
        WebSocketFrame::encode(&log, &entry, &mut frame);
        entry_json(&log, &entry, &mut json);
        assert_eq!(read_frames(frame.strip_prefix(b"what was there").unwrap()), [(0x81, json)]);
    }
}

#[test]
fn a_subscriptions_name_is_added_to_every_frame_of_a_run() {
    let log = samples::log();
    let mut frames = Vec::new();
    let mut expected = Vec::new();
    // 60 to 130 and 65,300 to 65,440 cross from one header length to the next when the name is added.
    for (seq, length) in (22..140).chain(65_300..65_440).enumerate() {
        let entry = sized(seq as u64 + 1, length);
        WebSocketFrame::encode(&log, &entry, &mut frames);
        let mut json = Vec::new();
        entry_json(&log, &entry, &mut json);
        let mut value: Value = serde_json::from_slice(&json).unwrap();
        value["subscription"] = "a \"name\"".into();
        expected.push(value);
    }
    let mut named = Vec::new();
    with_subscription(&frames, "a \"name\"", &mut named).unwrap();
    let read = read_frames(&named).into_iter().map(|(first, json)| {
        assert_eq!(first, 0x81);
        serde_json::from_slice::<Value>(&json).unwrap()
    });
    assert_eq!(read.collect::<Vec<_>>(), expected);
}

#[test]
fn bytes_that_are_no_text_frames_are_refused_where_they_begin() {
    let mut whole = Vec::new();
    websocket::text("{}", &mut whole);
    let offset = whole.len();
    let after = |more: &[u8]| [&whole, more].concat();
    for bad in [
        &b"\x81"[..],
        b"\x81\x05{}",
        b"\x81\xff",
        b"\x82\x02{}",
        b"\x81\x82abcd{}",
        b"\x81\x7e\x00",
        b"\x81\x01x",
    ] {
        let mut out = Vec::new();
        let refused = with_subscription(&after(bad), "s", &mut out);
        assert_eq!(
            refused,
            Err(Error::NotTextFrames { offset: offset + if bad == b"\x81\x01x" { 2 } else { 0 } }),
            "{bad:x?}"
        );
    }
}

#[test]
fn frames_of_the_connection_are_text_frames() {
    for (name, frame, reply) in samples::frames() {
        let mut bytes = Vec::new();
        frame.encode_websocket(reply, &mut bytes);
        assert_eq!(read_frames(&bytes), [(0x81, frame.to_json(reply).into_bytes())], "{name}");
    }
    let mut bytes = Vec::new();
    ServerFrame::Message(Value::String("x".repeat(70_000))).encode_websocket(None, &mut bytes);
    assert_eq!(read_frames(&bytes).len(), 1);
}

#[test]
fn a_ping_holds_at_most_125_bytes() {
    let mut bytes = Vec::new();
    websocket::ping(b"", &mut bytes);
    websocket::ping(&[b'x'; 200], &mut bytes);
    assert_eq!(read_frames(&bytes), [(0x89, Vec::new()), (0x89, vec![b'x'; 125])]);
}
