//! Whatever bytes arrive: an answer, never a panic. Whatever is sent: read back as it was.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value};
use streamnest_core::{Class, Delivery, Event, EventType, WireFormat};
use streamnest_protocol::native::{Frame, Request, SseEvent, WebSocketFrame, with_subscription};

use crate::{samples, sse::EventSource, websocket::read_frames};

/// Any JSON, with the protocol's own words among its keys and texts.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("type"),
        Just("id"),
        Just("payload"),
        Just("executionId"),
        Just("events"),
        Just("from"),
        Just("now"),
        Just("subscribe_execution"),
        Just("ack"),
        Just("ping"),
        Just("token"),
        Just("sequence"),
        Just("position"),
    ];
    let text = prop_oneof![word.prop_map(String::from), any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn event(payload: &Value) -> Event {
    Event::named(None, EventType::CUSTOM, payload)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rubbish_is_refused_in_few_words(text in any::<String>()) {
        let error = Request::parse(&text).unwrap_err();
        prop_assert_eq!(error.code, "bad_frame");
        prop_assert!(error.message.len() < 300);
        prop_assert!(Frame::decode(&text).is_err());
    }

    #[test]
    fn bytes_that_happen_to_be_text_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let text = String::from_utf8_lossy(&bytes);
        prop_assert!(Request::parse(&text).is_err());
        let mut out = Vec::new();
        // Random bytes can form an empty run of frames, and nothing else that a subscription is added to.
        prop_assert!(bytes.is_empty() || with_subscription(&bytes, "s", &mut out).is_err());
    }

    #[test]
    fn any_json_is_a_request_or_is_told_why_not(json in any_json()) {
        match Request::parse(&json.to_string()) {
            Ok(request) => {
                let again = Request::parse(&request.to_json());
                prop_assert!(again.is_ok());
            }
            Err(error) => {
                prop_assert!(error.message.len() < 2_000, "{}", error.message);
                prop_assert!(!error.message.chars().any(char::is_control), "{:?}", error.message);
            }
        }
        let _ = Frame::decode(&json.to_string());
    }

    #[test]
    fn a_cut_frame_is_never_read_as_another(cut in 0usize..400, which in 0usize..64) {
        let frames = samples::frames();
        let (_, frame, reply) = &frames[which % frames.len()];
        let json = frame.to_json(*reply);
        let cut = json.floor_char_boundary(cut % json.len());
        prop_assert!(Frame::decode(&json[..cut]).is_err());
    }

    #[test]
    fn any_data_arrives_unchanged_over_every_format(
        data in any_json(),
        seq in 1u64..(1 << 53),
        name in any::<String>(),
    ) {
        let (log, entry) = (samples::log(), samples::entry(seq, event(&data)));
        let (mut frame, mut named, mut stream) = (Vec::new(), Vec::new(), Vec::new());
        WebSocketFrame::encode(&log, &entry, &mut frame);
        with_subscription(&frame, &name, &mut named).unwrap();
        SseEvent::encode(&log, &entry, &mut stream);
        let (_, json) = read_frames(&frame).remove(0);
        let read = EventSource::read(&stream).dispatched.remove(0);
        prop_assert_eq!(read.data.as_bytes(), &json[..]);
        prop_assert_eq!(read.last_event_id, log.position(entry.seq()).to_string());
        let value: Value = serde_json::from_slice(&json).unwrap();
        prop_assert_eq!(value["sequence"].as_u64(), Some(seq));
        let sent: Value = serde_json::from_slice(entry.event().payload()).unwrap();
        prop_assert_eq!(&value["payload"], &sent);
        let (_, named) = read_frames(&named).remove(0);
        let mut expected = value;
        expected["subscription"] = name.into();
        prop_assert_eq!(serde_json::from_slice::<Value>(&named).unwrap(), expected);
    }

    #[test]
    fn no_payload_whatever_its_bytes_forges_a_server_sent_event(text in "[a-z:{}\\[\\]\"\r\n ]{0,80}") {
        let event_type = EventType::new("x").unwrap();
        let event = Event::from_stored(Class::Event, event_type, None, Bytes::from(text), Delivery::default());
        let mut stream = Vec::new();
        SseEvent::encode(&samples::log(), &samples::entry(9, event), &mut stream);
        let read = EventSource::read(&stream).dispatched;
        prop_assert_eq!(read.len(), 1);
        prop_assert_eq!(&read[0].event, "message");
        prop_assert_eq!(&read[0].last_event_id, &samples::position(9).to_string());
    }
}
