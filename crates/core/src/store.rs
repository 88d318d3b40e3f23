//! The seam beneath the log: where entries are kept.

use std::{error::Error as StdError, future::Future, pin::Pin, sync::Arc};

use crate::{Entry, Epoch, ExecutionId, Seq, Status, Term};

/// A future on the heap: the price of a trait object, paid at the cold edge only.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps the entries of many logs.
///
/// Every implementation passes the one conformance suite, `streamnest_log::conformance`.
pub trait LogStore: Send + Sync + 'static {
    /// Opens the log of `id` for one writer, making it if it does not exist.
    ///
    /// The term of the returned log is greater than any before, so that an earlier writer's appends are refused from
    /// here on. `watch` hears of durability.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store cannot be reached or is broken.
    fn open<'a>(
        &'a self,
        id: &'a ExecutionId,
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>>;

    /// Forgets the log of `id`, and every entry of it. Does nothing if there is none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the store cannot be reached or is broken.
    fn delete<'a>(&'a self, id: &'a ExecutionId) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// One log in a store, opened by its one writer.
pub trait StoredLog: Send + Sync + 'static {
    /// Where the log stands.
    fn head(&self) -> StoredHead;

    /// Accepts `entries`, which follow each other and `expected_last`, in one piece or not at all.
    ///
    /// Accepting is not keeping: the answer tells whether they are durable already; if not, the [`DurabilityWatch`]
    /// given to [`LogStore::open`] hears it later. Returns without waiting for a disk or a network.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] if `term` is not the newest, [`StoreError::WrongLast`] if `expected_last` is not the last
    /// accepted entry, [`StoreError::Sealed`], [`StoreError::Unavailable`].
    fn append(&self, term: Term, expected_last: Seq, entries: &[Arc<Entry>]) -> Result<Appended, StoreError>;

    /// Accepts that nothing follows `expected_last`: the log is sealed once that is durable.
    ///
    /// # Errors
    /// As [`append`](Self::append).
    fn seal(&self, term: Term, expected_last: Seq) -> Result<Appended, StoreError>;

    /// Reads durable entries from `from` on, in order and without gaps, until `max_entries` or about `max_bytes` of
    /// [`Entry::weight`], at least one; empty if `from` is past the last durable one.
    ///
    /// # Errors
    /// [`StoreError::Trimmed`] if `from` is no longer kept, [`StoreError::Unavailable`].
    fn read(
        &self,
        from: Seq,
        max_entries: usize,
        max_bytes: usize,
    ) -> BoxFuture<'_, Result<Vec<Arc<Entry>>, StoreError>>;

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
}

/// Whether accepted entries are durable yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Appended {
    /// They are.
    Durable,
    /// They will be: the [`DurabilityWatch`] hears of it.
    Pending,
}

/// Hears from a store what became of accepted entries.
///
/// Never called from within [`StoredLog::append`] or [`StoredLog::seal`], whose caller holds the log's lock: what is
/// durable at once is said by their answer.
pub trait DurabilityWatch: Send + Sync + 'static {
    /// Every entry up to and including `up_to` is durable; `sealed` if the seal is too.
    fn durable(&self, up_to: Seq, sealed: bool);

    /// What was accepted and is not durable yet is lost, and nothing will be accepted any more.
    fn failed(&self, error: StoreError);
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
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
            Self::Fenced { .. } => "fenced",
            Self::WrongLast { .. } => "wrong_last",
            Self::Sealed { .. } => "sealed",
            Self::Trimmed { .. } => "trimmed",
            Self::Unavailable { .. } => "store_unavailable",
        }
    }

    /// Whether the same call may succeed later.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
