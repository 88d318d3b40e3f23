//! Every frame against its file in `tests/golden`. `UPDATE_GOLDEN=1 cargo test` writes the files anew.

use std::{collections::BTreeSet, fs, path::PathBuf};

use streamnest_core::{Event, WireFormat};
use streamnest_protocol::native::{Frame, Request, SseEvent, entry_json};

use crate::samples;

pub(crate) fn folder(of: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(of)
}

/// The golden files of a folder: name and content, without the last line break of a JSON file.
pub(crate) fn files(of: &str) -> Vec<(String, String)> {
    let read = fs::read_dir(folder(of)).unwrap().map(|file| {
        let path = file.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        (name, text.strip_suffix('\n').unwrap().to_owned())
    });
    let mut files: Vec<_> = read.collect();
    files.sort();
    assert!(!files.is_empty(), "no golden files in {of}");
    files
}

/// Compares every frame with its file, and sees that no file is left over.
fn check(of: &str, extension: &str, frames: Vec<(&str, String)>) {
    let named: BTreeSet<_> = frames.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(named.len(), frames.len(), "two frames of one name");
    for (name, frame) in frames {
        let path = folder(of).join(format!("{name}.{extension}"));
        let text = format!("{frame}\n");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &text).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(text, golden, "{name} differs from {of}/{name}.{extension}");
    }
    let kept: BTreeSet<_> = files(of).into_iter().map(|(name, _)| name).collect();
    assert_eq!(kept, named, "files of {of} and the frames that are checked");
}

#[test]
fn every_frame_of_a_server_is_as_in_its_file() {
    let entries = samples::entries().into_iter().map(|(name, entry)| {
        let mut json = Vec::new();
        entry_json(&samples::log(), &entry, &mut json);
        (name, String::from_utf8(json).unwrap())
    });
    let frames = samples::frames().into_iter().map(|(name, frame, reply)| (name, frame.to_json(reply)));
    check("server", "json", entries.chain(frames).collect());
}

#[test]
fn every_server_sent_event_is_as_in_its_file() {
    let entries = samples::entries().into_iter().map(|(name, entry)| {
        let mut bytes = Vec::new();
        SseEvent::encode(&samples::log(), &entry, &mut bytes);
        (name, String::from_utf8(bytes).unwrap())
    });
    let frames = samples::frames().into_iter().map(|(name, frame, _)| {
        let mut bytes = Vec::new();
        frame.encode_sse(&mut bytes);
        (name, String::from_utf8(bytes).unwrap())
    });
    check("sse", "txt", entries.chain(frames).collect());
}

#[test]
fn every_request_is_as_in_its_file_and_reads_back() {
    let requests = samples::requests();
    let texts = requests.iter().map(|(name, request)| (*name, request.to_json())).collect();
    check("client", "json", texts);
    for (name, request) in requests {
        let read = Request::parse(&request.to_json()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{request:?}"), "{name}");
    }
}

#[test]
fn a_client_reads_back_every_entry() {
    for (name, entry) in samples::entries() {
        let mut json = Vec::new();
        entry_json(&samples::log(), &entry, &mut json);
        let Frame::Entry(read) = Frame::decode(std::str::from_utf8(&json).unwrap()).unwrap() else {
            panic!("{name} is no entry");
        };
        let event = entry.event();
        assert_eq!((read.class, read.node.as_ref()), (event.class(), event.node()), "{name}");
        assert_eq!((read.execution_id.clone(), read.sequence), (samples::execution(), entry.seq()), "{name}");
        assert_eq!(
            (read.position, read.timestamp),
            (samples::log().position(entry.seq()), entry.time()),
            "{name}"
        );
        assert_eq!((read.payload.get().as_bytes(), &read.subscription), (event.payload(), &None), "{name}");
        assert_eq!(read.token().unwrap(), event.as_token().unwrap(), "{name}");
        assert_eq!(read.progress().unwrap(), event.as_progress().unwrap(), "{name}");
        assert_eq!(read.event().unwrap().map(|event| event.data), event.as_data().unwrap(), "{name}");
        assert_eq!(read.status().unwrap(), event.as_status().unwrap(), "{name}");
    }
}

#[test]
fn a_client_reads_back_every_frame_of_the_connection() {
    for (name, sent, reply) in samples::frames() {
        let Frame::Server { frame, reply_to } = Frame::decode(&sent.to_json(reply)).unwrap() else {
            panic!("{name} is no frame of the connection");
        };
        assert_eq!((frame, reply_to.as_deref()), (sent, reply), "{name}");
    }
}

#[test]
fn a_client_skips_what_a_newer_server_may_say() {
    let Frame::Unknown { frame_type } =
        Frame::decode(r#"{"type":"hologram","payload":{"text":"…"}}"#).unwrap()
    else {
        panic!("`hologram` is not known yet");
    };
    assert_eq!(frame_type, "hologram");
    let Frame::Server { frame, .. } = Frame::decode(
        r#"{"type":"connected","new":1,"payload":{"connectionId":"c","heartbeatMs":1,"new":2}}"#,
    )
    .unwrap() else {
        panic!("unknown fields are skipped");
    };
    assert_eq!(frame.frame_type(), "connected");
}

#[test]
fn a_frame_that_a_client_cannot_read_names_the_field() {
    let message = |text: &str| Frame::decode(text).unwrap_err().to_string();
    assert!(message("<html>").contains("is the address that of a Streamnest server?"));
    assert!(message(r#"{"type":"token"}"#).contains("`timestamp` is missing"));
    assert!(message(r#"{"type":"connected","payload":{"connectionId":"c"}}"#).contains("heartbeatMs"));
    let entry = |timestamp: &str| {
        let (at, time) = (samples::position(1), timestamp);
        format!(
            r#"{{"type":"status","executionId":"e","sequence":1,"position":"{at}","timestamp":"{time}","payload":{{}}}}"#
        )
    };
    assert!(Frame::decode(&entry("2028-02-29T00:00:00.000000Z")).is_ok());
    for bad in
        ["2026-02-29T00:00:00.000000Z", "2026-13-01T00:00:00.000000Z", "2026-01-01T24:00:00.000000Z", "now"]
    {
        assert!(message(&entry(bad)).contains("`timestamp`"), "{bad}");
    }
}

#[test]
fn a_token_is_not_kept_in_a_request() {
    let request = Request::parse(r#"{"type":"authentication","payload":{"token":"s3cret"}}"#).unwrap();
    assert!(!format!("{request:?}").contains("s3cret"));
}

#[test]
fn an_events_own_type_and_data_are_the_payload() {
    let event = Event::named(None, streamnest_core::EventType::NODE_START, &serde_json::json!({"a": 1}));
    let mut json = Vec::new();
    entry_json(&samples::log(), &samples::entry(1, event), &mut json);
    assert!(String::from_utf8(json).unwrap().ends_with(r#""payload":{"type":"node_start","data":{"a":1}}}"#));
}
