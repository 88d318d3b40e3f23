//! A connection on which a subscription stands.

use streamnest_core::Seq;
use streamnest_protocol::native::{
    ClientCommand, Request, ServerFrame, SubscribeExecution, SubscriptionConfirmed, SubscriptionState,
};

use crate::{Client, Error, socket::Socket};

/// The `id` of the request that subscribes.
pub(super) const SUBSCRIBE: &str = "subscribe";
/// The `id` of the request that asks whether anything is to come.
const STATUS: &str = "status";

/// A connection on which the subscription stands.
pub(super) struct Up {
    pub(super) socket: Socket,
    /// The last entry that was acknowledged on it.
    acknowledged: Option<Seq>,
    /// The execution had ended when the subscription was confirmed, so that there may be nothing to come.
    pub(super) over: bool,
    /// Whether to ask the server if there is.
    pub(super) ask: bool,
    /// The server no longer knows the subscription; whatever it sent comes before its next heartbeat.
    pub(super) leaving: bool,
    /// The last thing was given.
    pub(super) done: bool,
}

impl Up {
    /// Sends what is owed to the server.
    pub(super) async fn send_due(
        &mut self,
        command: &SubscribeExecution,
        acknowledged: Option<Seq>,
    ) -> Result<(), Error> {
        if let (Some(sequence), Some(subscription)) = (acknowledged, &command.subscription)
            && acknowledged > self.acknowledged
        {
            let (execution_id, subscription) = (command.execution_id.clone(), subscription.clone());
            let command = ClientCommand::Ack { execution_id, subscription, sequence };
            self.socket.send(&Request { id: None, command }).await?;
            self.acknowledged = acknowledged;
        }
        if self.ask {
            self.socket.send(&Request::new(STATUS, ClientCommand::GetStatus)).await?;
            self.ask = false;
        }
        Ok(())
    }
}

/// Connects and subscribes.
pub(super) async fn open(
    client: &Client,
    command: SubscribeExecution,
) -> Result<(Up, SubscriptionConfirmed), Error> {
    let mut socket = Socket::open(client.address(), client.options()).await?;
    let request = Request::new(SUBSCRIBE, ClientCommand::SubscribeExecution(command));
    let answer = socket.ask(&request, client.options().connect_timeout).await?;
    let ServerFrame::SubscriptionConfirmed(confirmed) = answer else {
        return Err(unexpected("subscribe_execution", &answer));
    };
    let over = !matches!(confirmed.state, SubscriptionState::Waiting | SubscriptionState::Running);
    let up = Up { socket, acknowledged: None, over, ask: over, leaving: false, done: false };
    Ok((up, confirmed))
}

/// The error of an answer that does not fit its request.
pub(crate) fn unexpected(request: &str, answer: &ServerFrame) -> Error {
    let reason = format!("`{}` is no answer to `{request}`", answer.frame_type());
    streamnest_protocol::Error::Frame { reason }.into()
}
