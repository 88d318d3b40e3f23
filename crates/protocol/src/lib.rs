//! What Streamnest says on the wire, as pure functions: entries to bytes, bytes to commands.
//!
//! There is no socket here, no clock and no async runtime; a gateway moves the bytes. The [`native`] protocol is the
//! project's own, over WebSocket and Server-Sent Events. `docs/protocol.md` is its reference, and
//! `docs/schema/native-v1.json` the JSON Schema of every frame.
//!
//! ```
//! use streamnest_core::{Epoch, Entry, Event, ExecutionId, LogIdentity, Seq, Timestamp, payload};
//! use streamnest_protocol::native;
//!
//! let log = LogIdentity::new(&ExecutionId::new("e1")?, Epoch::new(7));
//! let running = Event::status(&payload::StatusUpdate::running());
//! let entry = Entry::new(Seq::FIRST, Timestamp::from_micros(0), running);
//! let mut json = Vec::new();
//! native::entry_json(&log, &entry, &mut json);
//! assert!(json.starts_with(br#"{"type":"status","executionId":"e1","sequence":1,"#));
//! # Ok::<(), streamnest_core::Error>(())
//! ```

pub mod durable;
mod error;
mod keys;
pub mod native;

pub use self::{error::Error, keys::check_keys};
