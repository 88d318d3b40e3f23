//! Reading entries back: which stretch to read, and what lies in it.

use std::{io, ops::ControlFlow, sync::Arc};

use bytes::Bytes;
use streamnest_core::{Entry, Seq, StoreError};

use crate::{
    codec::{self, Body, Decoder, Entries},
    index,
    log::{Log, LogState, seq},
    record::{self, Found},
    segment::{Chapter, Extent, Extents, SEGMENT_HEADER, Segment},
};

/// The most that is read at once, in bytes, unless one stretch is longer.
const READ_AHEAD: u64 = 512 << 10;

/// Extents that are looked at in one go.
const EXTENTS_AT_ONCE: usize = 512;

/// What a reader asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) from: u64,
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
}

/// Reads durable entries of a log.
pub(crate) fn read(log: &Log, wanted: Wanted) -> Result<Vec<Arc<Entry>>, StoreError> {
    let mut found = Reading {
        log,
        wanted,
        next: wanted.from,
        bytes: 0,
        entries: Vec::new(),
        decoder: Decoder::default(),
    };
    loop {
        let chapter = match find(log, found.next) {
            Ok(Some(chapter)) => chapter,
            Ok(None) => return Ok(found.entries),
            // Entries that were found before it was trimmed may still be served.
            Err(error) => return found.or_error(error),
        };
        match found.read_chapter(&chapter) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => return Ok(found.entries),
            Err(error) => return found.or_error(error),
        }
    }
}

/// The chapter that has the entry `next`, with some of its extents; `None` if that is not durable.
pub(crate) fn find(log: &Log, next: u64) -> Result<Option<Chapter>, StoreError> {
    let (to, near) = {
        let state = log.lock();
        match find_or_gap(&state, next)? {
            Ok(chapter) => return Ok(chapter),
            Err(gap) => gap,
        }
    };
    // What lies around a hole is looked through without the lock.
    for segment in &near {
        if let Some(offset) = segment.damage_at(log.number, next).map_err(unavailable)? {
            return Err(StoreError::Damaged { from: seq(next), to: seq(to), file: segment.name(), offset });
        }
    }
    let file = near.first().map_or_else(|| "a segment that is gone".into(), |segment| segment.name());
    Err(StoreError::Damaged { from: seq(next), to: seq(to), file, offset: 0 })
}

/// The last entry of a hole, and the segments before and behind it.
type Gap = (u64, Vec<Arc<Segment>>);

/// The chapter that has the entry `next`, or the hole that it lies in.
fn find_or_gap(state: &LogState, next: u64) -> Result<Result<Option<Chapter>, Gap>, StoreError> {
    if next <= state.trimmed {
        return Err(StoreError::Trimmed { trimmed: seq(state.trimmed) });
    }
    if next > state.durable {
        return Ok(Ok(None));
    }
    let at = state.chapters.partition_point(|chapter| chapter.last < next);
    match state.chapters.get(at) {
        Some(chapter) if chapter.first <= next => Ok(Ok(Some(part_from(chapter, next)))),
        // Between chapters, or after the last: what lay there is damaged.
        chapter => {
            let to = chapter.map_or(state.durable, |chapter| chapter.first - 1);
            let before = at.checked_sub(1).and_then(|before| state.chapters.get(before));
            let mut near: Vec<_> =
                before.into_iter().chain(chapter).map(|near| near.segment.clone()).collect();
            near.dedup_by_key(|segment| segment.id);
            Ok(Err((to, near)))
        }
    }
}

struct Reading<'a> {
    log: &'a Log,
    wanted: Wanted,
    /// The entry that is wanted next.
    next: u64,
    bytes: usize,
    entries: Vec<Arc<Entry>>,
    decoder: Decoder,
}

impl Reading<'_> {
    fn next_seq(&self) -> Seq {
        seq(self.next)
    }

    /// What was found, or the error if nothing was.
    fn or_error(self, error: StoreError) -> Result<Vec<Arc<Entry>>, StoreError> {
        if self.entries.is_empty() { Err(error) } else { Ok(self.entries) }
    }

    /// Reads on in a chapter that has the next entry. `Break` if there is enough.
    fn read_chapter(&mut self, chapter: &Chapter) -> Result<ControlFlow<()>, StoreError> {
        let extents = extents(self.log, chapter, self.next).map_err(unavailable)?;
        let (at, before) = (extents.partition_point(|extent| extent.last < self.next), self.next);
        let mut rest = extents.get(at..).unwrap_or_default();
        while let Some(first) = rest.first() {
            // Neighbours are read together, as far as they are wanted.
            let budget = READ_AHEAD.min((self.wanted.bytes.saturating_sub(self.bytes) as u64).max(4 << 10));
            let near = rest.windows(2).take_while(|pair| match pair {
                [one, two] => one.end() == two.offset && two.end() - first.offset <= budget,
                _ => false,
            });
            let (now, later) = rest.split_at((near.count() + 1).min(rest.len()));
            rest = later;
            let end = now.last().map_or(first.end(), Extent::end);
            let length = usize::try_from(end - first.offset).unwrap_or(usize::MAX);
            let bytes = Bytes::from(chapter.segment.read(first.offset, length).map_err(unavailable)?);
            for extent in now {
                let start = usize::try_from(extent.offset - first.offset).unwrap_or(usize::MAX);
                let stretch =
                    bytes.slice(start.min(bytes.len())..(start + extent.length as usize).min(bytes.len()));
                if self.read_extent(chapter, extent, &stretch)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if self.next > chapter.last {
                break;
            }
        }
        // Not all extents of a chapter are looked at in one go, but some are.
        if self.next == before {
            return Err(self.damaged(chapter, chapter.last, 0));
        }
        Ok(ControlFlow::Continue(()))
    }

    fn read_extent(
        &mut self,
        chapter: &Chapter,
        extent: &Extent,
        bytes: &Bytes,
    ) -> Result<ControlFlow<()>, StoreError> {
        let (mut offset, mut bad) = (0, None);
        while let Some(found) = record::read(bytes, offset, chapter.segment.salt) {
            let start = offset;
            let (header, body, end) = match found {
                Found::Record { header, body, end } => (header, body, end),
                Found::Damage { end, .. } => {
                    bad.get_or_insert(extent.offset + start as u64);
                    offset = end;
                    continue;
                }
            };
            offset = end;
            if header.log != self.log.number {
                continue;
            }
            let (Some(Body::Append(entries)) | Some(Body::Copy(entries))) = codec::read(body) else {
                continue;
            };
            // Among copied entries may lie newer ones of the same log, and the other way round.
            if entries.count == 0 || entries.last() < self.next || entries.first > extent.last {
                continue;
            }
            if entries.first > self.next {
                let at = bad.unwrap_or(extent.offset + start as u64);
                return Err(self.damaged(chapter, entries.first - 1, at));
            }
            if self
                .take(entries, bytes)
                .ok_or_else(|| self.damaged(chapter, entries.last(), extent.offset + start as u64))?
                .is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
        }
        if self.next <= extent.last {
            return Err(self.damaged(chapter, extent.last, bad.unwrap_or_else(|| extent.end())));
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Takes entries as far as they are wanted. `None` if they cannot be read.
    fn take(&mut self, entries: Entries<'_>, shared: &Bytes) -> Option<ControlFlow<()>> {
        let (read, _) = entries.read(shared, &mut self.decoder)?;
        for entry in read {
            if entry.seq().get() < self.next {
                continue;
            }
            self.bytes += entry.weight();
            if self.entries.len() >= self.wanted.entries
                || (!self.entries.is_empty() && self.bytes > self.wanted.bytes)
            {
                return Some(ControlFlow::Break(()));
            }
            self.next += 1;
            self.entries.push(Arc::new(entry));
        }
        Some(ControlFlow::Continue(()))
    }

    fn damaged(&self, chapter: &Chapter, to: u64, offset: u64) -> StoreError {
        StoreError::Damaged { from: self.next_seq(), to: seq(to), file: chapter.segment.name(), offset }
    }
}

/// A chapter with those of its extents only that may be read next.
fn part_from(chapter: &Chapter, from: u64) -> Chapter {
    let extents = match &chapter.extents {
        Extents::Here(extents) => {
            let at = extents.partition_point(|extent| extent.last < from);
            Extents::Here(extents.iter().skip(at).take(EXTENTS_AT_ONCE).copied().collect())
        }
        Extents::Stored(pages) => Extents::Stored(pages.clone()),
    };
    Chapter { segment: chapter.segment.clone(), extents, ..*chapter }
}

/// The extents of a chapter that hold `from` and what follows; not all of them.
pub(crate) fn extents(log: &Log, chapter: &Chapter, from: u64) -> io::Result<Vec<Extent>> {
    match &chapter.extents {
        Extents::Here(extents) => Ok(extents.clone()),
        Extents::Stored(pages) => {
            let at = pages.partition_point(|page| page.first <= from).saturating_sub(1);
            let Some(page) = pages.get(at) else { return Ok(Vec::new()) };
            match index::read_page(&chapter.segment, page)? {
                Some(extents) => Ok(extents),
                None => look_through(log, chapter, from),
            }
        }
    }
}

/// Finds extents without the index, by looking through the segment.
fn look_through(log: &Log, chapter: &Chapter, from: u64) -> io::Result<Vec<Extent>> {
    tracing::warn!(segment = chapter.segment.name(), "index is damaged; looking through the segment");
    let length = usize::try_from(chapter.segment.length()).unwrap_or(usize::MAX);
    let bytes = chapter.segment.read(0, length)?;
    let (mut offset, mut extents) = (SEGMENT_HEADER as usize, Vec::new());
    while let Some(found) = record::read(&bytes, offset, chapter.segment.salt) {
        let start = offset;
        let (Found::Record { end, .. } | Found::Damage { end, .. }) = found;
        offset = end;
        let Found::Record { header, body, .. } = found else { continue };
        if header.log != log.number {
            continue;
        }
        if let Some(Body::Append(entries) | Body::Copy(entries)) = codec::read(body)
            && entries.count > 0
            && (chapter.first..=chapter.last).contains(&entries.last())
            && entries.last() >= from
        {
            let length = u32::try_from(end - start).unwrap_or(u32::MAX);
            let (first, last) = (entries.first, entries.last());
            extents.push(Extent { offset: start as u64, length, first, last });
        }
    }
    Ok(extents)
}

pub(crate) fn unavailable(error: io::Error) -> StoreError {
    StoreError::Unavailable { source: Arc::new(error) }
}
