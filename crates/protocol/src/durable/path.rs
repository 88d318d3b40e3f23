//! Which stream an address means.

use std::fmt;

use streamnest_core::{ExecutionId, Tenant};

use super::Invalid;

/// What the paths of all streams begin with.
pub const ROOT: &str = "/v1/stream/";
/// The longest path below [`ROOT`], in bytes, decoded.
const MAX_BYTES: usize = 480;
/// The first segment of what the protocol keeps for itself (§6).
const RESERVED: &str = "__ds";
/// The first segment of the executions' streams.
const EXECUTIONS: &str = "executions";

/// A stream, as its address names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// The log of an execution: `executions/<id>`.
    Execution(ExecutionId),
    /// Any other stream.
    Stream(StreamPath),
}

/// The decoded path of a stream that is no execution's: segments that are neither empty nor `.` or `..`, without control
/// characters, at most 480 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StreamPath(String);

impl StreamPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path under which the stream of `tenant` is kept. Two tenants may use the same path and never meet.
    #[must_use]
    pub fn within(&self, tenant: &Tenant) -> Self {
        Self(format!("{tenant}/{}", self.0))
    }
}

impl fmt::Display for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Target {
    /// Reads the part of a URL's path that stands behind [`ROOT`], as it was sent.
    ///
    /// # Errors
    /// [`Invalid::Path`], [`Invalid::Reserved`].
    pub fn new(encoded: &str) -> Result<Self, Invalid> {
        let refuse = |reason: &str| Err(Invalid::Path { reason: reason.into() });
        let Some(path) = decode(encoded) else {
            return refuse("it is not UTF-8 in percent-encoding");
        };
        if path.len() > MAX_BYTES {
            let reason =
                format!("it has {} bytes, over the limit of {MAX_BYTES}; choose a shorter one", path.len());
            return Err(Invalid::Path { reason });
        }
        if path.chars().any(char::is_control) {
            return refuse("it holds a control character");
        }
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return refuse("a segment is empty, `.` or `..`");
        }
        match path.split_once('/') {
            Some((RESERVED, _)) => Err(Invalid::Reserved),
            Some((EXECUTIONS, id)) => match ExecutionId::new(id) {
                Ok(id) => Ok(Self::Execution(id)),
                Err(error) => Err(Invalid::Path { reason: error.to_string() }),
            },
            None if path == RESERVED => Err(Invalid::Reserved),
            None if path == EXECUTIONS => refuse("an execution is at `executions/<id>`"),
            _ => Ok(Self::Stream(StreamPath(path))),
        }
    }
}

/// Undoes percent-encoding (RFC 3986 §2.1).
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        rest = match rest {
            [] => return String::from_utf8(bytes).ok(),
            [b'%', high, low, after @ ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                bytes.push(u8::try_from(digit(*high)? << 4 | digit(*low)?).ok()?);
                after
            }
            [b'%', ..] => return None,
            [byte, after @ ..] => {
                bytes.push(*byte);
                after
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_stream_or_an_execution() {
        let stream = |path: &str| Ok(Target::Stream(StreamPath(path.into())));
        assert_eq!(Target::new("chat/42"), stream("chat/42"));
        assert_eq!(Target::new("gr%C3%BC%C3%9Fe%20you"), stream("grüße you"));
        assert_eq!(Target::new("executionsx/1"), stream("executionsx/1"));
        assert_eq!(
            Target::new("executions/run-1"),
            Ok(Target::Execution(ExecutionId::new("run-1").unwrap()))
        );
    }

    #[test]
    fn what_the_protocol_keeps_for_itself_is_told_apart() {
        for path in ["__ds", "__ds/subscriptions/a", "__ds/jwks.json", "%5F_ds/x"] {
            assert_eq!(Target::new(path), Err(Invalid::Reserved), "{path}");
        }
    }

    #[test]
    fn a_path_cannot_lead_elsewhere() {
        for path in [
            "",
            "a//b",
            "/a",
            "a/",
            "../a",
            "a/..",
            "a/%2e%2e/b",
            "a/.",
            "a%00b",
            "a%0Ab",
            "a%2",
            "%ff",
            "executions",
            "executions/",
            "executions/a/b",
            "executions/a%20b",
            &"x".repeat(481),
        ] {
            assert!(matches!(Target::new(path), Err(Invalid::Path { .. })), "{path}");
        }
    }
}
