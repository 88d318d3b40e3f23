//! The body of a response, in the pieces of memory that the log gave.

use std::{
    collections::VecDeque,
    convert::Infallible,
    iter,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes};
use http_body::{Frame, SizeHint};
use streamnest_log::durable::Chunk;
use streamnest_protocol::durable::{ContentType, json};

/// Pieces that follow each other, sent as they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pieces(VecDeque<Bytes>);

impl Pieces {
    /// What a reader is sent of a chunk: its bytes, or in JSON mode an array of its messages.
    pub(super) fn of(content_type: &ContentType, chunk: &Chunk<Bytes>) -> Self {
        let parts = chunk.parts.iter().cloned();
        if !content_type.is_json() {
            return Self(parts.collect());
        }
        let mut pieces: VecDeque<_> = iter::once(Bytes::from_static(json::BEFORE)).chain(parts).collect();
        // A comma stands before each message, so the first one is too many.
        if let Some(first) = pieces.get_mut(1).filter(|first| !first.is_empty()) {
            first.advance(1);
        }
        pieces.push_back(Bytes::from_static(json::AFTER));
        Self(pieces)
    }

    /// How many bytes there are.
    pub(crate) fn length(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// All bytes in one piece.
    pub(super) fn concat(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length());
        self.iter().for_each(|piece| bytes.extend_from_slice(piece));
        bytes
    }

    /// The pieces.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.0.iter()
    }
}

impl From<Vec<u8>> for Pieces {
    fn from(bytes: Vec<u8>) -> Self {
        Self(VecDeque::from([bytes.into()]))
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length() as u64)
    }
}
