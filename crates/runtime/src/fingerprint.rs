//! What is kept of an input, so that a request can be known again.

use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Stands for a text, in 32 bytes however long the text is: its SHA-256, for which nobody can find a second text. It is the
/// same in every process, so that a request is known again after a restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(text: &str) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Stands for an input, and for whose request it is. Without an owner it is that of the input alone.
    pub(crate) fn of_request(input: &Value, owner: Option<&str>) -> Self {
        let input = input.to_string();
        match owner {
            // No JSON that is written in one line holds a line break, so no other input and owner are the same text.
            Some(owner) => Self::of(&format!("{input}\n{owner}")),
            None => Self::of(&input),
        }
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn a_request_is_known_by_its_input_and_its_owner() {
        let of = |owner| Fingerprint::of_request(&serde_json::json!({"a": "b\nc"}), owner);
        assert_eq!(of(Some("acme/ada")), of(Some("acme/ada")));
        assert_ne!(of(Some("acme/ada")), of(Some("acme/bob")));
        assert_ne!(of(Some("")), of(None));
        assert_eq!(of(None), Fingerprint::of(r#"{"a":"b\nc"}"#));
    }

    #[test]
    fn equal_texts_are_known_again_in_any_process_and_others_are_not() {
        let long = "x".repeat(1 << 20);
        assert_eq!(Fingerprint::of(&long), Fingerprint::of(&long.clone()));
        for other in [long.replacen('x', "y", 1), format!("{long}x"), String::new()] {
            assert_ne!(Fingerprint::of(&long), Fingerprint::of(&other));
        }
        // RFC 6234, the example of FIPS 180-2.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Fingerprint::of("abc").to_string(), text);
        assert_eq!(Fingerprint::parse(text), Some(Fingerprint::of("abc")));
        assert_eq!(Fingerprint::parse("abc"), None);
    }
}
