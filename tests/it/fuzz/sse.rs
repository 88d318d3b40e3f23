//! What the encoders of event streams write, of both protocols, read by a parser that knows nothing of them.

use std::time::Duration;

use bytes::Bytes;
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};
use streamnest::core::{
    Class, Delivery, Entry, Epoch, Event, EventType, ExecutionId, LogIdentity, Position, Seq, Timestamp,
    WireFormat as _,
};
use streamnest_protocol::{
    durable::sse::{self as durable, Control},
    native::{SseEvent, entry_json, sse as native},
};

use super::{
    Verdict, base64,
    event_source::{Dispatched, EventSource},
    fuzz,
};

/// One thing that is written to a stream.
#[derive(Clone, Debug)]
enum Piece {
    /// An entry, whose stored payload is any text.
    Entry(u64, String),
    /// A frame of the connection, at a position or not.
    Frame(Option<u64>, String),
    Retry(u64),
    Heartbeat,
    Text(String),
    Json(Vec<String>),
    Bytes(Vec<u8>),
    Control(u64, u64, bool, bool),
}

/// Texts that try to be more than one event.
fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "\n",
        "\r",
        "\r\n",
        "\n\n",
        "\r\r",
        "\r\n\r\n",
        ":",
        " ",
        "data",
        "data: ",
        "id: 9",
        "event: error",
        "retry: 1",
        "\0",
        "\u{feff}",
        "\u{2028}",
        "\u{85}",
        "{\"a\":",
        "}",
        "x",
        "é",
        "🦀",
        "data:data: ",
        "\u{b}",
        "\u{c}",
    ]);
    let forged = prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat());
    prop_oneof![3 => forged, 1 => any::<String>()]
}

fn piece() -> impl Strategy<Value = Piece> {
    let seq = || 1..=Seq::MAX.get();
    prop_oneof![
        4 => (seq(), text()).prop_map(|(seq, payload)| Piece::Entry(seq, payload)),
        2 => (prop::option::of(seq()), text()).prop_map(|(id, json)| Piece::Frame(id, json)),
        1 => (0..1_u64 << 40).prop_map(Piece::Retry),
        1 => Just(Piece::Heartbeat),
        4 => text().prop_map(Piece::Text),
        2 => prop::collection::vec(text(), 0..4).prop_map(Piece::Json),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Piece::Bytes),
        1 => (seq(), any::<u64>(), any::<bool>(), any::<bool>())
            .prop_map(|(seq, cursor, up, closed)| Piece::Control(seq, cursor, up, closed)),
    ]
}

fn log() -> LogIdentity {
    LogIdentity::new(&ExecutionId::new("run-1").unwrap(), Epoch::new(1_795_238_979_000_001))
}

fn at(seq: u64) -> Position {
    log().position(Seq::try_from(seq).unwrap())
}

/// Each line as the reader gets it: an end of a line is a line feed.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// What a piece says to a reader: the type of its event, its data and its id. `None` says nothing.
type Said = Option<(&'static str, String, Option<Position>)>;

fn write(piece: &Piece, out: &mut Vec<u8>) -> Said {
    match piece {
        Piece::Entry(seq, payload) => {
            let payload = Bytes::from(payload.clone());
            let event =
                Event::from_stored(Class::Event, EventType::CUSTOM, None, payload, Delivery::default());
            let entry = Entry::new(Seq::try_from(*seq).unwrap(), Timestamp::from_micros(*seq), event);
            SseEvent::encode(&log(), &entry, out);
            let mut json = Vec::new();
            entry_json(&log(), &entry, &mut json);
            // Of a CR and its LF it makes two ends of lines, which are blanks to JSON.
            let json = String::from_utf8(json).unwrap().replace('\r', "\n");
            Some(("message", json, Some(at(*seq))))
        }
        Piece::Frame(id, json) => {
            let id = id.map(at);
            native::event(id, json, out);
            Some(("message", json.replace('\r', "\n"), id))
        }
        Piece::Retry(milliseconds) => {
            native::retry(Duration::from_millis(*milliseconds), out);
            None
        }
        Piece::Heartbeat => {
            out.extend_from_slice(native::HEARTBEAT);
            None
        }
        Piece::Text(text) => {
            durable::text(text, out);
            Some(("data", lines(text), None))
        }
        Piece::Json(batches) => {
            // In the pieces that a store has.
            let mut pieces = vec!["["];
            for batch in batches {
                pieces.extend([batch, ","]);
            }
            pieces.pop_if(|piece| *piece == ",");
            pieces.push("]");
            durable::json(pieces.iter().map(|piece| piece.as_bytes()), out);
            Some(("data", lines(&pieces.concat()), None))
        }
        Piece::Bytes(bytes) => {
            durable::bytes(bytes, out);
            let mut text = base64::encode(bytes, base64::STANDARD);
            text.extend(std::iter::repeat_n('=', (4 - text.len() % 4) % 4));
            Some(("data", text, None))
        }
        Piece::Control(seq, cursor, up_to_date, closed) => {
            let control =
                Control { next: at(*seq), cursor: *cursor, up_to_date: *up_to_date, closed: *closed };
            durable::control(&control, out);
            let mut said = json!({"streamNextOffset": at(*seq).to_string()});
            if *closed {
                said["streamClosed"] = true.into();
            } else {
                said["streamCursor"] = cursor.to_string().into();
            }
            if *up_to_date || *closed {
                said["upToDate"] = true.into();
            }
            Some(("control", said.to_string(), None))
        }
    }
}

#[test]
fn an_event_source_that_knows_only_the_standard_reads_what_was_written_and_nothing_else() {
    let streams = (prop::collection::vec(piece(), 1..6), prop::collection::vec(any::<Index>(), 0..6));
    fuzz("sse", 2_000, &streams, |(pieces, cuts)| {
        let (mut stream, mut expected, mut last_event_id, mut retry) =
            (Vec::new(), Vec::new(), String::new(), None);
        for piece in &pieces {
            let said = write(piece, &mut stream);
            if let Piece::Retry(milliseconds) = piece {
                retry = Some(*milliseconds);
            }
            let Some((event, data, id)) = said else { continue };
            last_event_id = id.map_or(last_event_id, |id| id.to_string());
            expected.push(Dispatched { event: event.into(), data, last_event_id: last_event_id.clone() });
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let mut source = EventSource::default();
        cuts.windows(2).for_each(|range| source.push(&stream[range[0]..range[1]]));
        prop_assert_eq!(&source.unknown, &Vec::<String>::new());
        prop_assert_eq!(source.reconnection_time, retry);
        prop_assert_eq!(source.dispatched.len(), expected.len());
        for (read, expected) in source.dispatched.iter().zip(&expected) {
            if read.event == "control" {
                let value = |event: &Dispatched| serde_json::from_str::<Value>(&event.data).unwrap();
                prop_assert_eq!(value(read), value(expected));
                prop_assert_eq!(
                    (&read.event, &read.last_event_id),
                    (&expected.event, &expected.last_event_id)
                );
            } else {
                prop_assert_eq!(read, expected);
            }
        }
        Ok(Verdict::of(!expected.is_empty()))
    });
}
