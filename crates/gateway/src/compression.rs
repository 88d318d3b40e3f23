//! Compressing what a client catches up on.
//!
//! One token does not compress, and many clients want the same. So frames are compressed in blocks of the log, which are the
//! same for everybody: each block once, by whoever is owed it first, and kept for a while for the others.

mod gzip;
mod options;

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, RandomState},
    io::{self, Write as _},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use flate2::{Compression, write::DeflateEncoder};
use streamnest_core::{Entry, Epoch, LogName};
use streamnest_log::EventLog;
use streamnest_protocol::native::{WebSocketFrame, websocket};

pub(crate) use self::gzip::gzip;
pub use self::options::CompressionOptions;

/// The entries of a block. Its bounds are those of the log: entries 1 to 64, 65 to 128 and so on, so that clients who join at
/// different moments are owed the same blocks.
const BLOCK_ENTRIES: u64 = 64;

/// Entries of one log, told from all others. Of a filtered reader there are fewer between the same first and last one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Key {
    log: LogName,
    epoch: Epoch,
    first: u64,
    last: u64,
    count: usize,
    which: u64,
}

/// A block that was compressed or is being: `None` inside if that made it no smaller.
type Block = Arc<OnceLock<Option<Bytes>>>;

/// Compresses blocks, each once while it is kept.
pub(crate) struct Compressor {
    options: CompressionOptions,
    hashes: RandomState,
    kept: Mutex<Kept>,
    compressed: AtomicU64,
}

#[derive(Default)]
struct Kept {
    /// Each with the bytes that it takes.
    blocks: HashMap<Key, (Block, usize)>,
    /// The oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

/// What a block takes besides its bytes.
const BLOCK_WEIGHT: usize = 2 * size_of::<Key>() + size_of::<Block>() + 64;

impl Compressor {
    pub(crate) fn new(options: CompressionOptions) -> Self {
        let (hashes, kept, compressed) = (RandomState::new(), Mutex::default(), AtomicU64::new(0));
        Self { options, hashes, kept, compressed }
    }

    /// Whether a client that asks for it gets compressed frames.
    pub(crate) const fn is_enabled(&self) -> bool {
        self.options.enabled
    }

    /// Pushes the frames of `entries` to `out`: blocks over the threshold as one binary message each, the others as they are.
    /// Gives how many bytes that spared.
    pub(crate) fn push(&self, log: &EventLog, entries: &[Arc<Entry>], out: &mut Vec<Bytes>) -> usize {
        let mut spared = 0;
        let block_of = |entry: &Arc<Entry>| entry.seq().get().saturating_sub(1) / BLOCK_ENTRIES;
        for entries in entries.chunk_by(|one, next| block_of(one) == block_of(next)) {
            let begun = out.len();
            log.encoded::<WebSocketFrame>(entries, out);
            let frames = out.get(begun..).unwrap_or_default();
            let whole = frames.iter().map(Bytes::len).sum::<usize>();
            if whole < self.options.threshold {
                continue;
            }
            let key = self.key(log, entries);
            let block = self.find(&key);
            let mut is_first = false;
            // Whoever comes second waits for the first, which takes less than compressing it again.
            let compressed = block.get_or_init(|| {
                is_first = true;
                self.compress(frames)
            });
            if is_first {
                self.weigh(&key, compressed.as_ref().map_or(0, Bytes::len));
            }
            if let Some(compressed) = compressed {
                spared += whole.saturating_sub(compressed.len());
                out.truncate(begun);
                out.push(compressed.clone());
            }
        }
        spared
    }

    /// How many blocks were compressed.
    pub(crate) fn compressed(&self) -> u64 {
        self.compressed.load(Ordering::Relaxed)
    }

    fn key(&self, log: &EventLog, entries: &[Arc<Entry>]) -> Key {
        let seq = |entry: Option<&Arc<Entry>>| entry.map_or(0, |entry| entry.seq().get());
        let (first, last, count) = (seq(entries.first()), seq(entries.last()), entries.len());
        // Between the same first and last entry, as many without a filter are all of them.
        let is_dense = last - first + 1 == count as u64;
        let sequences = || entries.iter().map(|entry| entry.seq().get()).collect::<Vec<_>>();
        let which = if is_dense { 0 } else { self.hashes.hash_one(sequences()) };
        let identity = log.identity();
        Key { log: identity.name().clone(), epoch: identity.epoch(), first, last, count, which }
    }

    fn find(&self, key: &Key) -> Block {
        let mut kept = self.lock();
        if let Some((block, _)) = kept.blocks.get(key) {
            return block.clone();
        }
        let block = Block::default();
        kept.blocks.insert(key.clone(), (block.clone(), BLOCK_WEIGHT));
        kept.order.push_back(key.clone());
        kept.bytes += BLOCK_WEIGHT;
        block
    }

    /// Puts into the books what a block takes, and lets go of the oldest ones if it is too much.
    fn weigh(&self, key: &Key, bytes: usize) {
        let mut kept = self.lock();
        if let Some((_, weight)) = kept.blocks.get_mut(key) {
            *weight += bytes;
            kept.bytes += bytes;
        }
        while kept.bytes > self.options.max_kept_bytes {
            let Some(oldest) = kept.order.pop_front() else { break };
            if let Some((_, weight)) = kept.blocks.remove(&oldest) {
                kept.bytes -= weight;
            }
        }
    }

    fn compress(&self, frames: &[Bytes]) -> Option<Bytes> {
        self.compressed.fetch_add(1, Ordering::Relaxed);
        let whole: usize = frames.iter().map(Bytes::len).sum();
        let compressed = deflate(frames, self.options.level).ok().filter(|bytes| bytes.len() < whole)?;
        let mut frame = Vec::with_capacity(compressed.len() + 10);
        websocket::binary(&compressed, &mut frame);
        Some(frame.into())
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The payloads of text frames, each with a line feed after it, as raw DEFLATE.
fn deflate(frames: &[Bytes], level: u32) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(level));
    for block in frames {
        for range in websocket::text_payloads(block) {
            let range = range.map_err(io::Error::other)?;
            encoder.write_all(block.get(range).unwrap_or_default())?;
            encoder.write_all(b"\n")?;
        }
    }
    encoder.finish()
}
