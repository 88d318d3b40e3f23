//! JSON mode (§9.1): a body is one message, or an array of them; a response is always an array.
//!
//! A stored batch is its messages, byte for byte as they came, with commas between them.

use serde_json::value::RawValue;

use super::Invalid;

/// The media type of streams in this mode.
pub const MEDIA_TYPE: &str = "application/json";

/// What stands before the messages of a response.
pub const BEFORE: &[u8] = b"[";
/// What stands between any two of them.
pub const BETWEEN: u8 = b',';
/// What stands after them.
pub const AFTER: &[u8] = b"]";

/// The messages of one request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Messages {
    /// The messages, with commas between them.
    pub bytes: Vec<u8>,
    /// How many there are.
    pub count: u64,
}

/// Takes the messages of a body: one level of array is taken apart.
///
/// # Errors
/// [`Invalid::Json`].
pub fn messages(body: &[u8]) -> Result<Messages, Invalid> {
    let invalid = |reason: String| Invalid::Json { reason };
    let text = std::str::from_utf8(body).map_err(|error| invalid(error.to_string()))?;
    let parse_error = |error: serde_json::Error| invalid(error.to_string());
    if !text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('[') {
        let message: &RawValue = serde_json::from_str(text).map_err(parse_error)?;
        return Ok(Messages { bytes: message.get().into(), count: 1 });
    }
    let messages: Vec<&RawValue> = serde_json::from_str(text).map_err(parse_error)?;
    let mut bytes = Vec::with_capacity(text.len());
    for message in &messages {
        if !bytes.is_empty() {
            bytes.push(BETWEEN);
        }
        bytes.extend_from_slice(message.get().as_bytes());
    }
    Ok(Messages { bytes, count: messages.len() as u64 })
}

/// Whether a body holds no message: it is empty, or an empty array.
pub fn is_nothing(body: &[u8]) -> bool {
    let rest = body.trim_ascii();
    rest.is_empty() || rest.strip_prefix(b"[").is_some_and(|rest| rest.trim_ascii_start() == b"]")
}

/// The length in bytes of the first `count` messages of a stored batch; `None` if it has fewer.
pub fn prefix(batch: &[u8], count: u64) -> Option<usize> {
    if count == 0 {
        return Some(0);
    }
    let (mut depth, mut in_string, mut escaped, mut seen) = (0_u32, false, false, 0);
    for (at, byte) in batch.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                seen += 1;
                if seen == count {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    (seen + 1 == count && !batch.is_empty()).then_some(batch.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, stored: &str, count: u64) {
        let messages = messages(body.as_bytes()).unwrap();
        assert_eq!(
            (std::str::from_utf8(&messages.bytes).unwrap(), messages.count),
            (stored, count),
            "{body}"
        );
    }

    #[test]
    fn one_level_of_array_is_taken_apart_and_messages_keep_their_bytes() {
        check(r#"{"event": "created"}"#, r#"{"event": "created"}"#, 1);
        check(r#" [{"a":1} , {"b": [2]}] "#, r#"{"a":1},{"b": [2]}"#, 2);
        check("[[1,2], [3,4]]", "[1,2],[3,4]", 2);
        check("[[[1,2,3]]]", "[[1,2,3]]", 1);
        check("[]", "", 0);
        check("1.0e5", "1.0e5", 1);
        check(r#"["a,]\"b", null]"#, r#""a,]\"b",null"#, 2);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for body in
            [&b"{"[..], b"[1,]", b"", b" ", b"1 2", b"[1] 2", b"\"\xff\"", b"{'a':1}", b"\xef\xbb\xbf1"]
        {
            assert!(matches!(messages(body), Err(Invalid::Json { .. })), "{body:?}");
        }
    }

    #[test]
    fn a_prefix_ends_after_a_whole_message() {
        let batch = br#"{"a":",[{"},[1,{"b":2}],"\\","x\",y""#;
        let part = |count| prefix(batch, count).map(|end| std::str::from_utf8(&batch[..end]).unwrap());
        assert_eq!(part(0), Some(""));
        assert_eq!(part(1), Some(r#"{"a":",[{"}"#));
        assert_eq!(part(2), Some(r#"{"a":",[{"},[1,{"b":2}]"#));
        assert_eq!(part(3), Some(r#"{"a":",[{"},[1,{"b":2}],"\\""#));
        assert_eq!(part(4), Some(std::str::from_utf8(batch).unwrap()));
        assert_eq!(part(5), None);
        assert_eq!(prefix(b"", 1), None);
    }

    #[test]
    fn nothing_is_an_empty_body_or_array() {
        for body in [&b""[..], b" ", b"[]", b" [ \n] "] {
            assert!(is_nothing(body), "{body:?}");
        }
        for body in [&b"[[]]"[..], b"null", b"[", b"]", b"{}"] {
            assert!(!is_nothing(body), "{body:?}");
        }
    }
}
