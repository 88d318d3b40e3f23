//! What entries say, without the entries.

use std::sync::Arc;

use bytes::Bytes;

use crate::Entry;

/// The longest payload that is copied to its neighbours, in bytes. A longer one is passed on as it lies in memory.
const COPIED: usize = 32 << 10;

/// The payloads of entries that follow each other, in order: what is read by those who ask for nothing else of them.
///
/// Thousands of small payloads are a few pieces of memory, ready to be sent. A *lead*, one byte, may stand before each of
/// them, so that they can be told apart, or are JSON with commas between them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Passage {
    entries: u64,
    bytes: usize,
    pieces: Vec<Bytes>,
}

impl Passage {
    /// How many entries it has.
    pub const fn entries(&self) -> u64 {
        self.entries
    }

    /// How many bytes its pieces have together, leads included.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes, piece by piece.
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }

    /// Adds a piece with the payloads of `entries` more entries, each behind its lead.
    pub fn push(&mut self, entries: u64, piece: Bytes) {
        self.entries += entries;
        self.bytes += piece.len();
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }

    /// Adds what `more` has.
    pub fn append(&mut self, more: Self) {
        self.entries += more.entries;
        self.bytes += more.bytes;
        self.pieces.extend(more.pieces);
    }

    /// As [`gather`](Self::gather), of as many as are at most `bytes`, and at least one.
    pub fn within(entries: &[Arc<Entry>], lead: Option<u8>, bytes: usize) -> Self {
        Self::gather(entries.get(..fitting(entries, lead, bytes).max(1)).unwrap_or(entries), lead)
    }

    /// The payloads of entries put together, each behind `lead`. Short ones are copied to their neighbours, long ones shared.
    pub fn gather<'a>(entries: impl IntoIterator<Item = &'a Arc<Entry>>, lead: Option<u8>) -> Self {
        let (mut passage, mut run, mut count) = (Self::default(), Vec::new(), 0);
        for event in entries.into_iter().map(|entry| entry.event()) {
            run.extend(lead);
            if event.payload().len() > COPIED {
                passage.push(count, std::mem::take(&mut run).into());
                passage.push(1, event.payload_bytes());
                count = 0;
            } else {
                run.extend_from_slice(event.payload());
                count += 1;
            }
        }
        passage.push(count, run.into());
        passage
    }
}

/// How many entries say at most `bytes` together, each payload behind `lead`.
fn fitting(entries: &[Arc<Entry>], lead: Option<u8>, bytes: usize) -> usize {
    let mut left = Some(bytes);
    let fits = |entry: &&Arc<Entry>| {
        let said = entry.event().payload().len() + usize::from(lead.is_some());
        left = left.and_then(|left| left.checked_sub(said));
        left.is_some()
    };
    entries.iter().take_while(fits).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Seq, Timestamp};

    fn entry(payload: &[u8]) -> Arc<Entry> {
        let event = Event::data(Bytes::copy_from_slice(payload));
        Arc::new(Entry::new(Seq::FIRST, Timestamp::from_micros(0), event))
    }

    fn check(payloads: &[&[u8]], lead: Option<u8>, expected: &[u8], pieces: usize) {
        let entries: Vec<_> = payloads.iter().map(|payload| entry(payload)).collect();
        let passage = Passage::gather(&entries, lead);
        assert_eq!((passage.entries(), passage.bytes()), (payloads.len() as u64, expected.len()));
        let found = passage.into_pieces();
        assert_eq!((found.concat().as_slice(), found.len()), (expected, pieces));
    }

    #[test]
    fn short_payloads_are_one_piece_and_a_lead_stands_before_each() {
        check(&[b"a", b"", b"bc"], None, b"abc", 1);
        check(&[b"a", b"", b"bc"], Some(b','), b",a,,bc", 1);
        check(&[], Some(b','), b"", 0);
        check(&[b""], None, b"", 0);
    }

    #[test]
    fn a_long_payload_is_not_copied() {
        let long = vec![b'x'; COPIED + 1];
        let expected = [b",a,", &long[..], b",b"].concat();
        check(&[b"a", &long, b"b"], Some(b','), &expected, 3);
        let entry = entry(&long);
        let pieces = Passage::gather([&entry], None).into_pieces();
        assert_eq!(pieces.first().map(|piece| piece.as_ptr()), Some(entry.event().payload().as_ptr()));
    }
}
