//! The stores at hand pass the suite of all stores.

use std::sync::Arc;

use streamnest_log::{MemoryStore, SystemClock, conformance};

use crate::{
    slow_store::SlowStore,
    support::{Random, SetClock},
};

#[tokio::test]
async fn the_memory_store_keeps_every_promise() {
    conformance::check(async || Arc::new(MemoryStore::new(Arc::new(SystemClock)))).await;
}

#[tokio::test]
async fn the_memory_store_keeps_every_promise_while_the_clock_stands_still() {
    conformance::check(async || Arc::new(MemoryStore::new(SetClock::new()))).await;
}

#[tokio::test]
async fn a_store_that_is_durable_later_keeps_every_promise() {
    let seed = Random::seeded().next();
    let make = async || {
        let store = Arc::new(SlowStore::default());
        store.settle_at_random(Random::from_seed(seed));
        store
    };
    conformance::check(make).await;
}

/// A check that cannot fail checks nothing: stores that break one promise each are caught by the case that names it.
mod broken {
    use std::sync::Arc;

    use streamnest_core::{
        Appended, AttributeChange, BoxFuture, DurabilityWatch, Entry, Listed, LogName, LogStore, Mark, Seq,
        StoreError, StoredHead, StoredLog, Term,
    };
    use streamnest_log::{MemoryStore, SystemClock, conformance};

    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Fault {
        IgnoresTerms,
        IgnoresExpectedLast,
        ForgetsSeals,
        ReadsTooMany,
        ReadsNothingTooLarge,
        ForgetsToDelete,
        TrimsTooLittle,
        SwapsEntries,
        CallsTheWatchFromAppend,
        KeepsTheTerm,
        OpensWhatIsNotThere,
        MakesTwice,
        ForgetsAttributes,
        ListsEverything,
    }

    struct Broken {
        inner: MemoryStore,
        fault: Fault,
    }

    struct BrokenLog {
        inner: Arc<dyn StoredLog>,
        fault: Fault,
        watch: Arc<dyn DurabilityWatch>,
    }

    impl LogStore for Broken {
        fn create<'a>(
            &'a self,
            name: &'a LogName,
            attributes: &'a [AttributeChange],
            watch: Arc<dyn DurabilityWatch>,
        ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
            Box::pin(async move {
                let made = self.inner.create(name, attributes, watch.clone()).await;
                let inner = match made {
                    Err(StoreError::Exists { .. }) if self.fault == Fault::MakesTwice => {
                        self.inner.open(name, watch.clone()).await?
                    }
                    made => made?,
                };
                Ok(Arc::new(BrokenLog { inner, fault: self.fault, watch }) as Arc<dyn StoredLog>)
            })
        }

        fn open<'a>(
            &'a self,
            name: &'a LogName,
            watch: Arc<dyn DurabilityWatch>,
        ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
            Box::pin(async move {
                let opened = self.inner.open(name, watch.clone()).await;
                let inner = match opened {
                    Err(StoreError::NotFound { .. }) if self.fault == Fault::OpensWhatIsNotThere => {
                        self.inner.create(name, &[], watch.clone()).await?
                    }
                    opened => opened?,
                };
                Ok(Arc::new(BrokenLog { inner, fault: self.fault, watch }) as Arc<dyn StoredLog>)
            })
        }

        fn delete<'a>(&'a self, name: &'a LogName) -> BoxFuture<'a, Result<(), StoreError>> {
            match self.fault {
                Fault::ForgetsToDelete => Box::pin(async { Ok(()) }),
                _ => self.inner.delete(name),
            }
        }

        fn list<'a>(
            &'a self,
            prefix: &'a str,
            after: Option<&'a LogName>,
            limit: usize,
        ) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
            let prefix = if self.fault == Fault::ListsEverything { "" } else { prefix };
            self.inner.list(prefix, after, limit)
        }
    }

    impl StoredLog for BrokenLog {
        fn head(&self) -> StoredHead {
            let head = self.inner.head();
            match self.fault {
                Fault::ForgetsSeals => StoredHead { sealed: false, ..head },
                Fault::KeepsTheTerm => StoredHead { term: Term::FIRST, ..head },
                _ => head,
            }
        }

        fn append(
            &self,
            term: Term,
            expected_last: Seq,
            entries: &[Arc<Entry>],
            changes: &[AttributeChange],
        ) -> Result<Appended, StoreError> {
            let changes = if self.fault == Fault::ForgetsAttributes { &[] } else { changes };
            let term = if self.fault == Fault::IgnoresTerms { Term(u64::MAX) } else { term };
            let last = self.inner.head().last;
            let ignores = self.fault == Fault::IgnoresExpectedLast;
            let appended =
                self.inner.append(term, if ignores { last } else { expected_last }, entries, changes)?;
            if self.fault == Fault::CallsTheWatchFromAppend {
                self.watch.durable(Mark { last: self.inner.head().last, ..Mark::default() });
            }
            Ok(appended)
        }

        forward!(inner: seal);

        fn read(
            &self,
            from: Seq,
            max_entries: usize,
            max_bytes: usize,
        ) -> BoxFuture<'_, Result<Vec<Arc<Entry>>, StoreError>> {
            Box::pin(async move {
                let more = usize::from(self.fault == Fault::ReadsTooMany);
                let mut read = self.inner.read(from, max_entries.saturating_add(more), max_bytes).await?;
                if self.fault == Fault::ReadsNothingTooLarge
                    && read.len() == 1
                    && read[0].weight() > max_bytes
                {
                    read.clear();
                }
                if self.fault == Fault::SwapsEntries && read.len() > 1 {
                    read.swap(0, 1);
                }
                Ok(read)
            })
        }

        fn trim(&self, term: Term, up_to: Seq) -> Result<(), StoreError> {
            let less = u64::from(self.fault == Fault::TrimsTooLittle);
            self.inner.trim(term, Seq::try_from(up_to.get() - less).unwrap())
        }
    }

    /// Whether `case` fails for a store with this fault.
    async fn is_caught(fault: Fault, case: &str) -> bool {
        let case = conformance::CASES.iter().find(|known| known.name == case).expect("a case of that name");
        let inner = MemoryStore::new(Arc::new(SystemClock));
        tokio::spawn(case.check(Arc::new(Broken { inner, fault }))).await.is_err()
    }

    #[tokio::test]
    async fn the_suite_catches_a_store_that_breaks_a_promise() {
        for (fault, case) in [
            (Fault::IgnoresTerms, "a_fenced_writer_changes_nothing"),
            (Fault::IgnoresExpectedLast, "an_append_that_does_not_follow_the_last_entry_is_refused_whole"),
            (Fault::IgnoresExpectedLast, "one_of_two_appends_at_once_wins"),
            (Fault::ForgetsSeals, "a_sealed_log_takes_nothing_more_and_is_still_read"),
            (Fault::ReadsTooMany, "a_read_keeps_to_its_limits_and_returns_at_least_one"),
            (Fault::ReadsNothingTooLarge, "a_read_keeps_to_its_limits_and_returns_at_least_one"),
            (Fault::ForgetsToDelete, "a_deleted_log_comes_back_empty_in_another_epoch"),
            (Fault::TrimsTooLittle, "trimmed_entries_are_gone_and_said_to_be"),
            (Fault::SwapsEntries, "entries_are_dense_and_come_back_as_they_were"),
            (Fault::CallsTheWatchFromAppend, "entries_are_dense_and_come_back_as_they_were"),
            (Fault::KeepsTheTerm, "reopening_keeps_content_and_epoch_and_raises_the_term"),
            (Fault::OpensWhatIsNotThere, "a_log_is_made_once_and_only_what_was_made_is_opened"),
            (Fault::MakesTwice, "a_log_is_made_once_and_only_what_was_made_is_opened"),
            (Fault::ForgetsToDelete, "a_deleted_log_takes_nothing_more"),
            (Fault::ForgetsAttributes, "attributes_are_set_and_removed_with_their_append"),
            (Fault::ForgetsAttributes, "a_sealed_log_still_changes_attributes"),
            (Fault::ListsEverything, "logs_are_listed_in_order_and_page_by_page"),
        ] {
            assert!(is_caught(fault, case).await, "{fault:?} is not caught by `{case}`");
        }
    }
}
