//! What has to be written elsewhere before a segment may go.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, atomic::Ordering},
};

use crate::{index, log::Log, queue::Health, record::HEADER, segment::Segment, store::Inner};

/// Bytes by which it is said again that a log is gone, or how far it is trimmed; both are written twice.
pub(crate) const GONE: u64 = 2 * (HEADER as u64 + 1);
pub(crate) const TRIMMED: u64 = 2 * (HEADER as u64 + 9);

/// What one segment says that is still true.
pub(crate) struct Plan {
    /// Logs that have entries there, or their last record that says all of them, by number.
    pub(crate) living: BTreeMap<u64, Arc<Log>>,
    /// Logs that are gone, as something older may speak of them.
    pub(crate) gone: Vec<Arc<Log>>,
    /// Logs that the segment speaks of in any way.
    pub(crate) spoken_of: Vec<Arc<Log>>,
    /// Bytes that all of that takes, at most.
    pub(crate) bytes: u64,
}

impl Plan {
    /// Looks at a segment as it is now. `None` if it cannot go before it is the oldest.
    pub(crate) fn of(inner: &Inner, segment: &Arc<Segment>, is_oldest: bool) -> io::Result<Option<Self>> {
        let indexed = match index::read(&*inner.files.storage, segment) {
            Err(error) if !is_oldest => return Err(error),
            indexed => indexed.ok().flatten(),
        };
        if indexed.is_none() && !is_oldest {
            // Nobody knows which deleted logs older segments would bring back.
            segment.says.store(u64::MAX, Ordering::Release);
            return Ok(None);
        }
        let indexed: Option<BTreeMap<u64, bool>> =
            indexed.map(|logs| logs.iter().map(|log| (log.number, log.state.is_some())).collect());
        let is_spoken_of = |log: &Log| indexed.as_ref().is_none_or(|logs| logs.contains_key(&log.number));
        let logs: Vec<Arc<Log>> = inner.catalog().by_name.values().cloned().collect();
        let mut plan = Self {
            living: BTreeMap::new(),
            gone: Vec::new(),
            spoken_of: logs.iter().filter(|log| is_spoken_of(log)).cloned().collect(),
            bytes: segment.living(),
        };
        for log in logs {
            let state = log.lock();
            if state.deleted {
                continue;
            }
            let is_spoken_of = is_spoken_of(&log);
            if is_spoken_of && state.trimmed > 0 {
                plan.bytes += TRIMMED;
            }
            let says_all = state.base <= segment.id && (is_oldest || is_spoken_of);
            let has_entries = || state.chapters.iter().any(|chapter| Arc::ptr_eq(&chapter.segment, segment));
            if says_all || has_entries() {
                plan.bytes += if state.base <= segment.id { state.said_bytes(&log.name) } else { 0 };
                drop(state);
                plan.living.insert(log.number, log);
            }
        }
        if !is_oldest {
            let gone = indexed.iter().flatten().filter(|(_, lived)| !**lived);
            plan.gone = gone.filter_map(|(number, _)| Log::gone(*number)).collect();
            plan.bytes += GONE * plan.gone.len() as u64;
        }
        Ok(Some(plan))
    }
}

/// Whether letting a segment go gives room on a full disk, if `bytes` have to be written elsewhere: three quarters of it at most, and
/// no more than half of the reserve, which was given up when the disk became full; of all of it but an eighth if at least half the
/// segment goes. What is left of the reserve is for records that delete.
pub(crate) fn fits_when_full(inner: &Inner, segment: &Segment, bytes: u64) -> bool {
    let (length, reserve) = (segment.length(), inner.options.reserve_bytes);
    let most = if bytes <= length / 2 { reserve - reserve / 8 } else { reserve / 2 };
    bytes <= most && bytes <= length - length / 4
}

impl Inner {
    /// Whether the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self.queue.health(), Health::Full)
    }
}
