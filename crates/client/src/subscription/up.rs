//! A connection on which a subscription stands.

use streamnest_core::{BoxFuture, Seq};
use streamnest_protocol::native::{
    AccessToken, ClientCommand, Frame, Request, ServerFrame, SubscribeExecution, SubscriptionConfirmed,
    SubscriptionState,
};

use crate::{Client, Error, TokenError, socket::Socket};

/// The `id` of the request that subscribes.
pub(super) const SUBSCRIBE: &str = "subscribe";
/// The `id` of the request that asks whether anything is to come.
const STATUS: &str = "status";
/// The `id` of the request that renews the token.
pub(super) const RENEW: &str = "renew";

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
    /// Gets the token that takes the place of one that expires.
    pub(super) renewal: Option<BoxFuture<'static, Result<String, TokenError>>>,
    /// The one that was got, until it is sent.
    token: Option<String>,
}

impl Up {
    /// Waits for the next frame, and renews the token meanwhile if that is due.
    ///
    /// # Cancel safety
    /// Safe: a frame is either returned or still to be read.
    pub(super) async fn next(&mut self) -> Result<Frame, Error> {
        loop {
            if let Some(token) = &self.token {
                let token = AccessToken::new(token.as_str());
                self.socket.send(&Request::new(RENEW, ClientCommand::Authentication { token })).await?;
                self.token = None;
            }
            let Some(renewal) = &mut self.renewal else { return self.socket.next().await };
            tokio::select! {
                biased;
                token = renewal => {
                    self.renewal = None;
                    // Without one the server closes the connection in time, and whoever opens the next one asks again.
                    self.token = token.ok();
                }
                frame = self.socket.next() => return frame,
            }
        }
    }

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
    let mut socket = client.open().await?;
    let request = Request::new(SUBSCRIBE, ClientCommand::SubscribeExecution(command));
    let answer = socket.ask(&request, client.options().connect_timeout).await?;
    let ServerFrame::SubscriptionConfirmed(confirmed) = answer else {
        return Err(unexpected("subscribe_execution", &answer));
    };
    let over = !matches!(confirmed.state, SubscriptionState::Waiting | SubscriptionState::Running);
    let up = Up {
        socket,
        acknowledged: None,
        over,
        ask: over,
        leaving: false,
        done: false,
        renewal: None,
        token: None,
    };
    Ok((up, confirmed))
}

/// The error of an answer that does not fit its request.
pub(crate) fn unexpected(request: &str, answer: &ServerFrame) -> Error {
    let reason = format!("`{}` is no answer to `{request}`", answer.frame_type());
    streamnest_protocol::Error::Frame { reason }.into()
}
