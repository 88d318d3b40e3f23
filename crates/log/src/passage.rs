//! Reading what entries say, without the entries.

use std::sync::Arc;

use streamnest_core::{Entry, Passage, Seq, StoreError};

use crate::{Error, EventLog, Gap, GapReason, ReadLimit, cursor::missing};

/// What there is after some entry.
enum Next {
    Nothing,
    Gap(Gap),
    /// The next entries, from memory.
    Hot(Vec<Arc<Entry>>),
    /// So many visible entries, the first of which only the store has.
    Cold(usize),
}

impl EventLog {
    /// What the entries after `after` say, each payload behind `lead`: at most so many entries, and so many bytes of that, except
    /// that one entry that says more is still given alone. Or the gap in their place; `None` if there are none.
    ///
    /// Of what is in the store, no entry is made.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) async fn passage(
        &self,
        after: Seq,
        limit: ReadLimit,
        lead: Option<u8>,
    ) -> Result<Option<Result<Passage, Gap>>, Error> {
        loop {
            let visible = match self.look_after(after, limit) {
                Next::Nothing => return Ok(None),
                Next::Gap(gap) => return Ok(Some(Err(gap))),
                Next::Hot(entries) => {
                    return Ok(Some(Ok(Passage::within(&entries, lead, limit.bytes))));
                }
                Next::Cold(visible) => visible,
            };
            // What is accepted but not visible may be in the store already.
            let entries = limit.entries.clamp(1, visible);
            match self.stored().read_passage(after.next(), entries, limit.bytes, lead).await {
                Ok(passage) if passage.entries() > 0 => return Ok(Some(Ok(passage))),
                // Retention passed meanwhile.
                Ok(_) if self.kept().1 > after => {}
                Ok(_) => return Err(Error::Store(missing(after))),
                Err(error) => return Ok(Some(Err(self.gap(after, error)?))),
            }
        }
    }

    fn look_after(&self, after: Seq, limit: ReadLimit) -> Next {
        let state = self.lock();
        let trimmed = state.ledger.trimmed();
        if after < trimmed {
            return Next::Gap(Gap { from: after.next(), to: trimmed, reason: GapReason::Trimmed });
        }
        if after >= state.last {
            return Next::Nothing;
        }
        let Some(hot) = state.hot_after(after) else {
            return Next::Cold(usize::try_from(state.last.distance_from(after)).unwrap_or(usize::MAX));
        };
        // As many as begin within the bytes.
        let mut left = limit.bytes.max(1);
        let is_wanted = |entry: &&Arc<Entry>| {
            let begins = left > 0;
            left = left.saturating_sub(entry.event().payload().len());
            begins
        };
        Next::Hot(hot.take(limit.entries.max(1)).take_while(is_wanted).cloned().collect())
    }

    /// The last visible entry, and the last that is no longer kept.
    pub(crate) fn kept(&self) -> (Seq, Seq) {
        let state = self.lock();
        (state.last, state.ledger.trimmed())
    }

    /// What a reader is told who stands after `seq`, and whom the store refuses what follows.
    ///
    /// # Errors
    /// [`Error::Store`] if that is no gap.
    pub(crate) fn gap(&self, seq: Seq, refused: StoreError) -> Result<Gap, Error> {
        let ((last, trimmed), from) = (self.kept(), seq.next());
        match refused {
            // The store may have been trimmed by someone else, so its word counts too.
            StoreError::Trimmed { trimmed: stored } if stored.max(trimmed) > seq && stored <= last => {
                Ok(Gap { from, to: stored.max(trimmed), reason: GapReason::Trimmed })
            }
            StoreError::Damaged { from: damaged, to, .. } if damaged == from && to <= last => {
                tracing::error!(log = self.identity().subject(), error = %refused, "entries cannot be served");
                Ok(Gap { from, to, reason: GapReason::Damaged })
            }
            refused => Err(Error::Store(refused)),
        }
    }
}
