//! Streams as the Durable Streams protocol has them, over the same logs as executions.
//!
//! A stream is a log of [data](streamnest_core::Event::data) entries, one for each append, and a few attributes: its content
//! type, how long it lives, what it was forked from, and how far each of its idempotent producers has come. An append and
//! what it changes of these are durable in one piece. A fork holds what was appended to it; what lies before is read from
//! its source.
//!
//! There is no second log beside the first: [`Streams`] finds and makes streams in a [`Registry`](crate::Registry), and a
//! [`Reader`] is made of its cursors.

mod append;
mod facts;
mod options;
mod place;
mod producer;
mod reader;
mod stream;
mod streams;

pub use append::{Append, Outcome};
pub use facts::{Creation, Facts, Fork, ForkAt, made_at};
pub use options::StreamOptions;
pub use reader::{Chunk, EntriesOf, Reader};
pub use stream::{Stand, Stream};
pub use streams::{Created, Streams};
