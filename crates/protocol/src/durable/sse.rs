//! What a live reader gets as Server-Sent Events (§5.8): `data` events, each followed by a `control` event.

use streamnest_core::Position;

use super::base64;

/// The content type of the response.
pub const CONTENT_TYPE: &str = "text/event-stream";
/// The value of [`header::SSE_DATA_ENCODING`](super::header::SSE_DATA_ENCODING).
pub const BASE64: &str = "base64";

/// Appends a `data` event of text.
///
/// Any line end, CR, LF or both, becomes one of the event's: no payload can end an event or begin another.
pub fn text(text: &str, out: &mut Vec<u8>) {
    let mut lines = Lines::begin(out);
    lines.push(text.as_bytes());
    lines.end();
}

/// Appends a `data` event of the pieces of a JSON array.
pub fn json<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    let mut lines = Lines::begin(out);
    pieces.into_iter().for_each(|piece| lines.push(piece));
    lines.end();
}

/// Appends a `data` event of bytes, as base64.
pub fn bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: data\ndata:");
    base64::encode(bytes, out);
    out.extend_from_slice(b"\n\n");
}

/// What a `control` event says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Control {
    /// After all that was sent so far.
    pub next: Position,
    /// See [`collapse`](super::collapse); left out when the stream is closed.
    pub cursor: u64,
    /// Whether that is all there is.
    pub up_to_date: bool,
    /// Whether nothing will follow.
    pub closed: bool,
}

/// Appends a `control` event.
pub fn control(control: &Control, out: &mut Vec<u8>) {
    let next = control.next;
    let rest = match control {
        Control { closed: true, .. } => r#","upToDate":true,"streamClosed":true"#.to_owned(),
        Control { cursor, up_to_date: true, .. } => format!(r#","streamCursor":"{cursor}","upToDate":true"#),
        Control { cursor, .. } => format!(r#","streamCursor":"{cursor}""#),
    };
    out.extend_from_slice(
        format!("event: control\ndata:{{\"streamNextOffset\":\"{next}\"{rest}}}\n\n").as_bytes(),
    );
}

/// A `data` event under way.
struct Lines<'a> {
    out: &'a mut Vec<u8>,
    /// Nothing of the line was written: a blank that comes first would be taken for the one that may follow the colon.
    begins: bool,
    /// The last byte was a CR, whose LF belongs to it.
    after_cr: bool,
}

impl<'a> Lines<'a> {
    fn begin(out: &'a mut Vec<u8>) -> Self {
        out.extend_from_slice(b"event: data\ndata:");
        Self { out, begins: true, after_cr: false }
    }

    fn push(&mut self, mut rest: &[u8]) {
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        loop {
            let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            if self.begins && line.first() == Some(&b' ') {
                self.out.push(b' ');
            }
            self.begins &= line.is_empty();
            self.out.extend_from_slice(line);
            rest = match after {
                [] => return,
                [b'\r', b'\n', after @ ..] | [_, after @ ..] => after,
            };
            self.after_cr = after == b"\r";
            self.out.extend_from_slice(b"\ndata:");
            self.begins = true;
        }
    }

    fn end(self) {
        self.out.extend_from_slice(b"\n\n");
    }
}

#[cfg(test)]
mod tests {
    use streamnest_core::{Epoch, Seq};

    use super::*;

    /// Reads the `data` of one event as the WHATWG standard does.
    fn read(event: &[u8]) -> String {
        let text = std::str::from_utf8(event).unwrap();
        let lines = text.strip_prefix("event: data\n").unwrap().strip_suffix("\n\n").unwrap().split('\n');
        let value = |line: &str| {
            let value = line.strip_prefix("data:").unwrap().to_owned();
            value.strip_prefix(' ').map_or(value.clone(), Into::into)
        };
        lines.map(value).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn text_reads_back_with_its_line_ends_and_leading_blanks() {
        for (sent, got) in [
            ("line1\nline2\nline3", "line1\nline2\nline3"),
            ("a\r\nb\rc\n\n d", "a\nb\nc\n\n d"),
            ("  two blanks", "  two blanks"),
            ("", ""),
            ("\n", "\n"),
            ("end\r", "end\n"),
            ("x\r\n\r\nevent: control\r\ndata: {}\r\n\r\n", "x\n\nevent: control\ndata: {}\n\n"),
        ] {
            let mut out = Vec::new();
            text(sent, &mut out);
            assert_eq!(read(&out), got, "{sent:?}");
            assert!(!out[..out.len() - 2].windows(2).any(|pair| pair == b"\n\n"), "{sent:?}");
        }
    }

    #[test]
    fn a_line_end_that_two_pieces_share_is_one() {
        let mut out = Vec::new();
        let mut lines = Lines::begin(&mut out);
        for piece in [&b"a\r"[..], b"", b"\nb", b" c\n", b" d"] {
            lines.push(piece);
        }
        lines.end();
        assert_eq!(read(&out), "a\nb c\n d");
    }

    #[test]
    fn json_is_one_array_however_it_was_written() {
        let mut out = Vec::new();
        json([&b"["[..], b"{\"a\":\n 1},2", b",3", b"]"], &mut out);
        let value: serde_json::Value = serde_json::from_str(&read(&out)).unwrap();
        assert_eq!(value, serde_json::json!([{"a": 1}, 2, 3]));
    }

    #[test]
    fn bytes_are_base64() {
        let mut out = Vec::new();
        bytes(b"Hello", &mut out);
        assert_eq!(out, b"event: data\ndata:SGVsbG8=\n\n");
    }

    #[test]
    fn a_control_event_says_where_the_reader_stands() {
        let next = Position::new(Epoch::new(7), Seq::FIRST);
        let say = |up_to_date, closed| {
            let mut out = Vec::new();
            control(&Control { next, cursor: 9, up_to_date, closed }, &mut out);
            String::from_utf8(out).unwrap()
        };
        let head = "event: control\ndata:{\"streamNextOffset\":\"0000000000000007_0000000000000001\"";
        assert_eq!(say(false, false), format!("{head},\"streamCursor\":\"9\"}}\n\n"));
        assert_eq!(say(true, false), format!("{head},\"streamCursor\":\"9\",\"upToDate\":true}}\n\n"));
        assert_eq!(say(true, true), format!("{head},\"upToDate\":true,\"streamClosed\":true}}\n\n"));
    }
}
