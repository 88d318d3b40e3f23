//! A data directory that may hold only so much together with what lies beside it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use streamnest::log_disk::storage::{Directory, Storage, StorageFile};

use super::MEBIBYTES;

pub(super) struct Quota {
    directory: Directory,
    disk: PathBuf,
    broken: Arc<AtomicBool>,
}

impl Quota {
    /// The data directory `data` on the disk `disk`.
    pub(super) fn new(data: &Path, disk: &Path) -> Arc<Self> {
        let directory = Directory::new(data).unwrap();
        Arc::new(Self { directory, disk: disk.to_owned(), broken: Arc::default() })
    }

    /// Nothing becomes durable on it any more.
    pub(super) fn break_down(&self) {
        self.broken.store(true, Ordering::Release);
    }

    fn file(&self, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(CountedFile { file, disk: self.disk.clone(), broken: self.broken.clone() })
    }
}

struct CountedFile {
    file: Arc<dyn StorageFile>,
    disk: PathBuf,
    broken: Arc<AtomicBool>,
}

/// The bytes of all files in a folder and its folders.
fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { size(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

impl Storage for Quota {
    fn place(&self) -> String {
        self.directory.place()
    }

    fn lock(&self) -> io::Result<Option<Box<dyn Send + Sync>>> {
        self.directory.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.directory.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(self.directory.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.file(self.directory.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.directory.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.directory.remove(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_directory()
    }
}

impl StorageFile for CountedFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let grows = (offset + bytes.len() as u64).saturating_sub(self.file.length()?);
        if size(&self.disk)? + grows > (MEBIBYTES << 20) as u64 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if self.broken.load(Ordering::Acquire) {
            return Err(io::Error::from_raw_os_error(5));
        }
        self.file.sync()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.file.set_length(length)
    }
}
