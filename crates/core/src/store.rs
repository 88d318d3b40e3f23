//! The seam beneath the log: where entries are kept.

use std::{error::Error as StdError, future::Future, pin::Pin, sync::Arc};

use crate::{AttributeChange, Attributes, Entry, Epoch, LogName, Passage, Seq, Status, Term, Timestamp};

/// A future on the heap: the price of a trait object, paid at the cold edge only.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps the entries of many logs.
///
/// Every implementation passes the one conformance suite, `streamnest_log::conformance`.
pub trait LogStore: Send + Sync + 'static {
    /// Makes the log `name` with these attributes, and opens it for its one writer. The log and its attributes are durable
    /// when this returns.
    ///
    /// `watch` hears of durability.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Full`], [`StoreError::Failed`], [`StoreError::Unavailable`].
    fn create<'a>(
        &'a self,
        name: &'a LogName,
        attributes: &'a [AttributeChange],
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>>;

    /// Opens the log `name` for one writer.
    ///
    /// The term of the returned log is greater than any before whose writer may still be there, so that an earlier
    /// writer's appends are refused from here on. `watch` hears of durability.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Unavailable`].
    fn open<'a>(
        &'a self,
        name: &'a LogName,
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>>;

    /// Forgets the log `name`, and every entry of it; that is durable when this returns. Does nothing if there is none.
    ///
    /// # Errors
    /// [`StoreError::Failed`], [`StoreError::Unavailable`].
    fn delete<'a>(&'a self, name: &'a LogName) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The logs whose names begin with `prefix` and come after `after`, at most `limit`, in the order of their names.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a LogName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>>;

    /// Whether what it keeps outlives this process, so that letting a log go from memory is not forgetting it.
    fn is_persistent(&self) -> bool {
        false
    }

    /// Whether it takes appends, or may again by itself, as one that is full.
    ///
    /// # Errors
    /// [`StoreError::Failed`]: it takes nothing more for as long as this process lives.
    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Makes everything durable that was accepted, and takes nothing more. What was read before may still be.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    /// Finished executions that the store's own retention no longer allows at `now`, those that ended first coming first.
    /// Whoever holds the store deletes them, so that their readers hear of it.
    fn expired(&self, now: Timestamp) -> Vec<LogName> {
        let _ = now;
        Vec::new()
    }
}

/// One log in a store, opened by its one writer.
pub trait StoredLog: Send + Sync + 'static {
    /// Where the log stands.
    fn head(&self) -> StoredHead;

    /// Accepts `entries`, which follow each other and `expected_last`, together with changes of attributes, in one piece or
    /// not at all. Without entries it changes attributes only, also those of a sealed log.
    ///
    /// Accepting is not keeping: the answer tells whether they are durable already; if not, the [`DurabilityWatch`]
    /// given to [`LogStore::open`] hears it later. Returns without waiting for a disk or a network.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if `term` is not the newest, [`StoreError::WrongLast`] if `expected_last` is not the last
    /// accepted entry, [`StoreError::Sealed`], [`StoreError::NotFound`] if the log was deleted, [`StoreError::Full`],
    /// [`StoreError::Failed`], [`StoreError::Unavailable`].
    fn append(
        &self,
        term: Term,
        expected_last: Seq,
        entries: &[Arc<Entry>],
        attributes: &[AttributeChange],
    ) -> Result<Appended, StoreError>;

    /// Accepts that nothing follows `expected_last`: the log is sealed once that is durable.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn seal(&self, term: Term, expected_last: Seq) -> Result<Appended, StoreError>;

    /// Reads durable entries from `from` on, in order and without gaps, until `max_entries` or about `max_bytes` of
    /// [`Entry::weight`], at least one; empty if `from` is past the last durable one.
    ///
    /// # Errors
    /// [`StoreError::Trimmed`] if `from` is no longer kept, [`StoreError::Damaged`] if it cannot be read any more,
    /// [`StoreError::NotFound`] if the log was deleted, [`StoreError::Unavailable`].
    fn read(
        &self,
        from: Seq,
        max_entries: usize,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Entry>>, StoreError>>;

    /// As [`read`](Self::read), but only what the entries say, each payload behind `lead`, and at most `max_bytes` of that, leads
    /// included, except that one entry that says more is still given alone.
    ///
    /// What a store keeps may be served so without making an entry of each: a store that can does.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn read_passage(
        &self,
        from: Seq,
        max_entries: usize,
        max_bytes: usize,
        lead: Option<u8>,
    ) -> BoxFuture<'_, Result<Passage, StoreError>> {
        let read = self.read(from, max_entries, max_bytes);
        Box::pin(async move {
            let entries = read.await?;
            Ok(Passage::within(&entries, lead, max_bytes))
        })
    }

    /// Forgets every entry up to and including `up_to`.
    ///
    /// # Errors
    /// [`StoreError::Fenced`], [`StoreError::Unavailable`].
    fn trim(&self, term: Term, up_to: Seq) -> Result<(), StoreError>;
}

/// Where a log in a store stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredHead {
    /// The incarnation of its content.
    pub epoch: Epoch,
    /// The term of the writer that has it open.
    pub term: Term,
    /// The last entry that was trimmed; the first kept one is the next.
    pub trimmed: Seq,
    /// The last durable entry.
    pub last: Seq,
    /// Whether it is sealed.
    pub sealed: bool,
    /// The newest status among its entries.
    pub status: Option<Status>,
    /// The time of its last entry; `None` if there never was one.
    pub time: Option<Timestamp>,
    /// Bytes that its kept entries take in the store, more or less.
    pub bytes: u64,
    /// Its durable attributes.
    pub attributes: Attributes,
}

/// One log of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its name.
    pub name: LogName,
    /// Where it stands.
    pub head: StoredHead,
}

/// Whether accepted entries are durable yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    /// They are.
    Durable,
    /// They will be: the [`DurabilityWatch`] hears of it.
    Pending,
}

/// How much of what one writer of a log handed to its store is durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    /// Every entry up to and including this one.
    pub last: Seq,
    /// The first so many of the appends with changes of attributes, counted since this writer opened the log.
    pub changes: u64,
    /// The seal.
    pub sealed: bool,
}

/// Hears from a store what became of accepted entries.
///
/// Never called from within [`StoredLog::append`] or [`StoredLog::seal`], whose caller holds the log's lock: what is
/// durable at once is said by their answer.
pub trait DurabilityWatch: Send + Sync + 'static {
    /// Everything up to `mark` is durable. No part of a mark ever goes back.
    fn durable(&self, mark: Mark);

    /// What was accepted and is not durable yet is lost, and nothing will be accepted any more.
    fn failed(&self, error: StoreError);
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is a log of that name already.
    #[error("there is a log `{name}` already; open it, or choose another name")]
    Exists {
        /// Its name.
        name: LogName,
    },
    /// There is no log of that name, or not any more.
    #[error("there is no log `{name}`; make it first")]
    NotFound {
        /// The name.
        name: LogName,
    },
    /// Another writer opened the log since.
    #[error("term {term} is fenced off by term {newest}: another writer has opened this log; stop this one")]
    Fenced {
        /// The term of the call.
        term: u64,
        /// The newest term.
        newest: u64,
    },
    /// The entries do not follow the last accepted one.
    #[error("entries were to follow sequence {expected}, but the log ends at {actual}; reopen it")]
    WrongLast {
        /// The sequence number that the call expected last.
        expected: Seq,
        /// The last accepted one.
        actual: Seq,
    },
    /// The log takes no more entries.
    #[error("log is sealed at sequence {last}; start a new execution")]
    Sealed {
        /// The last entry.
        last: Seq,
    },
    /// The entries asked for are no longer kept.
    #[error("entries up to sequence {trimmed} are trimmed; read on after it")]
    Trimmed {
        /// The last entry that was trimmed.
        trimmed: Seq,
    },
    /// The entries asked for are kept, but not as they were written.
    #[error(
        "entries {from} to {to} are damaged at byte {offset} of `{file}` and cannot be served; read on after them, and repair the store"
    )]
    Damaged {
        /// The first damaged entry.
        from: Seq,
        /// The last damaged entry before one that can be read.
        to: Seq,
        /// The file.
        file: String,
        /// Where in the file the first damage begins.
        offset: u64,
    },
    /// There is no room for more. Reads go on, and appends when there is room again.
    #[error("log store is full: {place} has no room left; free some, and appends go on by themselves")]
    Full {
        /// Where.
        place: String,
    },
    /// What the store keeps in memory of its logs has no room for more. Reads go on, and appends that end a log; those that make no
    /// log and set no new attribute go on until the last of the room is taken too.
    #[error(
        "log store has no room for more: names, attributes and places of entries of its logs may take {limit} bytes of memory, a quarter of it places alone; delete or trim logs, or raise `DiskOptions::max_index_bytes`"
    )]
    IndexFull {
        /// The most that they may take together.
        limit: u64,
    },
    /// The store cannot make anything durable any more, and takes nothing.
    #[error("log store failed and takes nothing more; restart the server when the cause is gone")]
    Failed {
        /// What it said.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
    /// The store cannot be reached, or is broken.
    #[error("log store is unavailable")]
    Unavailable {
        /// What it said.
        #[source]
        source: Arc<dyn StdError + Send + Sync>,
    },
}

impl StoreError {
    /// A stable identifier, the same in every release.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "conflict",
            Self::NotFound { .. } => "unknown_log",
            Self::Fenced { .. } => "fenced",
            Self::WrongLast { .. } => "wrong_last",
            Self::Sealed { .. } => "sealed",
            Self::Trimmed { .. } => "trimmed",
            Self::Damaged { .. } => "damaged",
            Self::Full { .. } => "store_full",
            Self::IndexFull { .. } => "store_index_full",
            Self::Failed { .. } => "store_failed",
            Self::Unavailable { .. } => "store_unavailable",
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Full { .. } | Self::IndexFull { .. } | Self::Unavailable { .. })
    }
}
