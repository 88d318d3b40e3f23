//! Reading what entries say, without making entries of it.
//!
//! What is read at once is an extent: it is gone through record by record, and what of it is another log's is passed over.
//! Nothing is served of it unless each of its own records is sound, and their entries follow each other from the extent's
//! first to its last. Then a record of another log that was not looked into can have hidden nothing. Whatever else is found
//! there is left to the [careful way](crate::read), which knows what is missing and says so.

use std::{cell::RefCell, io, sync::Arc};

use bytes::Bytes;
use streamnest_core::{Passage, StoreError};

use crate::{
    blocks::{Block, Blocks, Building},
    codec::{self, Body},
    log::{Log, seq},
    read::{self, Wanted, extents, find, unavailable},
    record::Header,
    segment::{Chapter, Extent, MERGE_SPAN},
};

thread_local! {
    /// What an extent is read into. It is at most as long as one that grew by merging.
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads what durable entries of a log say, each payload behind `lead`.
pub(crate) fn read(
    log: &Log,
    blocks: &Blocks,
    wanted: Wanted,
    lead: Option<u8>,
) -> Result<Passage, StoreError> {
    let mut reading = Reading { log, blocks, lead, wanted, passage: Passage::default(), is_full: false };
    match reading.read() {
        // What was found before is given first.
        Err(error) if reading.passage.entries() == 0 => Err(error),
        _ => Ok(reading.passage),
    }
}

struct Reading<'a> {
    log: &'a Log,
    blocks: &'a Blocks,
    lead: Option<u8>,
    wanted: Wanted,
    passage: Passage,
    /// What comes next is more than there is room for.
    is_full: bool,
}

impl Reading<'_> {
    /// The entry that is wanted next.
    fn next(&self) -> u64 {
        self.wanted.from + self.passage.entries()
    }

    fn has_enough(&self) -> bool {
        let (entries, bytes) = (self.passage.entries(), self.passage.bytes());
        self.is_full || entries >= self.wanted.entries as u64 || (entries > 0 && bytes >= self.wanted.bytes)
    }

    fn read(&mut self) -> Result<(), StoreError> {
        while !self.has_enough()
            && let Some(chapter) = find(self.log, self.next())?
        {
            let extents = extents(self.log, &chapter, self.next()).map_err(unavailable)?;
            let at = extents.partition_point(|extent| extent.last < self.next());
            let mut rest = extents.get(at..).unwrap_or_default().iter();
            // Not all extents of a chapter are looked at in one go, but some are.
            let mut extent = rest.next();
            if extent.is_none_or(|extent| extent.first > self.next()) {
                self.read_carefully(chapter.last)?;
                continue;
            }
            while let Some(now) = extent.filter(|extent| (extent.first..=extent.last).contains(&self.next()))
                && !self.has_enough()
            {
                self.read_extent(&chapter, now)?;
                extent = rest.next();
            }
        }
        Ok(())
    }

    /// Reads what is wanted of an extent, which has the next entry.
    fn read_extent(&mut self, chapter: &Chapter, extent: &Extent) -> Result<(), StoreError> {
        let place = (chapter.segment.id, extent.offset);
        let block = match self.blocks.get(place, self.lead, extent.last) {
            Some(block) => Some(block),
            None => {
                let block = self.block(chapter, extent).map_err(unavailable)?.map(Arc::new);
                block.inspect(|block| self.blocks.keep(place, block))
            }
        };
        // A chapter may end before its extent does: what follows was copied elsewhere, or is not durable.
        let last = extent.last.min(chapter.last);
        let Some(block) = block else { return self.read_carefully(last) };
        let most = (self.wanted.entries as u64).saturating_sub(self.passage.entries());
        let last = last.min(self.next().saturating_add(most).saturating_sub(1));
        let bytes = self.wanted.bytes.saturating_sub(self.passage.bytes());
        let least = usize::from(self.passage.entries() == 0);
        self.add(block.part(self.next(), last, bytes, least));
        Ok(())
    }

    /// Reads on, at most to the entry `last`, with an entry for each: what is wrong there is told, and not taken.
    fn read_carefully(&mut self, last: u64) -> Result<(), StoreError> {
        let left = usize::try_from(last.saturating_sub(self.next()) + 1).unwrap_or(usize::MAX);
        let wanted = Wanted {
            from: self.next(),
            entries: left.min(self.wanted.entries.saturating_sub(self.passage.entries() as usize)),
            bytes: self.wanted.bytes.saturating_sub(self.passage.bytes()),
        };
        let entries = read::read(self.log, wanted)?;
        if entries.is_empty() {
            let source = io::Error::other(format!("entry {} is durable but was not found", seq(self.next())));
            return Err(unavailable(source));
        }
        let more = Passage::within(&entries, self.lead, wanted.bytes);
        let is_too_much = self.passage.entries() > 0 && more.bytes() > wanted.bytes;
        self.add(if is_too_much { Passage::default() } else { more });
        Ok(())
    }

    /// Adds what was read on, which is nothing if there is no room for the next entry.
    fn add(&mut self, more: Passage) {
        self.is_full = more.entries() == 0;
        self.passage.append(more);
    }

    /// Reads an extent. `None` if it is not wholly as it was written.
    fn block(&self, chapter: &Chapter, extent: &Extent) -> io::Result<Option<Block>> {
        let (first, length) = (extent.first, extent.length as usize);
        let mut building = Building::new(self.lead, if extent.first == extent.last { 0 } else { length });
        if u64::from(extent.length) > MERGE_SPAN {
            // It is a single record. If that has one payload, it is passed on in the memory that it was read into.
            let bytes = Bytes::from(chapter.segment.read(extent.offset, length)?);
            if extent.first == extent.last {
                let mut payload = None;
                let found = self
                    .walk(extent, chapter.segment.salt, &bytes, |said| payload = Some(bytes.slice_ref(said)));
                return Ok(found.and(payload).map(|payload| Block::of_one(first, self.lead, payload)));
            }
            let found = self.walk(extent, chapter.segment.salt, &bytes, |said| building.push(said));
            return Ok(found.map(|()| building.build(first)));
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.resize(scratch.len().max(length), 0);
            let room = scratch.get_mut(..length).unwrap_or_default();
            let read = chapter.segment.file.read_at(room, extent.offset)?;
            let bytes = room.get(..read).unwrap_or_default();
            let found = self.walk(extent, chapter.segment.salt, bytes, |said| building.push(said));
            Ok(found.map(|()| building.build(first)))
        })
    }

    /// Shows `take` each payload of the log in `bytes`, which are those of an extent. `None` unless they are all there.
    fn walk<'b>(
        &self,
        extent: &Extent,
        salt: u32,
        bytes: &'b [u8],
        mut take: impl FnMut(&'b [u8]),
    ) -> Option<()> {
        let (mut rest, mut next) = (bytes, extent.first);
        while !rest.is_empty() {
            let length = match Header::peek(rest)? {
                (log, length) if log != self.log.number => length,
                _ => {
                    let header = Header::read(rest, salt)?;
                    if let Body::Append(entries) | Body::Copy(entries) = codec::read(header.body(rest)?)?
                        && entries.count > 0
                    {
                        if entries.first != next {
                            return None;
                        }
                        for payload in entries.payloads() {
                            take(payload?);
                        }
                        next = entries.last() + 1;
                    }
                    header.record_length()
                }
            };
            rest = rest.get(length..)?;
        }
        (next == extent.last + 1).then_some(())
    }
}
