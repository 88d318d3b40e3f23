//! Making room: what lives in a segment is copied on, and the segment goes.
//!
//! Mostly the oldest goes. A record that a log was deleted goes with it: there is no older segment left that it speaks of. Where
//! another one goes, such records are said again too, and a segment without records keeps its number taken.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use streamnest_core::StoreError;

use crate::{
    codec::{self, Body, Decoder, Kind},
    completion, index,
    log::Log,
    plan::{self, Plan},
    queue::What,
    record::{self, Found, HEADER},
    segment::{SEGMENT_HEADER, Segment},
    store::Inner,
};

/// How often it is looked whether there is room to be made, unless something happens that makes some, or the disk is full.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Bytes that are written before it is waited until they are durable.
const WRITE_AT_ONCE: u64 = 1 << 20;

/// Wakes the thread that makes room.
#[derive(Debug, Default)]
pub(crate) struct Compactor {
    state: Mutex<Signals>,
    changed: Condvar,
    /// Held by who compacts.
    turn: Mutex<()>,
    /// Whether there was no room for something that was to be said again.
    left_out: AtomicBool,
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

    /// There was no room for what was to be said again, and nobody waits for it.
    pub(crate) fn leave_out(&self) {
        self.left_out.store(true, Ordering::Release);
    }

    /// Waits until there is something to look at, at most `patience`; whether the store goes on.
    fn wait(&self, patience: Duration) -> bool {
        let signals = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let asleep = |signals: &mut Signals| !signals.awake && !signals.closing;
        let waited = self.changed.wait_timeout_while(signals, patience, asleep);
        let (mut signals, _) = waited.unwrap_or_else(PoisonError::into_inner);
        signals.awake = false;
        !signals.closing
    }
}

/// Makes room until the store is closed.
pub(crate) fn run(inner: &Arc<Inner>) {
    let patience = || if inner.is_full() { inner.options.full_retry } else { LOOK_EVERY };
    while inner.compactor.wait(patience()) {
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
    // What is copied meanwhile has its turn another time, and so has what cannot go now.
    let newest = inner.catalog().segments.keys().next_back().copied().unwrap_or_default();
    let mut stay = HashSet::new();
    while let Some(segment) = worth_it(inner, &stay).filter(|segment| segment.id <= newest) {
        if !compact(inner, &segment)? {
            stay.insert(segment.id);
        }
    }
    Ok(())
}

/// A full segment that is to go: one that is dead, or the oldest if enough bytes of all full ones are dead, or on a full disk the one
/// of which the least has to be written elsewhere. None of those that `stay`.
fn worth_it(inner: &Inner, stay: &HashSet<u64>) -> Option<Arc<Segment>> {
    let is_full = inner.is_full();
    let catalog = inner.catalog();
    let full = catalog.segments.len().checked_sub(1).filter(|full| *full > 0)?;
    let (oldest, newer) = {
        let mut segments = catalog.segments.values().take(full);
        (segments.next()?, segments.filter(|segment| !segment.is_empty()))
    };
    let may_go = |segment: &Segment| !stay.contains(&segment.id);
    // What else it says is known when its index is read.
    let may_fit =
        |segment: &Segment| may_go(segment) && plan::fits_when_full(inner, segment, segment.living());
    let (mut bytes, mut living) = (oldest.length(), oldest.living());
    let mut least = Some(oldest).filter(|oldest| is_full && may_fit(oldest));
    if living == 0 && may_go(oldest) {
        return Some(oldest.clone());
    }
    for segment in newer {
        bytes += segment.length();
        living += segment.living();
        if segment.living() == 0 && segment.moves() <= segment.length() / 4 && may_go(segment) {
            return Some(segment.clone());
        }
        if is_full && may_fit(segment) && least.is_none_or(|least| segment.moves() < least.moves()) {
            least = Some(segment);
        }
    }
    let dead_share = (bytes - living) as f64 / bytes.max(1) as f64;
    match dead_share > inner.options.compact_above && may_go(oldest) {
        true => Some(oldest.clone()),
        false => least.cloned(),
    }
}

/// Lets a segment go, after what it says was said again elsewhere; whether it went.
fn compact(inner: &Arc<Inner>, segment: &Arc<Segment>) -> Result<bool, Stopped> {
    let is_oldest = inner.catalog().segments.keys().next() == Some(&segment.id);
    if !segment.is_empty() {
        let Some(plan) = Plan::of(inner, segment, is_oldest)? else { return Ok(false) };
        if inner.is_full() && !plan::fits_when_full(inner, segment, plan.bytes) {
            return Ok(false);
        }
        if !say_again(inner, segment, plan)? {
            return Ok(false);
        }
    }
    if !is_oldest {
        // A segment without records takes its place at one moment. Who reads the one before reads on.
        let empty = Segment::create(&*inner.files.storage, segment.id, inner.files.salt)?;
        inner.catalog().segments.insert(segment.id, empty);
        inner.files.remove(&[index::name_of(segment.id)])?;
        return Ok(true);
    }
    inner.catalog().segments.remove(&segment.id);
    if let Err(error) = inner.note_bounds() {
        // Its file is still there: the next turn tries again.
        inner.catalog().segments.insert(segment.id, segment.clone());
        return Err(error.into());
    }
    inner.files.remove_segment(segment)?;
    Ok(true)
}

/// Writes to the end what a segment says that is still true, durably; whether there was room for all of it. What there was room for
/// need not be said another time.
fn say_again(inner: &Arc<Inner>, segment: &Arc<Segment>, plan: Plan) -> Result<bool, Stopped> {
    inner.compactor.left_out.store(false, Ordering::Release);
    let mut pace = Pace { inner, left: plan.bytes, waiting: 0 };
    for log in plan.living.values() {
        pace.wrote(state_again(inner, log, segment.id)?)?;
    }
    for gone in &plan.gone {
        inner.push(gone, 0, What::Noted, true, codec::put_delete)?;
        pace.wrote(plan::GONE)?;
    }
    if segment.living() > 0 {
        copy_entries(&mut pace, segment, &plan.living)?;
    }
    // After the copying, for what was trimmed meanwhile was not copied.
    for log in &plan.spoken_of {
        pace.wrote(note_trim(inner, log)?)?;
    }
    wait_durable(inner)?;
    tracing::debug!(segment = segment.name(), bytes = plan.bytes, "what lives in a segment was said again");
    Ok(!inner.compactor.left_out.load(Ordering::Acquire))
}

/// What is written before a segment may go, a piece after the other.
struct Pace<'a> {
    inner: &'a Arc<Inner>,
    /// Bytes that are to come, at most.
    left: u64,
    /// Bytes that may not be durable yet.
    waiting: u64,
}

impl Pace<'_> {
    /// So many bytes more wait to be written. A disk that has become full meanwhile takes the rest only if that is little.
    fn wrote(&mut self, bytes: u64) -> Result<(), Stopped> {
        self.left = self.left.saturating_sub(bytes);
        self.waiting += bytes;
        if self.waiting >= WRITE_AT_ONCE {
            wait_durable(self.inner)?;
            self.waiting = 0;
            if self.inner.is_full() && self.left > self.inner.options.reserve_bytes / 2 {
                return Err(Stopped::Store);
            }
        }
        Ok(())
    }
}

/// Writes down how far a log is trimmed: what is trimmed is not copied, and is not to look damaged. It may have been written
/// down before, but where that stands may be what goes. Returns how many bytes that takes.
fn note_trim(inner: &Inner, log: &Arc<Log>) -> Result<u64, Stopped> {
    let mut state = log.lock();
    let trimmed = state.trimmed;
    if state.deleted || trimmed == 0 {
        return Ok(0);
    }
    inner.push(log, state.accepted, What::Noted, true, |out| codec::put_trim(trimmed, out))?;
    state.trim_written = trimmed;
    Ok(plan::TRIMMED)
}

/// Says again all there is to know of a log, if no segment after `id` does. Returns how many bytes that takes.
fn state_again(inner: &Inner, log: &Arc<Log>, id: u64) -> Result<u64, Stopped> {
    let state = log.lock();
    if state.deleted || state.base > id {
        return Ok(0);
    }
    let said = state.accepted_state(&log.name);
    inner.push(log, state.accepted, What::Stated, true, |out| codec::put_state(&said, out))?;
    Ok(state.said_bytes(&log.name))
}

fn wait_durable(inner: &Arc<Inner>) -> Result<(), Stopped> {
    let (promise, done) = completion::pair();
    inner.barrier(promise)?;
    match done.wait() {
        Some(Ok(())) => Ok(()),
        _ => Err(Stopped::Store),
    }
}

/// Copies the records of living entries in the order in which they lie there.
fn copy_entries(
    pace: &mut Pace<'_>,
    segment: &Arc<Segment>,
    living: &BTreeMap<u64, Arc<Log>>,
) -> Result<(), Stopped> {
    let bytes = Bytes::from(segment.read(0, usize::try_from(segment.length()).unwrap_or(usize::MAX))?);
    let mut offset = SEGMENT_HEADER as usize;
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
        let Some(log) = living.get(&header.log) else { continue };
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
        pace.inner.push(log, state.accepted, what, true, |out| {
            codec::put_entries(Kind::Copy, entries.term, first, read.iter(), &[], out);
        })?;
        drop(state);
        pace.wrote((HEADER + body.len()) as u64)?;
    }
    Ok(())
}
