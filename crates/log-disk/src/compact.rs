//! Making room: what lives in a segment is copied on, and the segment goes.
//!
//! Mostly the oldest goes. A record that a log was deleted goes with it: there is no older segment left that it speaks of. Where
//! another one goes, such records are said again too, and a segment without records keeps its number taken.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use streamnest_core::StoreError;

use crate::{
    codec::{self, Body, Decoder, Kind},
    completion, index,
    log::Log,
    queue::{Health, What},
    record::{self, Found},
    segment::{SEGMENT_HEADER, Segment},
    store::Inner,
};

/// How often it is looked whether there is room to be made, unless something happens that makes some.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Bytes that are copied before it is waited until they are durable.
const COPY_AT_ONCE: usize = 1 << 20;

/// Wakes the thread that makes room.
#[derive(Debug, Default)]
pub(crate) struct Compactor {
    state: Mutex<Signals>,
    changed: Condvar,
    /// Held by who compacts.
    turn: Mutex<()>,
}

#[derive(Debug, Default)]
struct Signals {
    awake: bool,
    closing: bool,
}

impl Compactor {
    pub(crate) fn wake(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).awake = true;
        self.changed.notify_all();
    }

    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closing = true;
        self.changed.notify_all();
    }

    /// Waits until there is something to look at; whether the store goes on.
    fn wait(&self) -> bool {
        let signals = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let asleep = |signals: &mut Signals| !signals.awake && !signals.closing;
        let waited = self.changed.wait_timeout_while(signals, LOOK_EVERY, asleep);
        let (mut signals, _) = waited.unwrap_or_else(PoisonError::into_inner);
        signals.awake = false;
        !signals.closing
    }
}

/// Makes room until the store is closed.
pub(crate) fn run(inner: &Arc<Inner>) {
    while inner.compactor.wait() {
        match compact_all(inner) {
            Ok(()) => {}
            Err(Stopped::Store) => {
                tracing::debug!("compaction stops: the store takes nothing at this moment")
            }
            Err(Stopped::Io(error)) => tracing::warn!(%error, "a segment could not be compacted"),
        }
    }
}

/// Why compaction did not go on.
pub(crate) enum Stopped {
    /// The store takes nothing.
    Store,
    Io(io::Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<StoreError> for Stopped {
    fn from(_: StoreError) -> Self {
        Self::Store
    }
}

/// Lets segments go while that is worth it.
pub(crate) fn compact_all(inner: &Arc<Inner>) -> Result<(), Stopped> {
    let _turn = inner.compactor.turn.lock().unwrap_or_else(PoisonError::into_inner);
    // What is copied meanwhile has its turn another time.
    let newest = inner.catalog().segments.keys().next_back().copied().unwrap_or_default();
    while let Some(segment) = worth_it(inner).filter(|segment| segment.id <= newest) {
        compact(inner, &segment)?;
    }
    Ok(())
}

/// A full segment that is to go: one that is dead, or the oldest if enough bytes of all full ones are dead, or on a full disk the one
/// of which the least has to be written elsewhere.
fn worth_it(inner: &Inner) -> Option<Arc<Segment>> {
    let catalog = inner.catalog();
    let full = catalog.segments.len().checked_sub(1).filter(|full| *full > 0)?;
    let (oldest, newer) = {
        let mut segments = catalog.segments.values().take(full);
        (segments.next()?, segments.filter(|segment| !segment.is_empty()))
    };
    let live = |segment: &Segment| segment.live.load(Ordering::Acquire).min(segment.length());
    let (mut bytes, mut living) = (oldest.length(), live(oldest));
    let mut least = Some(oldest).filter(|oldest| fits_when_full(inner, oldest));
    if living == 0 {
        return Some(oldest.clone());
    }
    for segment in newer {
        bytes += segment.length();
        living += live(segment);
        if live(segment) == 0 && segment.moves() <= segment.length() / 4 {
            return Some(segment.clone());
        }
        if fits_when_full(inner, segment) && least.is_none_or(|least| segment.moves() < least.moves()) {
            least = Some(segment);
        }
    }
    let dead_share = (bytes - living) as f64 / bytes.max(1) as f64;
    match dead_share > inner.options.compact_above {
        true => Some(oldest.clone()),
        false => least.filter(|_| matches!(inner.queue.health(), Health::Full)).cloned(),
    }
}

/// Whether a segment gives room on a full disk: what has to be written elsewhere is three quarters of it at most, and fits into half
/// of the reserve, which was given up when the disk became full. The other half is for records that delete.
fn fits_when_full(inner: &Inner, segment: &Segment) -> bool {
    let (length, moves) = (segment.length(), segment.moves());
    moves <= inner.options.reserve_bytes / 2 && moves <= length - length / 4
}

/// Lets a segment go, after what it says was said again elsewhere.
fn compact(inner: &Arc<Inner>, segment: &Arc<Segment>) -> Result<(), Stopped> {
    let is_oldest = inner.catalog().segments.keys().next() == Some(&segment.id);
    if !segment.is_empty() && !say_again(inner, segment, is_oldest)? {
        return Ok(());
    }
    if !is_oldest {
        // A segment without records takes its place at one moment. Who reads the one before reads on.
        let empty = Segment::create(&*inner.files.storage, segment.id, inner.files.salt)?;
        inner.catalog().segments.insert(segment.id, empty);
        return Ok(inner.files.remove(&[index::name_of(segment.id)])?);
    }
    inner.catalog().segments.remove(&segment.id);
    if let Err(error) = inner.note_bounds() {
        // Its file is still there: the next turn tries again.
        inner.catalog().segments.insert(segment.id, segment.clone());
        return Err(error.into());
    }
    Ok(inner.files.remove_segment(segment)?)
}

/// Writes to the end what a segment says that is still true, durably; whether it may go now.
fn say_again(inner: &Arc<Inner>, segment: &Arc<Segment>, is_oldest: bool) -> Result<bool, Stopped> {
    let spoken_of: Option<HashMap<u64, bool>> = match is_oldest {
        true => None,
        false => match index::read(&*inner.files.storage, segment)? {
            Some(logs) => Some(logs.iter().map(|log| (log.number, log.state.is_some())).collect()),
            None => {
                // Nobody knows which deleted logs older segments would bring back: it goes when it is the oldest.
                segment.says.store(u64::MAX, Ordering::Release);
                return Ok(false);
            }
        },
    };
    let logs: Vec<Arc<Log>> = inner.catalog().by_name.values().cloned().collect();
    let mut copied = 0;
    let mut living = HashSet::new();
    for log in &logs {
        let is_spoken_of = spoken_of.as_ref().is_none_or(|spoken_of| spoken_of.contains_key(&log.number));
        let lives = {
            let state = log.lock();
            let here = |chapter: &crate::segment::Chapter| Arc::ptr_eq(&chapter.segment, segment);
            !state.deleted && ((is_spoken_of && state.base <= segment.id) || state.chapters.iter().any(here))
        };
        if lives {
            living.insert(log.number);
            state_again(inner, log, segment.id)?;
        }
    }
    for (number, _) in spoken_of.into_iter().flatten().filter(|(_, lived)| !lived) {
        if let Some(gone) = Log::gone(number) {
            inner.push(&gone, 0, What::Noted, true, codec::put_delete)?;
        }
    }
    if segment.live.load(Ordering::Acquire) > 0 {
        copied = copy_entries(inner, segment, &living)?;
    }
    // After the copying, for what was trimmed meanwhile was not copied.
    logs.iter().try_for_each(|log| note_trim(inner, log))?;
    wait_durable(inner)?;
    tracing::debug!(segment = segment.name(), copied, "what lives in a segment was copied");
    Ok(true)
}

/// Writes down how far a log is trimmed: what is trimmed is not copied, and is not to look damaged. It may have been written
/// down before, but where that stands may be what goes.
fn note_trim(inner: &Inner, log: &Arc<Log>) -> Result<(), Stopped> {
    let mut state = log.lock();
    let trimmed = state.trimmed;
    if !state.deleted && trimmed > 0 {
        inner.push(log, state.accepted, What::Noted, true, |out| codec::put_trim(trimmed, out))?;
        state.trim_written = trimmed;
    }
    Ok(())
}

/// Says again all there is to know of a log, if no segment after `id` does.
fn state_again(inner: &Inner, log: &Arc<Log>, id: u64) -> Result<(), Stopped> {
    let state = log.lock();
    if state.deleted || state.base > id {
        return Ok(());
    }
    let said = state.accepted_state(&log.name);
    inner.push(log, state.accepted, What::Stated, true, |out| codec::put_state(&said, out))?;
    Ok(())
}

fn wait_durable(inner: &Arc<Inner>) -> Result<(), Stopped> {
    let (promise, done) = completion::pair();
    inner.barrier(promise)?;
    match done.wait() {
        Some(Ok(())) => Ok(()),
        _ => Err(Stopped::Store),
    }
}

/// Copies the records of living entries in the order in which they lie there; how many bytes.
fn copy_entries(inner: &Arc<Inner>, segment: &Arc<Segment>, living: &HashSet<u64>) -> Result<usize, Stopped> {
    let by_number: HashMap<u64, Arc<Log>> =
        inner.catalog().by_name.values().map(|log| (log.number, log.clone())).collect();
    let bytes = Bytes::from(segment.read(0, usize::try_from(segment.length()).unwrap_or(usize::MAX))?);
    let (mut offset, mut copied, mut waiting) = (SEGMENT_HEADER as usize, 0, 0);
    let mut decoder = Decoder::default();
    while let Some(found) = record::read(&bytes, offset, segment.salt) {
        let (header, body) = match found {
            Found::Record { header, body, end } => {
                offset = end;
                (header, body)
            }
            Found::Damage { end, .. } => {
                // Its readers have been told, or will be: what lay here becomes a hole.
                tracing::error!(
                    segment = segment.name(),
                    offset,
                    "damage found; what lay here is not copied"
                );
                offset = end;
                continue;
            }
        };
        let Some(log) = by_number.get(&header.log).filter(|log| living.contains(&log.number)) else {
            continue;
        };
        let Some(Body::Append(entries) | Body::Copy(entries)) = codec::read(body) else { continue };
        if entries.count == 0 {
            continue;
        }
        let (first, last) = (entries.first, entries.last());
        let state = log.lock();
        let here = state.chapters.iter().any(|chapter| {
            Arc::ptr_eq(&chapter.segment, segment) && chapter.first <= first && last <= chapter.last
        });
        if state.deleted || !here || last <= state.trimmed {
            continue;
        }
        let Some((read, _)) = entries.read(&bytes, &mut decoder) else { continue };
        let what = What::Copied { first, last };
        inner.push(log, state.accepted, what, true, |out| {
            codec::put_entries(Kind::Copy, entries.term, first, read.iter(), &[], out);
        })?;
        drop(state);
        (copied, waiting) = (copied + body.len(), waiting + body.len());
        if waiting >= COPY_AT_ONCE {
            wait_durable(inner)?;
            waiting = 0;
        }
    }
    Ok(copied)
}
