//! What waits for the one thread that writes.

use std::{
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use streamnest_core::{Status, StoreError, Timestamp};

use crate::{
    completion::Promise,
    log::Log,
    record::{self, HEADER},
};

/// The length of the record with which every batch begins.
pub(crate) const BATCH_RECORD: usize = HEADER + 10;

/// Told when what it came with is durable, or why it never will be.
pub(crate) type Done = Promise<Result<(), StoreError>>;

/// What a record does once it is durable.
pub(crate) enum What {
    /// The log is there.
    Made(Done),
    /// Entries after the durable ones, and changes of attributes.
    Append { last: u64, count: u32, has_changes: bool, status: Option<Status>, time: Option<Timestamp> },
    /// The log is sealed.
    Seal,
    /// The log is gone.
    Deleted(Done),
    /// Entries lie here now that lay in an older segment.
    Copied { first: u64, last: u64 },
    /// All there is to know of the log stands here.
    Stated,
    /// Nothing that was not done at once.
    Noted,
    /// Nothing: who asked wants to know when all before it is durable.
    Barrier(Done),
}

/// One record of a batch.
pub(crate) struct Item {
    pub(crate) log: Option<Arc<Log>>,
    /// Where in the batch it begins, and how long it is.
    pub(crate) start: usize,
    pub(crate) length: usize,
    pub(crate) what: What,
}

impl Item {
    /// Whether it says nothing that does not stand elsewhere, in a segment that is to go.
    pub(crate) const fn is_said_again(&self) -> bool {
        matches!(self.what, What::Copied { .. } | What::Stated)
    }
}

/// Records that are written with one write and made durable with one sync.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) items: Vec<Item>,
}

#[derive(Default)]
struct Queued {
    batch: Batch,
    /// The memory of the last batch, for the next one.
    spare: Vec<u8>,
    closing: bool,
    state: Health,
}

/// Whether the store takes anything.
#[derive(Clone, Debug, Default)]
pub(crate) enum Health {
    /// It does.
    #[default]
    Well,
    /// The disk is full; it will when there is room.
    Full,
    /// It never will again.
    Failed(Arc<io::Error>),
    /// It was closed.
    Closed,
}

/// The queue between all who append and the one thread that writes.
#[derive(Default)]
pub(crate) struct Queue {
    queued: Mutex<Queued>,
    filled: Condvar,
}

/// What the writing thread is to do next.
pub(crate) enum Next {
    Write(Batch),
    /// Nothing came for as long as it was willing to wait.
    Idle,
    /// Nothing more will come.
    Close,
}

impl Queue {
    /// Adds a record of `log` to the next batch. `urgent` is taken also by a full disk: it makes room, or is small and owed.
    pub(crate) fn push(
        &self,
        log: &Arc<Log>,
        last: u64,
        what: What,
        urgent: bool,
        place: &dyn Fn() -> String,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), StoreError> {
        let mut queued = self.lock();
        queued.check(urgent, place)?;
        let batch = &mut queued.batch;
        if batch.bytes.is_empty() {
            batch.bytes.resize(BATCH_RECORD, 0);
        }
        let start = batch.bytes.len();
        record::write(log.number, last, &mut batch.bytes, write);
        let length = batch.bytes.len() - start;
        batch.items.push(Item { log: Some(log.clone()), start, length, what });
        drop(queued);
        self.filled.notify_one();
        Ok(())
    }

    /// Tells `done` when everything that was pushed before is durable.
    pub(crate) fn barrier(&self, done: Done, place: &dyn Fn() -> String) -> Result<(), StoreError> {
        let mut queued = self.lock();
        queued.check(true, place)?;
        let batch = &mut queued.batch;
        if batch.bytes.is_empty() {
            batch.bytes.resize(BATCH_RECORD, 0);
        }
        let start = batch.bytes.len();
        batch.items.push(Item { log: None, start, length: 0, what: What::Barrier(done) });
        drop(queued);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for a batch, at most `patience`.
    pub(crate) fn next(&self, patience: Option<Duration>) -> Next {
        let mut queued = self.lock();
        loop {
            if !queued.batch.items.is_empty() {
                let spare = mem::take(&mut queued.spare);
                let bytes = mem::replace(&mut queued.batch.bytes, spare);
                return Next::Write(Batch { bytes, items: mem::take(&mut queued.batch.items) });
            }
            if queued.closing {
                return Next::Close;
            }
            queued = match patience {
                None => self.filled.wait(queued).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let (queued, waited) =
                        self.filled.wait_timeout(queued, patience).unwrap_or_else(PoisonError::into_inner);
                    if waited.timed_out() && queued.batch.items.is_empty() && !queued.closing {
                        return Next::Idle;
                    }
                    queued
                }
            };
        }
    }

    /// Gives the memory of a batch back.
    pub(crate) fn recycle(&self, mut bytes: Vec<u8>, keep: usize) {
        bytes.clear();
        if bytes.capacity() <= keep {
            self.lock().spare = bytes;
        }
    }

    /// Waits a little, or until the store is closed; whether it is.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let queued = self.lock();
        let closing = |queued: &mut Queued| !queued.closing;
        let (queued, _) =
            self.filled.wait_timeout_while(queued, pause, closing).unwrap_or_else(PoisonError::into_inner);
        queued.closing
    }

    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.filled.notify_all();
    }

    pub(crate) fn set_health(&self, state: Health) {
        self.lock().state = state;
    }

    pub(crate) fn health(&self) -> Health {
        self.lock().state.clone()
    }

    /// Takes nothing more, and returns what waits.
    pub(crate) fn fail(&self, state: Health) -> Batch {
        let mut queued = self.lock();
        queued.state = state;
        mem::take(&mut queued.batch)
    }

    fn lock(&self) -> MutexGuard<'_, Queued> {
        // The queue is consistent between statements, so a panic elsewhere leaves nothing broken.
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queued {
    fn check(&self, urgent: bool, place: &dyn Fn() -> String) -> Result<(), StoreError> {
        match &self.state {
            Health::Well if self.closing => Err(closed()),
            Health::Well => Ok(()),
            Health::Full if urgent => Ok(()),
            Health::Full => Err(StoreError::Full { place: place() }),
            Health::Failed(source) => Err(StoreError::Failed { source: source.clone() }),
            Health::Closed => Err(closed()),
        }
    }
}

/// What a store that was closed says.
pub(crate) fn closed() -> StoreError {
    StoreError::Unavailable { source: Arc::new(io::Error::other("the store was closed")) }
}
