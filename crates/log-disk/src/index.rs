//! The index file of a full segment: which logs it holds, how they stood at its end, and where their entries lie.
//!
//! It is written when the segment is full, so that a start reads its directory and not the segment. Whatever it says can be
//! found out by reading the segment; if it is damaged or missing, that is done.
//!
//! ```text
//! pages      extents of a log, up to 512 each, then their CRC-32
//! directory  the logs
//! footer     offset of the directory (8), its length (8), the segment's number (8), the segment's length (8),
//!            version (4), CRC-32 of the directory (4), CRC-32 of the footer up to here (4), magic `SNIX` (4)
//! ```

use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    codec::{self, Reader, State},
    files::put,
    record::HEADER,
    segment::{Chapter, Extent, Extents, Page, Segment, read_range},
    storage::{Storage, StorageFile},
};

const MAGIC: &[u8; 4] = b"SNIX";
const VERSION: u32 = 1;
const FOOTER: usize = 48;
/// Extents of a page: what is read at once to find an entry.
const PAGE: usize = 512;
/// The longest directory that is believed, in bytes.
const MAX_DIRECTORY: u64 = 1 << 32;

/// How one log stood at the end of a segment in which it has records.
#[derive(Debug)]
pub(crate) struct IndexedLog {
    pub(crate) number: u64,
    /// `None` if it was deleted.
    pub(crate) state: Option<State>,
    /// The segment with the last record that says all of it.
    pub(crate) base: u64,
    /// Its entries in the segment.
    pub(crate) chapters: Vec<Chapter>,
}

impl IndexedLog {
    /// Bytes of the records that say all of this again but the chapters. That a log is gone is written twice.
    fn says(&self) -> u64 {
        let length = match &self.state {
            Some(state) => HEADER + codec::state_length(&state.name, state.attributes.iter()),
            None => 2 * (HEADER + 1),
        };
        length as u64
    }
}

/// The name of the index file of the segment `id`.
pub(crate) fn name_of(id: u64) -> String {
    format!("{id:016}.index")
}

/// Writes the index of `segment`, durable with its name. Returns its file, and the logs with their chapters pointing to it.
pub(crate) fn write(
    storage: &dyn Storage,
    segment: &Segment,
    mut logs: Vec<IndexedLog>,
) -> io::Result<(Arc<dyn StorageFile>, Vec<IndexedLog>)> {
    note_says(segment, &logs);
    let mut out = Vec::new();
    for log in &mut logs {
        for chapter in &mut log.chapters {
            if let Extents::Here(extents) = &chapter.extents {
                chapter.extents =
                    Extents::Stored(extents.chunks(PAGE).map(|page| put_page(page, &mut out)).collect());
            }
        }
    }
    let directory = out.len();
    out.extend_from_slice(&(logs.len() as u64).to_le_bytes());
    logs.iter().for_each(|log| put_log(log, &mut out));
    put_footer(segment, directory, &mut out);
    Ok((put(storage, &name_of(segment.id), &out)?, logs))
}

fn note_says(segment: &Segment, logs: &[IndexedLog]) {
    segment.says.store(logs.iter().map(IndexedLog::says).sum(), Ordering::Release);
}

fn put_page(extents: &[Extent], out: &mut Vec<u8>) -> Page {
    let start = out.len();
    extents.iter().for_each(|extent| extent.put(out));
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    let first = extents.first().map_or(0, |extent| extent.first);
    Page { first, offset: start as u64, count: u32::try_from(extents.len()).unwrap_or(u32::MAX) }
}

fn put_log(log: &IndexedLog, out: &mut Vec<u8>) {
    out.extend_from_slice(&log.number.to_le_bytes());
    out.extend_from_slice(&log.base.to_le_bytes());
    out.push(u8::from(log.state.is_some()));
    if let Some(state) = &log.state {
        codec::put_state(state, out);
    }
    out.extend_from_slice(&(log.chapters.len() as u64).to_le_bytes());
    for chapter in &log.chapters {
        let Extents::Stored(pages) = &chapter.extents else { continue };
        for number in [chapter.first, chapter.last, chapter.bytes, pages.len() as u64] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for page in pages.iter() {
            out.extend_from_slice(&page.first.to_le_bytes());
            out.extend_from_slice(&page.offset.to_le_bytes());
            out.extend_from_slice(&page.count.to_le_bytes());
        }
    }
}

fn put_footer(segment: &Segment, directory: usize, out: &mut Vec<u8>) {
    let crc = crc32fast::hash(out.get(directory..).unwrap_or_default());
    let start = out.len();
    for number in [directory as u64, (start - directory) as u64, segment.id, segment.length()] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&crc.to_le_bytes());
    let crc = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(MAGIC);
}

/// Reads the directory of the index of `segment`. `None` if there is no sound index of this very segment.
///
/// # Errors
/// What the system says, but not that there is no such file.
pub(crate) fn read(storage: &dyn Storage, segment: &Arc<Segment>) -> io::Result<Option<Vec<IndexedLog>>> {
    let file = match storage.open(&name_of(segment.id)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(directory) = read_directory(&*file, segment)? else { return Ok(None) };
    let _ = segment.index.set(file);
    let mut reader = Reader::new(&directory);
    let mut logs = Vec::new();
    let count = reader.u64().unwrap_or_default();
    for _ in 0..count {
        let Some(log) = read_log(&mut reader, segment) else { return Ok(None) };
        logs.push(log);
    }
    note_says(segment, &logs);
    Ok(Some(logs))
}

fn read_directory(file: &dyn StorageFile, segment: &Segment) -> io::Result<Option<Vec<u8>>> {
    let length = file.length()?;
    let Some(at) = length.checked_sub(FOOTER as u64) else { return Ok(None) };
    let footer = read_range(file, at, FOOTER)?;
    let mut reader = Reader::new(&footer);
    let mut numbers = || Some([reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?]);
    let Some([offset, length, id, segment_length]) = numbers() else { return Ok(None) };
    let (version, crc, own) = (reader.u32(), reader.u32(), reader.u32());
    let sound = own == footer.get(..FOOTER - 8).map(crc32fast::hash)
        && reader.take(4) == Some(MAGIC)
        && version == Some(VERSION)
        && (id, segment_length) == (segment.id, segment.length())
        && offset.checked_add(length) == Some(at)
        && length <= MAX_DIRECTORY;
    if !sound {
        return Ok(None);
    }
    let directory = read_range(file, offset, length as usize)?;
    Ok(Some(directory).filter(|directory| Some(crc32fast::hash(directory)) == crc))
}

fn read_log(reader: &mut Reader<'_>, segment: &Arc<Segment>) -> Option<IndexedLog> {
    let (number, base) = (reader.u64()?, reader.u64()?);
    let state = match reader.u8()? {
        0 => None,
        _ => {
            reader.u8()?;
            Some(codec::read_state(reader)?)
        }
    };
    let mut chapters = Vec::new();
    for _ in 0..reader.u64()? {
        let [first, last, bytes, count] = [reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?];
        let mut pages = Vec::new();
        for _ in 0..count {
            pages.push(Page { first: reader.u64()?, offset: reader.u64()?, count: reader.u32()? });
        }
        chapters.push(Chapter {
            segment: segment.clone(),
            first,
            last,
            bytes,
            extents: Extents::Stored(pages.into()),
        });
    }
    Some(IndexedLog { number, state, base, chapters })
}

/// Reads a page of the index of `segment`. `None` if it is not sound.
///
/// # Errors
/// What the system says.
pub(crate) fn read_page(segment: &Segment, page: &Page) -> io::Result<Option<Vec<Extent>>> {
    let Some(file) = segment.index.get() else { return Ok(None) };
    let length = page.count as usize * Extent::STORED;
    let bytes = read_range(&**file, page.offset, length + 4)?;
    let Some((extents, crc)) = bytes.split_at_checked(length) else { return Ok(None) };
    if Reader::new(crc).u32() != Some(crc32fast::hash(extents)) {
        return Ok(None);
    }
    let mut reader = Reader::new(extents);
    Ok((0..page.count).map(|_| Extent::read(&mut reader)).collect())
}
