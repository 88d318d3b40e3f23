//! Connections: the native protocol over WebSocket, Server-Sent Events and HTTP.
//!
//! A [`Gateway`] lets any number of clients start, follow and stop executions. It knows the executions by their logs
//! and by [`ExecutionControl`](streamnest_core::ExecutionControl), never the runtime behind it. Serve it on a listener
//! of its own, or mount its [router](Gateway::router) into an axum program:
//!
//! ```
//! use std::sync::Arc;
//! use streamnest_core::ExecutionControl;
//! use streamnest_gateway::{Gateway, GatewayOptions};
//! use streamnest_log::Registry;
//!
//! # async fn example(control: Arc<dyn ExecutionControl>, logs: Registry) -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = Gateway::new(control, logs, GatewayOptions::default())?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! # drop(stop);
//! gateway.serve(listener, async { drop(stopped.await) }).await?;
//! # Ok(())
//! # }
//! ```
//!
//! One task serves one WebSocket connection. It reads what the client says, writes what the client is owed, and only
//! when all of that is written pulls what came since from the logs: bytes that were encoded once and are shared by all
//! connections. So a slow reader holds up nobody, takes no memory but the little it was owed last, and gets more at
//! once the more it lags. `docs/protocol.md` says what goes over the wire.

mod access;
mod account;
mod auth;
mod compact;
mod compression;
mod connection;
mod console;
mod descriptors;
mod directory;
mod durable;
mod error;
mod gateway;
mod guard;
mod http;
mod io;
mod leaving;
mod limits;
mod metrics;
mod options;
mod people;
mod serve;
mod shared;
mod shares;
mod sockets;
mod sse;
mod tls;
mod upgrade;
mod views;

pub use access::{AccessPolicy, Action, ClaimsPolicy, Resource, Scope};
pub use auth::{Algorithm, AuthenticationOptions, Principal, Revocation, Secret, TokenKey};
pub use compression::CompressionOptions;
pub use error::Error;
pub use gateway::Gateway;
pub use limits::RateLimitOptions;
pub use options::GatewayOptions;
pub use sockets::{StreamingWebSocketGateway, WebSocketBridgeService, WebSocketError};
pub use tls::TlsOptions;
