//! The one thread that writes: one write and one sync for all that waits.

use std::{
    collections::HashMap,
    io, mem,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use streamnest_core::{DurabilityWatch, Mark, StoreError};

use crate::{
    codec,
    log::{Log, PLACE_WEIGHT},
    options::Durability,
    queue::{BATCH_RECORD, Batch, Health, Item, Next, What},
    record,
    room::is_full,
    segment::{self, Extent, Segment},
    store::Inner,
};

/// How long nothing may come before it is noted how much is durable, so that a flipped bit after that is told from a torn tail.
const IDLE: Duration = Duration::from_millis(20);
/// Memory of a batch that is kept for the next one.
const KEPT_BATCH: usize = 4 << 20;

/// What the thread has at hand.
pub(crate) struct Committer {
    pub(crate) inner: Arc<Inner>,
    pub(crate) active: Arc<Segment>,
    /// Logs with records in the active segment, by number; `None` are those that were deleted, of which nothing else matters.
    pub(crate) touched: HashMap<u64, Option<Arc<Log>>>,
    /// How much of the active segment is durable, and whether a batch has said so.
    pub(crate) synced: u64,
    pub(crate) noted: u64,
    /// Whether the active segment durably says in which mode it grows since the store was opened. A batch that says so first is
    /// synced in any mode before it is visible: a start after a power cut must find out that visible entries may be gone.
    pub(crate) is_mode_durable: bool,
    pub(crate) last_sync: Instant,
    /// When it was looked last whether a full disk has room.
    pub(crate) looked: Instant,
}

impl Committer {
    /// Writes until the store is closed or broken.
    pub(crate) fn run(mut self) {
        let mut stopped = Ok(());
        while stopped.is_ok() {
            stopped = match self.inner.queue.next(self.patience()) {
                Next::Write(batch) => self.commit(batch),
                Next::Idle => self.idle(),
                Next::Close => break,
            };
            if stopped.is_ok() && self.until_look().is_some_and(|left| left.is_zero()) {
                stopped = self.look_for_room();
            }
        }
        let ended = stopped.and_then(|()| self.close());
        if let Err(error) = ended {
            tracing::error!(%error, "log store failed, and takes nothing more");
            let error = Arc::new(error);
            let waiting = self.inner.queue.fail(Health::Failed(error.clone()));
            self.break_off(waiting, &error);
            return;
        }
        self.inner.queue.set_health(Health::Closed);
    }

    /// How long to wait for the next batch at most.
    fn patience(&self) -> Option<Duration> {
        let until_sync = match self.inner.options.durability {
            Durability::Interval(interval) if self.synced < self.active.length() => {
                Some(interval.saturating_sub(self.last_sync.elapsed()))
            }
            _ => None,
        };
        let until_note = (self.noted < self.synced).then_some(IDLE);
        until_sync.into_iter().chain(until_note).chain(self.until_look()).min()
    }

    /// Syncs what is due, or notes how much is durable.
    fn idle(&mut self) -> io::Result<()> {
        if let Durability::Interval(interval) = self.inner.options.durability
            && self.synced < self.active.length()
            && self.last_sync.elapsed() >= interval
        {
            self.sync()?;
            return Ok(());
        }
        if self.noted >= self.synced {
            return Ok(());
        }
        let mut note = Vec::with_capacity(BATCH_RECORD);
        self.put_batch(&mut note);
        let at = self.active.length();
        // It is not synced, and nobody waits for it.
        match self.active.file.write_at(&note, at) {
            Ok(()) => self.active.length.store(at + note.len() as u64, Ordering::Release),
            Err(error) if is_full(&error) => {}
            Err(error) => return Err(error),
        }
        self.noted = self.synced;
        Ok(())
    }

    fn put_batch(&self, out: &mut Vec<u8>) {
        let (synced, durability) = (self.synced, self.inner.options.durability);
        let at = out.len();
        record::write(0, 0, out, |body| codec::put_batch(synced, durability, body));
        record::stamp(out.get_mut(at..).unwrap_or_default(), self.active.salt);
    }

    pub(crate) fn sync(&mut self) -> io::Result<()> {
        self.active.file.sync()?;
        self.synced = self.active.length();
        self.last_sync = Instant::now();
        Ok(())
    }

    /// Writes a batch and does what it says once it is durable.
    fn commit(&mut self, batch: Batch) -> io::Result<()> {
        let mut batch = by_log(batch);
        for item in batch.items.iter().filter(|item| item.length > 0) {
            record::stamp(batch.bytes.get_mut(item.start..).unwrap_or_default(), self.active.salt);
        }
        self.frame(&mut batch);
        let at = self.active.length();
        if let Err(error) = self.write_batch(&mut batch, at) {
            return self.give_up(batch, error);
        }
        self.noted = self.synced;
        self.active.length.store(at + batch.bytes.len() as u64, Ordering::Release);
        let due = !self.is_mode_durable
            || match self.inner.options.durability {
                Durability::Sync => true,
                Durability::Interval(interval) => self.last_sync.elapsed() >= interval,
                Durability::Memory => false,
            };
        if due && let Err(error) = self.sync() {
            return self.give_up(batch, error);
        }
        self.is_mode_durable |= !batch.bytes.is_empty();
        self.apply(at, mem::take(&mut batch.items));
        self.inner.queue.recycle(batch.bytes, KEPT_BATCH);
        // On a full disk the reserve is for what makes room, and not for an index.
        if self.is_active_full() && !self.inner.is_full() {
            self.roll()?;
        }
        Ok(())
    }

    /// Lets a batch of stamped records begin and end as one does.
    fn frame(&self, batch: &mut Batch) {
        say_twice(batch);
        let mut head = Vec::with_capacity(BATCH_RECORD);
        self.put_batch(&mut head);
        if let Some(place) = batch.bytes.get_mut(..BATCH_RECORD) {
            place.copy_from_slice(&head);
        }
    }

    /// Writes a batch. For what comes from outside it waits until there is room; what is only said again, so that a segment may go, is
    /// left out where there is none: it is to make room, and would wait for itself.
    fn write_batch(&mut self, batch: &mut Batch, at: u64) -> io::Result<()> {
        if batch.items.iter().any(Item::is_said_again) {
            match self.write_once(&batch.bytes, at) {
                Err(error) if is_full(&error) => {}
                written => return written,
            }
            // Nothing of it is left behind what is written in its place.
            self.active.file.set_length(at)?;
            *batch = without_said_again(mem::take(batch));
            self.inner.compactor.leave_out();
            if batch.items.iter().all(|item| item.length == 0) {
                batch.bytes.clear();
                return Ok(());
            }
            self.frame(batch);
        }
        self.write(&batch.bytes, at)
    }

    /// Tells everyone of `batch` that it is lost.
    fn give_up(&mut self, batch: Batch, error: io::Error) -> io::Result<()> {
        let shared = Arc::new(io::Error::new(error.kind(), error.to_string()));
        // Nothing is taken from here on, so that nothing of what waits comes too late to hear of it.
        self.inner.queue.set_health(Health::Failed(shared.clone()));
        self.break_off(batch, &shared);
        Err(error)
    }

    /// Does what the records of a batch say, now that they are durable, and tells who waits. `at` is where the batch lies.
    fn apply(&mut self, at: u64, items: Vec<Item>) {
        let mut told: Vec<(Arc<dyn DurabilityWatch>, Mark)> = Vec::new();
        let mut done = Vec::new();
        let mut items = items.into_iter().peekable();
        while let Some(item) = items.next() {
            let Some(log) = item.log else {
                if let What::Barrier(promise) = item.what {
                    done.push(promise);
                }
                continue;
            };
            let touched = self.touched.entry(log.number).or_insert_with(|| Some(log.clone()));
            let mut state = log.lock();
            let (before, weight) = (state.mark(), state.weight());
            let mut next = Some((item.start, item.length, item.what));
            while let Some((start, length, what)) = next.take() {
                let extent = (at + start as u64, u32::try_from(length).unwrap_or(u32::MAX));
                done.extend(state.settle(&self.active, extent, what));
                let same = |item: &Item| item.log.as_ref().is_some_and(|other| Arc::ptr_eq(other, &log));
                next = items.next_if(same).map(|item| (item.start, item.length, item.what));
            }
            match state.deleted {
                false => self.inner.weigh(weight, state.weight()),
                true => *touched = None,
            }
            let mark = state.mark();
            if let Some(watch) = state.watch.clone().filter(|_| mark != before) {
                told.push((watch, mark));
            }
        }
        told.into_iter().for_each(|(watch, mark)| watch.durable(mark));
        done.into_iter().for_each(|promise| promise.keep(Ok(())));
    }

    /// Notes that the store was closed in order.
    fn close(&mut self) -> io::Result<()> {
        let mut note = Vec::new();
        self.put_batch(&mut note);
        let end = note.len();
        record::write(0, 0, &mut note, codec::put_close);
        record::stamp(note.get_mut(end..).unwrap_or_default(), self.active.salt);
        let at = self.active.length();
        match self.active.file.write_at(&note, at) {
            Ok(()) => {}
            // The next start finds an unclean stop, which loses nothing that was synced.
            Err(error) if is_full(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        self.active.length.store(at + note.len() as u64, Ordering::Release);
        self.sync()
    }

    /// Tells everyone who waits for something in `batch` that it is lost.
    fn break_off(&self, batch: Batch, error: &Arc<io::Error>) {
        let error = || StoreError::Failed { source: error.clone() };
        let mut watches: Vec<Arc<dyn DurabilityWatch>> = Vec::new();
        for item in batch.items {
            if let Some(log) = item.log {
                let mut state = log.lock();
                let pending = std::mem::take(&mut state.pending_bytes);
                // A log that was deleted meanwhile has taken all its weight along.
                if !state.deleted {
                    self.inner.weigh(pending, 0);
                }
                state.pending.clear();
                if let Some(watch) = &state.watch
                    && !watches.iter().any(|known| Arc::ptr_eq(known, watch))
                {
                    watches.push(watch.clone());
                }
            }
            match item.what {
                What::Made(done) | What::Deleted(done) | What::Barrier(done) => done.keep(Err(error())),
                _ => {}
            }
        }
        watches.into_iter().for_each(|watch| watch.failed(error()));
    }
}

impl crate::log::LogState {
    /// Does what a durable record says. Returns who is to be told that it is.
    fn settle(
        &mut self,
        segment: &Arc<Segment>,
        (offset, length): (u64, u32),
        what: What,
    ) -> Option<crate::queue::Done> {
        match what {
            What::Append { last, count, has_changes, status, time } => {
                if count > 0 {
                    self.pending_bytes = self.pending_bytes.saturating_sub(PLACE_WEIGHT);
                    let first = last + 1 - u64::from(count);
                    if !self.deleted {
                        segment::add_extent(
                            &mut self.chapters,
                            segment,
                            Extent { offset, length, first, last },
                        );
                    }
                    self.durable = last;
                    self.status = status.or(self.status);
                    self.time = time.or(self.time);
                }
                if has_changes {
                    self.settle_changes();
                }
            }
            What::Seal => self.sealed = true,
            What::Copied { first, last } => {
                if !self.deleted && last > self.trimmed {
                    let extent = Extent { offset, length, first, last };
                    segment::add_copy(&mut self.chapters, segment, extent, self.trimmed);
                }
            }
            What::Stated => self.base = segment.id,
            What::Made(done) => {
                self.base = segment.id;
                return Some(done);
            }
            What::Deleted(done) | What::Barrier(done) => return Some(done),
            What::Noted => {}
        }
        None
    }
}

/// Puts the records of each log next to each other, so that they are read with one read. Those of one log stay in order, and
/// older logs come first, so that one is deleted before another of its name is made.
fn by_log(batch: Batch) -> Batch {
    let number = |item: &Item| item.log.as_ref().map_or(u64::MAX, |log| log.number);
    if batch.items.is_sorted_by_key(number) {
        return batch;
    }
    let Batch { bytes, mut items } = batch;
    items.sort_by_key(number);
    let mut sorted = Vec::with_capacity(bytes.len());
    sorted.resize(BATCH_RECORD, 0);
    for item in &mut items {
        let start = sorted.len();
        sorted.extend_from_slice(bytes.get(item.start..item.start + item.length).unwrap_or_default());
        item.start = start;
    }
    Batch { bytes: sorted, items }
}

/// What else there is in a batch whose records are stamped.
fn without_said_again(batch: Batch) -> Batch {
    let mut left = Batch { bytes: vec![0; BATCH_RECORD], items: Vec::with_capacity(batch.items.len()) };
    for item in batch.items.into_iter().filter(|item| !item.is_said_again()) {
        let start = left.bytes.len();
        left.bytes
            .extend_from_slice(batch.bytes.get(item.start..item.start + item.length).unwrap_or_default());
        left.items.push(Item { start, ..item });
    }
    left
}

/// Says again at the end of a batch that logs are made, gone, trimmed or of another epoch, so that damage at one place neither takes
/// a log its name nor brings back what was forgotten.
fn say_twice(batch: &mut Batch) {
    let is_said_twice = |item: &&Item| matches!(item.what, What::Made(_) | What::Deleted(_) | What::Noted);
    for item in batch.items.iter().filter(is_said_twice) {
        batch.bytes.extend_from_within(item.start..item.start + item.length);
    }
}
