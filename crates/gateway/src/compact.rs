//! `replay: "compact"`: a late reader gets what it missed in one piece.

use std::{mem, sync::Arc};

use streamnest_core::{Class, Entry, Position, Seq};
use streamnest_log::{Cursor, EventLog, Filter};
use streamnest_protocol::native::{Fold, Snapshot, SubscriptionName};

use crate::connection::state_of;

/// What a late reader has missed, while it is read and not sent yet.
pub(crate) struct Compact {
    /// The last entry that there was when it came.
    until: Seq,
    /// About how many bytes one snapshot has at the most; what is more is another one.
    limit: usize,
    fold: Fold,
}

/// What is to be sent of entries that were read.
pub(crate) struct Compacted<'a> {
    /// What was said, in place of entries.
    pub(crate) snapshot: Option<Box<Snapshot>>,
    /// The entries that follow it as they are.
    pub(crate) rest: &'a [Arc<Entry>],
    /// Whether the reader is late no longer: whatever comes next comes as it is.
    pub(crate) is_over: bool,
}

impl Compact {
    /// For a reader that begins where `cursor` stands; `None` if there is nothing that it missed.
    pub(crate) fn of(cursor: &Cursor, limit: usize) -> Option<Box<Self>> {
        let until = cursor.log().head().last;
        (cursor.position().seq() < until).then(|| Box::new(Self { until, limit, fold: Fold::default() }))
    }

    /// The position up to which everything is sent, if the cursor is ahead of that.
    pub(crate) fn sent(&self, log: &EventLog) -> Option<Position> {
        self.fold.before().map(|seq| log.position(seq))
    }

    /// Whether a reader that stands after `seq` has nothing more that it missed.
    pub(crate) fn is_over_at(&self, seq: Seq) -> bool {
        seq >= self.until
    }

    /// Takes entries that were read. A terminal status is never folded, for it ends what follows it.
    pub(crate) fn take<'a>(
        &mut self,
        log: &EventLog,
        entries: &'a [Arc<Entry>],
        filter: Option<&Filter>,
        name: Option<&SubscriptionName>,
    ) -> Compacted<'a> {
        let is_end = |entry: &&Arc<Entry>| {
            let event = entry.event();
            event.class() == Class::Status
                && matches!(event.as_status(), Ok(Some(update)) if update.status.is_terminal())
        };
        let ended = entries.last().filter(is_end).is_some();
        let (folded, rest) = entries.split_at(entries.len() - usize::from(ended));
        for entry in folded {
            match filter.is_none_or(|filter| filter.matches(entry.event())) {
                true => self.fold.add(entry),
                false => self.fold.pass(entry.seq()),
            }
        }
        let is_over = ended || folded.last().is_some_and(|last| self.is_over_at(last.seq()));
        let is_due = is_over || self.fold.bytes() >= self.limit;
        let snapshot = if is_due { self.cut(log, name) } else { None };
        Compacted { snapshot, rest, is_over }
    }

    /// What was taken so far, because something else is to be said next.
    pub(crate) fn cut(&mut self, log: &EventLog, name: Option<&SubscriptionName>) -> Option<Box<Snapshot>> {
        mem::take(&mut self.fold).finish(log.identity(), name.cloned(), state_of(log)).map(Box::new)
    }
}
