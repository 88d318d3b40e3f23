//! The JSON value that a text is so far.

use serde_json::Value;

/// The longest text that is read as JSON, in bytes. A longer one gets no value any more.
const MAX_BYTES: usize = 1 << 20;

/// Reads a JSON text piece by piece, and can tell at any point what it is so far.
///
/// Each character is looked at once; [`value`](Self::value) costs as much as the text is long, so call it seldom.
#[derive(Debug, Default)]
pub(crate) struct JsonText {
    text: String,
    /// The length of the text that is whole but for [`closers`](Self::value).
    good: usize,
    /// The open containers, by their closing character.
    open: Vec<u8>,
    place: Place,
    lexeme: Lexeme,
    broken: bool,
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Place {
    #[default]
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Done,
}

/// What stands unfinished.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Lexeme {
    #[default]
    None,
    Text {
        key: bool,
        escape: Escape,
    },
    /// A number or a literal: it ends where something else begins.
    Bare {
        number: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Escape {
    None,
    Backslash,
    /// This many hexadecimal digits are to come.
    Unicode(u8),
}

impl JsonText {
    /// Reads on.
    pub(crate) fn push(&mut self, piece: &str) {
        if self.broken || self.text.len() + piece.len() > MAX_BYTES {
            self.broken = true;
            return;
        }
        let start = self.text.len();
        self.text.push_str(piece);
        for (offset, character) in piece.char_indices() {
            self.step(character, start + offset, start + offset + character.len_utf8());
        }
    }

    /// The value so far: what is open is closed, what is half a key or half a literal is left out. `None` if there is
    /// nothing yet, or it is not JSON.
    pub(crate) fn value(&self) -> Option<Value> {
        if self.broken || self.good == 0 {
            return None;
        }
        let mut text = String::from(self.text.get(..self.good)?);
        if let Lexeme::Text { key: false, .. } = self.lexeme {
            text.push('"');
        }
        text.extend(self.open.iter().rev().map(|closer| char::from(*closer)));
        serde_json::from_str(&text).ok()
    }

    /// Whether the text is one whole JSON value.
    pub(crate) fn is_complete(&self) -> bool {
        !self.broken && serde_json::from_str::<serde::de::IgnoredAny>(&self.text).is_ok()
    }

    fn step(&mut self, character: char, at: usize, after: usize) {
        match self.lexeme {
            Lexeme::Text { key, escape } => self.step_text(character, key, escape, after),
            Lexeme::Bare { number } => {
                if matches!(character, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r') {
                    self.lexeme = Lexeme::None;
                    self.good = at;
                    self.value_ended();
                    self.step_between(character, after);
                } else if number && character.is_ascii_digit() {
                    self.good = after;
                }
            }
            Lexeme::None => self.step_between(character, after),
        }
    }

    fn step_text(&mut self, character: char, key: bool, escape: Escape, after: usize) {
        let escape = match (escape, character) {
            (Escape::None, '"') => {
                self.lexeme = Lexeme::None;
                if key {
                    self.place = Place::Colon;
                } else {
                    self.good = after;
                    self.value_ended();
                }
                return;
            }
            (Escape::None, '\\') => Escape::Backslash,
            (Escape::None, _) => Escape::None,
            (Escape::Backslash, 'u') => Escape::Unicode(4),
            (Escape::Backslash, _) | (Escape::Unicode(1), _) => Escape::None,
            (Escape::Unicode(left), _) => Escape::Unicode(left - 1),
        };
        // Half of a surrogate pair is no text; it becomes good with what follows it.
        if escape == Escape::None && !key && !self.ends_in_high_surrogate(after) {
            self.good = after;
        }
        self.lexeme = Lexeme::Text { key, escape };
    }

    fn ends_in_high_surrogate(&self, after: usize) -> bool {
        let digits = after.checked_sub(6).and_then(|start| self.text.get(start..after));
        digits.and_then(|text| text.strip_prefix("\\u")).is_some_and(|hex| {
            u16::from_str_radix(hex, 16).is_ok_and(|unit| (0xD800..0xDC00).contains(&unit))
        })
    }

    fn step_between(&mut self, character: char, after: usize) {
        use Place::{Colon, CommaOrEnd, Done, Key, KeyOrEnd, Value, ValueOrEnd};
        match (self.place, character) {
            (_, ' ' | '\t' | '\n' | '\r') => {}
            (Value | ValueOrEnd, '{') => self.opened(b'}', KeyOrEnd, after),
            (Value | ValueOrEnd, '[') => self.opened(b']', ValueOrEnd, after),
            (Value | ValueOrEnd, '"') => {
                self.good = after;
                self.lexeme = Lexeme::Text { key: false, escape: Escape::None };
            }
            (Value | ValueOrEnd, '-' | 't' | 'f' | 'n') => {
                self.lexeme = Lexeme::Bare { number: character == '-' };
            }
            (Value | ValueOrEnd, '0'..='9') => {
                self.good = after;
                self.lexeme = Lexeme::Bare { number: true };
            }
            (Key | KeyOrEnd, '"') => self.lexeme = Lexeme::Text { key: true, escape: Escape::None },
            (Colon, ':') => self.place = Value,
            (CommaOrEnd, ',') => self.place = if self.open.last() == Some(&b'}') { Key } else { Value },
            (CommaOrEnd | ValueOrEnd | KeyOrEnd, ']' | '}')
                if self.open.last().is_some_and(|closer| char::from(*closer) == character) =>
            {
                self.open.pop();
                self.good = after;
                self.value_ended();
            }
            (Done, _) => self.broken = true,
            _ => self.broken = true,
        }
    }

    fn opened(&mut self, closer: u8, place: Place, after: usize) {
        self.open.push(closer);
        self.place = place;
        self.good = after;
    }

    fn value_ended(&mut self) {
        self.place = if self.open.is_empty() { Place::Done } else { Place::CommaOrEnd };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn value_of(text: &str) -> Option<Value> {
        let mut json = JsonText::default();
        json.push(text);
        json.value()
    }

    #[test]
    fn every_prefix_of_a_text_has_a_value_that_only_grows() {
        let text = r#" {"a": "x\"\u00e4\uD83D\uDE00y", "b": [1, -2.5e3, true, null, {"c": []}], "d": {}} "#;
        let whole: Value = serde_json::from_str(text).unwrap();
        let mut json = JsonText::default();
        for (at, character) in text.char_indices() {
            json.push(&text[at..at + character.len_utf8()]);
            if at > 0 {
                let value = json.value().unwrap_or_else(|| panic!("no value after {:?}", &text[..=at]));
                assert!(value.is_object(), "{value}");
            }
        }
        assert_eq!(json.value(), Some(whole));
        assert!(json.is_complete());
    }

    #[test]
    fn what_is_half_there_is_left_out_or_closed() {
        assert_eq!(value_of(r#"{"a": 1, "b"#), Some(json!({"a": 1})));
        assert_eq!(value_of(r#"{"a": 1, "b": tru"#), Some(json!({"a": 1})));
        assert_eq!(value_of(r#"{"a": "hel"#), Some(json!({"a": "hel"})));
        assert_eq!(value_of(r#"{"a": "hel\"#), Some(json!({"a": "hel"})));
        assert_eq!(value_of("[1, 2"), Some(json!([1, 2])));
        assert_eq!(value_of("[-"), Some(json!([])));
        assert_eq!(value_of("1.5"), Some(json!(1.5)));
        assert_eq!(value_of("1."), Some(json!(1)));
        assert_eq!(value_of(""), None);
    }

    #[test]
    fn what_is_no_json_has_no_value_and_is_not_complete() {
        for text in ["Sure, here is", "{]", "[1 2]", "{} {}"] {
            let mut json = JsonText::default();
            json.push(text);
            assert_eq!(json.value(), None, "{text}");
            assert!(!json.is_complete());
        }
    }
}
