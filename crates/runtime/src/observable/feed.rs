//! Where the items of a view come from.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_util::stream::Fuse;
use streamnest_core::{BoxFuture, ExecutionId, LogIdentity};
use streamnest_log::{Cursor, EventLog, FanIn, FanInCursor, Read, ReadLimit, Start, Writer};

use super::{FilterCriteria, Missed, StreamUpdate, ViewError};

/// Items that a subscription takes from a source at once, before it hands them on.
pub(super) const BATCH: usize = 256;
/// Batches that one poll reads, in all of which the criteria leave nothing, before it lets others run.
const FRUITLESS_READS: usize = 64;

/// What a feed had.
pub(super) enum Fed {
    /// Items were added.
    Items,
    /// A range is missing, here.
    Missed(Missed),
    /// There is no more.
    Ended(Result<(), ViewError>),
}

/// A source of items, pulled by one subscription. At most [`BATCH`] come at once, so what a subscription holds is bounded.
pub(super) trait Feed<T>: Send {
    /// Adds the next items to `out`, which is empty. If this is `Pending`, `cx` is woken once there are some.
    fn poll_items(&mut self, cx: &mut Context<'_>, out: &mut VecDeque<T>) -> Poll<Fed>;
}

const LIMIT: ReadLimit = ReadLimit { entries: BATCH, bytes: 256 << 10 };

/// The entries of one log.
pub(super) struct LogFeed {
    cursor: Cursor,
    identity: LogIdentity,
    criteria: FilterCriteria,
}

impl LogFeed {
    pub(super) fn new(log: &Arc<EventLog>, start: Start, criteria: &FilterCriteria) -> Self {
        let (cursor, identity) = (log.observer(start), log.identity().clone());
        Self { cursor, identity, criteria: criteria.clone() }
    }
}

impl Feed<StreamUpdate> for LogFeed {
    fn poll_items(&mut self, cx: &mut Context<'_>, out: &mut VecDeque<StreamUpdate>) -> Poll<Fed> {
        for _ in 0..FRUITLESS_READS {
            match ready!(self.cursor.poll_next_batch(cx, LIMIT)) {
                Ok(Some(Read::Batch(batch))) => {
                    let taken = batch.into_iter().filter(|entry| self.criteria.take(&self.identity, entry));
                    out.extend(taken.filter_map(|entry| StreamUpdate::new(&self.identity, entry)));
                    if !out.is_empty() {
                        return Poll::Ready(Fed::Items);
                    }
                }
                Ok(Some(Read::Gap(gap))) => {
                    // Only executions are viewed, so there is one to name.
                    let Some(execution) = self.identity.execution().cloned() else { continue };
                    return Poll::Ready(Fed::Missed(Missed::Entries { execution, gap }));
                }
                Ok(None) => return Poll::Ready(Fed::Ended(Ok(()))),
                Err(error) => return Poll::Ready(Fed::Ended(Err(error.into()))),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The entries of a log that only the store has.
pub(super) struct StoredFeed {
    pub(super) id: ExecutionId,
    pub(super) start: Start,
    pub(super) criteria: FilterCriteria,
    pub(super) log: Opening,
}

/// A log on its way out of the store.
pub(super) enum Opening {
    Under(BoxFuture<'static, Result<Option<Writer>, streamnest_log::Error>>),
    Done(Box<LogFeed>),
}

impl Feed<StreamUpdate> for StoredFeed {
    fn poll_items(&mut self, cx: &mut Context<'_>, out: &mut VecDeque<StreamUpdate>) -> Poll<Fed> {
        loop {
            match &mut self.log {
                Opening::Done(log) => return log.poll_items(cx, out),
                Opening::Under(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(Some(writer)) => {
                        let log = LogFeed::new(writer.log(), self.start, &self.criteria);
                        self.log = Opening::Done(Box::new(log));
                    }
                    Ok(None) => {
                        let unknown = ViewError::UnknownExecution { id: self.id.clone() };
                        return Poll::Ready(Fed::Ended(Err(unknown)));
                    }
                    Err(error) => return Poll::Ready(Fed::Ended(Err(error.into()))),
                },
            }
        }
    }
}

/// The entries of many logs.
pub(super) struct FanInFeed {
    pub(super) cursor: FanInCursor,
    pub(super) criteria: FilterCriteria,
}

impl Feed<StreamUpdate> for FanInFeed {
    fn poll_items(&mut self, cx: &mut Context<'_>, out: &mut VecDeque<StreamUpdate>) -> Poll<Fed> {
        for _ in 0..FRUITLESS_READS {
            match ready!(self.cursor.poll_next(cx, LIMIT)) {
                Ok(FanIn::Entries { log, entries }) => {
                    let log = log.identity();
                    let taken = entries.into_iter().filter(|entry| self.criteria.take(log, entry));
                    out.extend(taken.filter_map(|entry| StreamUpdate::new(log, entry)));
                    if !out.is_empty() {
                        return Poll::Ready(Fed::Items);
                    }
                }
                Ok(FanIn::Gap { log, gap }) => {
                    let Some(execution) = log.identity().execution().cloned() else { continue };
                    return Poll::Ready(Fed::Missed(Missed::Entries { execution, gap }));
                }
                Ok(FanIn::LeftOut { executions }) => {
                    return Poll::Ready(Fed::Missed(Missed::Executions { count: executions }));
                }
                // One log of many broke off; the view goes on with the others.
                Err(error) => {
                    tracing::warn!(%error, "a log of a view over many executions cannot be read any more");
                    return Poll::Ready(Fed::Missed(Missed::Unreadable { code: error.code() }));
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Any stream.
pub(super) struct StreamFeed<S: Stream>(pub(super) Pin<Box<Fuse<S>>>);

impl<T, S: Stream<Item = T> + Send> Feed<T> for StreamFeed<S> {
    fn poll_items(&mut self, cx: &mut Context<'_>, out: &mut VecDeque<T>) -> Poll<Fed> {
        while out.len() < BATCH {
            match self.0.as_mut().poll_next(cx) {
                Poll::Ready(Some(item)) => out.push_back(item),
                Poll::Ready(None) if out.is_empty() => return Poll::Ready(Fed::Ended(Ok(()))),
                Poll::Ready(None) => break,
                Poll::Pending if out.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(Fed::Items)
    }
}

/// Items that are there already.
pub(super) struct ListFeed<T> {
    pub(super) items: Arc<[T]>,
    pub(super) next: usize,
}

impl<T: Clone + Send + Sync> Feed<T> for ListFeed<T> {
    fn poll_items(&mut self, _: &mut Context<'_>, out: &mut VecDeque<T>) -> Poll<Fed> {
        out.extend(self.items.iter().skip(self.next).take(BATCH).cloned());
        self.next += out.len();
        Poll::Ready(if out.is_empty() { Fed::Ended(Ok(())) } else { Fed::Items })
    }
}
