//! A disk in memory that loses what was not synced, tears writes, fills up and fails, when it is told to.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use streamnest_log_disk::storage::{Storage, StorageFile};

use crate::support::Random;

/// What the disk writes at once: a power cut takes whole sectors.
const SECTOR: usize = 512;

/// A disk.
#[derive(Default)]
pub(crate) struct Disk {
    /// The files by their names now.
    names: Mutex<BTreeMap<String, Arc<Content>>>,
    /// The names as they are after a power cut.
    durable_names: Mutex<BTreeMap<String, Arc<Content>>>,
    locked: Arc<AtomicBool>,
    shared: Arc<Shared>,
}

/// What goes wrong on a disk.
#[derive(Default)]
struct Shared {
    /// Held by whoever changes something, so that a power cut is one moment.
    moment: Mutex<()>,
    /// Bytes that still fit.
    room: AtomicI64,
    limited: AtomicBool,
    fail_syncs: AtomicBool,
    fail_writes: AtomicBool,
    full_directory: AtomicBool,
    /// Changes that are still made before the program stops for good.
    steps: Mutex<Option<u64>>,
    read_bytes: AtomicU64,
    reads: Mutex<Reads>,
    read_together: Condvar,
}

/// Reads that are under way.
#[derive(Default)]
struct Reads {
    now: usize,
    most: usize,
    /// So many are to be under way together before the first of them goes on.
    wanted: usize,
}

#[derive(Default)]
struct Content {
    /// As it is read.
    bytes: Mutex<Vec<u8>>,
    /// As it was at its last sync.
    synced: Mutex<Vec<u8>>,
}

struct Open {
    content: Arc<Content>,
    shared: Arc<Shared>,
}

impl Disk {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// From now on only so many bytes more fit.
    pub(crate) fn limit(&self, room: i64) {
        self.shared.room.store(room, Ordering::SeqCst);
        self.shared.limited.store(true, Ordering::SeqCst);
    }

    /// Whether syncs fail.
    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.shared.fail_syncs.store(fail, Ordering::SeqCst);
    }

    /// Whether writes fail.
    pub(crate) fn fail_writes(&self, fail: bool) {
        self.shared.fail_writes.store(fail, Ordering::SeqCst);
    }

    /// Whether there is no room for names that have changed.
    pub(crate) fn fill_directory(&self, full: bool) {
        self.shared.full_directory.store(full, Ordering::SeqCst);
    }

    /// After so many more changes nothing is changed any more, as if the program had stopped there.
    pub(crate) fn stop_after(&self, steps: u64) {
        *self.shared.steps.lock().unwrap() = Some(steps);
    }

    /// What is done while whoever writes waits.
    pub(crate) fn while_nothing_is_written<T>(&self, act: impl FnOnce() -> T) -> T {
        let _moment = self.shared.moment.lock().unwrap();
        act()
    }

    /// From now on reads wait until so many of them are under way together.
    pub(crate) fn read_together(&self, wanted: usize) {
        *self.shared.reads.lock().unwrap() = Reads { wanted, ..Reads::default() };
    }

    /// The most reads that were under way together since.
    pub(crate) fn read_together_at_most(&self) -> usize {
        self.shared.reads.lock().unwrap().most
    }

    /// What a power cut leaves: what was synced, and of the rest some sectors, in no order.
    pub(crate) fn power_cut(&self, random: &mut Random) -> Arc<Self> {
        let after = Self::default();
        let _moment = self.shared.moment.lock().unwrap();
        let now = self.names.lock().unwrap().clone();
        let durable = self.durable_names.lock().unwrap().clone();
        // A name that was changed and not synced is there or is not.
        let mut names = durable.clone();
        for (name, content) in &now {
            if !durable.get(name).is_some_and(|old| Arc::ptr_eq(old, content)) && random.below(2) == 0 {
                names.insert(name.clone(), content.clone());
            }
        }
        for name in durable.keys().filter(|name| !now.contains_key(*name)) {
            if random.below(2) == 0 {
                names.remove(name);
            }
        }
        for (name, content) in names {
            let (written, synced) = (content.bytes.lock().unwrap(), content.synced.lock().unwrap());
            let mut bytes = synced.clone();
            // The length may have come through and the content not, then there are zeros.
            let length = match random.below(3) {
                0 => synced.len(),
                1 => written.len(),
                _ => {
                    synced.len()
                        + random.below(1 + written.len().saturating_sub(synced.len()) as u64) as usize
                }
            };
            bytes.resize(length.max(synced.len().min(written.len())), 0);
            for start in (0..bytes.len()).step_by(SECTOR) {
                let end = (start + SECTOR).min(bytes.len()).min(written.len());
                if start < end && random.below(2) == 0 {
                    // A sector may be torn, too.
                    let end = if random.below(8) == 0 {
                        start + random.below((end - start) as u64) as usize
                    } else {
                        end
                    };
                    bytes[start..end].copy_from_slice(&written[start..end]);
                }
            }
            let content = Content { synced: Mutex::new(bytes.clone()), bytes: Mutex::new(bytes) };
            after.names.lock().unwrap().insert(name, Arc::new(content));
        }
        *after.durable_names.lock().unwrap() = after.names.lock().unwrap().clone();
        Arc::new(after)
    }

    /// What a killed process leaves: all that was written.
    pub(crate) fn kill(&self) -> Arc<Self> {
        self.edited(|_, _| {})
    }

    /// A copy with each file as `edit` leaves it.
    pub(crate) fn edited(&self, edit: impl Fn(&str, &mut Vec<u8>)) -> Arc<Self> {
        let after = Self::default();
        for (name, content) in self.names.lock().unwrap().iter() {
            let mut bytes = content.bytes.lock().unwrap().clone();
            edit(name, &mut bytes);
            let content = Content { synced: Mutex::new(bytes.clone()), bytes: Mutex::new(bytes) };
            after.names.lock().unwrap().insert(name.clone(), Arc::new(content));
        }
        *after.durable_names.lock().unwrap() = after.names.lock().unwrap().clone();
        Arc::new(after)
    }

    /// Makes of each file what `edit` leaves, under those who have it open.
    pub(crate) fn overwrite(&self, edit: impl Fn(&str, &mut Vec<u8>)) {
        for (name, content) in self.names.lock().unwrap().iter() {
            edit(name, &mut content.bytes.lock().unwrap());
        }
    }

    /// How many bytes were read so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.shared.read_bytes.load(Ordering::SeqCst)
    }

    /// The names and lengths of the files.
    pub(crate) fn files(&self) -> Vec<(String, usize)> {
        let names = self.names.lock().unwrap();
        names.iter().map(|(name, content)| (name.clone(), content.bytes.lock().unwrap().len())).collect()
    }
}

struct Unlock(Arc<AtomicBool>);

impl Drop for Unlock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl Storage for Disk {
    fn place(&self) -> String {
        "simulated disk".into()
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let free = !self.locked.swap(true, Ordering::SeqCst);
        Ok(free.then(|| Box::new(Unlock(self.locked.clone())) as Box<dyn Send + Sync>))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names.lock().unwrap().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let _moment = self.shared.moment.lock().unwrap();
        self.shared.step()?;
        let content = Arc::new(Content::default());
        let replaced = self.names.lock().unwrap().insert(name.into(), content.clone());
        self.shared.free(replaced.as_deref());
        Ok(Arc::new(Open { content, shared: self.shared.clone() }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let content = self.names.lock().unwrap().get(name).cloned();
        let content = content.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        Ok(Arc::new(Open { content, shared: self.shared.clone() }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let _moment = self.shared.moment.lock().unwrap();
        self.shared.step()?;
        let mut names = self.names.lock().unwrap();
        let content = names.remove(from).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let replaced = names.insert(to.into(), content);
        self.shared.free(replaced.as_deref());
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let _moment = self.shared.moment.lock().unwrap();
        self.shared.step()?;
        let removed = self.names.lock().unwrap().remove(name);
        self.shared.free(removed.as_deref());
        removed.map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let _moment = self.shared.moment.lock().unwrap();
        self.shared.sync()?;
        if self.shared.full_directory.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(28));
        }
        *self.durable_names.lock().unwrap() = self.names.lock().unwrap().clone();
        Ok(())
    }
}

impl Shared {
    /// Counts a read, and lets it wait for the others.
    fn begin_read(&self) {
        let mut reads = self.reads.lock().unwrap();
        reads.now += 1;
        reads.most = reads.most.max(reads.now);
        self.read_together.notify_all();
        let alone = |reads: &mut Reads| reads.most < reads.wanted;
        let (reads, waited) =
            self.read_together.wait_timeout_while(reads, Duration::from_secs(30), alone).unwrap();
        assert!(!waited.timed_out(), "{} of {} reads came together", reads.most, reads.wanted);
    }

    /// A file is gone, if there was one.
    fn free(&self, file: Option<&Content>) {
        let bytes = file.map_or(0, |file| file.bytes.lock().unwrap().len());
        self.room.fetch_add(bytes as i64, Ordering::SeqCst);
    }

    fn end_read(&self) {
        self.reads.lock().unwrap().now -= 1;
    }

    fn step(&self) -> io::Result<()> {
        match &mut *self.steps.lock().unwrap() {
            Some(0) => Err(io::Error::other("the program has stopped")),
            Some(steps) => {
                *steps -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.step()?;
        if self.fail_syncs.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        Ok(())
    }
}

impl StorageFile for Open {
    fn length(&self) -> io::Result<u64> {
        Ok(self.content.bytes.lock().unwrap().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.shared.begin_read();
        let bytes = self.content.bytes.lock().unwrap();
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        drop(bytes);
        self.shared.read_bytes.fetch_add(read as u64, Ordering::SeqCst);
        self.shared.end_read();
        Ok(read)
    }

    fn write_at(&self, new: &[u8], offset: u64) -> io::Result<()> {
        let _moment = self.shared.moment.lock().unwrap();
        self.shared.step()?;
        if self.shared.fail_writes.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        let mut bytes = self.content.bytes.lock().unwrap();
        let end = offset as usize + new.len();
        let more = end.saturating_sub(bytes.len());
        let room = self.shared.room.load(Ordering::SeqCst).max(0) as usize;
        let full = self.shared.limited.load(Ordering::SeqCst) && more > room;
        // A full disk takes what fits.
        let new = if full { &new[..new.len() - (more - room).min(new.len())] } else { new };
        let end = offset as usize + new.len();
        if end > bytes.len() {
            self.shared.room.fetch_sub((end - bytes.len()) as i64, Ordering::SeqCst);
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(new);
        if full { Err(io::Error::from_raw_os_error(28)) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let _moment = self.shared.moment.lock().unwrap();
        self.shared.sync()?;
        let bytes = self.content.bytes.lock().unwrap().clone();
        *self.content.synced.lock().unwrap() = bytes;
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let _moment = self.shared.moment.lock().unwrap();
        self.shared.step()?;
        let mut bytes = self.content.bytes.lock().unwrap();
        self.shared.room.fetch_add(bytes.len() as i64 - length as i64, Ordering::SeqCst);
        bytes.resize(length as usize, 0);
        Ok(())
    }
}
