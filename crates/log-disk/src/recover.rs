//! What a start reads: the directories of the full segments' indexes, and the segment that grew last.

use std::{
    collections::HashSet,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    Error, Files, bounds,
    catalog::{Catalog, Rebuild},
    codec::{self, Body},
    index::{self, IndexedLog},
    record::{self, Found, HEADER, Header},
    room::is_full,
    segment::{SEGMENT_HEADER, Segment, is_header},
};

/// What a start found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Recovery {
    /// Whether the store had been closed in order.
    pub was_clean: bool,
    /// Segments, and how many of them had to be read whole.
    pub segments: usize,
    /// Segments that were read whole: the one that grew last, and those whose index is missing or damaged.
    pub scanned: usize,
    /// Logs.
    pub logs: usize,
    /// A torn tail that was cut back to the last whole entry: what was being written when the program stopped. None of it was
    /// acknowledged.
    pub cut: Option<Damage>,
    /// Bytes in the middle that are not as they were written. They are never served, and who reads the log is told a gap.
    pub damages: Vec<Damage>,
    /// Logs whose first record is damaged, so that nobody knows what they were called. What is left of them can be read under
    /// these names.
    pub nameless: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// Bytes of a file that are not what was written.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Damage {
    /// The file.
    pub file: String,
    /// The first byte of the record that is damaged.
    pub offset: u64,
    /// Bytes up to the next sound record.
    pub length: u64,
    /// The name of the log, if it can be told.
    pub log: Option<String>,
    /// Whether it is known what stood there all the same, so that nothing is lost.
    pub is_mended: bool,
}

/// All that is known after the files were read.
pub(crate) struct Recovered {
    pub(crate) catalog: Catalog,
    /// The segment to go on in, cut to its sound part; `None` if there is none yet.
    pub(crate) active: Option<Arc<Segment>>,
    /// Logs with records in that segment, with those that were deleted.
    pub(crate) touched: Vec<(u64, Option<Arc<crate::log::Log>>)>,
    /// Logs that have not ended and of which visible entries may be gone: they begin a new epoch.
    pub(crate) doubted: Vec<Arc<crate::log::Log>>,
    pub(crate) report: Recovery,
}

/// What the records of one segment say, before anything is done about it.
struct Scan {
    bytes: Vec<u8>,
    /// Sound records and damaged stretches, in order. Checksums are computed for this once, and not again by who goes through it.
    stretches: Vec<Stretch>,
    /// All before this was durable when some later batch was written.
    synced: u64,
    /// Where the last sound record ends.
    end: usize,
    ends_closed: bool,
    /// Whether a batch after the last orderly stop was written in another mode than `Sync`.
    lossy: bool,
}

/// A sound record, or bytes up to the next one that are none.
#[derive(Clone, Copy)]
struct Stretch {
    start: usize,
    end: usize,
    /// Of a damaged record what is sure of it.
    header: Option<Header>,
    is_sound: bool,
}

impl Scan {
    /// What lies before `cut`.
    fn before(&self, cut: usize) -> impl Iterator<Item = &Stretch> {
        self.stretches.iter().take_while(move |stretch| stretch.start < cut)
    }

    /// What a sound record says; `None` if that is of another format, or if the stretch is damaged.
    fn body(&self, stretch: &Stretch) -> Option<Body<'_>> {
        let body = self.bytes.get(stretch.start + HEADER..stretch.end).filter(|_| stretch.is_sound)?;
        codec::read(body)
    }
}

/// Reads the files.
pub(crate) fn recover(files: &Files) -> Result<Recovered, Error> {
    let began = Instant::now();
    let mut ids: Vec<u64> =
        files.io("", files.storage.list())?.iter().filter_map(|name| Segment::id_of(name)).collect();
    ids.sort_unstable();
    check_complete(files, &ids)?;
    let mut rebuild = Rebuild::default();
    let mut report = Recovery { segments: ids.len(), was_clean: true, ..Recovery::default() };
    let (mut active, mut touched, mut lossy) = (None, Vec::new(), false);
    for id in &ids {
        let name = Segment::name_of(*id);
        let segment = files.io(&name, Segment::open(&*files.storage, *id, files.salt))?;
        let length = segment.length();
        rebuild.catalog.segments.insert(*id, segment.clone());
        if Some(id) != ids.last() {
            read_full(files, &segment, &mut rebuild, &mut report)?;
            continue;
        }
        report.scanned += 1;
        let scan = files.io(&name, scan(&segment))?;
        let cut = cut_point(&scan);
        apply(&segment, &scan, cut, &mut rebuild, &mut report);
        if (cut as u64) < length {
            report.cut = Some(damage(&segment, cut, scan.bytes.len(), None));
        }
        let header = crate::segment::header(*id, segment.salt);
        let sound = cut.max(SEGMENT_HEADER as usize) as u64;
        let mend = || {
            if !is_header(&scan.bytes, *id) {
                segment.file.write_at(&header, 0)?;
            }
            if sound != length {
                segment.file.set_length(sound)?;
                segment.file.sync()?;
            }
            Ok(())
        };
        files.io(&name, mend())?;
        segment.length.store(sound, std::sync::atomic::Ordering::Release);
        report.was_clean = scan.ends_closed && report.cut.is_none();
        lossy = !report.was_clean && scan.lossy;
        touched = touched_by(&scan, cut, &rebuild);
        active = Some(segment);
    }
    report.nameless = rebuild.adopt_orphans();
    report.logs = rebuild.catalog.by_name.len();
    report.took = began.elapsed();
    let doubted = rebuild.doubted(lossy);
    Ok(Recovered { catalog: rebuild.catalog, active, touched, doubted, report })
}

/// Segments go from the front only, and the bounds say how far they have gone.
fn check_complete(files: &Files, ids: &[u64]) -> Result<(), Error> {
    match files.io("", bounds::first_missing(files, ids))? {
        Some(file) => Err(Error::MissingSegment { path: files.storage.place(), file }),
        None => Ok(()),
    }
}

/// Takes in a full segment: by its index, or if that is no good by reading all of it, and then the index is made anew.
fn read_full(
    files: &Files,
    segment: &Arc<Segment>,
    rebuild: &mut Rebuild,
    report: &mut Recovery,
) -> Result<(), Error> {
    if segment.is_empty() {
        return Ok(());
    }
    let file = index::name_of(segment.id);
    if let Some(logs) = files.io(&file, index::read(&*files.storage, segment))? {
        logs.into_iter().for_each(|log| rebuild.add_indexed(log));
        return Ok(());
    }
    report.scanned += 1;
    let scan = files.io(&segment.name(), scan(segment))?;
    // It was synced before the next one was made, so whatever is wrong in it is damage.
    apply(segment, &scan, scan.bytes.len(), rebuild, report);
    let touched = touched_by(&scan, scan.bytes.len(), rebuild);
    if touched.iter().any(|(number, _)| rebuild.is_orphan(*number)) {
        // A later segment says whose they are; until then there is nothing to write down.
        return Ok(());
    }
    let logs = indexed(segment, &touched);
    let (written, logs) = match index::write(&*files.storage, segment, logs) {
        // A start needs no room: what it would say stays in memory.
        Err(error) if is_full(&error) => return Ok(()),
        written => files.io(&file, written)?,
    };
    let _ = segment.index.set(written);
    for indexed in logs {
        let Some(log) = rebuild.by_number.get(&indexed.number) else { continue };
        point_to_index(log, segment, &indexed);
    }
    Ok(())
}

/// What the index of a segment says of the logs that have records in it.
pub(crate) fn indexed(
    segment: &Arc<Segment>,
    touched: &[(u64, Option<Arc<crate::log::Log>>)],
) -> Vec<IndexedLog> {
    let index = |(number, log): &(u64, Option<Arc<crate::log::Log>>)| {
        let state = log.as_ref().map(|log| (log, log.lock())).filter(|(_, state)| !state.deleted);
        match state {
            None => IndexedLog { number: *number, state: None, base: 0, chapters: Vec::new() },
            Some((log, state)) => {
                let here = state.chapters.iter().filter(|chapter| Arc::ptr_eq(&chapter.segment, segment));
                let chapters = here.cloned().collect();
                let base = state.base;
                IndexedLog { number: *number, state: Some(state.durable_state(&log.name)), base, chapters }
            }
        }
    };
    touched.iter().map(index).collect()
}

/// From now on the extents of a log in `segment` are looked for in its index. What it weighed, and what it weighs now; nothing if
/// it is deleted.
pub(crate) fn point_to_index(
    log: &crate::log::Log,
    segment: &Arc<Segment>,
    indexed: &IndexedLog,
) -> (u64, u64) {
    let mut state = log.lock();
    let before = state.weight();
    for chapter in state.chapters.iter_mut().filter(|chapter| Arc::ptr_eq(&chapter.segment, segment)) {
        // It may have grown shorter since: a part was copied on.
        if let Some(stored) = indexed.chapters.iter().find(|stored| stored.last == chapter.last) {
            chapter.extents = stored.extents.clone();
        }
    }
    if state.deleted { (0, 0) } else { (before, state.weight()) }
}

/// Reads all of a segment.
fn scan(segment: &Segment) -> io::Result<Scan> {
    let length = usize::try_from(segment.length()).unwrap_or(usize::MAX);
    let bytes = segment.read(0, length)?;
    let (mut stretches, mut synced) = (Vec::new(), 0);
    let (mut ends_closed, mut lossy) = (false, false);
    let mut start = (SEGMENT_HEADER as usize).min(bytes.len());
    let mut sound_end = start;
    while let Some(found) = record::read(&bytes, start, segment.salt) {
        let stretch = match found {
            Found::Record { header, body, end } => {
                ends_closed = false;
                match codec::read_mark(body) {
                    Some(Body::Batch { synced: said, durability }) => {
                        synced = synced.max(said);
                        lossy |= durability != 0;
                    }
                    Some(Body::Close) => (ends_closed, lossy, synced) = (true, false, synced.max(end as u64)),
                    _ => {}
                }
                sound_end = end;
                Stretch { start, end, header: Some(header), is_sound: true }
            }
            Found::Damage { header, end } => Stretch { start, end, header, is_sound: false },
        };
        start = stretch.end;
        stretches.push(stretch);
    }
    Ok(Scan { bytes, stretches, synced, end: sound_end, ends_closed, lossy })
}

/// Where a segment that grew last ends: at the first damage that was not known to be durable. What follows it was part of the
/// same batch, and not acknowledged.
fn cut_point(scan: &Scan) -> usize {
    let is_torn = |stretch: &&Stretch| !stretch.is_sound && stretch.start as u64 >= scan.synced;
    scan.stretches.iter().find(is_torn).map_or(scan.end, |torn| torn.start)
}

/// Does what the records before `cut` say.
fn apply(segment: &Arc<Segment>, scan: &Scan, cut: usize, rebuild: &mut Rebuild, report: &mut Recovery) {
    if !is_header(&scan.bytes, segment.id) && cut > SEGMENT_HEADER as usize {
        report.damages.push(damage(segment, 0, SEGMENT_HEADER as usize, None));
    }
    for stretch in scan.before(cut) {
        let body = scan.body(stretch);
        if let (Some(body), Some(header)) = (body, &stretch.header) {
            let at = (stretch.start as u64, u32::try_from(stretch.end - stretch.start).unwrap_or(u32::MAX));
            if rebuild.apply(segment, header, body, at) {
                continue;
            }
        }
        let name = stretch.header.and_then(|said| name_of(&said, rebuild));
        let mut told = damage(segment, stretch.start, stretch.end, name);
        told.is_mended = apply_mended(segment, scan, stretch, rebuild);
        report.damages.push(told);
        if let Some(said) = stretch.header {
            rebuild.saw(said.log);
            rebuild.skip_damaged(said.log, said.last);
        } else {
            rebuild.lose_sight();
        }
    }
}

/// Does what a damaged record said that holds no entries, if that is known all the same; whether it is. That a log is called so, is
/// trimmed or is gone is not undone by a flipped bit. Entries are not served on such grounds.
fn apply_mended(segment: &Arc<Segment>, scan: &Scan, stretch: &Stretch, rebuild: &mut Rebuild) -> bool {
    let bytes = scan.bytes.get(stretch.start..stretch.end).unwrap_or_default();
    let Some((header, body)) = mended(bytes, segment.salt) else { return false };
    let Some(body) = codec::read(&body) else { return false };
    rebuild.apply(segment, &header, body, (stretch.start as u64, 0))
}

/// What a damaged record without entries said, if its header is known, and its body differs by a bit at most. Of a record that a log
/// is gone there is only one body, and so its checksum says it whole.
pub(crate) fn mended(bytes: &[u8], salt: u32) -> Option<(Header, Vec<u8>)> {
    let said = Header::read(bytes, salt).or_else(|| Header::guess(bytes, salt))?;
    let mut gone = Vec::new();
    codec::put_delete(&mut gone);
    let mended = if said.is_of(&gone) { Some((said, gone)) } else { record::mend(bytes, salt) };
    mended.filter(|(_, body)| !matches!(codec::read(body), None | Some(Body::Append(_) | Body::Copy(_))))
}

fn name_of(said: &Header, rebuild: &Rebuild) -> Option<String> {
    let named = rebuild.by_number.get(&said.log).map(|log| log.name.to_string());
    named.or_else(|| (said.log > 0).then(|| format!("number {}", said.log)))
}

fn damage(segment: &Segment, start: usize, end: usize, log: Option<String>) -> Damage {
    let length = end.saturating_sub(start) as u64;
    Damage { file: segment.name(), offset: start as u64, length, log, is_mended: false }
}

/// The logs that have records before `cut`.
fn touched_by(scan: &Scan, cut: usize, rebuild: &Rebuild) -> Vec<(u64, Option<Arc<crate::log::Log>>)> {
    // A damaged record has moved the end of its log, which is to be remembered too.
    let numbers = scan.before(cut).filter_map(|stretch| stretch.header).map(|header| header.log);
    let distinct: HashSet<u64> = numbers.filter(|number| *number > 0).collect();
    let mut numbers: Vec<u64> = distinct.into_iter().collect();
    numbers.sort_unstable();
    numbers.into_iter().map(|number| (number, rebuild.by_number.get(&number).cloned())).collect()
}

/// Reads all of a segment and lists what is damaged in it.
pub(crate) fn verify(segment: &Arc<Segment>) -> io::Result<Vec<Damage>> {
    let scan = scan(segment)?;
    let mut damages = Vec::new();
    if !is_header(&scan.bytes, segment.id) {
        damages.push(damage(segment, 0, SEGMENT_HEADER as usize, None));
    }
    for stretch in scan.stretches.iter().filter(|stretch| !stretch.is_sound) {
        let log =
            stretch.header.filter(|header| header.log > 0).map(|header| format!("number {}", header.log));
        let bytes = scan.bytes.get(stretch.start..stretch.end);
        let is_mended = bytes.and_then(|bytes| mended(bytes, segment.salt)).is_some();
        damages.push(Damage { is_mended, ..damage(segment, stretch.start, stretch.end, log) });
    }
    Ok(damages)
}
