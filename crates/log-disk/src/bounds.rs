//! Which segments there have to be: the file that names the first and the last one.
//!
//! One that is missing in the middle is noticed by its number; one that is missing at an end only because something says that there
//! was one. The file is shorter than a sector and written in place, so it takes no room on a full disk.

use std::io;

use crate::{files::Files, segment::Segment};

/// The file.
const BOUNDS: &str = "BOUNDS";
/// Its length: two numbers, a checksum, a space behind each and a line's end.
const LENGTH: usize = 43;

/// The first and the last segment that the directory has at least. `None` if nothing sound says so.
pub(crate) fn read(files: &Files) -> io::Result<Option<(u64, u64)>> {
    let file = match files.storage.open(BOUNDS) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = [0; LENGTH];
    let read = file.read_at(&mut text, 0)?;
    let said = text.get(..read).and_then(|text| std::str::from_utf8(text).ok());
    Ok(said.and_then(|said| {
        let mut numbers = said.split_ascii_whitespace().map(str::parse::<u64>);
        let (first, last) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        (said == text_of(first, last)).then_some((first, last))
    }))
}

/// Says durably that the segments from `first` to `last` are there.
pub(crate) fn write(files: &Files, (first, last): (u64, u64)) -> io::Result<()> {
    let known = files.storage.list()?.iter().any(|name| name == BOUNDS);
    let file = if known { files.storage.open(BOUNDS)? } else { files.storage.create(BOUNDS)? };
    file.write_at(text_of(first, last).as_bytes(), 0)?;
    file.sync()?;
    if known { Ok(()) } else { files.storage.sync_directory() }
}

fn text_of(first: u64, last: u64) -> String {
    let numbers = format!("{first:016} {last:016}");
    let crc = crc32fast::hash(numbers.as_bytes());
    format!("{numbers} {crc:08x}\n")
}

/// Segments that are missing from `ids`, which are in order: between two of them, and between what the bounds name.
pub(crate) fn missing(ids: &[u64], bounds: Option<(u64, u64)>) -> Vec<u64> {
    let (said_first, said_last) = bounds.unwrap_or((u64::MAX, 0));
    let first = ids.first().copied().unwrap_or(u64::MAX).min(said_first);
    let last = ids.last().copied().unwrap_or(0).max(said_last);
    // A number out of all reason comes from no directory of ours, and is no reason to count up to it.
    (first..=last).filter(|id| ids.binary_search(id).is_err()).take(MOST_MISSING).collect()
}

/// So many missing segments are told, and made anew, at once.
const MOST_MISSING: usize = 100_000;

/// The file of the first missing segment.
pub(crate) fn first_missing(files: &Files, ids: &[u64]) -> io::Result<Option<String>> {
    Ok(missing(ids, read(files)?).first().map(|id| Segment::name_of(*id)))
}
