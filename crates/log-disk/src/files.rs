//! The files of a store that are no segments.

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    io,
    sync::Arc,
};

use crate::{
    Error,
    room::{RESERVE, is_full},
    segment::Segment,
    storage::{Storage, StorageFile},
};

/// The file that says which format the others have.
const FORMAT: &str = "FORMAT";
/// What it says.
const KNOWN: &str = "streamnest log 2";
/// What it says of a directory that has no salt yet, and otherwise is the same.
const UNSALTED: &str = "streamnest log 1";
/// How much of the reserve is written at once.
const BLOCK: usize = 64 << 10;

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) storage: Arc<dyn Storage>,
    /// The salt of new segments, once the format was checked.
    pub(crate) salt: u32,
}

impl Files {
    /// Names the file where a system call failed.
    pub(crate) fn io<T>(&self, file: &str, result: io::Result<T>) -> Result<T, Error> {
        result.map_err(|source| Error::Io {
            path: self.storage.place(),
            file: file.into(),
            source: Arc::new(source),
        })
    }

    /// Keeps every other process out, until what is returned is dropped.
    pub(crate) fn lock(&self) -> Result<Box<dyn Send + Sync>, Error> {
        let locked = self.io("LOCK", self.storage.lock())?;
        locked.ok_or_else(|| Error::Locked { path: self.storage.place() })
    }

    /// Checks the version of the format, and takes the salt; a new directory gets the newest, and so does one that has no salt.
    pub(crate) fn check_format(&mut self) -> Result<(), Error> {
        let names = self.io("", self.storage.list())?;
        if !names.iter().any(|name| name == FORMAT) {
            let foreign =
                names.iter().find(|name| !name.ends_with(".new") && !name.starts_with("lost+found"));
            if let Some(file) = foreign {
                return Err(Error::Foreign { path: self.storage.place(), file: file.clone() });
            }
            let salt = self.put_format();
            self.salt = self.io(FORMAT, salt)?;
            return Ok(());
        }
        let read = || {
            let file = self.storage.open(FORMAT)?;
            let mut text = vec![0; 256];
            let read = file.read_at(&mut text, 0)?;
            text.truncate(read);
            Ok(String::from_utf8_lossy(&text).trim_end().chars().take(64).collect::<String>())
        };
        let found = self.io(FORMAT, read())?;
        if found == UNSALTED {
            match self.put_format() {
                // It goes on as it was until there is room.
                Err(error) if is_full(&error) => {}
                salt => self.salt = self.io(FORMAT, salt)?,
            }
            return Ok(());
        }
        let salt = found.strip_prefix(KNOWN).and_then(|salt| salt.strip_prefix(' '));
        if let Some(salt) = salt.and_then(|salt| u32::from_str_radix(salt, 16).ok()) {
            self.salt = salt;
            return Ok(());
        }
        Err(Error::Format { path: self.storage.place(), found, known: KNOWN })
    }

    /// Writes the newest format with a new salt, which is returned.
    fn put_format(&self) -> io::Result<u32> {
        // The keys of a hash map's hasher are the system's randomness. Zero would be no salt.
        let random = RandomState::new().build_hasher().finish();
        let salt = ((random ^ random >> 32) as u32).max(1);
        put(&*self.storage, FORMAT, format!("{KNOWN} {salt:08x}\n").as_bytes())?;
        Ok(salt)
    }

    /// Keeps `bytes` for the moment at which the disk is full.
    pub(crate) fn keep_reserve(&self, bytes: u64) -> io::Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        if let Ok(file) = self.storage.open(RESERVE)
            && file.length()? == bytes
        {
            return Ok(());
        }
        let kept = self.write_reserve(bytes);
        if kept.is_err() {
            let _ = self.storage.remove(RESERVE);
        }
        kept
    }

    fn write_reserve(&self, bytes: u64) -> io::Result<()> {
        let file = self.storage.create(RESERVE)?;
        // No two bytes in a row are alike, so that a file system that compresses keeps the room too.
        let mut state = 1_u32;
        let block: Vec<u8> = (0..BLOCK)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect();
        let mut at = 0;
        while at < bytes {
            let length = usize::try_from(bytes - at).unwrap_or(BLOCK).min(BLOCK);
            file.write_at(block.get(..length).unwrap_or_default(), at)?;
            at += length as u64;
        }
        file.sync()
    }

    /// Removes a segment and its index.
    pub(crate) fn remove_segment(&self, segment: &Segment) -> io::Result<()> {
        self.remove(&[segment.name(), crate::index::name_of(segment.id)])
    }

    /// Removes files durably, those of them that are there.
    pub(crate) fn remove(&self, names: &[String]) -> io::Result<()> {
        for name in names {
            match self.storage.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.storage.sync_directory()
    }
}

/// Puts a file of these bytes in place of one that may have the name, durably and at one moment. Meanwhile it has another name, which
/// nobody keeps if this fails.
pub(crate) fn put(storage: &dyn Storage, name: &str, bytes: &[u8]) -> io::Result<Arc<dyn StorageFile>> {
    let new = format!("{name}.new");
    let write = || {
        let file = storage.create(&new)?;
        file.write_at(bytes, 0)?;
        file.sync()?;
        storage.rename(&new, name)?;
        Ok(file)
    };
    let file = write().inspect_err(|_: &io::Error| drop(storage.remove(&new)))?;
    storage.sync_directory()?;
    Ok(file)
}
