//! Where damaged records of a segment lie: it is looked through at the first question, for whoever asks next too.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    codec::{self, Body},
    record::{self, Found},
    segment::{SEGMENT_HEADER, Segment},
};

/// So many damaged records of a segment are remembered, 24 bytes each. If there are more, each question looks through it.
const MOST_REMEMBERED: usize = 4_096;

/// What is remembered of a segment's damage; nothing before somebody asks.
#[derive(Default)]
pub(crate) struct Damages(Mutex<Option<Arc<[Damaged]>>>);

/// A damaged record, or what a repair has left in its place, of which it is known whose it was.
struct Damaged {
    log: u64,
    /// The last entry of the log after it.
    last: u64,
    offset: u64,
}

impl Segment {
    /// Where the first damaged record of a log lies that held the entry `next` or a later one. What became damaged after the first
    /// question is no hole before the next start.
    pub(crate) fn damage_at(&self, log: u64, next: u64) -> io::Result<Option<u64>> {
        // Who asks at the same time waits, and does not read it too.
        let mut remembered = self.damages.0.lock().unwrap_or_else(PoisonError::into_inner);
        let damages = match &*remembered {
            Some(damages) => damages.clone(),
            None => {
                let found: Arc<[Damaged]> = self.look_for_damage()?.into();
                *remembered = Some(found.clone()).filter(|found| found.len() <= MOST_REMEMBERED);
                found
            }
        };
        let asked = damages.iter().find(|damaged| damaged.log == log && damaged.last >= next);
        Ok(asked.map(|damaged| damaged.offset))
    }

    fn look_for_damage(&self) -> io::Result<Vec<Damaged>> {
        let bytes = self.read(0, usize::try_from(self.length()).unwrap_or(usize::MAX))?;
        let (mut offset, mut damages) = (SEGMENT_HEADER as usize, Vec::new());
        while let Some(found) = record::read(&bytes, offset, self.salt) {
            let (said, end) = match found {
                Found::Record { header, body, end } => {
                    (Some(header).filter(|_| matches!(codec::read(body), Some(Body::Hole))), end)
                }
                Found::Damage { header, end } => (header, end),
            };
            damages.extend(said.map(|said| Damaged {
                log: said.log,
                last: said.last,
                offset: offset as u64,
            }));
            offset = end;
        }
        Ok(damages)
    }
}
