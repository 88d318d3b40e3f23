//! The task of a connection: first it waits for the handshake to end, then it is the connection.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use hyper::upgrade::OnUpgrade;
use streamnest_core::TraceContext;

use super::{Connection, Language};
use crate::{
    auth::Admission,
    io::Socket,
    shared::{Seat, Shared},
};

/// What the handshake found out.
pub(crate) struct Begin {
    pub(crate) seat: Seat,
    pub(crate) admission: Admission,
    /// Whether the client takes compressed frames.
    pub(crate) deflates: bool,
    pub(crate) language: Language,
    /// Where it belongs in a trace, and with it what it starts.
    pub(crate) trace: Option<Box<TraceContext>>,
}

/// A WebSocket from its handshake to its end. A future by hand, so that an idle connection is no larger than what it
/// has to remember.
#[expect(
    clippy::large_enum_variant,
    reason = "it is the small one for a moment only, and a box would cost memory"
)]
pub(crate) enum Session {
    /// Until the answer to the handshake is written.
    Upgrading {
        upgrade: OnUpgrade,
        /// Taken when the connection begins.
        begin: Option<(Arc<Shared>, Begin)>,
    },
    /// The connection.
    Open(Connection),
}

impl Session {
    pub(crate) const fn new(shared: Arc<Shared>, upgrade: OnUpgrade, begin: Begin) -> Self {
        Self::Upgrading { upgrade, begin: Some((shared, begin)) }
    }
}

impl Future for Session {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Upgrading { upgrade, begin } = &mut *self {
            let upgraded = match ready!(Pin::new(upgrade).poll(cx)) {
                Ok(upgraded) => upgraded,
                Err(error) => {
                    tracing::debug!(%error, "client went away during the WebSocket handshake");
                    return Poll::Ready(());
                }
            };
            let Some((shared, begin)) = begin.take() else { return Poll::Ready(()) };
            let (socket, read) = Socket::of(upgraded);
            *self = Self::Open(Connection::new(shared, socket, read, begin));
        }
        match &mut *self {
            Self::Open(connection) => connection.poll(cx),
            Self::Upgrading { .. } => Poll::Ready(()),
        }
    }
}
