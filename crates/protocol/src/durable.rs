//! The [Durable Streams](https://github.com/durable-streams/durable-streams) protocol, version 1.0, as pure functions.
//!
//! | what | here |
//! |---|---|
//! | names of headers | [`header`] |
//! | which stream an address means | [`Target`], [`StreamPath`] |
//! | where a reader begins | [`Offset`] |
//! | what a stream holds | [`ContentType`], [`json`] |
//! | how long it lives | [`lifetime`] |
//! | what a producer claims | [`producer`] |
//! | what a live reader gets | [`sse`], [`collapse`] |
//! | what a cache compares | [`etag`] |
//! | what a producer adds to an execution | [`entry`] |
//! | what is wrong with a request | [`Invalid`] |
//!
//! "§" in this module is a section of the protocol's `PROTOCOL.md`, version 1.0.

mod base64;
pub mod collapse;
mod content_type;
pub mod entry;
mod error;
pub mod etag;
pub mod header;
pub mod json;
pub mod lifetime;
mod offset;
mod path;
pub mod producer;
pub mod sse;

pub use content_type::ContentType;
pub use error::Invalid;
pub use offset::Offset;
pub use path::{ROOT, StreamPath, Target};
