//! How a store keeps what it is given, and for how long.

use std::{str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, de};
use streamnest_core::duration;

use crate::Error;

/// When an entry is visible and its append acknowledged, and so what a crash can take.
///
/// | mode | acknowledged when | a killed process loses | a power cut loses |
/// |---|---|---|---|
/// | `Sync` | it is on the disk | nothing | nothing |
/// | `Interval` | the operating system has it | nothing | at most what came within the interval |
/// | `Memory` | the operating system has it | nothing | what the system had not written by itself, usually 30 s |
///
/// After an unclean stop in any mode but `Sync` every log that had not ended begins a new epoch, so that its readers are
/// told a gap where entries may be missing. So that this is noticed, the first batch after the store was opened and the first of
/// each segment are synced in every mode.
///
/// As text, in flags and files of options, they are `sync`, `interval=200ms` and `memory`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// After one sync for all that waits.
    #[default]
    Sync,
    /// When written; a sync follows at least that often.
    Interval(Duration),
    /// When written; nothing is synced but at a clean stop and when a segment is full.
    Memory,
}

impl Durability {
    /// What stands for it in a file.
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::Sync => 0,
            Self::Interval(_) => 1,
            Self::Memory => 2,
        }
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let legal = "legal are `sync`, `interval=200ms` (units: ms, s, min) and `memory`";
        match text.split_once('=') {
            None if text == "sync" => Ok(Self::Sync),
            None if text == "memory" => Ok(Self::Memory),
            Some(("interval", time)) => match duration::parse(time)? {
                Duration::ZERO => Err(format!("`{time}` is no time above zero; {legal}")),
                interval => Ok(Self::Interval(interval)),
            },
            _ => Err(format!("`{text}` is no durability; {legal}")),
        }
    }
}

impl<'de> Deserialize<'de> for Durability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The bounds of a [`DiskStore`](crate::DiskStore).
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DiskOptions {
    /// When an append is acknowledged. Default [`Durability::Sync`].
    pub durability: Durability,
    /// Bytes at which a segment is full and the next begins. Default 32 MiB: what is read at the start if the program was
    /// killed, in some 20 ms.
    pub segment_bytes: u64,
    /// How long a finished execution is kept. Default 7 days.
    #[serde(deserialize_with = "duration::deserialize")]
    pub finished_ttl: Duration,
    /// Bytes that finished executions may take together; when they take more, those that ended first are forgotten. Default
    /// 1 GiB.
    pub max_finished_bytes: u64,
    /// Bytes that are kept free for the moment at which the disk is full, so that what was accepted by then can still be
    /// written, and deleting makes room: then a segment is compacted as soon as a quarter of it is dead, if what lives in it, and
    /// what else it says, fits into half of this. Default 4 MiB.
    pub reserve_bytes: u64,
    /// How often it is tried whether a full disk has room again. Default 500 ms.
    #[serde(deserialize_with = "duration::deserialize")]
    pub full_retry: Duration,
    /// The share of dead bytes at which segments are compacted: what lives in the oldest is copied on, and it goes. One in which nothing
    /// lives goes at once. Default
    /// 0.5, by which the store takes at most about twice the bytes that live.
    pub compact_above: f64,
    /// Bytes of memory that the names, attributes and places of all logs may take, about. A place is some 30 bytes for each page of
    /// 512 appends of a log in a full segment, and 100 for the first. When three quarters are taken no log is made and no new
    /// attribute is set, and when all is taken nothing is appended; but what ends a log always is. Default 256 MiB, by which some
    /// 300,000 finished executions are known at once.
    pub max_index_bytes: u64,
    /// Threads that read from the disk for cold readers. Default 2.
    pub readers: usize,
    /// Bytes of small payloads of streams that were read from the disk twice and stay in memory for whoever reads them next. Default
    /// 32 MiB. None stay if it is 0.
    pub max_cached_bytes: usize,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Sync,
            segment_bytes: 32 << 20,
            finished_ttl: Duration::from_secs(7 * 24 * 3600),
            max_finished_bytes: 1 << 30,
            reserve_bytes: 4 << 20,
            full_retry: Duration::from_millis(500),
            compact_above: 0.5,
            max_index_bytes: 256 << 20,
            readers: 2,
            max_cached_bytes: 32 << 20,
        }
    }
}

/// Writes a setter for each field.
macro_rules! setters {
    ($($setter:ident $field:ident: $value:ty,)*) => {
        impl DiskOptions {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(self, $field: $value) -> Self {
                    Self { $field, ..self }
                }
            )*
        }
    };
}

setters! {
    with_durability durability: Durability,
    with_segment_bytes segment_bytes: u64,
    with_finished_ttl finished_ttl: Duration,
    with_max_finished_bytes max_finished_bytes: u64,
    with_reserve_bytes reserve_bytes: u64,
    with_full_retry full_retry: Duration,
    with_compact_above compact_above: f64,
    with_max_index_bytes max_index_bytes: u64,
    with_readers readers: usize,
    with_max_cached_bytes max_cached_bytes: usize,
}

impl DiskOptions {
    /// Checks that every bound leaves room to work.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] names the first one that does not, and what would.
    pub fn validate(&self) -> Result<(), Error> {
        let checks = [
            ("durability", self.durability == Durability::Interval(Duration::ZERO), "an interval above zero"),
            ("segment_bytes", self.segment_bytes < 4_096, "at least 4096"),
            ("finished_ttl", self.finished_ttl.is_zero(), "a time above zero"),
            ("full_retry", self.full_retry.is_zero(), "a time above zero"),
            ("compact_above", !(0.0..=1.0).contains(&self.compact_above), "a share from 0 to 1"),
            ("max_index_bytes", self.max_index_bytes < 4_096, "at least 4096"),
            ("readers", self.readers == 0, "at least 1"),
        ];
        match checks.into_iter().find(|(_, bad, _)| *bad) {
            Some((option, _, legal)) => Err(Error::InvalidOption { option, legal }),
            None => Ok(()),
        }
    }
}
