//! Where a server is, and what can be asked of it.

use std::sync::Arc;

use serde_json::Value;
use streamnest_core::{ExecutionId, Signal, Signalled, StartExecution};
use streamnest_protocol::native::{ClientCommand, ExecutionStarted, Request, ServerFrame, SignalAccepted};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    ClientOptions, Error, Subscribe, TokenProvider, address::Address, backoff, socket::Socket,
    subscription::unexpected, tls::Tls, tokens::Tokens,
};

/// A server, as seen from here. Cheap to clone; it holds no connection.
///
/// Each [subscription](Self::subscribe) has a connection of its own, each request one for as long as it takes.
#[derive(Clone, Debug)]
pub struct Client {
    address: Arc<Address>,
    options: Arc<ClientOptions>,
    tokens: Tokens,
    tls: Tls,
}

impl Client {
    /// A client of the server at `url`, for example `http://127.0.0.1:8080`, or `https` where that encrypts; `ws://` and `wss://`
    /// are the same, and a path is where the server is mounted.
    ///
    /// # Errors
    /// [`Error::Url`] if it is no such address.
    pub fn new(url: &str) -> Result<Self, Error> {
        let address = Arc::new(Address::parse(url)?);
        Ok(Self { address, options: Arc::default(), tokens: Tokens::None, tls: Tls::default() })
    }

    /// The same client with other options. Each connection [checks](ClientOptions::validate) them before it is made.
    #[must_use]
    pub fn with_options(self, options: ClientOptions) -> Self {
        Self { options: Arc::new(options), tls: Tls::default(), ..self }
    }

    /// The same client with a token, by which it shows who it is. When that expires the server closes its connections, and it
    /// does not come back; with a [provider](Self::with_token_provider) it goes on.
    #[must_use]
    pub fn with_token(self, token: impl Into<Arc<str>>) -> Self {
        Self { tokens: Tokens::Fixed(token.into()), ..self }
    }

    /// The same client with something that gives it tokens. It is asked for each connection, and when a server says that
    /// a token is about to expire: then the subscription goes on with the new one, without a gap and without connecting again. If the
    /// new one may not read the execution, it ends with [`Error::Refused`] and the code `forbidden`.
    #[must_use]
    pub fn with_token_provider(self, provider: impl TokenProvider) -> Self {
        Self { tokens: Tokens::Provided(Arc::new(provider)), ..self }
    }

    /// Follows an execution; what and how is said to the [`Subscribe`].
    pub fn subscribe(&self, execution_id: ExecutionId) -> Subscribe {
        Subscribe::new(self.clone(), execution_id)
    }

    /// Starts an execution of `workflow`.
    ///
    /// # Errors
    /// As [`start_execution`](Self::start_execution).
    pub async fn start(&self, workflow: &str, input: Value) -> Result<ExecutionStarted, Error> {
        let workflow = workflow.into();
        self.start_execution(StartExecution {
            workflow,
            input,
            execution_id: None,
            on_disconnect: None,
            trace: None,
        })
        .await
    }

    /// Starts an execution, or attaches to it: the same id, workflow and input again is the same execution.
    ///
    /// Without an id it gets one here, so that an answer lost with its connection is asked for again, and nothing
    /// starts twice.
    ///
    /// # Errors
    /// [`Error::InvalidOption`]; [`Error::Refused`] with the server's reason; [`Error::Connect`] and the like if there is no server, at once;
    /// [`Error::GaveUp`] if it was lost while it was asked.
    pub async fn start_execution(&self, mut request: StartExecution) -> Result<ExecutionStarted, Error> {
        if request.execution_id.is_none() {
            let id = ExecutionId::new(&Uuid::now_v7().to_string());
            let invalid =
                |error: streamnest_core::Error| Error::Argument { what: "id", reason: error.to_string() };
            request.execution_id = Some(id.map_err(invalid)?);
        }
        match self.ask(ClientCommand::StartExecution(request)).await? {
            ServerFrame::ExecutionStarted(started) => Ok(started),
            other => Err(unexpected("start_execution", &other)),
        }
    }

    /// Stops an execution: nothing but its terminal status follows. Stopping one again, or one that has ended, is no error.
    ///
    /// # Errors
    /// As [`start_execution`](Self::start_execution).
    pub async fn cancel(&self, execution_id: ExecutionId, reason: Option<&str>) -> Result<(), Error> {
        let reason = reason.map(Into::into);
        match self.ask(ClientCommand::CancelExecution { execution_id, reason }).await? {
            ServerFrame::CancelAccepted(_) => Ok(()),
            other => Err(unexpected("cancel_execution", &other)),
        }
    }

    /// Answers a question of an execution: one that it asked by an `approval` event. When this returns, the answer stands in
    /// the execution's log. The same answer again is no error.
    ///
    /// # Errors
    /// As [`start_execution`](Self::start_execution). What the server refuses has its code: `invalid_answer`, which names the
    /// field and leaves the question open, `already_answered`, `ask_closed`, `unknown_ask`.
    pub async fn signal(&self, execution_id: ExecutionId, signal: Signal) -> Result<Signalled, Error> {
        match self.ask(ClientCommand::Signal { execution_id, signal }).await? {
            ServerFrame::SignalAccepted(SignalAccepted { ask, repeated, .. }) => {
                Ok(Signalled { ask, repeated })
            }
            other => Err(unexpected("signal", &other)),
        }
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.options
    }

    pub(crate) const fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Opens a connection to the server.
    pub(crate) async fn open(&self) -> Result<Socket, Error> {
        Socket::open(&self.address, &self.options, &self.tokens, &self.tls).await
    }

    /// Asks on a connection of its own; again if that was lost, for what is asked here may be asked twice.
    async fn ask(&self, command: ClientCommand) -> Result<ServerFrame, Error> {
        let request = Request::new("request", command);
        let mut attempts = 0;
        loop {
            let error = match self.open().await {
                Ok(mut socket) => match socket.ask(&request, self.options.connect_timeout).await {
                    Err(error @ Error::Refused { .. }) => {
                        socket.close().await;
                        return Err(error);
                    }
                    Err(error) => error,
                    Ok(answer) => {
                        socket.close().await;
                        return Ok(answer);
                    }
                },
                // A wrong address is to be heard of at once.
                Err(error) if attempts == 0 => return Err(error),
                Err(error) => error,
            };
            attempts += 1;
            let Some(delay) = backoff::delay(&self.options, &self.tokens, attempts, &error) else {
                return Err(error);
            };
            if attempts > self.options.max_attempts {
                return Err(Error::GaveUp { attempts: self.options.max_attempts, last: Box::new(error) });
            }
            sleep(delay).await;
        }
    }
}
