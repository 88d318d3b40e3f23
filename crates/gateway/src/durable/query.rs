//! How a stream is to be read.

use axum::extract::Query as Pairs;
use http::{StatusCode, Uri};
use streamnest_protocol::durable::Offset;

use crate::http::{Refusal, quote};

/// The parameters of a read. What is not known is passed over (§11.1).
pub(super) struct ReadQuery {
    /// Where; `None` if the client did not say.
    pub(super) offset: Option<Offset>,
    pub(super) live: Live,
    /// What the client echoes of [`collapse`](streamnest_protocol::durable::collapse).
    pub(super) cursor: Option<String>,
}

/// Whether a read goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Live {
    /// What there is, and no more.
    No,
    /// If there is nothing, what comes next.
    LongPoll,
    /// What there is, and what comes.
    Sse,
}

impl ReadQuery {
    pub(super) fn of(uri: &Uri) -> Result<Self, Refusal> {
        let invalid = |message: String| Refusal::new(StatusCode::BAD_REQUEST, "invalid_parameter", message);
        let Pairs(pairs) = Pairs::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|error| invalid(format!("query cannot be read: {error}")))?;
        let one = |name: &str| {
            let mut values = pairs.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
            match (values.next(), values.next()) {
                (value, None) => Ok(value),
                _ => Err(invalid(format!("parameter `{name}` may stand once only"))),
            }
        };
        let offset = one("offset")?.map(str::parse).transpose()?;
        let live = match one("live")? {
            None => Live::No,
            Some("long-poll") => Live::LongPoll,
            Some("sse") => Live::Sse,
            Some(other) => {
                let message =
                    format!("parameter `live` is `{}`, but has to be `long-poll` or `sse`", quote(other));
                return Err(invalid(message));
            }
        };
        if live != Live::No && offset.is_none() {
            return Err(invalid("parameter `offset` is needed to read live; `-1` is the start".into()));
        }
        Ok(Self { offset, live, cursor: one("cursor")?.map(Into::into) })
    }
}
