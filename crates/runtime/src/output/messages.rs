//! The messages of a visit that have not ended.

use streamnest_core::MessageId;

use super::token_buffer::TokenBuffer;

/// The messages of a visit that have not ended, in the order in which they began. Most visits have one, which is kept in here:
/// each token needs it, and elsewhere in memory it would be in no cache where many runs take turns.
#[derive(Debug, Default)]
pub(super) struct Messages {
    first: Option<(MessageId, TokenBuffer)>,
    /// Those that began after it.
    others: Vec<(MessageId, TokenBuffer)>,
}

impl Messages {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    /// Begins one. Its id is above those of the others.
    pub(super) fn begin(&mut self, message: MessageId, buffer: TokenBuffer) {
        if self.first.is_none() && self.others.is_empty() {
            self.first = Some((message, buffer));
        } else {
            self.others.push((message, buffer));
        }
    }

    /// One that has not ended.
    pub(super) fn find(&mut self, message: MessageId) -> Option<&mut TokenBuffer> {
        if let Some((_, buffer)) = self.first.as_mut().filter(|(known, _)| *known == message) {
            return Some(buffer);
        }
        let index = self.others.binary_search_by_key(&message, |(known, _)| *known).ok()?;
        self.others.get_mut(index).map(|(_, buffer)| buffer)
    }

    /// Ends one.
    pub(super) fn end(&mut self, message: MessageId) -> Option<TokenBuffer> {
        let first = self.first.take_if(|(known, _)| *known == message);
        let ended = first.or_else(|| {
            let index = self.others.binary_search_by_key(&message, |(known, _)| *known).ok()?;
            Some(self.others.remove(index))
        });
        ended.map(|(_, buffer)| buffer)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &TokenBuffer> {
        self.first.iter().chain(&self.others).map(|(_, buffer)| buffer)
    }

    /// All of them, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut TokenBuffer> {
        self.first.iter_mut().chain(&mut self.others).map(|(_, buffer)| buffer)
    }
}
