//! Which store an application keeps its logs in, if it did not say: that is decided by the flags, or by the first use.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use streamnest_core::{
    AttributeChange, BoxFuture, Clock, DurabilityWatch, Listed, LogName, LogStore, StoreError, StoredLog,
    Timestamp,
};
use streamnest_log::MemoryStore;
use streamnest_log_disk::DiskOptions;

/// A store that is chosen late. Whoever uses it before it is chosen has chosen memory, and is told so, unless the options name
/// a data directory: then that is refused.
pub(crate) struct LateStore {
    clock: Arc<dyn Clock>,
    disk: DiskOptions,
    directory: Option<PathBuf>,
    chosen: OnceLock<Arc<dyn LogStore>>,
}

impl LateStore {
    pub(crate) const fn new(clock: Arc<dyn Clock>, disk: DiskOptions, directory: Option<PathBuf>) -> Self {
        Self { clock, disk, directory, chosen: OnceLock::new() }
    }

    /// How logs are to be kept in a data directory.
    pub(crate) const fn disk(&self) -> &DiskOptions {
        &self.disk
    }

    /// The data directory that the options name.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.directory.as_deref()
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

    /// What was chosen; the first use chooses memory.
    fn store(&self) -> Result<&Arc<dyn LogStore>, StoreError> {
        if self.is_open()
            && let Some(directory) = &self.directory
        {
            let reason = format!(
                "the option `data_dir` names {}, which is not open yet; use the logs after `listen` has opened it, or name it by `AppBuilder::data_dir`",
                directory.display()
            );
            return Err(StoreError::Unavailable { source: Arc::new(io::Error::other(reason)) });
        }
        Ok(self.chosen.get_or_init(|| {
            tracing::warn!(
                "logs are kept in memory and are gone with this program: it used them before it listened; \
                 keep them by `AppBuilder::data_dir`, or say `AppBuilder::in_memory`"
            );
            Arc::new(MemoryStore::new(self.clock.clone()))
        }))
    }
}

impl LogStore for LateStore {
    fn create<'a>(
        &'a self,
        name: &'a LogName,
        attributes: &'a [AttributeChange],
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        Box::pin(async move { self.store()?.create(name, attributes, watch).await })
    }

    fn open<'a>(
        &'a self,
        name: &'a LogName,
        watch: Arc<dyn DurabilityWatch>,
    ) -> BoxFuture<'a, Result<Arc<dyn StoredLog>, StoreError>> {
        Box::pin(async move { self.store()?.open(name, watch).await })
    }

    fn delete<'a>(&'a self, name: &'a LogName) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.store()?.delete(name).await })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a LogName>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Listed>, StoreError>> {
        Box::pin(async move { self.store()?.list(prefix, after, limit).await })
    }

    /// Looking is not using: maintenance may look before the flags are read.
    fn is_persistent(&self) -> bool {
        self.chosen.get().is_some_and(|store| store.is_persistent())
    }

    fn check(&self) -> Result<(), StoreError> {
        self.chosen.get().map_or(Ok(()), |store| store.check())
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
