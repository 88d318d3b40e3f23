//! The native protocol, version 1: JSON frames over WebSocket and Server-Sent Events.
//!
//! | direction | here |
//! |---|---|
//! | an entry to a client | [`entry_json`], [`WebSocketFrame`], [`SseEvent`], [`with_subscription`] |
//! | anything else to a client | [`ServerFrame`], [`ErrorBody`], [`CloseCode`] |
//! | a client's request | [`Request`], [`ClientCommand`], [`ParseError`] |
//! | a frame as a client reads it | [`Frame`], [`EntryFrame`] |

mod access_token;
mod close;
mod command;
mod decode;
mod digits;
mod entry;
mod http;
mod server;
mod snapshot;
pub mod sse;
mod text;
pub mod websocket;

pub use access_token::AccessToken;
pub use close::{CloseCode, Reconnect};
pub use command::{
    ClientCommand, EventScope, MAX_FLUSH_WINDOW, MAX_LIST_ITEMS, MAX_REQUEST_ID, ParseError, Replay, Request,
    StartAt, SubscribeEvents, SubscribeExecution, SubscriptionName,
};
pub use decode::{EntryFrame, Frame};
pub use entry::{WebSocketFrame, entry_json, with_subscription};
pub use http::ErrorBody;
pub use server::{
    AuthenticationSuccess, CancelAccepted, Connected, ErrorFrame, EventsSubscriptionConfirmed,
    ExecutionStarted, Gap, GapReason, Heartbeat, ReaderPosition, ServerFrame, SignalAccepted, StatusResponse,
    SubscriptionConfirmed, SubscriptionState, SubscriptionStatus, TokenExpiring, UnsubscriptionConfirmed,
};
pub use snapshot::{Attempt, Fold, MessageSnapshot, NodeSnapshot, Place, Snapshot, Standing};
pub use sse::SseEvent;

/// The WebSocket subprotocol; a client that offers none speaks it too.
pub const SUBPROTOCOL: &str = "streamnest.v1";
/// The same, of which the server may send frames together as one compressed binary message: raw DEFLATE (RFC 1951) of the
/// frames with a line feed after each.
pub const SUBPROTOCOL_DEFLATE: &str = "streamnest.v1.deflate";
