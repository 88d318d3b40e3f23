//! One file of records, and where in it a log's entries lie.

use std::{
    fmt, io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    codec::Reader,
    damage::Damages,
    files::put,
    record::Header,
    storage::{Storage, StorageFile},
};

/// What a segment begins with: magic, version, number, checksum; as long as a record's header.
pub(crate) const SEGMENT_HEADER: u64 = 32;
const MAGIC: &[u8; 8] = b"SNLOGSEG";
/// The version of segments whose records have no salt.
const UNSALTED: u32 = 1;
/// The version of segments and their records.
const SALTED: u32 = 2;

/// Records of one log are read with one read if no more than so many bytes of other logs lie between them.
const MERGE_GAP: u64 = 4 << 10;
/// The longest extent that grows by merging, in bytes.
pub(crate) const MERGE_SPAN: u64 = 256 << 10;

/// A segment, full or growing.
pub(crate) struct Segment {
    pub(crate) id: u64,
    pub(crate) file: Arc<dyn StorageFile>,
    /// What the checksums of its headers begin with: without it nobody can write an entry that looks like records of others.
    pub(crate) salt: u32,
    /// Where the next record goes; all before it is written.
    pub(crate) length: AtomicU64,
    /// Bytes of records of which something lives.
    pub(crate) live: AtomicU64,
    /// Its index file, if it is full.
    pub(crate) index: OnceLock<Arc<dyn StorageFile>>,
    /// Bytes of the records that say again what it says of logs, but for their entries, once it is full.
    pub(crate) says: AtomicU64,
    pub(crate) damages: Damages,
}

impl Segment {
    /// The name of the segment `id`.
    pub(crate) fn name_of(id: u64) -> String {
        format!("{id:016}.log")
    }

    /// The number in the name of a segment; `None` for another file.
    pub(crate) fn id_of(name: &str) -> Option<u64> {
        let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 16)?;
        digits.parse().ok()
    }

    pub(crate) fn name(&self) -> String {
        Self::name_of(self.id)
    }

    /// Makes an empty segment, durable with its name.
    pub(crate) fn create(storage: &dyn Storage, id: u64, salt: u32) -> io::Result<Arc<Self>> {
        let file = put(storage, &Self::name_of(id), &header(id, salt))?;
        Ok(Self::of(id, file, SEGMENT_HEADER, salt))
    }

    /// Opens a segment. `salt` is that of new ones, which this one has if its header is damaged and its first record says so.
    pub(crate) fn open(storage: &dyn Storage, id: u64, salt: u32) -> io::Result<Arc<Self>> {
        let file = storage.open(&Self::name_of(id))?;
        let length = file.length()?;
        let start = read_range(&*file, 0, 2 * SEGMENT_HEADER as usize)?;
        let said = salt_of(&start, id).unwrap_or_else(|| {
            let first = start.get(SEGMENT_HEADER as usize..).unwrap_or_default();
            if Header::read(first, 0).is_some() { 0 } else { salt }
        });
        Ok(Self::of(id, file, length, said))
    }

    fn of(id: u64, file: Arc<dyn StorageFile>, length: u64, salt: u32) -> Arc<Self> {
        Arc::new(Self {
            id,
            file,
            salt,
            length: AtomicU64::new(length),
            live: AtomicU64::new(0),
            index: OnceLock::new(),
            says: AtomicU64::new(0),
            damages: Damages::default(),
        })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    /// Whether it holds no record.
    pub(crate) fn is_empty(&self) -> bool {
        self.length() <= SEGMENT_HEADER
    }

    /// Bytes of it that live.
    pub(crate) fn living(&self) -> u64 {
        self.live.load(Ordering::Acquire).min(self.length())
    }

    /// Bytes that have to be written elsewhere before it may go, by what was known when it became full.
    pub(crate) fn moves(&self) -> u64 {
        self.living().saturating_add(self.says.load(Ordering::Acquire))
    }

    /// `bytes` of its records are dead.
    pub(crate) fn bury(&self, bytes: u64) {
        let _ = self
            .live
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |live| Some(live.saturating_sub(bytes)));
    }

    /// Reads `length` bytes at `offset`; fewer if the file ends.
    pub(crate) fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        read_range(&*self.file, offset, length)
    }
}

/// Reads `length` bytes at `offset`; fewer if the file ends.
pub(crate) fn read_range(file: &dyn StorageFile, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let read = file.read_at(&mut bytes, offset)?;
    bytes.truncate(read);
    Ok(bytes)
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("id", &self.id)
            .field("length", &self.length())
            .finish_non_exhaustive()
    }
}

/// The first bytes of the segment `id`.
pub(crate) fn header(id: u64, salt: u32) -> Vec<u8> {
    let mut header = Vec::with_capacity(SEGMENT_HEADER as usize);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&(if salt == 0 { UNSALTED } else { SALTED }).to_le_bytes());
    header.extend_from_slice(&id.to_le_bytes());
    header.extend_from_slice(&salt.to_le_bytes());
    header.extend_from_slice(&[0; 4]);
    header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
    header
}

/// The salt of the segment `id`, if `bytes` begin as it does.
fn salt_of(bytes: &[u8], id: u64) -> Option<u32> {
    let said = bytes.get(..SEGMENT_HEADER as usize)?;
    let salt = Reader::new(said.get(20..)?).u32()?;
    Some(salt).filter(|salt| said == header(id, *salt))
}

/// Whether a segment begins as the segment `id` does.
pub(crate) fn is_header(bytes: &[u8], id: u64) -> bool {
    salt_of(bytes, id).is_some()
}

/// A stretch of a segment in which records of a log lie, maybe with some of others between them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u32,
    /// The first and the last entry of the log in it, without gaps.
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Extent {
    /// The length of one on the disk.
    pub(crate) const STORED: usize = 28;

    pub(crate) const fn end(&self) -> u64 {
        self.offset + self.length as u64
    }

    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.last.to_le_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self { offset: reader.u64()?, length: reader.u32()?, first: reader.u64()?, last: reader.u64()? })
    }

    /// Takes in `next` if that lies near behind it.
    fn merge(&mut self, next: &Self) -> bool {
        let near = next.offset >= self.end() && next.offset - self.end() <= MERGE_GAP;
        let span = next.end().saturating_sub(self.offset);
        if !near || next.first != self.last + 1 || span > MERGE_SPAN {
            return false;
        }
        let Ok(length) = u32::try_from(span) else { return false };
        (self.length, self.last) = (length, next.last);
        true
    }
}

/// A page of extents in the index file of a full segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Page {
    pub(crate) first: u64,
    pub(crate) offset: u64,
    pub(crate) count: u32,
}

/// Where the extents of a chapter are.
#[derive(Clone, Debug)]
pub(crate) enum Extents {
    /// In memory: the segment grows, or was read whole.
    Here(Vec<Extent>),
    /// In the index file of the segment.
    Stored(Arc<[Page]>),
}

/// Entries of a log that follow each other in one segment.
#[derive(Clone, Debug)]
pub(crate) struct Chapter {
    pub(crate) segment: Arc<Segment>,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Bytes of its records.
    pub(crate) bytes: u64,
    pub(crate) extents: Extents,
}

impl Chapter {
    /// Bytes of memory that it takes.
    pub(crate) fn weight(&self) -> u64 {
        let places = match &self.extents {
            Extents::Here(extents) => extents.capacity() * size_of::<Extent>(),
            Extents::Stored(pages) => size_of_val(&**pages),
        };
        (size_of::<Self>() + places) as u64
    }
}

/// Adds the record at `extent` to the chapters of a log, which are in the order of their entries.
pub(crate) fn add_extent(chapters: &mut Vec<Chapter>, segment: &Arc<Segment>, extent: Extent) {
    let bytes = u64::from(extent.length);
    segment.live.fetch_add(bytes, Ordering::AcqRel);
    // Mostly it goes to the end; a copied record goes where it came from.
    let at = chapters.partition_point(|chapter| chapter.first < extent.first);
    if let Some(chapter) = at.checked_sub(1).and_then(|before| chapters.get_mut(before))
        && Arc::ptr_eq(&chapter.segment, segment)
        && chapter.last + 1 == extent.first
        && let Extents::Here(extents) = &mut chapter.extents
    {
        if !extents.last_mut().is_some_and(|last| last.merge(&extent)) {
            extents.push(extent);
        }
        chapter.last = extent.last;
        chapter.bytes += bytes;
        return;
    }
    let (first, last) = (extent.first, extent.last);
    let chapter =
        Chapter { segment: segment.clone(), first, last, bytes, extents: Extents::Here(vec![extent]) };
    chapters.insert(at, chapter);
}

/// Adds a record that was copied from an older segment; what it holds is no longer looked for there.
pub(crate) fn add_copy(chapters: &mut Vec<Chapter>, segment: &Arc<Segment>, extent: Extent, trimmed: u64) {
    if yield_to(chapters, segment.id, extent.first, extent.last, trimmed) {
        add_extent(chapters, segment, extent);
    }
}

/// Makes way for the entries `first` to `last`, which were copied to the segment `id`: what held them in older segments begins
/// after them. Whether they are wanted there; not if something before them, that is not trimmed, would be lost sight of.
pub(crate) fn yield_to(chapters: &mut Vec<Chapter>, id: u64, first: u64, last: u64, trimmed: u64) -> bool {
    let start = chapters.partition_point(|chapter| chapter.last < first);
    let end = chapters.partition_point(|chapter| chapter.first <= last);
    let Some(old) = chapters.get_mut(start..end) else { return true };
    let yields = |old: &Chapter| old.segment.id < id && first <= old.first.max(trimmed + 1);
    if !old.iter().all(yields) {
        return false;
    }
    old.iter_mut().for_each(|old| old.first = last + 1);
    chapters.retain(|chapter| chapter.first <= chapter.last);
    true
}

/// Lets go what lies wholly at or before `up_to`; how many bytes went.
pub(crate) fn trim(chapters: &mut Vec<Chapter>, up_to: u64) -> u64 {
    let gone = chapters.partition_point(|chapter| chapter.last <= up_to);
    let mut bytes = 0;
    for chapter in chapters.drain(..gone) {
        chapter.segment.bury(chapter.bytes);
        bytes += chapter.bytes;
    }
    bytes
}
