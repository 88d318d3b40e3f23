//! Payloads as readers are sent them, kept for those who come next.
//!
//! What it costs to read many small entries is not the disk, it is to look at each. So what was looked at once is kept: the
//! payloads of an extent one behind the other, and where each ends. Large payloads are not: to read them again costs little. Nor
//! is what is read for the first time: many a stream is read once, and memory that is kept is memory that was not in use before,
//! which costs more than to look at the entries.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use streamnest_core::Passage;

/// The payloads of a block that is kept are not longer than that on average, in bytes.
const KEPT_PAYLOAD: usize = 4 << 10;
/// So many of the last blocks that were read and not kept are known, to be kept the next time. Each stands for up to 256 KiB of a
/// segment, and takes some 80 bytes.
const KNOWN: usize = 4_096;

/// What all entries of an extent say.
#[derive(Debug)]
pub(crate) struct Block {
    /// The first entry.
    first: u64,
    lead: Option<u8>,
    said: Said,
}

#[derive(Debug)]
enum Said {
    /// One payload, in memory that it shares.
    One(Bytes),
    /// Payloads, each behind its lead, and where each ends.
    Many(Bytes, Vec<u32>),
}

impl Block {
    /// The block of one entry.
    pub(crate) const fn of_one(first: u64, lead: Option<u8>, payload: Bytes) -> Self {
        Self { first, lead, said: Said::One(payload) }
    }

    /// The last entry.
    pub(crate) fn last(&self) -> u64 {
        match &self.said {
            Said::One(_) => self.first,
            Said::Many(_, ends) => self.first + ends.len() as u64 - 1,
        }
    }

    /// What the entries `from` to `last` say, as many as are at most so many bytes, but no less than `least`; both are in the block.
    pub(crate) fn part(&self, from: u64, last: u64, bytes: usize, least: usize) -> Passage {
        let mut passage = Passage::default();
        match &self.said {
            Said::One(payload) if least == 0 && payload.len() + usize::from(self.lead.is_some()) > bytes => {}
            Said::One(payload) => {
                passage.push(0, self.lead.map_or_else(Bytes::new, |lead| Bytes::copy_from_slice(&[lead])));
                passage.push(1, payload.clone());
            }
            Said::Many(said, ends) => {
                let index = |seq: u64| usize::try_from(seq.saturating_sub(self.first)).unwrap_or(usize::MAX);
                let wanted = ends.get(index(from)..=index(last)).unwrap_or_default();
                let before = index(from).checked_sub(1).and_then(|before| ends.get(before));
                let start = before.map_or(0, |end| *end as usize);
                let fit = wanted.partition_point(|end| (*end as usize) <= start.saturating_add(bytes));
                let part = wanted.get(..fit.max(least)).unwrap_or(wanted);
                let end = part.last().map_or(start, |end| *end as usize);
                passage.push(part.len() as u64, said.slice(start..end));
            }
        }
        passage
    }

    fn weight(&self) -> usize {
        let (bytes, ends) = match &self.said {
            Said::One(payload) => (payload.len(), 0),
            Said::Many(said, ends) => (said.len(), ends.len()),
        };
        size_of::<(Key, Slot, Key, Self)>() + bytes + ends * size_of::<u32>()
    }

    /// Whether to look at each entry anew would cost more than to read them.
    fn is_kept(&self) -> bool {
        matches!(&self.said, Said::Many(said, ends) if said.len() / KEPT_PAYLOAD < ends.len())
    }
}

/// A block that is being put together.
pub(crate) struct Building {
    lead: Option<u8>,
    said: Vec<u8>,
    ends: Vec<u32>,
}

impl Building {
    /// With room for so many bytes.
    pub(crate) fn new(lead: Option<u8>, room: usize) -> Self {
        Self { lead, said: Vec::with_capacity(room), ends: Vec::new() }
    }

    /// Adds a payload.
    pub(crate) fn push(&mut self, payload: &[u8]) {
        self.said.extend(self.lead);
        self.said.extend_from_slice(payload);
        // A record is shorter than 2^30 bytes.
        self.ends.push(u32::try_from(self.said.len()).unwrap_or(u32::MAX));
    }

    /// The block, of which `first` is the first entry.
    pub(crate) fn build(mut self, first: u64) -> Block {
        self.said.shrink_to_fit();
        self.ends.shrink_to_fit();
        Block { first, lead: self.lead, said: Said::Many(self.said.into(), self.ends) }
    }
}

/// Where an extent is that is kept: the number of its segment, its offset there, and the lead of its payloads. There nothing
/// else is ever written, but an extent may grow.
type Key = ((u64, u64), Option<u8>);

/// Blocks that were read a while ago, as far as there is room. Those that nobody asks for again go first.
#[derive(Debug)]
pub(crate) struct Blocks {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    slots: HashMap<Key, Slot>,
    /// Each key once, in the order in which they are looked at when there is no room.
    order: VecDeque<Key>,
    bytes: usize,
    /// Blocks that were read lately and are not kept, and in which order.
    known: HashSet<Key>,
    known_order: VecDeque<Key>,
}

#[derive(Debug)]
struct Slot {
    block: Arc<Block>,
    /// Whether it was asked for since it was looked at.
    used: bool,
}

impl Blocks {
    /// Room for so many bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, kept: Mutex::default() }
    }

    /// The block of the extent at `place`, if it is kept and goes to the entry `last`.
    pub(crate) fn get(&self, place: (u64, u64), lead: Option<u8>, last: u64) -> Option<Arc<Block>> {
        let mut kept = self.lock();
        let slot = kept.slots.get_mut(&(place, lead)).filter(|slot| slot.block.last() >= last)?;
        slot.used = true;
        Some(slot.block.clone())
    }

    /// Keeps a block, if that is worth it and there can be room; the first time only its place is kept.
    pub(crate) fn keep(&self, place: (u64, u64), block: &Arc<Block>) {
        let (key, weight) = ((place, block.lead), block.weight());
        if !block.is_kept() || weight > self.limit {
            return;
        }
        let mut kept = self.lock();
        let kept = &mut *kept;
        if !kept.slots.contains_key(&key) && !kept.know(key) {
            return;
        }
        match kept.slots.insert(key, Slot { block: block.clone(), used: false }) {
            Some(shorter) => kept.bytes -= shorter.block.weight(),
            None => kept.order.push_back(key),
        }
        kept.bytes += weight;
        while kept.bytes > self.limit
            && let Some(key) = kept.order.pop_front()
        {
            if kept.slots.get_mut(&key).is_some_and(|slot| mem::take(&mut slot.used)) {
                kept.order.push_back(key);
            } else {
                kept.bytes -= kept.slots.remove(&key).map_or(0, |slot| slot.block.weight());
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // What is kept may go at any time, so a panic elsewhere leaves nothing broken.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Whether a block was read lately; it is known from now on.
    fn know(&mut self, key: Key) -> bool {
        let known = !self.known.insert(key);
        if !known {
            self.known_order.push_back(key);
        }
        if self.known_order.len() > KNOWN
            && let Some(oldest) = self.known_order.pop_front()
        {
            self.known.remove(&oldest);
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps a block as one that was read before.
    fn keep(blocks: &Blocks, offset: u64, block: &Arc<Block>) {
        blocks.lock().know(((1, offset), block.lead));
        blocks.keep((1, offset), block);
    }

    /// A block of so many entries from 10 on, the entry `n` of `n` bytes.
    fn block(entries: u64, lead: Option<u8>) -> Arc<Block> {
        let mut building = Building::new(lead, 0);
        (10..10 + entries).for_each(|seq| building.push(&vec![b'x'; seq as usize]));
        Arc::new(building.build(10))
    }

    #[test]
    fn a_part_has_the_entries_that_fit_and_no_less_than_are_wanted() {
        let block = block(5, Some(b','));
        assert_eq!(block.last(), 14);
        for (from, last, bytes, least, entries, length) in [
            (10, 14, usize::MAX, 0, 5, 65),
            (10, 14, 0, 1, 1, 11),
            (10, 14, 10, 0, 0, 0),
            (10, 14, 11, 0, 1, 11),
            (10, 14, 22, 1, 1, 11),
            (10, 14, 23, 1, 2, 23),
            (12, 13, 1_000, 1, 2, 27),
            (14, 14, 1, 1, 1, 15),
        ] {
            let part = block.part(from, last, bytes, least);
            assert_eq!((part.entries(), part.bytes()), (entries, length), "{from} to {last}, {bytes} bytes");
        }
    }

    #[test]
    fn what_is_asked_for_again_outlives_what_is_not_and_the_bound_holds() {
        let weight = block(3, None).weight();
        let blocks = Blocks::new(3 * weight);
        for offset in 0..20 {
            keep(&blocks, offset, &block(3, None));
            assert!(blocks.get((1, 0), None, 12).is_some(), "offset {offset}");
            assert!(blocks.lock().bytes <= 3 * weight);
        }
        assert!(blocks.get((1, 10), None, 12).is_none());
        assert!(blocks.get((1, 19), None, 12).is_some());
        assert!(blocks.get((1, 19), Some(b','), 12).is_none(), "with other leads it is another");
        let kept = blocks.lock();
        assert_eq!((kept.slots.len(), kept.order.len()), (3, 3));
    }

    #[test]
    fn an_extent_that_has_grown_is_read_again() {
        let blocks = Blocks::new(1 << 20);
        keep(&blocks, 32, &block(3, None));
        assert!(blocks.get((1, 32), None, 13).is_none());
        blocks.keep((1, 32), &block(4, None));
        assert!(blocks.get((1, 32), None, 13).is_some());
        assert_eq!(blocks.lock().bytes, block(4, None).weight());
    }

    #[test]
    fn large_payloads_and_what_has_no_room_are_not_kept() {
        let blocks = Blocks::new(1 << 20);
        let mut building = Building::new(None, 0);
        building.push(&vec![0; KEPT_PAYLOAD + 1]);
        keep(&blocks, 32, &Arc::new(building.build(1)));
        keep(&blocks, 64, &Arc::new(Block::of_one(1, None, Bytes::from_static(b"x"))));
        let small = Blocks::new(10);
        keep(&small, 96, &block(1, None));
        assert_eq!((blocks.lock().bytes, small.lock().bytes), (0, 0));
    }

    #[test]
    fn what_is_read_once_is_not_kept_and_only_the_last_of_it_are_known() {
        let blocks = Blocks::new(1 << 20);
        for _ in 0..2 {
            assert!(blocks.get((1, 32), None, 12).is_none());
            blocks.keep((1, 32), &block(3, None));
        }
        assert!(blocks.get((1, 32), None, 12).is_some());
        (0..2 * KNOWN as u64).for_each(|offset| blocks.keep((2, offset), &block(3, None)));
        let kept = blocks.lock();
        assert_eq!((kept.slots.len(), kept.known.len(), kept.known_order.len()), (1, KNOWN, KNOWN));
    }
}
