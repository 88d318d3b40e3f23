//! Streams that nobody uses leave memory; a store that keeps them brings them back.

use std::sync::Arc;

use streamnest_core::{LogName, Timestamp};

use super::{Registry, Removal};
use crate::Writer;

/// How many leave at once when there is no room.
const AT_ONCE: usize = 64;

impl Registry {
    /// The writer of the log `name` if that is in memory. It does not count as used.
    pub(crate) fn in_memory(&self, name: &LogName) -> Option<Writer> {
        self.lock().by_name.get(name).cloned()
    }

    /// Lets streams go from memory that nobody has used for as long as they may be idle at `now`.
    pub(super) fn let_idle_go(&self, now: Timestamp) {
        let idle = u64::try_from(self.options().stream_idle_ttl.as_micros()).unwrap_or(u64::MAX);
        self.let_streams_go(Timestamp::from_micros(now.as_micros().saturating_sub(idle)), usize::MAX);
    }

    /// Makes room by letting some of the streams go that nobody uses, those first that were used last the longest ago; whether
    /// there were any.
    pub(super) fn make_room_of_idle(&self) -> bool {
        self.let_streams_go(Timestamp::from_micros(u64::MAX), AT_ONCE) > 0
    }

    fn let_streams_go(&self, unused_since: Timestamp, at_most: usize) -> usize {
        if !self.is_persistent() {
            return 0;
        }
        let (gone, hooks) = {
            // Nobody else can take hold of a writer while this has the lock.
            let mut logs = self.lock();
            // What is cheap to ask comes first: when it was used.
            let used = logs.by_name.iter().map(|(name, writer)| (writer.log().used_at(), name, writer));
            let unused = used.filter(|(used, ..)| *used <= unused_since);
            let mut idle: Vec<_> = unused.filter(|(_, name, writer)| is_idle(name, writer)).collect();
            if idle.len() > at_most {
                idle.select_nth_unstable_by_key(at_most, |(used, ..)| *used);
                idle.truncate(at_most);
            }
            let idle: Vec<LogName> = idle.into_iter().map(|(_, name, _)| name.clone()).collect();
            let taken = idle.into_iter().filter_map(|name| Some((logs.take_out(&name)?, name)));
            let gone: Vec<(LogName, Writer)> = taken.map(|(writer, name)| (name, writer)).collect();
            (gone, logs.on_removed.clone())
        };
        for (name, writer) in &gone {
            self.0.shared.ended().remove(&(writer.log().ended_at(), name.clone()));
            hooks.iter().for_each(|hook| hook(name, Removal::Evicted));
        }
        gone.len()
    }
}

/// Whether a stream is only in memory because it was once used. An execution is not let go so: who runs it, or waits for its
/// readers, is known by more than what holds its log.
fn is_idle(name: &LogName, writer: &Writer) -> bool {
    !name.starts_with(LogName::EXECUTIONS)
        && Arc::strong_count(writer.log()) == 1
        && writer.log().is_settled()
}
