//! The files of a store that are no segments.

use std::{io, sync::Arc};

use crate::{Error, commit::RESERVE, segment::Segment, storage::Storage};

/// The file that says which format the others have.
const FORMAT: &str = "FORMAT";
/// What it says.
const KNOWN: &str = "streamnest log 1";
/// How much of the reserve is written at once.
const BLOCK: usize = 64 << 10;

/// Where the files are.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) storage: Arc<dyn Storage>,
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

    /// Checks the version of the format; a new directory gets the newest.
    pub(crate) fn check_format(&self) -> Result<(), Error> {
        let names = self.io("", self.storage.list())?;
        if !names.iter().any(|name| name == FORMAT) {
            let foreign =
                names.iter().find(|name| !name.ends_with(".new") && !name.starts_with("lost+found"));
            if let Some(file) = foreign {
                return Err(Error::Foreign { path: self.storage.place(), file: file.clone() });
            }
            return self.io(FORMAT, self.put_format());
        }
        let read = || {
            let file = self.storage.open(FORMAT)?;
            let mut text = vec![0; 256];
            let read = file.read_at(&mut text, 0)?;
            text.truncate(read);
            Ok(String::from_utf8_lossy(&text).trim_end().chars().take(64).collect::<String>())
        };
        let found = self.io(FORMAT, read())?;
        if found == KNOWN {
            return Ok(());
        }
        Err(Error::Format { path: self.storage.place(), found, known: KNOWN })
    }

    fn put_format(&self) -> io::Result<()> {
        let new = "FORMAT.new";
        let file = self.storage.create(new)?;
        file.write_at(format!("{KNOWN}\n").as_bytes(), 0)?;
        file.sync()?;
        self.storage.rename(new, FORMAT)?;
        self.storage.sync_directory()
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
        for name in [segment.name(), crate::index::name_of(segment.id)] {
            match self.storage.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        self.storage.sync_directory()
    }
}
