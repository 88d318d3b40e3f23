//! Options in a file.
//!
//! Keys have the names of the options. What the file does not name keeps its default, and what it names wrongly is refused.

use std::{
    fmt, fs,
    marker::PhantomData,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use serde::{Deserialize, Deserializer, de};
use streamnest_core::duration;
use streamnest_gateway::{
    Algorithm, CompressionOptions, GatewayOptions, RateLimitOptions, Scope, Secret, TlsOptions,
};
use streamnest_log::{LogOptions, durable::StreamOptions};
use streamnest_log_disk::DiskOptions;
use streamnest_runtime::{EngineOptions, EventStreamProcessorOptions, TokenStreamingOptions};

use super::{AuthOptions, CorsOptions, HeartbeatOptions, StreamingOptions, WebSocketOptions, source::Source};
use crate::Error;

/// Everything that a file may say.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct File {
    default_buffer_size: Option<usize>,
    data_dir: Option<PathBuf>,
    websocket: WebSocket,
    gateway: Gateway,
    disk: DiskOptions,
    logs: LogOptions,
    engine: EngineOptions,
    token_streams: TokenStreamingOptions,
    event_processing: EventStreamProcessorOptions,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct WebSocket {
    enabled: Option<bool>,
    port: Option<u16>,
}

/// The table `[gateway]`: what stands in parts of its own, and every bound and time of [`GatewayOptions`] by its own name.
macro_rules! gateway {
    (plain: { $($plain:ident: $type:ty,)* } times: { $($time:ident,)* }) => {
        #[derive(Deserialize, Default)]
        #[serde(default, deny_unknown_fields)]
        struct Gateway {
            cors: Option<Cors>,
            authentication: Option<Authentication>,
            rate_limit: Option<RateLimit>,
            compression: Option<Compression>,
            heartbeat: Option<Heartbeat>,
            tls: Option<Tls>,
            max_connections_per_address: Option<usize>,
            send_buffer_bytes: Option<usize>,
            $($plain: Option<$type>,)*
            $($time: Option<Time>,)*
        }

        impl Gateway {
            /// Its bounds and times.
            fn bounds(&mut self) -> GatewayOptions {
                let mut options = GatewayOptions::default();
                options.tls = self.tls.take().map(Tls::options);
                options.max_connections_per_address = self.max_connections_per_address.take();
                put(&mut options.send_buffer_bytes, self.send_buffer_bytes.take().map(Some));
                $(put(&mut options.$plain, self.$plain.take());)*
                $(put(&mut options.$time, time(self.$time.take()));)*
                options
            }
        }
    };
}

gateway! {
    plain: {
    allowed_hosts: Vec<String>,
    trusted_proxies: Vec<String>,
    forwarded_header: String,
    max_connections: usize,
    max_connections_per_user: usize,
    max_event_streams_per_user: usize,
    max_subscriptions: usize,
    max_event_subscriptions: usize,
    max_event_subscriptions_per_user: usize,
    max_waiting_subscriptions: usize,
    max_message_bytes: usize,
    max_bad_frames: usize,
    max_pending_reply_bytes: usize,
    max_write_bytes: usize,
    read_buffer_bytes: usize,
    max_body_bytes: usize,
    max_page_executions: usize,
    max_idempotency_keys: usize,
    max_stream_read_bytes: usize,
    max_stream_readers: usize,
    streams: StreamOptions,
    }
    times: {
    hsts_max_age,
    request_timeout,
    wait_timeout,
    slow_reader_limit,
    flush_window,
    close_timeout,
    drain_grace,
    drain_jitter,
    sse_retry,
    idempotency_ttl,
    long_poll_timeout,
    stream_sse_lifetime,
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Cors {
    origin: Vec<String>,
    credentials: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Authentication {
    enabled: Option<bool>,
    strategy: Word<Jwt>,
    secret_key: Option<String>,
    secret_key_file: Option<PathBuf>,
    public_key_file: Option<PathBuf>,
    jwks_file: Option<PathBuf>,
    jwks_url: Option<String>,
    jwks_ca_file: Option<PathBuf>,
    algorithms: Vec<Named<Algorithm>>,
    issuers: Vec<String>,
    audiences: Vec<String>,
    cookie: Option<String>,
    query_parameter: Option<bool>,
    default_scopes: Option<Vec<Named<Scope>>>,
    max_token_bytes: Option<usize>,
    max_unauthenticated_message_bytes: Option<usize>,
    max_tickets: Option<usize>,
    max_revocations: Option<usize>,
    max_revocations_per_tenant: Option<usize>,
    expires_in: Option<Time>,
    leeway: Option<Time>,
    deadline: Option<Time>,
    expiry_warning: Option<Time>,
    ticket_ttl: Option<Time>,
    key_refresh: Option<Time>,
    key_max_age: Option<Time>,
    key_fetch_pause: Option<Time>,
    key_fetch_timeout: Option<Time>,
}

/// The certificate and its key go together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    certificate_file: PathBuf,
    key_file: PathBuf,
    reload: Option<Time>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RateLimit {
    window: Option<Time>,
    max_connections: Option<u32>,
    max_requests_per_connection: Option<u32>,
    max_requests_per_user: Option<u32>,
    max_executions_per_user: Option<u32>,
    replay_bytes_per_second: Option<u32>,
    max_keys: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Compression {
    enabled: Option<bool>,
    algorithm: Word<Deflate>,
    threshold: Option<usize>,
    level: Option<u32>,
    max_kept_bytes: Option<usize>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Heartbeat {
    enabled: Option<bool>,
    interval: Option<Time>,
    timeout: Option<Time>,
}

/// A time with its unit: `"30s"`.
#[derive(Deserialize)]
#[serde(transparent)]
struct Time(#[serde(deserialize_with = "duration::deserialize")] Duration);

/// Something that is written as its name.
struct Named<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(de::Error::custom)
    }
}

/// An option that has one legal word so far.
struct Word<W>(PhantomData<W>);

trait OneWord {
    const WORD: &'static str;
}

struct Jwt;
struct Deflate;

impl OneWord for Jwt {
    const WORD: &'static str = "jwt";
}

impl OneWord for Deflate {
    const WORD: &'static str = "deflate";
}

impl<W> Default for Word<W> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<'de, W: OneWord> Deserialize<'de> for Word<W> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text == W::WORD {
            true => Ok(Self::default()),
            false => Err(de::Error::custom(format!("`{text}` is not known; legal is \"{}\"", W::WORD))),
        }
    }
}

impl StreamingOptions {
    /// Reads options from a TOML file, under the names that they have here:
    ///
    /// ```toml
    /// default_buffer_size = 20
    ///
    /// [websocket]
    /// port = 9000
    ///
    /// [disk]
    /// finished_ttl = "30d"
    ///
    /// [gateway]
    /// max_connections_per_address = 64
    /// trusted_proxies = ["10.0.0.0/8"]
    ///
    /// [gateway.cors]
    /// origin = ["https://app.example.org"]
    ///
    /// [gateway.authentication]
    /// jwks_file = "/etc/streamnest/keys.json"
    /// expires_in = "1h"
    ///
    /// [gateway.rate_limit]
    /// window = "60s"
    /// max_connections = 600
    /// ```
    ///
    /// What it does not name keeps its default; within `gateway.rate_limit`, what it does not name is not
    /// limited, and it has to name something.
    ///
    /// # Errors
    /// [`Error::ConfigFile`] if it cannot be read or names what there is not; it says the line.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let refused = |reason: String| Error::ConfigFile { path: path.to_owned(), reason };
        let text = fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        let file: File = toml::from_str(&text).map_err(|error| refused(error.to_string()))?;
        let source = Source::new(path, &text).map_err(|error| refused(error.to_string()))?;
        if file.default_buffer_size.is_some() && source.gives("engine.default_buffer_size") {
            return Err(Error::OptionTwice {
                option: "default_buffer_size",
                beneath: "engine.default_buffer_size",
            });
        }
        Ok(StreamingOptions { source: Some(source), ..file.options() })
    }
}

/// Puts a value where it has its effect, if there is one.
fn put<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}

fn time(time: Option<Time>) -> Option<Duration> {
    time.map(|Time(time)| time)
}

impl File {
    fn options(self) -> StreamingOptions {
        let Self { websocket, gateway: mut file, .. } = self;
        let gateway = file.bounds();
        let mut sockets = WebSocketOptions::default();
        put(&mut sockets.enabled, websocket.enabled);
        put(&mut sockets.port, websocket.port);
        StreamingOptions {
            websocket: sockets,
            default_buffer_size: self.default_buffer_size,
            data_dir: self.data_dir,
            cors: file.cors.map(|cors| {
                CorsOptions::default().with_origin(cors.origin).with_credentials(cors.credentials)
            }),
            heartbeat: file.heartbeat.map(|heartbeat| {
                let mut options = HeartbeatOptions::default();
                put(&mut options.enabled, heartbeat.enabled);
                put(&mut options.interval, time(heartbeat.interval));
                put(&mut options.timeout, time(heartbeat.timeout));
                options
            }),
            authentication: file.authentication.map(Authentication::options),
            rate_limit: file.rate_limit.map(RateLimit::options),
            compression: file.compression.map(Compression::options),
            gateway,
            disk: self.disk,
            logs: self.logs,
            engine: self.engine,
            token_streams: self.token_streams,
            event_processing: self.event_processing,
            source: None,
        }
    }
}

impl Authentication {
    fn options(self) -> AuthOptions {
        let Word(PhantomData) = self.strategy;
        let scopes = self.default_scopes;
        let mut options = AuthOptions {
            secret_key: self.secret_key.map(Secret::from),
            secret_key_file: self.secret_key_file,
            public_key_file: self.public_key_file,
            jwks_file: self.jwks_file,
            jwks_url: self.jwks_url,
            jwks_ca_file: self.jwks_ca_file,
            algorithms: self.algorithms.into_iter().map(|Named(algorithm)| algorithm).collect(),
            issuers: self.issuers,
            audiences: self.audiences,
            cookie: self.cookie,
            query_parameter: self.query_parameter,
            default_scopes: scopes.map(|scopes| scopes.into_iter().map(|Named(scope)| scope).collect()),
            max_token_bytes: self.max_token_bytes,
            max_unauthenticated_message_bytes: self.max_unauthenticated_message_bytes,
            max_tickets: self.max_tickets,
            max_revocations: self.max_revocations,
            max_revocations_per_tenant: self.max_revocations_per_tenant,
            expires_in: time(self.expires_in),
            leeway: time(self.leeway),
            deadline: time(self.deadline),
            expiry_warning: time(self.expiry_warning),
            ticket_ttl: time(self.ticket_ttl),
            key_refresh: time(self.key_refresh),
            key_max_age: time(self.key_max_age),
            key_fetch_pause: time(self.key_fetch_pause),
            key_fetch_timeout: time(self.key_fetch_timeout),
            ..AuthOptions::default()
        };
        put(&mut options.enabled, self.enabled);
        options
    }
}

impl Tls {
    fn options(self) -> TlsOptions {
        let mut options = TlsOptions::new(self.certificate_file, self.key_file);
        put(&mut options.reload, time(self.reload));
        options
    }
}

impl RateLimit {
    fn options(self) -> RateLimitOptions {
        let mut options = RateLimitOptions::unlimited()
            .with_max_connections(self.max_connections)
            .with_max_requests_per_connection(self.max_requests_per_connection)
            .with_max_requests_per_user(self.max_requests_per_user)
            .with_max_executions_per_user(self.max_executions_per_user)
            .with_replay_bytes_per_second(self.replay_bytes_per_second);
        put(&mut options.window, time(self.window));
        put(&mut options.max_keys, self.max_keys);
        options
    }
}

impl Compression {
    fn options(self) -> CompressionOptions {
        let Word(PhantomData) = self.algorithm;
        let mut options = CompressionOptions::default();
        put(&mut options.enabled, self.enabled);
        put(&mut options.threshold, self.threshold);
        put(&mut options.level, self.level);
        put(&mut options.max_kept_bytes, self.max_kept_bytes);
        options
    }
}
