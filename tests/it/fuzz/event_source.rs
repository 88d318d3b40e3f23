//! The parser of an `EventSource`, written from the WHATWG HTML standard, §9.2.5 and §9.2.6, sentence by sentence.

/// An event that was dispatched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Dispatched {
    pub(super) event: String,
    pub(super) data: String,
    pub(super) last_event_id: String,
}

/// The parser. Bytes come in pieces of any size.
#[derive(Default)]
pub(super) struct EventSource {
    line: Vec<u8>,
    /// The last byte was a CR: an LF after it belongs to the same end of a line.
    after_cr: bool,
    /// The first line has ended.
    begun: bool,
    data: String,
    event_type: String,
    last_event_id: String,
    pub(super) reconnection_time: Option<u64>,
    pub(super) dispatched: Vec<Dispatched>,
    /// Fields that no standard knows.
    pub(super) unknown: Vec<String>,
}

impl EventSource {
    /// "Lines must be separated by either a U+000D CARRIAGE RETURN U+000A LINE FEED (CRLF) character pair, a single U+000A LINE FEED
    /// (LF) character, or a single U+000D CARRIAGE RETURN (CR) character."
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let belongs = std::mem::take(&mut self.after_cr) && *byte == b'\n';
            match byte {
                _ if belongs => {}
                b'\n' | b'\r' => {
                    self.after_cr = *byte == b'\r';
                    self.end_line();
                }
                _ => self.line.push(*byte),
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        // "The UTF-8 decode algorithm strips one leading UTF-8 Byte Order Mark (BOM), if any."
        let is_first = !std::mem::replace(&mut self.begun, true);
        let line = if is_first { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&line) } else { &line };
        // No end of a line is part of another character, so each line is decoded as the whole would be.
        let line = String::from_utf8_lossy(line);
        match line.split_once(':') {
            // "If the line is empty (a blank line): Dispatch the event."
            None if line.is_empty() => self.dispatch(),
            // "If the line starts with a U+003A COLON character (:): Ignore the line."
            Some(("", _)) => {}
            // "If value starts with a U+0020 SPACE character, remove it from value."
            Some((field, value)) => self.process(field, value.strip_prefix(' ').unwrap_or(value)),
            // "Process the field … using the whole line as the field name, and the empty string as the field value."
            None => self.process(&line, ""),
        }
    }

    fn process(&mut self, field: &str, value: &str) {
        match field {
            // "Set the event type buffer to the field value."
            "event" => self.event_type = value.into(),
            // "Append the field value to the data buffer, then append a single U+000A LINE FEED (LF) character to the data buffer."
            "data" => {
                self.data += value;
                self.data.push('\n');
            }
            // "If the field value does not contain U+0000 NULL, then set the last event ID buffer to the field value. Otherwise,
            // ignore the field."
            "id" => {
                if !value.contains('\0') {
                    self.last_event_id = value.into();
                }
            }
            // "If the field value consists of only ASCII digits, then interpret the field value as an integer in base ten, and set the
            // event stream's reconnection time to that integer. Otherwise, ignore the field."
            "retry" => {
                if value.bytes().all(|byte| byte.is_ascii_digit()) {
                    self.reconnection_time = value.parse().ok().or(self.reconnection_time);
                }
            }
            // "Otherwise: The field is ignored."
            other => self.unknown.push(other.into()),
        }
    }

    fn dispatch(&mut self) {
        let (mut data, event_type) = (std::mem::take(&mut self.data), std::mem::take(&mut self.event_type));
        // "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty string and return."
        if data.is_empty() {
            return;
        }
        // "If the data buffer's last character is a U+000A LINE FEED (LF) character, then remove the last character."
        if data.ends_with('\n') {
            data.pop();
        }
        // "Initialize event's type attribute to "message" … If the event type buffer has a value other than the empty string, change
        // the type of the newly created event to equal the value of the event type buffer."
        let event = if event_type.is_empty() { "message".into() } else { event_type };
        self.dispatched.push(Dispatched { event, data, last_event_id: self.last_event_id.clone() });
    }
}

/// The standard's own examples (§9.2.6).
#[test]
fn the_parser_reads_the_examples_of_the_standard_as_it_says() {
    let read = |stream: &str| {
        // One byte at a time, so that every end of a line lies between two pieces.
        let mut source = EventSource::default();
        stream.bytes().for_each(|byte| source.push(&[byte]));
        let events = source.dispatched.into_iter();
        events.map(|event| (event.data, event.last_event_id)).collect::<Vec<_>>()
    };
    let pair = |data: &str, id: &str| (data.to_owned(), id.to_owned());
    assert_eq!(read("data: YHOO\ndata: +2\ndata: 10\n\n"), [pair("YHOO\n+2\n10", "")]);
    assert_eq!(
        read(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n"),
        [pair("first event", "1"), pair("second event", "")]
    );
    assert_eq!(read("data\n\ndata\ndata\n\ndata:"), [pair("", ""), pair("\n", "")]);
    assert_eq!(read("data:test\r\rdata: test\r\n\r\n"), [pair("test", ""), pair("test", "")]);
    assert_eq!(read("\u{feff}data: a\n\n\u{feff}data: b\n\n"), [pair("a", "")]);
    assert_eq!(read("id: 1\0\nretry: 1x\nevent: e\n\ndata: a\n\n"), [pair("a", "")]);
}
