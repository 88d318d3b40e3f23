//! The fields of one JSON object, taken one by one; each refusal names the field and what is legal there.

use std::{fmt, str::FromStr, time::Duration};

use serde_json::{Map, Value};
use streamnest_core::Error as CoreError;

use super::MAX_LIST_ITEMS;
use crate::native::text;

/// The greatest number that is told from all others as a float, 2^53 − 1.
const MAX_WHOLE: f64 = 9_007_199_254_740_991.0;

/// What is wrong with a frame.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) message: String,
}

impl Problem {
    pub(super) fn bad_frame(fact: &str) -> Self {
        let message = format!("{fact}; send {{\"type\": …, \"id\"?: …, \"payload\": {{…}}}}");
        Self { code: "bad_frame", message }
    }
}

/// An object whose fields are being read.
pub(super) struct Fields {
    /// The command, or nothing while the envelope is read.
    command: &'static str,
    /// What stands before a field's name, for example `payload.scope.`.
    path: &'static str,
    left: Map<String, Value>,
}

impl Fields {
    pub(super) const fn envelope(left: Map<String, Value>) -> Self {
        Self { command: "", path: "", left }
    }

    pub(super) const fn payload(command: &'static str, left: Map<String, Value>) -> Self {
        Self { command, path: "payload.", left }
    }

    /// The fields of `scope` in the payload of `command`.
    pub(super) const fn scope(command: &'static str, left: Map<String, Value>) -> Self {
        Self { command, path: "payload.scope.", left }
    }

    /// Takes a field that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Self, &'static str, Value) -> Result<T, Problem>,
    ) -> Result<Option<T>, Problem> {
        match self.left.remove(name) {
            Some(value) => read(self, name, value).map(Some),
            None => Ok(None),
        }
    }

    /// Takes a field that has to be there.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Self, &'static str, Value) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        self.optional(name, read)?.ok_or_else(|| self.missing(name))
    }

    /// Takes a text of at most `limit` characters.
    pub(super) fn text(&mut self, name: &'static str, limit: usize) -> Result<Option<String>, Problem> {
        self.optional(name, |fields, name, value| {
            let text = fields.text_of(name, value)?;
            match text.chars().count() {
                length if length > limit => {
                    let fact = format!("has {length} characters, over the limit of {limit}");
                    Err(fields.invalid(name, &fact))
                }
                _ => Ok(text),
            }
        })
    }

    /// Takes `true` or `false`; absent is `false`.
    pub(super) fn flag(&mut self, name: &'static str) -> Result<bool, Problem> {
        let flag = self.optional(name, |fields, name, value| {
            value.as_bool().ok_or_else(|| fields.wrong_type(name, &value, "true or false"))
        })?;
        Ok(flag.unwrap_or_default())
    }

    /// Takes one of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &[(&'static str, T)],
    ) -> Result<Option<T>, Problem> {
        self.optional(name, |fields, name, value| {
            let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
            let Value::String(given) = &value else {
                return Err(fields.wrong_type(name, &value, &words.join(" or ")));
            };
            let chosen = choices.iter().find(|(word, _)| word == given).map(|(_, choice)| *choice);
            chosen.ok_or_else(|| {
                let suggestion = text::suggestion(given, &words);
                let fact = format!("is `{}`{suggestion} legal: {}", text::quote(given), words.join(", "));
                fields.invalid(name, &fact)
            })
        })
    }

    /// Takes whole milliseconds from 0 to `limit`.
    pub(super) fn milliseconds(
        &mut self,
        name: &'static str,
        limit: Duration,
    ) -> Result<Option<Duration>, Problem> {
        self.optional(name, |fields, name, value| {
            let window = whole(&value).map(Duration::from_millis).filter(|window| *window <= limit);
            window.ok_or_else(|| {
                let legal = format!("a whole number of milliseconds from 0 to {}", limit.as_millis());
                fields.wrong_type(name, &value, &legal)
            })
        })
    }

    /// Takes a list of at most [`MAX_LIST_ITEMS`] identifiers.
    pub(super) fn list<T>(&mut self, name: &'static str) -> Result<Option<Vec<T>>, Problem>
    where
        T: FromStr<Err = CoreError>,
    {
        self.optional(name, |fields, name, value| {
            let Value::Array(items) = value else {
                return Err(fields.wrong_type(name, &value, "a list of strings"));
            };
            if items.len() > MAX_LIST_ITEMS {
                let fact = format!("has {} items, over the limit of {MAX_LIST_ITEMS}", items.len());
                return Err(fields.invalid(name, &fact));
            }
            items.into_iter().map(|item| fields.identifier(name, item)).collect()
        })
    }

    /// Takes an object; absent is one without fields.
    pub(super) fn object(&mut self, name: &'static str) -> Result<Map<String, Value>, Problem> {
        let object = self.optional(name, |fields, name, value| match value {
            Value::Object(object) => Ok(object),
            other => Err(fields.wrong_type(name, &other, "an object")),
        })?;
        Ok(object.unwrap_or_default())
    }

    /// Reads an identifier out of `value`.
    pub(super) fn identifier<T>(&self, name: &'static str, value: Value) -> Result<T, Problem>
    where
        T: FromStr<Err = CoreError>,
    {
        let text = self.text_of(name, value)?;
        text.parse().map_err(|error| self.core(name, &error))
    }

    /// Reads a text out of `value`.
    pub(super) fn text_of(&self, name: &'static str, value: Value) -> Result<String, Problem> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(self.wrong_type(name, &other, "a string")),
        }
    }

    /// Ends the reading: what is left is none of `known`, and is refused.
    pub(super) fn finish(self, known: &[&'static str]) -> Result<(), Problem> {
        let Some(unknown) = self.left.keys().next() else {
            return Ok(());
        };
        let legal = match known {
            [] => "; it takes no fields".into(),
            _ => format!("{} fields: {}", text::suggestion(unknown, known), known.join(", ")),
        };
        let message = format!("{self} has no field `{}{}`{legal}", self.path, text::quote(unknown));
        Err(Problem { code: "unknown_field", message })
    }

    pub(super) fn missing(&self, name: &'static str) -> Problem {
        Problem { code: "missing_field", message: format!("{self} needs `{}{name}`", self.path) }
    }

    pub(super) fn invalid(&self, name: &str, fact: &str) -> Problem {
        Problem { code: "invalid_field", message: format!("`{}{name}` of {self} {fact}", self.path) }
    }

    pub(super) fn wrong_type(&self, name: &str, value: &Value, legal: &str) -> Problem {
        let given = match value {
            Value::Null => "null; leave it out, or give".into(),
            Value::Bool(given) => format!("{given}, but has to be"),
            Value::Number(given) => format!("{given}, but has to be"),
            Value::String(given) => format!("the string `{}`, but has to be", text::quote(given)),
            Value::Array(_) => "a list, but has to be".into(),
            Value::Object(_) => "an object, but has to be".into(),
        };
        self.invalid(name, &format!("is {given} {legal}"))
    }

    /// A refusal in the words of `core`, under its code.
    pub(super) fn core(&self, name: &str, error: &CoreError) -> Problem {
        Problem { code: error.code(), message: format!("`{}{name}` of {self}: {error}", self.path) }
    }
}

/// A whole number from 0, at most 2^53 − 1 where it is written as a fraction, however it is written: `1.0` is 1 to a language that has no other numbers, and to JSON Schema.
pub(super) fn whole(value: &Value) -> Option<u64> {
    let of_float =
        || value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=MAX_WHOLE).contains(number));
    value.as_u64().or_else(|| of_float().map(|number| number as u64))
}

impl fmt::Display for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.command {
            "" => f.write_str("a frame"),
            command => write!(f, "`{command}`"),
        }
    }
}
