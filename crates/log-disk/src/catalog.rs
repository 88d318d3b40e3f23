//! All logs and segments of a store, and what a record changes in them.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::{Arc, atomic::Ordering},
};

use streamnest_core::{Attributes, LogName};

use crate::{
    codec::{Body, Entries, State},
    index::IndexedLog,
    log::{Log, LogState},
    record::Header,
    segment::{self, Chapter, Extent, Segment},
};

/// Logs and segments.
#[derive(Default)]
pub(crate) struct Catalog {
    pub(crate) by_name: BTreeMap<LogName, Arc<Log>>,
    pub(crate) segments: BTreeMap<u64, Arc<Segment>>,
    /// The greatest number of a log and the greatest epoch so far.
    pub(crate) newest_number: u64,
    pub(crate) newest_epoch: u64,
}

impl Catalog {
    /// A number for a new log, and an epoch that none had before.
    pub(crate) fn new_log(&mut self, now_micros: u64) -> (u64, u64) {
        self.newest_number += 1;
        (self.newest_number, self.new_epoch(now_micros))
    }

    /// An epoch that no log had before, also if the clock stands still.
    pub(crate) fn new_epoch(&mut self, now_micros: u64) -> u64 {
        self.newest_epoch = now_micros.max(self.newest_epoch + 1);
        self.newest_epoch
    }
}

/// A catalog while the files are read.
#[derive(Default)]
pub(crate) struct Rebuild {
    pub(crate) catalog: Catalog,
    pub(crate) by_number: HashMap<u64, Arc<Log>>,
    /// Entries of logs that no record has introduced yet: their older segments are gone, and a copy of their state follows.
    orphans: HashMap<u64, Vec<Chapter>>,
    /// Records so far of which nobody knows whose they were.
    unknown: u64,
    /// How many there were of those before the last record of a log, which says how many entries it has.
    settled: HashMap<u64, u64>,
}

impl Rebuild {
    /// A number that stands anywhere is not given to another log, also if its own is deleted.
    pub(crate) fn saw(&mut self, number: u64) {
        self.catalog.newest_number = self.catalog.newest_number.max(number);
        if self.unknown > 0 {
            self.settled.insert(number, self.unknown);
        }
    }

    /// A record is damaged beyond telling whose it was.
    pub(crate) fn lose_sight(&mut self) {
        self.unknown += 1;
    }

    /// Logs that have not ended and may have lost their last entries: all of them if so much is known of the stop, and those that
    /// say nothing behind a record of which nobody knows whose it was. Their new epoch is such a saying.
    pub(crate) fn doubted(&self, all: bool) -> Vec<Arc<Log>> {
        let is_doubted = |log: &&Arc<Log>| {
            let settled = self.settled.get(&log.number).copied().unwrap_or_default();
            (all || settled < self.unknown) && !log.lock().sealed
        };
        self.catalog.by_name.values().filter(is_doubted).cloned().collect()
    }

    /// Takes in what the index of `segment` says of a log.
    pub(crate) fn add_indexed(&mut self, indexed: IndexedLog) {
        self.saw(indexed.number);
        let Some(state) = indexed.state else {
            self.delete(indexed.number);
            return;
        };
        let Some(log) = self.introduce(indexed.number, state, indexed.base) else { return };
        let mut locked = log.lock();
        for chapter in indexed.chapters {
            chapter.segment.live.fetch_add(chapter.bytes, Ordering::AcqRel);
            // Entries that were copied here are no longer looked for where they came from.
            let trimmed = locked.trimmed;
            if !segment::yield_to(
                &mut locked.chapters,
                chapter.segment.id,
                chapter.first,
                chapter.last,
                trimmed,
            ) {
                continue;
            }
            let at = locked.chapters.partition_point(|known| known.first < chapter.first);
            locked.chapters.insert(at, chapter);
        }
        let trimmed = locked.trimmed;
        segment::trim(&mut locked.chapters, trimmed);
    }

    /// The log of this number, as `state` says that it stands. What said so before may be gone.
    fn introduce(&mut self, number: u64, state: State, base: u64) -> Option<Arc<Log>> {
        self.catalog.newest_epoch = self.catalog.newest_epoch.max(state.epoch);
        if let Some(log) = self.by_number.get(&number) {
            let mut known = log.lock();
            let chapters = mem::take(&mut known.chapters);
            *known = LogState { chapters, ..LogState::new(state, base) };
            let trimmed = known.trimmed;
            segment::trim(&mut known.chapters, trimmed);
            return Some(log.clone());
        }
        let name = LogName::new(&state.name).ok()?;
        let log = Log::new(number, name.clone(), state, base);
        if let Some(chapters) = self.orphans.remove(&number) {
            log.lock().chapters = chapters;
        }
        // The newer of two of one name: that the older one was deleted is lost.
        let known = self.catalog.by_name.get(&name).map(|known| known.number);
        if let Some(known) = known.filter(|known| *known < number) {
            self.delete(known);
        }
        self.by_number.insert(number, log.clone());
        self.catalog.by_name.insert(name, log.clone());
        Some(log)
    }

    fn delete(&mut self, number: u64) {
        self.orphans.remove(&number);
        let Some(log) = self.by_number.remove(&number) else { return };
        let mut state = log.lock();
        state.deleted = true;
        state.bury();
        if self.catalog.by_name.get(&log.name).is_some_and(|named| named.number == number) {
            self.catalog.by_name.remove(&log.name);
        }
    }

    /// Does what a record of `segment` says, which lies at `extent`. `false` if it cannot be understood.
    pub(crate) fn apply(
        &mut self,
        segment: &Arc<Segment>,
        header: &Header,
        body: Body<'_>,
        at: (u64, u32),
    ) -> bool {
        let number = header.log;
        self.saw(number);
        let is_understood = self.apply_body(segment, number, body, at);
        // Whatever it is about, it says how many entries there were before it. If there are fewer, the rest is damaged.
        self.skip_damaged(number, header.last);
        is_understood
    }

    fn apply_body(&mut self, segment: &Arc<Segment>, number: u64, body: Body<'_>, at: (u64, u32)) -> bool {
        match body {
            Body::Batch { .. } | Body::Close => {}
            Body::Hole if number == 0 => self.lose_sight(),
            Body::Hole => {}
            Body::State(state) => return self.introduce(number, *state, segment.id).is_some(),
            Body::Append(entries) => return self.append(segment, number, entries, at),
            Body::Copy(entries) => self.copy(segment, number, entries, at),
            Body::Delete => self.delete(number),
            Body::Seal { term } => self.with(number, |state| {
                state.sealed = true;
                state.sealing = true;
                state.term = state.term.max(term);
            }),
            Body::Trim { up_to } => self.with(number, |state| {
                state.trim(up_to);
                state.trim_written = up_to;
            }),
            Body::Epoch { epoch } => {
                self.catalog.newest_epoch = self.catalog.newest_epoch.max(epoch);
                self.with(number, |state| state.epoch = epoch);
            }
        }
        true
    }

    fn with(&self, number: u64, change: impl FnOnce(&mut LogState)) {
        if let Some(log) = self.by_number.get(&number) {
            change(&mut log.lock());
        }
    }

    fn append(&mut self, segment: &Arc<Segment>, number: u64, entries: Entries<'_>, at: (u64, u32)) -> bool {
        let Some(summary) = entries.summary() else { return false };
        let extent = Extent { offset: at.0, length: at.1, first: entries.first, last: entries.last() };
        let Some(log) = self.by_number.get(&number) else {
            if entries.count > 0 {
                segment::add_extent(self.orphans.entry(number).or_default(), segment, extent);
            }
            return true;
        };
        let mut state = log.lock();
        state.term = state.term.max(entries.term);
        if entries.count > 0 {
            // A record before it may be damaged; its entries are a hole that readers are told of.
            if entries.first <= state.durable {
                return true;
            }
            segment::add_extent(&mut state.chapters, segment, extent);
            (state.durable, state.accepted) = (extent.last, extent.last);
            state.status = summary.status.or(state.status);
            state.time = summary.time.or(state.time);
            (state.accepted_status, state.accepted_time) = (state.status, state.time);
        }
        state.change(&summary.changes);
        true
    }

    fn copy(&mut self, segment: &Arc<Segment>, number: u64, entries: Entries<'_>, at: (u64, u32)) {
        let extent = Extent { offset: at.0, length: at.1, first: entries.first, last: entries.last() };
        match self.by_number.get(&number) {
            Some(log) => {
                let mut state = log.lock();
                if extent.last > state.trimmed {
                    let trimmed = state.trimmed;
                    segment::add_copy(&mut state.chapters, segment, extent, trimmed);
                }
            }
            None => segment::add_extent(self.orphans.entry(number).or_default(), segment, extent),
        }
    }

    /// A record that is damaged said that the log `number` ended with `last` after it: what it held is a hole.
    pub(crate) fn skip_damaged(&self, number: u64, last: u64) {
        self.with(number, |state| {
            state.durable = state.durable.max(last);
            state.accepted = state.durable;
        });
    }

    /// Whether there are entries of this log, and nothing has said what it is.
    pub(crate) fn is_orphan(&self, number: u64) -> bool {
        self.orphans.contains_key(&number)
    }

    /// Gives names to logs that nothing has introduced, for the record that made them is damaged. They take no more entries.
    pub(crate) fn adopt_orphans(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        for number in self.orphans.keys().copied().collect::<Vec<_>>() {
            let last = self
                .orphans
                .get(&number)
                .and_then(|chapters| chapters.last())
                .map_or(0, |chapter| chapter.last);
            let name = format!("lost/{number}");
            let state = State {
                name: name.clone(),
                epoch: self.catalog.newest_epoch + 1,
                term: 0,
                trimmed: 0,
                last,
                sealed: true,
                status: None,
                time: None,
                attributes: Attributes::new(),
            };
            if self.introduce(number, state, 0).is_some() {
                names.push(name);
            }
        }
        names
    }
}
