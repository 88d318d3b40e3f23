//! Follows the executions of a Streamnest server: each entry once, in order, across lost connections.
//!
//! ```no_run
//! use serde_json::json;
//! use streamnest_client::{Client, Item};
//!
//! # async fn example() -> Result<(), streamnest_client::Error> {
//! let client = Client::new("http://127.0.0.1:8080")?;
//! let started = client.start("ai-content-generation", json!({"prompt": "Write about rivers."})).await?;
//! let mut run = client.subscribe(started.execution_id).connect().await?;
//! while let Some(item) = run.next().await {
//!     match item? {
//!         Item::Entry(entry) => println!("{} {}", entry.sequence, entry.payload),
//!         Item::Gap(gap) => println!("missed {} to {}", gap.from, gap.to),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A [`Subscription`] keeps the position of what it gave to its caller. When its connection ends, it comes back by
//! itself, with exponential backoff and full jitter, and resumes there; what arrives twice is dropped, what is missing
//! is an error, never skipped in silence. A server that asks who its clients are gets a token by [`Client::with_token`], or by
//! [`Client::with_token_provider`], which also renews it before it expires. It speaks over WebSocket only, by TLS where the
//! address begins with `https` or `wss`; [`ClientOptions::root_certificates`] says who vouches for the server.

mod address;
mod backoff;
mod client;
mod error;
mod options;
mod socket;
mod subscribe;
mod subscription;
mod tls;
mod tokens;
mod tracker;

pub use client::Client;
pub use error::Error;
pub use options::ClientOptions;
pub use subscribe::Subscribe;
pub use subscription::{Item, Statistics, Subscription};
pub use tls::RootCertificates;
pub use tokens::{TokenError, TokenProvider};

// What the interface above speaks of.
pub use streamnest_core::{
    Approval, ApprovalAnswer, AskId, AskOutcome, Class, Delivery, EventType, ExecutionId, NodeName,
    OnDisconnect, Position, Seq, Signal, Signalled, Status, Timestamp, payload,
};
pub use streamnest_protocol::native::{
    Attempt, CloseCode, EntryFrame as ClientEntry, ExecutionStarted, Gap, GapReason, MessageSnapshot,
    NodeSnapshot, Place, Replay, Snapshot, Standing, StartAt, SubscriptionState,
};
