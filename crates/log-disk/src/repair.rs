//! Mending a data directory that is damaged.

use std::{io, path::Path, sync::Arc};

use crate::{
    DiskStore, Error, Files, bounds,
    codec::{self},
    files::put,
    index,
    record::{self, Found},
    recover::{Damage, mended, verify},
    segment::{SEGMENT_HEADER, Segment, header},
    storage::{Directory, Storage},
};

/// How the name of a damaged segment ends that a repair has kept.
const DAMAGED: &str = ".damaged";

/// What was mended.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Repair {
    /// What was damaged, and is left out of the mended segments. The damaged ones are kept under the name `<segment>.damaged`, or
    /// `<segment>.damaged-2` and so on if there are earlier ones.
    pub damages: Vec<Damage>,
    /// Segments that were gone, and are empty now.
    pub missing: Vec<String>,
}

impl DiskStore {
    /// Mends the data directory `path`, which nobody may have open: segments with damage are written anew without it, and
    /// those that are gone are made empty. What is lost with them stays a gap for its readers. Does nothing to a directory that
    /// is whole.
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::Format`], [`Error::Io`].
    pub fn repair(path: &Path) -> Result<Repair, Error> {
        let directory = Directory::new(path).map_err(|source| Error::Io {
            path: path.display().to_string(),
            file: String::new(),
            source: Arc::new(source),
        })?;
        Self::repair_on(Arc::new(directory))
    }

    /// Mends a store whose files are elsewhere.
    ///
    /// # Errors
    /// As [`repair`](Self::repair).
    pub fn repair_on(storage: Arc<dyn Storage>) -> Result<Repair, Error> {
        let mut files = Files { storage, salt: 0 };
        let _lock = files.lock()?;
        files.check_format()?;
        undo_half_done(&files)?;
        let mut ids: Vec<u64> =
            files.io("", files.storage.list())?.iter().filter_map(|name| Segment::id_of(name)).collect();
        ids.sort_unstable();
        let mut repair = Repair::default();
        let bounds = files.io("", bounds::read(&files))?;
        for gone in bounds::missing(&ids, bounds) {
            files.io(&Segment::name_of(gone), put_empty(&files, gone))?;
            repair.missing.push(Segment::name_of(gone));
        }
        for id in &ids {
            let name = Segment::name_of(*id);
            let segment = files.io(&name, Segment::open(&*files.storage, *id, files.salt))?;
            let length = segment.length();
            let damages = files.io(&name, verify(&segment))?;
            // What a start would cut from the last one is no damage.
            if damages.is_empty() || (Some(id) == ids.last() && is_torn_tail(&damages, length)) {
                continue;
            }
            files.io(&name, mend(&files, &segment))?;
            repair.damages.extend(damages);
        }
        for damage in &repair.damages {
            tracing::warn!(
                file = damage.file,
                offset = damage.offset,
                bytes = damage.length,
                "damage left out"
            );
        }
        for file in &repair.missing {
            tracing::warn!(file, "a segment was gone; an empty one stands in its place");
        }
        Ok(repair)
    }
}

fn is_torn_tail(damages: &[Damage], length: u64) -> bool {
    matches!(damages, [damage] if damage.offset + damage.length == length && damage.offset >= SEGMENT_HEADER)
}

/// Writes a segment anew without what is damaged in it. A record that says whose entries it held leaves a note that they are
/// missing, so that their numbers are not used again.
fn mend(files: &Files, segment: &Segment) -> io::Result<()> {
    let bytes = segment.read(0, usize::try_from(segment.length()).unwrap_or(usize::MAX))?;
    let (mut sound, mut offset) = (header(segment.id, segment.salt), SEGMENT_HEADER as usize);
    while let Some(found) = record::read(&bytes, offset, segment.salt) {
        let start = offset;
        match found {
            Found::Record { end, .. } => {
                sound.extend_from_slice(bytes.get(start..end).unwrap_or_default());
                offset = end;
            }
            Found::Damage { header, end } => {
                let at = sound.len();
                match bytes.get(start..end).and_then(|bytes| mended(bytes, segment.salt)) {
                    Some((header, body)) => {
                        record::write(header.log, header.last, &mut sound, |out| out.extend(body));
                    }
                    None => {
                        let (log, last) = header.map_or((0, 0), |header| (header.log, header.last));
                        record::write(log, last, &mut sound, codec::put_hole);
                    }
                }
                record::stamp(sound.get_mut(at..).unwrap_or_default(), segment.salt);
                offset = end;
            }
        }
    }
    // Wherever this is broken off, the segment is there under its name, whole or as it was. Its index goes before, for it says
    // where records lay that may lie elsewhere then.
    let storage = &*files.storage;
    put(storage, &kept_name(storage, &segment.name())?, &bytes)?;
    match storage.remove(&index::name_of(segment.id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => storage.sync_directory()?,
    }
    put(storage, &segment.name(), &sound).map(drop)
}

/// Puts a segment in the place of one that is gone, with a note that nobody knows what it held.
fn put_empty(files: &Files, id: u64) -> io::Result<()> {
    let (mut bytes, mut hole) = (header(id, files.salt), Vec::new());
    record::write(0, 0, &mut hole, codec::put_hole);
    record::stamp(&mut hole, files.salt);
    bytes.append(&mut hole);
    put(&*files.storage, &Segment::name_of(id), &bytes).map(drop)
}

/// What a damaged segment is kept as: a name that no file has.
fn kept_name(storage: &dyn Storage, segment: &str) -> io::Result<String> {
    let names = storage.list()?;
    let first = format!("{segment}{DAMAGED}");
    let later = (2_u32..).map(|nth| format!("{first}-{nth}"));
    let free = std::iter::once(first.clone()).chain(later).find(|name| !names.contains(name));
    free.ok_or_else(|| io::Error::other("no name is free for the damaged segment"))
}

/// Gives a segment its name back that was being repaired by a release that took the damaged one away before it put the mended one in
/// its place. Segments go from the front only, so one that is missing behind another has not gone by itself.
pub(crate) fn undo_half_done(files: &Files) -> Result<(), Error> {
    let names = files.io("", files.storage.list())?;
    let oldest = names.iter().filter_map(|name| Segment::id_of(name)).min().unwrap_or_default();
    for kept in &names {
        let Some(segment) = kept.strip_suffix(DAMAGED) else { continue };
        let Some(id) = Segment::id_of(segment) else { continue };
        if id > oldest && !names.iter().any(|name| name == segment) {
            tracing::warn!(
                file = segment,
                "a repair was broken off; the damaged segment is back in its place"
            );
            let back = files.storage.rename(kept, segment).and_then(|()| files.storage.sync_directory());
            files.io(segment, back)?;
        }
    }
    Ok(())
}
