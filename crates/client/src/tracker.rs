//! What a subscription has given to its caller, and so what comes next: a pure state machine.

use streamnest_core::{Position, Seq};
use streamnest_protocol::native::{Gap, GapReason, Snapshot};

use crate::Error;

/// Whether the caller gets what came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is new.
    Give,
    /// It was given before.
    Drop,
}

/// Holds the position up to which everything was given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tracker {
    last: Position,
    /// Whether there is no filter, so that sequences are dense.
    dense: bool,
}

impl Tracker {
    /// Begins after `start`, which the server confirmed.
    pub(crate) const fn new(start: Position, dense: bool) -> Self {
        Self { last: start, dense }
    }

    /// Where to resume.
    pub(crate) const fn position(&self) -> Position {
        self.last
    }

    /// An entry came.
    pub(crate) fn entry(&mut self, found: Position) -> Result<Verdict, Error> {
        let last = self.last.seq();
        if !self.is_of_this_log(found) {
            return Err(self.hole(found));
        }
        if found.seq() <= last {
            return Ok(Verdict::Drop);
        }
        if self.dense && found.seq() > last.forward(1) {
            return Err(self.hole(found));
        }
        self.last = found;
        Ok(Verdict::Give)
    }

    /// A gap came.
    pub(crate) fn gap(&mut self, gap: &Gap) -> Result<Verdict, Error> {
        // A new incarnation voids what was known, wherever it stood.
        if gap.reason != GapReason::Epoch {
            if !self.is_of_this_log(gap.position) || (self.dense && gap.from > self.last.seq().forward(1)) {
                return Err(self.hole(gap.position));
            }
            if gap.to <= self.last.seq() {
                return Ok(Verdict::Drop);
            }
        }
        self.last = gap.position;
        Ok(Verdict::Give)
    }

    /// What entries said came in place of them. It cannot be divided, so one that reaches back is no better than a hole.
    pub(crate) fn snapshot(&mut self, snapshot: &Snapshot) -> Result<Verdict, Error> {
        let last = self.last.seq();
        if !self.is_of_this_log(snapshot.position) {
            return Err(self.hole(snapshot.position));
        }
        if snapshot.to <= last {
            return Ok(Verdict::Drop);
        }
        let next = last.forward(1);
        if snapshot.from < next || (self.dense && snapshot.from > next) {
            return Err(self.hole(snapshot.position));
        }
        self.last = snapshot.position;
        Ok(Verdict::Give)
    }

    /// The server says that everything up to `found` that passes the filter was sent.
    pub(crate) fn heartbeat(&mut self, found: Position) -> Result<(), Error> {
        if !self.is_of_this_log(found) {
            return Err(self.hole(found));
        }
        if found.seq() <= self.last.seq() {
            return Ok(());
        }
        if self.dense {
            return Err(self.hole(found));
        }
        self.last = found;
        Ok(())
    }

    /// Whether `found` is of the incarnation that was confirmed; before the first entry, any may be.
    fn is_of_this_log(&self, found: Position) -> bool {
        let anywhere = |position: Position| position.seq() == Seq::BEFORE_FIRST && position.epoch().is_none();
        anywhere(self.last) || anywhere(found) || self.last.epoch() == found.epoch()
    }

    fn hole(&self, found: Position) -> Error {
        Error::Hole { after: self.last, found }
    }
}

#[cfg(test)]
mod tests {
    use streamnest_core::{Epoch, ExecutionId};

    use super::*;

    fn at(epoch: u64, seq: u64) -> Position {
        Position::new(Epoch::new(epoch), Seq::try_from(seq).unwrap())
    }

    fn gap(from: u64, to: Position, reason: GapReason) -> Gap {
        Gap {
            execution_id: ExecutionId::new("e").unwrap(),
            subscription: None,
            from: Seq::try_from(from).unwrap(),
            to: to.seq(),
            reason,
            position: to,
        }
    }

    #[test]
    fn each_entry_is_given_once_and_in_order() {
        let mut tracker = Tracker::new(Position::BEFORE_FIRST, true);
        let mut given = Vec::new();
        for seq in [1, 2, 2, 1, 3, 2, 3, 4] {
            if tracker.entry(at(7, seq)).unwrap() == Verdict::Give {
                given.push(seq);
            }
        }
        assert_eq!(given, [1, 2, 3, 4]);
        assert_eq!(tracker.position(), at(7, 4));
    }

    #[test]
    fn a_hole_is_an_error_and_does_not_move_the_position() {
        let mut tracker = Tracker::new(at(7, 4), true);
        assert!(
            matches!(tracker.entry(at(7, 6)), Err(Error::Hole { after, found }) if (after, found) == (at(7, 4), at(7, 6)))
        );
        assert!(matches!(tracker.gap(&gap(6, at(7, 9), GapReason::Trimmed)), Err(Error::Hole { .. })));
        assert!(matches!(tracker.heartbeat(at(7, 5)), Err(Error::Hole { .. })));
        assert!(matches!(tracker.entry(at(8, 5)), Err(Error::Hole { .. })));
        assert_eq!(tracker.position(), at(7, 4));
        assert_eq!(tracker.entry(at(7, 5)).unwrap(), Verdict::Give);
    }

    #[test]
    fn a_gap_moves_the_position_and_an_old_one_does_not() {
        let mut tracker = Tracker::new(at(7, 4), true);
        assert_eq!(tracker.gap(&gap(5, at(7, 9), GapReason::Lagged)).unwrap(), Verdict::Give);
        assert_eq!(tracker.gap(&gap(5, at(7, 9), GapReason::Lagged)).unwrap(), Verdict::Drop);
        assert_eq!(tracker.entry(at(7, 9)).unwrap(), Verdict::Drop);
        assert_eq!(tracker.entry(at(7, 10)).unwrap(), Verdict::Give);
    }

    #[test]
    fn a_snapshot_moves_the_position_if_it_follows_what_was_given() {
        let snapshot = |from: u64, to: Position| Snapshot {
            execution_id: ExecutionId::new("e").unwrap(),
            subscription: None,
            from: Seq::try_from(from).unwrap(),
            to: to.seq(),
            position: to,
            state: streamnest_protocol::native::SubscriptionState::Running,
            nodes: Vec::new(),
            voided: Vec::new(),
            values: None,
            waiting: Vec::new(),
            answered: Vec::new(),
            events: std::collections::BTreeMap::new(),
        };
        let mut tracker = Tracker::new(at(7, 4), true);
        assert!(matches!(tracker.snapshot(&snapshot(6, at(7, 9))), Err(Error::Hole { .. })));
        assert!(matches!(tracker.snapshot(&snapshot(4, at(7, 9))), Err(Error::Hole { .. })));
        assert!(matches!(tracker.snapshot(&snapshot(5, at(8, 9))), Err(Error::Hole { .. })));
        assert_eq!(tracker.snapshot(&snapshot(5, at(7, 9))).unwrap(), Verdict::Give);
        assert_eq!(tracker.snapshot(&snapshot(5, at(7, 9))).unwrap(), Verdict::Drop);
        assert_eq!(tracker.entry(at(7, 10)).unwrap(), Verdict::Give);
        // With a filter what it passed over is not told of.
        let mut tracker = Tracker::new(at(7, 4), false);
        assert_eq!(tracker.snapshot(&snapshot(8, at(7, 9))).unwrap(), Verdict::Give);
    }

    #[test]
    fn a_new_incarnation_begins_again() {
        let mut tracker = Tracker::new(at(7, 40), true);
        assert_eq!(tracker.gap(&gap(1, at(8, 0), GapReason::Epoch)).unwrap(), Verdict::Give);
        assert_eq!(tracker.entry(at(8, 1)).unwrap(), Verdict::Give);
        assert_eq!(tracker.position(), at(8, 1));
    }

    #[test]
    fn with_a_filter_heartbeats_move_the_position() {
        let mut tracker = Tracker::new(at(7, 0), false);
        assert_eq!(tracker.entry(at(7, 5)).unwrap(), Verdict::Give);
        tracker.heartbeat(at(7, 90)).unwrap();
        assert_eq!(tracker.position(), at(7, 90));
        tracker.heartbeat(at(7, 80)).unwrap();
        assert_eq!(tracker.position(), at(7, 90));
        assert_eq!(tracker.entry(at(7, 90)).unwrap(), Verdict::Drop);
        assert_eq!(tracker.entry(at(7, 95)).unwrap(), Verdict::Give);
    }
}
