//! The event log: what an execution said, in order, for any number of readers.
//!
//! **An execution is a log, and a client is a cursor.** A [`Registry`] holds the logs. Each has one [`Writer`], which
//! numbers the entries, and any number of [`Cursor`]s, which pull them. An entry becomes visible once its store says
//! that it is durable. Waking is a flag and data is pulled: there is no queue per reader, so a slow reader costs
//! nothing and slows nobody; what it reads next is simply a larger batch. If retention passed it, it is told a
//! [`Gap`].
//!
//! ```
//! use std::sync::Arc;
//! use streamnest_core::{Event, EventType, ExecutionId, payload::StatusUpdate};
//! use streamnest_log::{LogOptions, MemoryStore, Read, ReadLimit, Registry, Start, SystemClock};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Arc::new(SystemClock);
//! let registry = Registry::new(Arc::new(MemoryStore::new(clock.clone())), clock, LogOptions::default());
//! let writer = registry.create(&ExecutionId::new("run-1")?).await?;
//! writer.append([Event::named(None, EventType::CUSTOM, &"hello".into())]).await?;
//! writer.finish(StatusUpdate::completed(42.into())).await?;
//!
//! let mut cursor = writer.log().cursor(Start::Beginning);
//! while let Some(read) = cursor.next_batch(ReadLimit::default()).await? {
//!     match read {
//!         Read::Batch(batch) => batch.iter().for_each(|entry| assert!(entry.seq().get() > 0)),
//!         Read::Gap(gap) => unreachable!("nothing was trimmed, yet {gap:?}"),
//!     }
//! }
//! assert_eq!(cursor.position().seq().get(), 2);
//! # Ok(())
//! # }
//! ```

mod attributes;
mod clock;
pub mod conformance;
mod cursor;
pub mod durable;
mod encode;
mod error;
mod event_log;
mod fan_in;
mod filter;
mod memory;
mod once;
mod options;
mod pace;
mod passage;
mod registry;
mod retention;
mod subscriptions;
mod wake;
mod writer;

pub use clock::SystemClock;
pub use cursor::{Batch, Cursor, Gap, GapReason, Read, ReadLimit};
pub use error::Error;
pub use event_log::{EventLog, Head, Start};
pub use fan_in::{FanIn, FanInCursor, FanInScope};
pub use filter::Filter;
pub use memory::MemoryStore;
pub use once::{MAX_ONCE_KEY, once_attribute};
pub use options::{LogOptions, Retention};
pub use pace::{Pace, RunObserver};
pub use registry::{Registry, Removal};
pub use subscriptions::Acknowledger;
pub use writer::{Accepted, Writer};
