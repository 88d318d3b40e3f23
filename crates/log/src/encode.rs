//! Encoding once, for everyone.

use std::{
    cell::RefCell,
    sync::{Arc, PoisonError, atomic::Ordering},
};

use bytes::Bytes;
use streamnest_core::{Encoded, Entry, LogIdentity, Seq, WIRE_FORMAT_SLOTS, WireFormat};

use crate::{EventLog, event_log::State};

/// The largest block of neighbours that share their memory, in bytes. A block is freed when all of it is trimmed, so
/// this is also how much a trimmed log may keep too much, per format.
const BLOCK_BYTES: usize = 64 << 10;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What `write` writes, in memory of just that size.
fn exactly(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        write(scratch);
        let bytes = Bytes::copy_from_slice(scratch);
        scratch.shrink_to(BLOCK_BYTES);
        bytes
    })
}

/// As [`exactly`], in one piece of memory with the count of those who share it: what is encoded live is shared at once, and `Bytes`
/// of a vector would keep their count elsewhere.
fn counted(write: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    macro_rules! in_the_least_of {
        ($bytes:ident, $($size:literal)*) => {
            match $bytes.len() {
                $(0..=$size => inline::<$size>($bytes),)*
                _ => Bytes::copy_from_slice($bytes),
            }
        };
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.clear();
        write(scratch);
        // With the count the sizes of which allocators have ready pieces.
        let bytes = scratch.as_slice();
        let counted = in_the_least_of!(bytes, 120 152 184 216 248 312 376 440 504 632);
        scratch.shrink_to(BLOCK_BYTES);
        counted
    })
}

/// `bytes` within `N` of them.
fn inline<const N: usize>(bytes: &[u8]) -> Bytes {
    let mut memory = [0; N];
    if let Some(place) = memory.get_mut(..bytes.len()) {
        place.copy_from_slice(bytes);
    }
    let mut counted = Bytes::from_owner(memory);
    counted.truncate(bytes.len());
    counted
}

/// The format in which a log's newest entry was asked for by itself, which only a reader does that has kept up: what is
/// appended while a reader waits is encoded in it at once. That entry's memory is at hand then, and its payload is kept
/// within the encoded bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LiveFormat(fn(&LogIdentity, &mut Entry));

impl LiveFormat {
    fn of<F: WireFormat>() -> Self {
        Self(|log, entry| {
            let bytes = counted(|out| F::encode(log, entry, out));
            entry.begin_encoded::<F>(bytes);
        })
    }

    /// Encodes an entry that nobody else has yet.
    pub(crate) fn encode(self, log: &LogIdentity, entry: &mut Entry) {
        (self.0)(log, entry);
    }
}

impl EventLog {
    /// Pushes the bytes of `entries` in the wire format `F` to `out`, in order.
    ///
    /// Each entry is encoded at most once per format, by whoever asks first; everyone shares the bytes. Neighbours that
    /// were encoded together come as one piece.
    pub fn encoded<F: WireFormat>(&self, entries: &[Arc<Entry>], out: &mut Vec<Bytes>) {
        const { assert!(F::SLOT < WIRE_FORMAT_SLOTS, "an entry has no slot for the bytes of this format") };
        if entries.iter().any(|entry| entry.encoded(F::SLOT).is_none()) {
            self.encode_missing::<F>(entries);
        }
        let mut run: Option<(Encoded<'_>, usize)> = None;
        for encoded in entries.iter().filter_map(|entry| entry.encoded(F::SLOT)) {
            run = match run {
                Some((first, length)) if first.continues_with(length, &encoded) => {
                    Some((first, length + encoded.length()))
                }
                finished => {
                    out.extend(finished.map(|(first, length)| first.run(length)));
                    Some((encoded, encoded.length()))
                }
            };
        }
        out.extend(run.map(|(first, length)| first.run(length)));
    }

    fn encode_missing<F: WireFormat>(&self, entries: &[Arc<Entry>]) {
        // One at a time per log: who waits here finds the work done.
        let _one = self.encoding.lock().unwrap_or_else(PoisonError::into_inner);
        // A live reader is owed one entry more often than not.
        if let [entry] = entries {
            return self.encode_one::<F>(entry);
        }
        let missing: Vec<_> = entries.iter().filter(|entry| entry.encoded(F::SLOT).is_none()).collect();
        let mut rest = missing.as_slice();
        while !rest.is_empty() {
            let mut starts = Vec::with_capacity(rest.len());
            let block = exactly(|block| {
                for entry in rest {
                    if block.len() >= BLOCK_BYTES {
                        break;
                    }
                    starts.push(block.len());
                    F::encode(self.identity(), entry, block);
                }
            });
            let (done, left) = rest.split_at(starts.len());
            let ends = starts.iter().skip(1).copied().chain([block.len()]);
            let mut added = Vec::with_capacity(done.len());
            for ((entry, start), end) in done.iter().zip(&starts).zip(ends) {
                if entry.keep_encoded(F::SLOT, block.slice(start..), end - start) {
                    added.push((entry.seq(), end - start));
                }
            }
            self.encoded.fetch_add(added.len(), Ordering::Relaxed);
            self.count_encoded(F::SLOT, &added, &mut self.lock());
            rest = left;
        }
    }

    fn encode_one<F: WireFormat>(&self, entry: &Entry) {
        if entry.encoded(F::SLOT).is_some() {
            return;
        }
        let bytes = exactly(|out| F::encode(self.identity(), entry, out));
        let length = bytes.len();
        if entry.keep_encoded(F::SLOT, bytes, length) {
            self.encoded.fetch_add(1, Ordering::Relaxed);
            let state = &mut *self.lock();
            if entry.seq() == state.last {
                state.live_format = Some(LiveFormat::of::<F>());
            }
            self.count_encoded(F::SLOT, &[(entry.seq(), length)], state);
        }
    }

    /// Puts encodings into the books; retention counts them.
    fn count_encoded(&self, slot: usize, added: &[(Seq, usize)], state: &mut State) {
        let before = state.ledger.bytes();
        for (seq, length) in added {
            state.ledger.add(*seq, slot, *length);
        }
        self.cool(state);
        // Modulo 2^64, for there may be less than before.
        self.shared.bytes.fetch_add(state.ledger.bytes().wrapping_sub(before), Ordering::Relaxed);
        // Only the bytes are in question here, so the time of the newest entry will do.
        let newest = state.accepted_time;
        if let Err(error) = self.enforce_retention(state, newest) {
            tracing::warn!(log = self.identity().subject(), %error, "retention could not trim the log");
        }
    }
}
