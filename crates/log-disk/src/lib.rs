//! The embedded durable log store.
//!
//! A [`DiskStore`] keeps the logs of a program in a directory of segment files that all logs share, so that one sync makes
//! durable whatever waits in any of them. An entry is visible, and its append acknowledged, only after that sync.
//!
//! What a crash leaves is read back as it was acknowledged: a torn tail is cut to the last whole entry, a flipped bit is
//! found by its checksum, told with file and position, and never served. `docs/format.md` describes the files.
//!
//! ```
//! use std::sync::Arc;
//! use streamnest_core::{Event, EventType, ExecutionId};
//! use streamnest_log::{LogOptions, Registry, SystemClock};
//! use streamnest_log_disk::{DiskOptions, DiskStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! let (clock, run) = (Arc::new(SystemClock), ExecutionId::new("run-1")?);
//! {
//!     let store = Arc::new(DiskStore::open(path, clock.clone(), DiskOptions::default())?);
//!     let writer = Registry::new(store, clock.clone(), LogOptions::default()).create(&run).await?;
//!     let last = writer.append([Event::named(None, EventType::CUSTOM, &"kept".into())]).await?;
//!     writer.durable(last).await?;
//! }
//! let store = Arc::new(DiskStore::open(path, clock.clone(), DiskOptions::default())?);
//! let registry = Registry::new(store, clock, LogOptions::default());
//! let writer = registry.open(&run).await?.expect("it was kept");
//! assert_eq!(writer.log().head().last.get(), 1);
//! # Ok(())
//! # }
//! ```

mod blocks;
mod bounds;
mod catalog;
mod codec;
mod commit;
mod compact;
mod completion;
mod damage;
mod error;
mod files;
mod handle;
mod index;
mod log;
mod options;
mod passage;
mod plan;
mod queue;
mod read;
mod readers;
mod record;
mod recover;
mod repair;
mod room;
mod segment;
pub mod storage;
mod store;

pub use error::Error;
pub(crate) use files::Files;
pub use options::{DiskOptions, Durability};
pub use recover::{Damage, Recovery};
pub use repair::Repair;
pub use store::DiskStore;
