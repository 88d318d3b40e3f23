//! The vocabulary of Streamnest: what every other crate of the workspace speaks.
//!
//! An *execution* is one run of a workflow. Everything that it says, its tokens, events, progress updates and
//! its status, becomes an [`Entry`] of its own append-only log; an entry is an [`Event`] with the [`Seq`] and the
//! [`Timestamp`] that the log's one writer gave it. A reader stands at a [`Position`].
//!
//! This crate does no I/O, reads no clock and needs no async runtime. It holds
//!
//! - the identifiers: [`ExecutionId`], [`Tenant`], [`LogName`], [`NodeName`], [`WorkflowName`], [`EventType`], [`MessageId`];
//! - the coordinates: [`Seq`], [`Epoch`], [`Term`], [`Position`];
//! - the events and their [payloads](payload);
//! - how people write [durations](duration);
//! - the seams: [`LogStore`] beneath the log, [`ExecutionControl`] between gateway and runtime, [`Clock`], and the
//!   [`Scope`] by which a model that is called inside a node finds that node.

mod ask;
mod attribute;
mod control;
mod cost;
pub mod duration;
mod entry;
mod error;
mod event;
mod execution_id;
mod id;
mod name;
mod passage;
pub mod payload;
mod position;
mod scope;
mod store;
mod stream;
mod tenant;
mod time;
mod trace;

pub use ask::{Approval, ApprovalAnswer, AskId, AskOutcome, Signal, Signalled};
pub use attribute::{AttributeChange, AttributeKey, Attributes};
pub use control::{
    ControlError, ExecutionControl, ExecutionPage, ExecutionSummary, OnDisconnect, StartExecution, Started,
    WorkflowSummary,
};
pub use cost::Cost;
pub use entry::{Encoded, Entry, LogIdentity, WIRE_FORMAT_SLOTS, WireFormat};
pub use error::Error;
pub use event::{Class, Delivery, Event, EventType, Priority};
pub use execution_id::ExecutionId;
pub use id::{MessageId, NodeName, WorkflowName};
pub use name::{LogName, NamesLog};
pub use passage::Passage;
pub use payload::Status;
pub use position::{Epoch, Position, Seq, Term};
pub use scope::{InScope, MessageOrigin, MessageSink, NodePort, Scope, ScopeExt, TokenDelta, Usage};
pub use store::{
    Appended, BoxFuture, DurabilityWatch, Listed, LogStore, Mark, StoreError, StoredHead, StoredLog,
};
pub use stream::{Lifetime, Producer};
pub use tenant::Tenant;
pub use time::{Clock, Timestamp};
pub use trace::{SpanId, TraceContext, TraceId};
