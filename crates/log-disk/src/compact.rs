//! Making room: what lives in the oldest segment is copied on, and the segment goes.
//!
//! Segments go from the front only. So a record that a log was deleted can go as soon as it lies in the oldest segment: there is
//! no older one left that it speaks of.

use std::{
    collections::HashSet,
    io,
    sync::{Arc, Condvar, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use streamnest_core::StoreError;

use crate::{
    codec::{self, Body, Decoder, Kind},
    completion,
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

/// Lets segments go from the front while that is worth it.
pub(crate) fn compact_all(inner: &Arc<Inner>) -> Result<(), Stopped> {
    let _turn = inner.compactor.turn.lock().unwrap_or_else(PoisonError::into_inner);
    // What is copied meanwhile has its turn another time.
    let newest = inner.catalog().segments.keys().next_back().copied().unwrap_or_default();
    while let Some(oldest) = worth_it(inner).filter(|oldest| oldest.id <= newest) {
        compact(inner, &oldest)?;
    }
    Ok(())
}

/// The oldest segment, if it is full and enough bytes of all full ones are dead; or if it is dead itself.
fn worth_it(inner: &Inner) -> Option<Arc<Segment>> {
    let catalog = inner.catalog();
    let full = catalog.segments.len().checked_sub(1).filter(|full| *full > 0)?;
    let (mut bytes, mut live) = (0, 0);
    for segment in catalog.segments.values().take(full) {
        bytes += segment.length();
        live += segment.live.load(Ordering::Acquire).min(segment.length());
    }
    let oldest = catalog.segments.values().next()?;
    let dead_share = (bytes - live) as f64 / bytes.max(1) as f64;
    let dead = oldest.live.load(Ordering::Acquire) == 0;
    let makes_room = matches!(inner.queue.health(), Health::Full) && fits_when_full(inner, oldest);
    (dead || dead_share > inner.options.compact_above || makes_room).then(|| oldest.clone())
}

/// Whether a segment gives room on a full disk: a quarter of it is dead, and what lives fits into half of the reserve, which was
/// given up when the disk became full. The other half is for records that delete.
fn fits_when_full(inner: &Inner, segment: &Segment) -> bool {
    let (length, live) = (segment.length(), segment.live.load(Ordering::Acquire));
    live <= inner.options.reserve_bytes / 2 && live <= length - length / 4
}

/// Copies what lives in `segment` and lets it go.
fn compact(inner: &Arc<Inner>, segment: &Arc<Segment>) -> Result<(), Stopped> {
    let logs: Vec<Arc<Log>> = inner.catalog().by_name.values().cloned().collect();
    let mut copied = 0;
    let mut living = HashSet::new();
    for log in &logs {
        let lives = {
            let state = log.lock();
            let here = |chapter: &crate::segment::Chapter| Arc::ptr_eq(&chapter.segment, segment);
            !state.deleted && (state.base <= segment.id || state.chapters.iter().any(here))
        };
        if lives {
            living.insert(log.number);
            state_again(inner, log, segment.id)?;
        }
    }
    if segment.live.load(Ordering::Acquire) > 0 {
        copied = copy_entries(inner, segment, &living)?;
    }
    // After the copying, for what was trimmed meanwhile was not copied.
    logs.iter().try_for_each(|log| note_trim(inner, log))?;
    wait_durable(inner)?;
    inner.catalog().segments.remove(&segment.id);
    if let Err(error) = inner.note_bounds() {
        // Its file is still there: the next turn tries again.
        inner.catalog().segments.insert(segment.id, segment.clone());
        return Err(error.into());
    }
    inner.files.remove_segment(segment)?;
    tracing::debug!(segment = segment.name(), copied, "segment compacted");
    Ok(())
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
    let by_number: std::collections::HashMap<u64, Arc<Log>> =
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
