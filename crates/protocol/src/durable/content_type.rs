//! What a stream holds.

use super::{Invalid, error::cut, json};

/// The longest content type, in bytes.
const MAX_BYTES: usize = 256;
/// What a stream holds whose maker does not say (§5.1).
const DEFAULT: &str = "application/octet-stream";

/// The content type of a stream: its media type in lower case, and its parameters as they were sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContentType(String);

impl ContentType {
    /// Checks the value of a `Content-Type` header.
    ///
    /// # Errors
    /// [`Invalid::Header`] if it is no media type or longer than 256 bytes.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        let legal = "a media type of at most 256 bytes, for example `application/json`";
        let (media, parameters) = text.find(';').map_or((text, ""), |at| text.split_at(at));
        let media = media.trim();
        let is_token = |part: &str| !part.is_empty() && part.bytes().all(is_token_byte);
        let is_media =
            media.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype));
        let is_clean =
            text.len() <= MAX_BYTES && text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
        if !is_media || !is_clean {
            return Err(Invalid::Header { name: "content-type", text: cut(text), legal });
        }
        Ok(Self(media.to_ascii_lowercase() + parameters.trim_end()))
    }

    /// As it is sent to readers.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The media type without parameters, in lower case.
    pub fn media_type(&self) -> &str {
        self.0.split(';').next().unwrap_or_default().trim_end()
    }

    /// Whether it holds messages rather than bytes (§9.1).
    pub fn is_json(&self) -> bool {
        self.media_type() == json::MEDIA_TYPE
    }

    /// Whether live readers get it as text rather than as base64 (§5.8).
    pub fn is_text(&self) -> bool {
        self.is_json() || self.media_type().starts_with("text/")
    }

    /// Whether what is sent as `other` may be appended: parameters do not count.
    pub fn matches(&self, other: &Self) -> bool {
        self.media_type() == other.media_type()
    }
}

impl Default for ContentType {
    /// Bytes: `application/octet-stream`.
    fn default() -> Self {
        Self(DEFAULT.into())
    }
}

/// RFC 9110 §5.6.2.
const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_parameters_do_not_count() {
        let json = ContentType::new("Application/JSON; charset=UTF-8").unwrap();
        assert_eq!(json.as_str(), "application/json; charset=UTF-8");
        assert!(json.is_json() && json.is_text());
        assert!(json.matches(&ContentType::new("application/json").unwrap()));
        assert!(!json.matches(&ContentType::new("application/ndjson").unwrap()));
    }

    #[test]
    fn text_is_sent_as_text_and_the_rest_as_base64() {
        for (text, is_text) in [
            ("text/html", true),
            ("application/json", true),
            ("application/xml", false),
            ("image/png", false),
        ] {
            assert_eq!(ContentType::new(text).unwrap().is_text(), is_text, "{text}");
        }
        assert!(!ContentType::default().is_text());
    }

    #[test]
    fn what_is_no_media_type_is_refused() {
        for text in [
            "",
            "text",
            "/plain",
            "text/",
            "te xt/plain",
            "text/plain; a=\"\u{1}\"",
            &format!("text/{}", "x".repeat(300)),
        ] {
            assert!(ContentType::new(text).is_err(), "{text}");
        }
    }
}
