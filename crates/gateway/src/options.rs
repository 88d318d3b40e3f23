//! The bounds and times of a gateway.

use std::{net::IpAddr, time::Duration};

use ipnet::IpNet;
use streamnest_log::durable::StreamOptions;
use streamnest_protocol::native::MAX_FLUSH_WINDOW;

use crate::{
    AuthenticationOptions, CompressionOptions, Error, RateLimitOptions, TlsOptions, guard::allowed,
    limits::TrustedProxies,
};

/// The longest time that an option may be, a year: points in time stay within what the clock can tell.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long browsers come by TLS only unless the program says otherwise: a year, the least with which browsers take a name into
/// the list that they bring along.
const HSTS_MAX_AGE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Where proxies say from where a client comes, unless the program says otherwise.
const FORWARDED_HEADER: &str = "x-forwarded-for";

/// The bounds and times of a [`Gateway`](crate::Gateway). Each has a default that suits a server on its own.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct GatewayOptions {
    /// WebSocket connections and event streams that may be open at once; one more is refused with 503, a WebSocket
    /// closed with 4429. As many plain HTTP connections, and 256 more, are held; further ones wait to be accepted. Of the files
    /// that the process may have open (`ulimit -n`), 64 are left to the rest of it: where that is less, so many fewer are held.
    /// Default 16,384, which takes about 64 MiB when all are idle.
    pub max_connections: usize,
    /// The certificate by which connections are encrypted that [`Gateway::serve`](crate::Gateway::serve) accepts. Default `None`:
    /// they are not, which suits the loopback address, or a proxy that does it.
    pub tls: Option<TlsOptions>,
    /// For how long browsers that came by TLS are told to come by TLS only (`Strict-Transport-Security`). Those that ask for
    /// `localhost` or a loopback address are never told. Default a year; 0 tells nobody.
    pub hsts_max_age: Duration,
    /// Whether clients may connect by WebSocket. Default yes.
    pub websocket: bool,
    /// Who may ask. Default `None`: everybody may do everything, which suits a server that only its own machine reaches.
    pub authentication: Option<AuthenticationOptions>,
    /// WebSockets of one principal that may be open at once. One more replaces the oldest, which is closed with 4409.
    /// Default 5.
    pub max_connections_per_user: usize,
    /// Connections of one address that may be open at once, those of plain HTTP too, and of a connection of HTTP/2 each event
    /// stream after the first; one more is answered with 429 and let go. An address is one of IPv4, or a /64 network of IPv6.
    /// Default `None`, no limit but that of all: behind a proxy all clients have one, see
    /// [`trusted_proxies`](Self::trusted_proxies).
    pub max_connections_per_address: Option<usize>,
    /// How often clients may connect, ask, start and read again. Default `None`: as often as they like, which suits a server
    /// that only its own machine reaches. `Some(RateLimitOptions::default())` suits one that everybody does.
    pub rate_limit: Option<RateLimitOptions>,
    /// Proxies, as addresses and networks (`10.0.0.0/8`), whose [`forwarded_header`](Self::forwarded_header) says from where a
    /// client comes. Default none: such a header is not looked at.
    pub trusted_proxies: Vec<String>,
    /// The one header in which trusted proxies say it: `forwarded`, which is read as RFC 7239 has it, or any that lists
    /// addresses, the nearest last. It has to be one that they write or append to: what they pass on as it came is the client's
    /// own word. Default `x-forwarded-for`. Without [`trusted_proxies`](Self::trusted_proxies) another one is refused.
    pub forwarded_header: String,
    /// Event streams and waiting long-polls of one principal that may be open at once; one more is refused with 429. Default 32.
    pub max_event_streams_per_user: usize,
    /// Subscriptions of one WebSocket connection. Default 64.
    pub max_subscriptions: usize,
    /// Connections of the whole gateway that may follow event types over many executions at once (`subscribe_events`).
    /// Such a view holds a cursor in every log, up to `LogOptions::max_fan_in` of them, and replacing it looks at every
    /// log anew, so there are few. Default 64.
    pub max_event_subscriptions: usize,
    /// Connections of one principal that may follow event types over many executions at once; one more is refused. Where nobody is
    /// asked who they are it has no effect. Default 4: a few pages of one user, and room for others.
    pub max_event_subscriptions_per_user: usize,
    /// Subscriptions of one connection that wait for executions that do not exist yet. Default 8.
    pub max_waiting_subscriptions: usize,
    /// How long a subscription waits for an execution that does not exist yet. Default 60 s.
    pub wait_timeout: Duration,
    /// The largest message of a client, and the largest of its frames, in bytes. A larger one closes the connection
    /// with 1009. Default 64 KiB.
    pub max_message_bytes: usize,
    /// The frame that cannot be read and is the how-manieth within a minute closes the connection, with 4400. Default
    /// 10.
    pub max_bad_frames: usize,
    /// Bytes of answers that may wait for one connection's socket before no more of its requests are read, and bytes
    /// of messages that may wait for it before [`send_to_client`](crate::StreamingWebSocketGateway::send_to_client)
    /// is refused. Default 16 KiB.
    pub max_pending_reply_bytes: usize,
    /// Bytes that are taken from the logs for one connection at once; the next ones are taken when these are written.
    /// At least one entry is. Default 256 KiB.
    pub max_write_bytes: usize,
    /// Bytes that one connection sets aside to read its client's messages; longer ones grow it for as long as they
    /// are read. Default 1 KiB.
    pub read_buffer_bytes: usize,
    /// Bytes that the kernel may hold for one connection until its client reads them (`SO_SNDBUF`, which Linux
    /// doubles). Default 256 KiB; `None` leaves it to the kernel. Left alone Linux grows it to 4 MiB for a fast
    /// connection, and says that there is room again only when a third of that was read: ten thousand clients that stop
    /// reading would take 40 GiB, and one that reads slowly could not be told from one that does not.
    pub send_buffer_bytes: Option<usize>,
    /// The largest body of an HTTP request, in bytes. Default 1 MiB.
    pub max_body_bytes: usize,
    /// How long a client may take to send the head of an HTTP request, and as long for its body. An HTTP connection
    /// that asks nothing for as long is closed, unless it is still being answered. Default 30 s.
    pub request_timeout: Duration,
    /// Whether connections and event streams get heartbeats and pings. Default yes. Without them a client that has vanished
    /// is found only when something cannot be sent to it, and what lies between may take a silent connection for idle.
    pub heartbeats: bool,
    /// How often every connection and event stream gets a heartbeat. Default 30 s, below what proxies take for idle.
    pub heartbeat_interval: Duration,
    /// How long a client may take to answer a ping before its connection is closed with 4440. A reader of an event stream answers
    /// nothing: there it is how long its system may acknowledge nothing of what was sent, heartbeats too, on Linux and for
    /// connections that [`Gateway::serve`](crate::Gateway::serve) accepts. Default 20 s.
    pub pong_timeout: Duration,
    /// How long a client may take nothing of what it is owed before its connection is closed, with 4441. Default 30 s.
    pub slow_reader_limit: Duration,
    /// How long entries are gathered before they are sent, unless the subscriber says otherwise. Default 0: they are
    /// sent at once. At most 10 s.
    pub flush_window: Duration,
    /// How long a client may take to answer a close frame, and to read what it still gets. Default 5 s.
    pub close_timeout: Duration,
    /// How long executions may go on after a shutdown began. Default 10 s.
    pub drain_grace: Duration,
    /// The time over which connections are closed at a shutdown, so that their clients do not come back at once.
    /// Default 1 s.
    pub drain_jitter: Duration,
    /// The time after which the reader of an event stream comes back when it broke. Default 1 s.
    pub sse_retry: Duration,
    /// The most executions of one page of `GET /executions`. Default 100.
    pub max_page_executions: usize,
    /// `Idempotency-Key`s that are remembered at once; beyond it the oldest is forgotten of whoever has most. Default 4,096.
    pub max_idempotency_keys: usize,
    /// How long an `Idempotency-Key` is remembered. Default 1 h.
    pub idempotency_ttl: Duration,
    /// The bounds of the streams at `/v1/stream`: how many, how large, how many producers.
    pub streams: StreamOptions,
    /// The most bytes of the body of one read of a stream, before it is compressed. What was appended at once, or one frame of an
    /// execution, is never divided: where that alone is more, it is an answer of its own. Default 1 MiB.
    pub max_stream_read_bytes: usize,
    /// Readers that may wait at once for more of a stream, by long-poll or as an event stream; one more is refused with 429.
    /// Default 16,384.
    pub max_stream_readers: usize,
    /// How long a long-poll waits for more of a stream. Default 20 s, below what proxies take for idle.
    pub long_poll_timeout: Duration,
    /// How long an event stream of `/v1/stream` goes on before its reader has to come again. Default 60 s, as the protocol
    /// recommends (Durable Streams 1.0, §10.2).
    pub stream_sse_lifetime: Duration,
    /// Names under which the server may be asked besides `localhost`, `127.0.0.1`, `[::1]` and the address of the
    /// connection: `example.org` for any port, `example.org:8443` for one. No patterns. Default none: a name that an
    /// attacker points at this machine is refused.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may use this server besides its own: `https://app.example.org`. They get the CORS answers
    /// that their browser asks for. No patterns: whoever gets a page into any subdomain would be let in. Default none.
    pub allowed_origins: Vec<String>,
    /// Whether pages of [`allowed_origins`](Self::allowed_origins) may send cookies along and read what is answered then
    /// (`Access-Control-Allow-Credentials`). They need it where a cookie holds the token; a token in a header needs it not.
    /// Default no.
    pub allow_credentials: bool,
    /// Whether and how what a client catches up on is compressed.
    pub compression: CompressionOptions,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            tls: None,
            hsts_max_age: HSTS_MAX_AGE,
            websocket: true,
            authentication: None,
            max_connections_per_user: 5,
            max_connections_per_address: None,
            rate_limit: None,
            trusted_proxies: Vec::new(),
            forwarded_header: FORWARDED_HEADER.into(),
            max_event_streams_per_user: 32,
            max_subscriptions: 64,
            max_event_subscriptions: 64,
            max_event_subscriptions_per_user: 4,
            max_waiting_subscriptions: 8,
            wait_timeout: Duration::from_secs(60),
            max_message_bytes: 64 << 10,
            max_bad_frames: 10,
            max_pending_reply_bytes: 16 << 10,
            max_write_bytes: 256 << 10,
            read_buffer_bytes: 1 << 10,
            send_buffer_bytes: Some(256 << 10),
            max_body_bytes: 1 << 20,
            request_timeout: Duration::from_secs(30),
            heartbeats: true,
            heartbeat_interval: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(20),
            slow_reader_limit: Duration::from_secs(30),
            flush_window: Duration::ZERO,
            close_timeout: Duration::from_secs(5),
            drain_grace: Duration::from_secs(10),
            drain_jitter: Duration::from_secs(1),
            sse_retry: Duration::from_secs(1),
            max_page_executions: 100,
            max_idempotency_keys: 4_096,
            idempotency_ttl: Duration::from_secs(3600),
            streams: StreamOptions::default(),
            max_stream_read_bytes: 1 << 20,
            max_stream_readers: 16_384,
            long_poll_timeout: Duration::from_secs(20),
            stream_sse_lifetime: Duration::from_secs(60),
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            allow_credentials: false,
            compression: CompressionOptions::default(),
        }
    }
}

/// Writes a setter for each field.
macro_rules! setters {
    ($($setter:ident $field:ident: $value:ty,)*) => {
        impl GatewayOptions {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
                #[must_use]
                pub fn $setter(self, $field: $value) -> Self {
                    Self { $field, ..self }
                }
            )*
        }
    };
}

setters! {
    with_max_connections max_connections: usize,
    with_tls tls: Option<TlsOptions>,
    with_hsts_max_age hsts_max_age: Duration,
    with_websocket websocket: bool,
    with_authentication authentication: Option<AuthenticationOptions>,
    with_max_connections_per_user max_connections_per_user: usize,
    with_max_connections_per_address max_connections_per_address: Option<usize>,
    with_rate_limit rate_limit: Option<RateLimitOptions>,
    with_trusted_proxies trusted_proxies: Vec<String>,
    with_forwarded_header forwarded_header: String,
    with_max_event_streams_per_user max_event_streams_per_user: usize,
    with_max_subscriptions max_subscriptions: usize,
    with_max_event_subscriptions max_event_subscriptions: usize,
    with_max_event_subscriptions_per_user max_event_subscriptions_per_user: usize,
    with_max_waiting_subscriptions max_waiting_subscriptions: usize,
    with_wait_timeout wait_timeout: Duration,
    with_max_message_bytes max_message_bytes: usize,
    with_max_bad_frames max_bad_frames: usize,
    with_max_pending_reply_bytes max_pending_reply_bytes: usize,
    with_max_write_bytes max_write_bytes: usize,
    with_read_buffer_bytes read_buffer_bytes: usize,
    with_send_buffer_bytes send_buffer_bytes: Option<usize>,
    with_max_body_bytes max_body_bytes: usize,
    with_request_timeout request_timeout: Duration,
    with_heartbeats heartbeats: bool,
    with_heartbeat_interval heartbeat_interval: Duration,
    with_pong_timeout pong_timeout: Duration,
    with_slow_reader_limit slow_reader_limit: Duration,
    with_flush_window flush_window: Duration,
    with_close_timeout close_timeout: Duration,
    with_drain_grace drain_grace: Duration,
    with_drain_jitter drain_jitter: Duration,
    with_sse_retry sse_retry: Duration,
    with_max_page_executions max_page_executions: usize,
    with_max_idempotency_keys max_idempotency_keys: usize,
    with_idempotency_ttl idempotency_ttl: Duration,
    with_streams streams: StreamOptions,
    with_max_stream_read_bytes max_stream_read_bytes: usize,
    with_max_stream_readers max_stream_readers: usize,
    with_long_poll_timeout long_poll_timeout: Duration,
    with_stream_sse_lifetime stream_sse_lifetime: Duration,
    with_allowed_hosts allowed_hosts: Vec<String>,
    with_allowed_origins allowed_origins: Vec<String>,
    with_allow_credentials allow_credentials: bool,
    with_compression compression: CompressionOptions,
}

impl GatewayOptions {
    /// Checks that every bound leaves room to work and that hosts and origins are such.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] names the first option that does not.
    pub fn validate(&self) -> Result<(), Error> {
        let invalid = |option, reason: String| Err(Error::InvalidOption { option, reason });
        let counts = [
            ("max_connections", self.max_connections),
            ("max_connections_per_user", self.max_connections_per_user),
            ("max_connections_per_address", self.max_connections_per_address.unwrap_or(1)),
            ("max_event_streams_per_user", self.max_event_streams_per_user),
            ("max_subscriptions", self.max_subscriptions),
            ("max_event_subscriptions", self.max_event_subscriptions),
            ("max_event_subscriptions_per_user", self.max_event_subscriptions_per_user),
            ("max_waiting_subscriptions", self.max_waiting_subscriptions),
            ("max_message_bytes", self.max_message_bytes),
            ("max_bad_frames", self.max_bad_frames),
            ("max_pending_reply_bytes", self.max_pending_reply_bytes),
            ("max_write_bytes", self.max_write_bytes),
            ("read_buffer_bytes", self.read_buffer_bytes),
            ("send_buffer_bytes", self.send_buffer_bytes.unwrap_or(1)),
            ("max_body_bytes", self.max_body_bytes),
            ("max_page_executions", self.max_page_executions),
            ("max_idempotency_keys", self.max_idempotency_keys),
            ("max_stream_read_bytes", self.max_stream_read_bytes),
            ("max_stream_readers", self.max_stream_readers),
        ];
        let times = [
            ("wait_timeout", self.wait_timeout),
            ("request_timeout", self.request_timeout),
            ("heartbeat_interval", self.heartbeat_interval),
            ("pong_timeout", self.pong_timeout),
            ("slow_reader_limit", self.slow_reader_limit),
            ("close_timeout", self.close_timeout),
            ("sse_retry", self.sse_retry),
            ("idempotency_ttl", self.idempotency_ttl),
            ("long_poll_timeout", self.long_poll_timeout),
            ("stream_sse_lifetime", self.stream_sse_lifetime),
            ("drain_grace", self.drain_grace),
            ("drain_jitter", self.drain_jitter),
            ("hsts_max_age", self.hsts_max_age),
        ];
        let may_be_zero = ["drain_grace", "drain_jitter", "hsts_max_age"];
        let zeros = counts.iter().filter(|(_, count)| *count == 0).map(|(option, _)| *option);
        let set = times.iter().filter(|(option, _)| !may_be_zero.contains(option));
        let zeros = zeros.chain(set.filter(|(_, time)| time.is_zero()).map(|(option, _)| *option));
        if let Some(option) = zeros.into_iter().next() {
            return invalid(option, "is zero, which leaves no room; leave it out for its default".into());
        }
        if let Some((option, time)) = times.iter().find(|(_, time)| *time > LONGEST) {
            return invalid(option, format!("is {time:?}, over the limit of {LONGEST:?}"));
        }
        if self.flush_window > MAX_FLUSH_WINDOW {
            let reason = format!("is {:?}, over the limit of {MAX_FLUSH_WINDOW:?}", self.flush_window);
            return invalid("flush_window", reason);
        }
        if let Err(streamnest_log::Error::InvalidOption { option }) = self.streams.validate() {
            return invalid(option, "is zero, which leaves no room; leave it out for its default".into());
        }
        if let Some(authentication) = &self.authentication {
            authentication.validate()?;
        }
        if let Some(rate_limit) = &self.rate_limit {
            rate_limit.validate()?;
        }
        self.read_trusted_proxies()?;
        self.compression.validate()?;
        if let Some(reason) = self.allowed_hosts.iter().find_map(|name| allowed::host(name).err()) {
            return invalid("allowed_hosts", reason);
        }
        if let Some(reason) = self.allowed_origins.iter().find_map(|name| allowed::origin(name).err()) {
            return invalid("allowed_origins", reason);
        }
        Ok(())
    }

    /// Those limits by address that are set, by their names. Where nobody is asked who they are, users are addresses too.
    pub(crate) fn by_address(&self, users_are: bool) -> Vec<&'static str> {
        let rates = self.rate_limit.as_ref();
        let user = rates.filter(|_| users_are);
        let set = [
            ("max_connections_per_address", self.max_connections_per_address.is_some()),
            ("rate_limit.max_connections", rates.is_some_and(|rates| rates.max_connections.is_some())),
            (
                "rate_limit.max_requests_per_user",
                user.is_some_and(|rates| rates.max_requests_per_user.is_some()),
            ),
            (
                "rate_limit.max_executions_per_user",
                user.is_some_and(|rates| rates.max_executions_per_user.is_some()),
            ),
            (
                "rate_limit.replay_bytes_per_second",
                user.is_some_and(|rates| rates.replay_bytes_per_second.is_some()),
            ),
            ("trusted_proxies", !self.trusted_proxies.is_empty()),
        ];
        set.into_iter().filter(|(_, is_set)| *is_set).map(|(option, _)| option).collect()
    }

    /// Those limits that are not set, without which strangers take as much as they like.
    pub(crate) fn unlimited(&self) -> Vec<&'static str> {
        let set = [
            ("max_connections_per_address", self.max_connections_per_address.is_some()),
            ("rate_limit", self.rate_limit.is_some()),
        ];
        set.into_iter().filter(|(_, is_set)| !is_set).map(|(option, _)| option).collect()
    }

    /// The proxies that are trusted, and their header.
    pub(crate) fn read_trusted_proxies(&self) -> Result<TrustedProxies, Error> {
        let network = |text: &String| {
            let address = || text.parse().ok().map(|address: IpAddr| address.to_canonical().into());
            text.parse::<IpNet>().ok().or_else(address).ok_or_else(|| Error::InvalidOption {
                option: "trusted_proxies",
                reason: format!("has {text:?}, which is neither an address nor a network like 10.0.0.0/8"),
            })
        };
        let header = self.forwarded_header.parse().map_err(|_| Error::InvalidOption {
            option: "forwarded_header",
            reason: format!(
                "has {:?}, which is no name of a header like x-forwarded-for",
                self.forwarded_header
            ),
        })?;
        if self.trusted_proxies.is_empty() && self.forwarded_header != FORWARDED_HEADER {
            let reason = "has no effect without `trusted_proxies`; name those, or leave it out".into();
            return Err(Error::InvalidOption { option: "forwarded_header", reason });
        }
        Ok(TrustedProxies {
            networks: self.trusted_proxies.iter().map(network).collect::<Result<_, _>>()?,
            header,
        })
    }
}

#[cfg(test)]
mod tests;
