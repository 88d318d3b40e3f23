//! A full segment and a full disk: the next segment begins when there is room for it, and appends are taken when there is a reserve.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use crate::{
    commit::Committer,
    index::{self, IndexedLog},
    queue::Health,
    recover::{indexed, point_to_index},
    segment::Segment,
};

/// The file that is kept for the moment at which the disk is full.
pub(crate) const RESERVE: &str = "reserve";

impl Committer {
    /// Writes, and waits for room if the disk is full.
    pub(crate) fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.when_there_is_room(|committer| committer.active.file.write_at(bytes, at))
    }

    /// Writes, with the room of the reserve if the disk is full, and does not wait.
    pub(crate) fn write_once(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        match self.active.file.write_at(bytes, at) {
            Err(error) if is_full(&error) && self.become_full(&error) => self.active.file.write_at(bytes, at),
            written => written,
        }
    }

    /// Does something that may need room, and waits for that if the disk is full.
    fn when_there_is_room(&mut self, act: impl Fn(&Self) -> io::Result<()>) -> io::Result<()> {
        loop {
            match act(self) {
                Ok(()) => return Ok(()),
                Err(error) if !is_full(&error) => return Err(error),
                Err(error) if self.become_full(&error) => {}
                Err(_) if self.inner.queue.pause(self.inner.options.full_retry) => {
                    return Err(io::Error::new(
                        io::ErrorKind::StorageFull,
                        "the store was closed while its disk was full",
                    ));
                }
                Err(_) => {}
            }
        }
    }

    /// Takes nothing new, and gives the reserve up; whether that has made room.
    fn become_full(&mut self, error: &io::Error) -> bool {
        let inner = &self.inner;
        if !matches!(inner.queue.health(), Health::Well) {
            return false;
        }
        self.looked = Instant::now();
        tracing::warn!(%error, place = inner.files.storage.place(), "disk is full: appends are refused until there is room");
        inner.queue.set_health(Health::Full);
        inner.files.storage.remove(RESERVE).is_ok()
    }

    /// How long until it is looked again whether there is room; `None` if the disk is not full.
    pub(crate) fn until_look(&self) -> Option<Duration> {
        let is_full = matches!(self.inner.queue.health(), Health::Full);
        is_full.then(|| self.inner.options.full_retry.saturating_sub(self.looked.elapsed()))
    }

    /// Takes appends again if the reserve can be kept again.
    pub(crate) fn look_for_room(&mut self) -> io::Result<()> {
        self.looked = Instant::now();
        let inner = self.inner.clone();
        match inner.files.keep_reserve(inner.options.reserve_bytes) {
            Ok(()) => {}
            // Only full segments can go, so one that grows and is mostly dead is called full.
            Err(error) if is_full(&error) && self.is_active_mostly_dead() => return self.roll(),
            Err(error) if is_full(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
        // Beside the reserve there has to be room for what comes next, or the disk would be full again with the next append.
        if self.is_active_full() {
            self.roll()?;
        }
        let has_room = match inner.note_bounds() {
            Err(error) if is_full(&error) => false,
            noted => noted.map(|()| !self.is_active_full())?,
        };
        if has_room {
            tracing::info!(place = inner.files.storage.place(), "disk has room again: appends go on");
            inner.queue.set_health(Health::Well);
        } else {
            // It is for what makes room.
            let _ = inner.files.storage.remove(RESERVE);
        }
        Ok(())
    }

    pub(crate) fn is_active_full(&self) -> bool {
        self.active.length() >= self.inner.options.segment_bytes
    }

    /// Whether the active segment holds at least a quarter of what it may, and more than half of that is dead.
    fn is_active_mostly_dead(&self) -> bool {
        let (length, live) = (self.active.length(), self.active.live.load(Ordering::Acquire));
        length >= self.inner.options.segment_bytes / 4 && live < length / 2
    }

    /// The active segment is full: its index is written, and the next one begins. If there is no room for both beside the reserve, it
    /// grows on: what makes room is written there, and it is tried again later.
    pub(crate) fn roll(&mut self) -> io::Result<()> {
        if self.synced < self.active.length() {
            self.sync()?;
        }
        let (next, logs) = match self.next_segment() {
            Ok(next) => next,
            Err(error) if is_full(&error) => {
                self.become_full(&error);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        for indexed in logs {
            if let Some(Some(log)) = self.touched.get(&indexed.number) {
                let (before, now) = point_to_index(log, &self.active, &indexed);
                self.inner.weigh(before, now);
            }
        }
        self.inner.catalog().segments.insert(next.id, next.clone());
        self.active = next;
        self.touched.clear();
        self.is_mode_durable = false;
        (self.synced, self.noted) = (self.active.length(), self.active.length());
        self.inner.compactor.wake();
        match self.inner.note_bounds() {
            // It is said when there is room.
            Err(error) if is_full(&error) => {
                self.become_full(&error);
                Ok(())
            }
            noted => noted,
        }
    }

    /// The next segment, and what the index of this one says, which is written. Nothing is left of either if that fails.
    fn next_segment(&mut self) -> io::Result<(Arc<Segment>, Vec<IndexedLog>)> {
        let (inner, id) = (self.inner.clone(), self.active.id);
        let storage = &*inner.files.storage;
        let mut touched: Vec<_> = self.touched.iter().map(|(number, log)| (*number, log.clone())).collect();
        touched.sort_unstable_by_key(|(number, _)| *number);
        let written = index::write(storage, &self.active, indexed(&self.active, &touched));
        let made = written.and_then(|(file, logs)| {
            let next = Segment::create(storage, id + 1, self.inner.files.salt)?;
            Ok((file, logs, next))
        });
        match made {
            Ok((file, logs, next)) => {
                let _ = self.active.index.set(file);
                Ok((next, logs))
            }
            Err(error) => {
                // While a next segment has its name, even for a power cut, this one must not grow: nothing is written before it is gone.
                let names = [Segment::name_of(id + 1), index::name_of(id)];
                let removed = self.when_there_is_room(|committer| committer.inner.files.remove(&names));
                // Whoever hears that there is no room would let it grow.
                removed.map_err(io::Error::other)?;
                Err(error)
            }
        }
    }
}

/// Whether an error says that there is no room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
