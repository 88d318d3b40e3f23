//! Which store an application keeps its logs in, if it did not say: that is decided by the flags, or by the first use.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use streamnest_core::{
    AttributeChange, BoxFuture, Clock, DurabilityWatch, Listed, LogName, LogStore, StoreError, StoredLog,
    Timestamp,
};
use streamnest_log::MemoryStore;

/// A store that is chosen late. Whoever uses it before it is chosen has chosen memory.
pub(crate) struct LateStore {
    clock: Arc<dyn Clock>,
    chosen: OnceLock<Arc<dyn LogStore>>,
}

impl LateStore {
    pub(crate) const fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, chosen: OnceLock::new() }
    }

    /// Whether nobody has chosen or used it yet.
    pub(crate) fn is_open(&self) -> bool {
        self.chosen.get().is_none()
    }

    /// Chooses; whether that came in time.
    pub(crate) fn choose(&self, store: Arc<dyn LogStore>) -> bool {
        self.chosen.set(store).is_ok()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn store(&self) -> &Arc<dyn LogStore> {
        self.chosen.get_or_init(|| Arc::new(MemoryStore::new(self.clock.clone())))
    }
}

impl LogStore for LateStore {
    fn create<'a>(
        &'a self,
        name: &'a LogName,
        attributes: &'a [AttributeChange],
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        self.store().create(name, attributes, watch)
    }

    fn open<'a>(
        &'a self,
        name: &'a LogName,
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        self.store().open(name, watch)
    }

    fn delete<'a>(&'a self, name: &'a LogName) -> BoxFuture<'a, Result<(), StoreError>> {
        self.store().delete(name)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a LogName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        self.store().list(prefix, after, limit)
    }

    /// Looking is not using: maintenance may look before the flags are read.
    fn is_persistent(&self) -> bool {
        self.chosen.get().is_some_and(|store| store.is_persistent())
    }

    fn expired(&self, now: Timestamp) -> Vec<LogName> {
        self.chosen.get().map(|store| store.expired(now)).unwrap_or_default()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        match self.chosen.get() {
            Some(store) => store.close(),
            None => Box::pin(async {}),
        }
    }
}

impl fmt::Debug for LateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateStore").field("is_open", &self.is_open()).finish_non_exhaustive()
    }
}
