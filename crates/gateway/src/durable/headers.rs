//! What a request's headers say.

use http::{HeaderMap, header};
use streamnest_core::{Lifetime, Producer};
use streamnest_protocol::durable::{ContentType, header as names, lifetime, producer};

use crate::http::{Refusal, header as one};

/// The headers of a request.
pub(super) struct Headers<'a>(&'a HeaderMap);

impl<'a> Headers<'a> {
    pub(super) const fn new(headers: &'a HeaderMap) -> Self {
        Self(headers)
    }

    /// A header that may stand once.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<&'a str>, Refusal> {
        one(self.0, name)
    }

    pub(super) fn content_type(&self) -> Result<Option<ContentType>, Refusal> {
        let text = self.text(header::CONTENT_TYPE.as_str())?;
        Ok(text.map(ContentType::new).transpose()?)
    }

    pub(super) fn closes(&self) -> bool {
        let value = self.0.get(names::CLOSED).and_then(|value| value.to_str().ok());
        names::is_closed(value)
    }

    pub(super) fn lifetime(&self) -> Result<Option<Lifetime>, Refusal> {
        Ok(lifetime::parse(self.text(names::TTL)?, self.text(names::EXPIRES_AT)?)?)
    }

    pub(super) fn producer(&self) -> Result<Option<Producer>, Refusal> {
        let (id, epoch, seq) = (names::PRODUCER_ID, names::PRODUCER_EPOCH, names::PRODUCER_SEQ);
        Ok(producer::parse(self.text(id)?, self.text(epoch)?, self.text(seq)?)?)
    }
}
