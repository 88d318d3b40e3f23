//! The gateway itself: a handle.

use std::{fmt, sync::Arc};

use axum::Router;
use streamnest_core::ExecutionControl;
use streamnest_log::Registry;
use tokio::net::TcpListener;

use crate::{
    AccessPolicy, AuthenticationOptions, ClaimsPolicy, Error, GatewayOptions, Revocation,
    StreamingWebSocketGateway, TlsOptions, WebSocketBridgeService, auth::Authenticator, http, serve,
    shared::Shared, tls::Tls,
};

/// Lets clients start, follow and stop executions. A cheap handle; all clones are the same gateway.
#[derive(Clone)]
pub struct Gateway(Arc<Shared>);

impl Gateway {
    /// A gateway to the executions that `control` runs and `logs` holds.
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn new(
        control: Arc<dyn ExecutionControl>,
        logs: Registry,
        options: GatewayOptions,
    ) -> Result<Self, Error> {
        Self::with_policy(control, logs, options, Arc::new(ClaimsPolicy))
    }

    /// As [`new`](Self::new), with a policy of your own in place of [`ClaimsPolicy`]. It is asked about principals, so only with
    /// [`GatewayOptions::authentication`].
    ///
    /// # Errors
    /// [`Error::InvalidOption`].
    pub fn with_policy(
        control: Arc<dyn ExecutionControl>,
        logs: Registry,
        options: GatewayOptions,
        policy: Arc<dyn AccessPolicy>,
    ) -> Result<Self, Error> {
        options.validate()?;
        Ok(Self(Arc::new(Shared::new(control, logs, options, policy)?)))
    }

    /// Asks clients who they are from here on: what a program learns only when it starts to listen.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if the options are wrong, or if [`GatewayOptions::authentication`] has said so before.
    pub fn authenticate(&self, authentication: AuthenticationOptions) -> Result<(), Error> {
        let surroundings = self.0.surroundings();
        match self.0.authenticate(Authenticator::new(authentication, surroundings)?) {
            true => Ok(()),
            false => {
                let reason = "is set by the program already; give it in one place".into();
                Err(Error::InvalidOption { option: "authentication", reason })
            }
        }
    }

    /// Encrypts the connections that [`serve`](Self::serve) accepts from here on: what a program learns only when it starts to
    /// listen.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] if the files are wrong, or if [`GatewayOptions::tls`] has said so before.
    pub fn encrypt(&self, options: TlsOptions) -> Result<(), Error> {
        match self.0.encrypt(Tls::new(options)?) {
            true => Ok(()),
            false => {
                let reason = "is set by the program already; give it in one place".into();
                Err(Error::InvalidOption { option: "tls", reason })
            }
        }
    }

    /// Whether it encrypts the connections that it accepts.
    pub fn encrypts(&self) -> bool {
        self.0.tls().is_some()
    }

    /// Whether it asks who its clients are.
    pub fn authenticates(&self) -> bool {
        self.0.auth().is_some()
    }

    /// Whether pages of other origins than its own may ask it.
    pub fn allows_origins(&self) -> bool {
        self.0.access.allows_origins()
    }

    /// Takes no token any more that `revocation` is about and that was issued till now, and ends the connections that were
    /// opened with one: WebSockets are closed with 4401. Without [`GatewayOptions::authentication`] there are none.
    ///
    /// It is remembered for [`AuthenticationOptions::expires_in`](crate::AuthenticationOptions::expires_in), after which no such
    /// token is valid, but not across a restart.
    ///
    /// # Errors
    /// [`Error::TooManyRevocations`], [`Error::TooManyRevocationsOfTenant`] or [`Error::InvalidRevocation`], and then nothing is
    /// revoked.
    pub fn revoke(&self, revocation: &Revocation) -> Result<(), Error> {
        self.0.revoke(revocation).map(|_| ())
    }

    /// Lets in more origins and hosts than its options name, in the form that [`GatewayOptions::allowed_origins`] and
    /// [`GatewayOptions::allowed_hosts`] have: what a program learns only when it starts to listen.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], and then none of them is let in.
    pub fn allow(&self, origins: Vec<String>, hosts: Vec<String>) -> Result<(), Error> {
        let more = GatewayOptions::default().with_allowed_origins(origins).with_allowed_hosts(hosts);
        more.validate()?;
        self.0.access.allow(&more);
        Ok(())
    }

    /// Every route, to be mounted into an axum program. Call [`shut_down`](Self::shut_down) when that ends.
    ///
    /// Limits by address and [`GatewayOptions::trusted_proxies`] have an effect only if that program tells from where requests come:
    /// serve its routes by `into_make_service_with_connect_info::<SocketAddr>()`. Without, a warning says so once.
    ///
    /// Of the addresses that the server may be asked by, only those of the loopback and of
    /// [`GatewayOptions::allowed_hosts`] are known here; [`serve`](Self::serve) also knows each connection's own.
    pub fn router(&self) -> Router {
        http::router(self.0.clone())
    }

    /// Accepts connections on `listener` until `shutdown` completes, then drains.
    ///
    /// While it drains `/readyz` says so and nothing new is started; executions may go on for
    /// [`GatewayOptions::drain_grace`]. Then event streams end, WebSockets are closed with 1001, and what is still
    /// open after [`GatewayOptions::drain_jitter`] and [`GatewayOptions::close_timeout`] is dropped. Returns when
    /// nothing is left.
    ///
    /// # Errors
    /// [`Error::Listener`] if nothing can be accepted any more.
    ///
    /// # Cancel safety
    /// When it is dropped nothing more is accepted, and open connections go on.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        serve::serve(&self.0, self.router(), listener, shutdown).await
    }

    /// Drains as [`serve`](Self::serve) does at its end, for a program that serves the [router](Self::router) itself.
    ///
    /// # Cancel safety
    /// When it is dropped the drain stops where it is; call it again to go on.
    pub async fn shut_down(&self) {
        self.0.shut_down().await;
    }

    /// How the program sends to its clients by itself.
    pub fn sockets(&self) -> StreamingWebSocketGateway {
        StreamingWebSocketGateway::new(self.0.clone())
    }

    /// How streams of the program flow to its clients.
    pub fn bridge(&self) -> WebSocketBridgeService {
        WebSocketBridgeService::new(self.sockets())
    }

    /// Sends back each message of a WebSocket at `/echo` from here on, for programs that test WebSockets themselves. What a client
    /// meets there, from its handshake to its close frame, with every limit, is what it meets at `/ws`: only what its messages mean
    /// is another thing.
    #[cfg(feature = "echo")]
    pub fn echo(&self) {
        self.0.echoes.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// The bounds and times that this gateway was made with.
    pub fn options(&self) -> &GatewayOptions {
        &self.0.options
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("connections", &self.0.directory.len()).finish_non_exhaustive()
    }
}
